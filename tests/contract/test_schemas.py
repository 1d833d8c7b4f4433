"""The JSON Schemas: fresh, met by every file that is shipped, and of one mind with the code that reads the files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.errors import ProblemsError
from gateway.policy.cases import run_cases
from gateway.policy.json_schema import KINDS, text_of
from gateway.policy.key_help import KEY_HELP
from gateway.policy.load import load_policies
from tests.unit.policy.files import spoil, valid, write

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "policies"
FILES = sorted(path.relative_to(POLICIES).as_posix() for path in POLICIES.rglob("*.toml"))
VALIDATORS = {kind: Draft202012Validator(json.loads(text_of(kind))) for kind in KINDS}


def kind_of(name: str) -> str:
    """The kind of a file; of those that match, the one with the longest pattern."""
    found = [
        (len(glob), kind) for kind, item in KINDS.items() for glob in item.files if PurePosixPath(name).match(glob)
    ]
    return max(found)[1]


def plain(value: Any) -> Any:
    """As JSON has it: TOML's dates are texts of ``format: date``."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def fits(name: str, text: str) -> bool:
    return VALIDATORS[kind_of(name)].is_valid(plain(tomllib.loads(text)))


def read(root: Path) -> None:
    run_cases(root, load_policies(root))


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_schema_is_fresh(kind: str) -> None:
    """If it is not: ``tiergate policy schema --out policies/schema``."""
    assert (POLICIES / "schema" / f"{kind}.json").read_text("utf-8") == text_of(kind)
    Draft202012Validator.check_schema(json.loads(text_of(kind)))


def test_no_other_schema_is_committed() -> None:
    assert {path.stem for path in (POLICIES / "schema").iterdir()} == set(KINDS)


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_meets_its_schema(name: str) -> None:
    document = plain(tomllib.loads((POLICIES / name).read_text("utf-8")))
    assert [error.message for error in VALIDATORS[kind_of(name)].iter_errors(document)] == []


def test_every_kind_that_people_write_is_shipped() -> None:
    assert {kind_of(name) for name in FILES} == {kind for kind, item in KINDS.items() if item.files}


def test_editors_are_told_which_schema_a_file_has() -> None:
    rules = tomllib.loads((ROOT / ".taplo.toml").read_text("utf-8"))["rule"]
    for name in FILES:
        path = PurePosixPath("policies") / name
        found = [
            rule["schema"]["path"]
            for rule in rules
            if any(path.match(glob) for glob in rule["include"])
            and not any(path.match(glob.removeprefix("**/")) for glob in rule.get("exclude", ()))
        ]
        assert found == [f"policies/schema/{kind_of(name)}.json"]


def test_every_key_is_explained_and_none_that_is_not_there() -> None:
    keys: set[str] = set()

    def walk(node: Any) -> None:
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(value)
        if isinstance(node, dict) and node.get("additionalProperties") is False:
            keys.update(node["properties"])
            assert all(item["description"] for item in node["properties"].values())

    for kind, item in KINDS.items():
        if item.files:
            walk(json.loads(text_of(kind)))
    assert keys == set(KEY_HELP)


CITY, OFFER, CASES = "cities/alpha.toml", "scenarios/loans.toml", "scenarios/loans.cases.toml"
DESK, OPENS, CITY_CASES = "operators/desk.toml", "acceptance/alpha.toml", "cities/alpha.cases.toml"
ROWS = '[[hosts]]\ncity = "alpha"\n'
WRONG: dict[str, tuple[str, str, str]] = {
    "an unknown key": (CITY, "version = 1", "version = 1\ncolour = 2"),
    "a missing key": (CITY, 'design = "band"\n', ""),
    "a number as text": (CITY, "score_min = 0", 'score_min = "0"'),
    "a fraction": (CITY, "minimum = 60", "minimum = 60.5"),
    "a number below its least": (CITY, "max_age_days = 30", "max_age_days = 0"),
    "a word that is none": (CITY, 'design = "band"', 'design = "bend"'),
    "no cuts": (CITY, CITY, ""),
    "a date as published that is none": (CITY, 'published = "2026-01"', 'published = "January 2026"'),
    "an address that is none": (CITY, "https://example", "ftp://example"),
    "no source": (CITY, 'url = "https://example.invalid/table"\n', ""),
    "a yes that is no truth value": (CITY, "illustrative = false", 'illustrative = "no"'),
    "an id with capitals": (OFFER, 'purpose = "loan"', 'purpose = "Loan"'),
    "finance": (OFFER, 'sector = "library"', 'sector = "finance"'),
    "a space at the end": (OFFER, 'text_zh = "九折"', 'text_zh = "九折 "'),
    "an unknown term": (OFFER, "percentage_off", "pocket_money"),
    "a term without its number": (OFFER, ", percent = 10", ""),
    "a term with another's number": (OFFER, "percent = 10", "days = 10"),
    "more percent than there are": (OFFER, "percent = 20", "percent = 120"),
    "no operators": (OFFER, '["desk"]', "[]"),
    "a grain that is none": (OFFER, '"minute"', '"hour"'),
    "an empty table of rows": (OFFER, "local_threshold = 60", "local_threshold = 60\nhosts = []"),
    "a row with another id": (OFFER, "[consent]", f'{ROWS}id = "other"\n[consent]'),
    "a row without its city": (OFFER, "[consent]", "[[hosts]]\nversion = 2\n[consent]"),
    "no name anywhere": (DESK, 'name_zh = "馆"\n', ""),
    "nobody to honour": (OPENS, '["alpha", "beta"]', "[]"),
    "a day as text in quotes": (OPENS, "effective_from = 2026-01-01", 'effective_from = "soon"'),
    "three tiers": ("tier-scale.toml", '[[tiers]]\nid = "ordinary"\nname_zh = "ordinary"\nname_en = "ordinary"\n', ""),
    "a notice that leaves something out": ("notice.toml", "{purpose}", ""),
    "a case without a name": (CITY_CASES, 'name = "at -1"\n', ""),
    "an outcome that is none": (CASES, 'outcome = "ordinary"', 'outcome = "refused"'),
    "a case with an unknown key": (CASES, 'tier = "ordinary"', 'tier = "ordinary"\nscore = 3'),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_schema_and_reader_refuse_what_is_wrong(tmp_path: Path, wrong: str) -> None:
    name, old, new = WRONG[wrong]
    files = valid()
    files = {**files, name: files[name].partition("[[cuts]]")[0]} if old == name else spoil(files, name, old, new)
    assert not fits(name, files[name])
    with pytest.raises(ProblemsError) as caught:
        read(write(tmp_path, files))
    assert name in {problem.file for problem in caught.value.problems}


def with_rows(text: str) -> str:
    """The offer with its host in a row, and what a row may state in the row."""
    return (
        text.replace('host_city = "alpha"\n', "").replace("local_threshold = 60\n", "")
        + ROWS
        + "local_threshold = 60\n"
    )


MADE_OTHERWISE: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "as it is": lambda files: files,
    "a host in a row": lambda files: {
        **files,
        OFFER: with_rows(files[OFFER]),
        DESK: files[DESK].replace('id = "desk"\n', "") + '[[operators]]\nid = "desk"\n',
    },
    "operators named by their host": lambda files: {
        **{name: text for name, text in files.items() if name != DESK},
        OFFER: with_rows(files[OFFER]).replace('["desk"]', '["{host}-desk"]'),
        "operators/alpha.toml": files[DESK].replace('id = "desk"\n', "") + '[[operators]]\nid = "alpha-desk"\n',
    },
    "a source in words": lambda files: spoil(files, CITY, 'url = "https://example.invalid/table"', 'note = "a poster"'),
    "an end": lambda files: spoil(files, CITY, "illustrative", "effective_until = 2030-01-01\nillustrative"),
    "everybody": lambda files: spoil(files, OPENS, '["alpha", "beta"]', '["*"]'),
}


@pytest.mark.parametrize("made", MADE_OTHERWISE)
def test_what_the_reader_takes_meets_the_schema(tmp_path: Path, made: str) -> None:
    files = MADE_OTHERWISE[made](valid())
    read(write(tmp_path, files))
    assert [name for name, text in files.items() if not fits(name, text)] == []
