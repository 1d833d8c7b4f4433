"""Reading the policy files: every problem of every file at once, or the checked policies."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import ValidationError

from gateway.domain.ids import SLUG, ScenarioId
from gateway.errors import Problem, ProblemsError, Reason
from gateway.files import bytes_of
from gateway.policy import schema
from gateway.policy.check import check
from gateway.policy.documents import Documents, Kind, Located, Policies, to_policies
from gateway.policy.problems import problems_of
from gateway.policy.published import published_facts
from gateway.policy.rows import CityName, Row, rows_of

MAX_FILE_BYTES = 256 * 1024
CASES_SUFFIX = ".cases.toml"
_SUFFIX = ".toml"
_SCALE, _NOTICE = "tier-scale.toml", "notice.toml"
_KINDS: Mapping[Kind, type[schema.Named]] = {
    "cities": schema.CityFile,
    "scenarios": schema.ScenarioFile,
    "operators": schema.OperatorFile,
    "acceptance": schema.AcceptanceFile,
}
_FIRST_ZONE = timezone(timedelta(hours=14))
"""Where a day begins first: sources are dated by their own clocks."""
_AT_ROOT = {_SCALE, _NOTICE, "README.md", "schema", *_KINDS}

Model = TypeVar("Model", bound=schema.Strict)
NamedModel = TypeVar("NamedModel", bound=schema.Named)


@dataclass(frozen=True, slots=True)
class LoadedPolicies:
    """Checked policies, as documents (for the bundle) and as domain objects, with the warnings to be shown."""

    scale: schema.ScaleFile
    cities: tuple[schema.CityFile, ...]
    scenarios: tuple[schema.ScenarioFile, ...]
    operators: tuple[schema.OperatorFile, ...]
    acceptance: tuple[schema.AcceptanceFile, ...]
    notice: schema.NoticeFile
    policies: Policies
    scenarios_in: Mapping[str, tuple[ScenarioId, ...]]
    """Which scenarios a file of ``scenarios/`` holds, by the file's path."""
    warnings: tuple[Problem, ...]


def load_policies(root: Path, today: date | None = None) -> LoadedPolicies:
    """Read and check everything under ``root``; case files are left to ``gateway.policy.cases``.

    ``today``: no source was published later. Default: today, where it is furthest on.

    Raises :class:`ProblemsError` (POLICY_INVALID) that names every problem of every file.
    """
    problems: list[Problem] = list(_strangers(root))
    scale = _located(root, _SCALE, schema.ScaleFile, problems)
    notice = _located(root, _NOTICE, schema.NoticeFile, problems)
    unread: set[tuple[Kind, str]] = set()
    cities = _folder(root, "cities", schema.CityFile, problems, unread)
    names = {item.doc.id: CityName(item.doc.name_zh or item.doc.id, item.doc.name_en or item.doc.id) for item in cities}
    scenarios = _folder(root, "scenarios", schema.ScenarioFile, problems, unread, names)
    operators = _folder(root, "operators", schema.OperatorFile, problems, unread)
    acceptance = _folder(root, "acceptance", schema.AcceptanceFile, problems, unread)
    findings = check(Documents(scale, cities, scenarios, operators, acceptance, notice, frozenset(unread)))
    problems += findings.errors
    day = today or datetime.now(_FIRST_ZONE).date()
    for item in (*cities, *scenarios, *acceptance):
        problems += published_facts(item, day)
    if problems or scale is None or notice is None:
        raise ProblemsError(Reason.POLICY_INVALID, list(dict.fromkeys(problems)))  # rows share faults of their file
    documents = (
        tuple(item.doc for item in cities),
        tuple(item.doc for item in scenarios),
        tuple(item.doc for item in operators),
        tuple(item.doc for item in acceptance),
        notice.doc,
    )
    found: dict[str, tuple[ScenarioId, ...]] = {}
    for item in scenarios:
        found[item.file] = (*found.get(item.file, ()), ScenarioId(item.doc.id))
    return LoadedPolicies(
        scale.doc,
        *documents,
        to_policies(scale.doc, *documents),
        MappingProxyType(found),
        tuple(dict.fromkeys(findings.warnings)),
    )


def read_toml(root: Path, name: str, model: type[Model], problems: list[Problem]) -> Model | None:
    """Read one TOML file into its model; on any fault add the problems and return None."""
    document = _document(root, name, problems)
    if document is None:
        return None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problems.extend(problems_of(name, error, document))
        return None


def _document(root: Path, name: str, problems: list[Problem]) -> dict[str, Any] | None:
    """One file as TOML; None, with a problem, if it is none."""
    try:
        data = bytes_of(root / name, MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.append(Problem(name, "", f"cannot be read ({error.strerror})", "create the file"))
        return None
    if len(data) > MAX_FILE_BYTES:
        problems.append(Problem(name, "", f"is larger than {MAX_FILE_BYTES} bytes", "split the file"))
        return None
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        problems.append(Problem(name, "", "is not UTF-8", "save the file as UTF-8"))
        return None
    except (ValueError, RecursionError) as error:  # not TOML, a number too long, nested too deeply
        problems.append(Problem(name, "", f"is not TOML: {error}", "correct the line that it names"))
        return None


def policy_names(root: Path, kind: Kind) -> list[str]:
    """Paths (``cities/fuzhou.toml``) of a folder's policy files, in order; empty if the folder is absent."""
    return sorted(
        f"{kind}/{path.name}"
        for path in _listed(root / kind)
        if path.name.endswith(_SUFFIX) and not path.name.endswith(CASES_SUFFIX)
    )


def _listed(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if not path.name.startswith("."))


def _strangers(root: Path) -> Iterator[Problem]:
    """Files that nothing reads: a policy under a wrong name must not be silently without effect."""
    for path in sorted(_listed(root)):
        if path.name not in _AT_ROOT:
            yield Problem(path.name, "", "is not a policy file", "remove it or correct its name")
    for kind in _KINDS:
        if not (root / kind).is_dir():
            yield Problem(kind, "", "folder is missing", "create the folder")
        for path in sorted(_listed(root / kind)):
            stem = path.name.removesuffix(CASES_SUFFIX).removesuffix(_SUFFIX)
            if stem == path.name or not SLUG.match(stem):
                yield Problem(f"{kind}/{path.name}", "", "is not a policy file", "name it <id>.toml or <id>.cases.toml")


def _located(root: Path, name: str, model: type[Model], problems: list[Problem]) -> Located[Model] | None:
    doc = read_toml(root, name, model, problems)
    return None if doc is None else Located(name, doc)


def _folder(
    root: Path,
    kind: Kind,
    model: type[NamedModel],
    problems: list[Problem],
    unread: set[tuple[Kind, str]],
    names: Mapping[str, CityName] = MappingProxyType({}),
) -> list[Located[NamedModel]]:
    """Every policy of a folder, each row of a file as one. ``names``: of the cities, for texts that name them."""
    read: list[Located[NamedModel]] = []
    for name in policy_names(root, kind):
        stem = Path(name).stem
        document = _document(root, name, problems)
        if document is None:
            unread.add((kind, stem))
            continue
        for row in rows_of(kind, document, names):
            item = _row(name, row, model, problems)
            if item is None:
                unread.add((kind, str(row.document.get("id", stem))))
                continue
            read.append(item)
        named = document.get("id", stem)
        if named != stem:
            problems.append(Problem(name, "id", f'is "{named}", but the file is named "{stem}"', "give both one name"))
    return read


def _row(name: str, row: Row, model: type[NamedModel], problems: list[Problem]) -> Located[NamedModel] | None:
    own = row.own or None
    try:
        return Located(name, model.model_validate(row.document), row.prefix, own)
    except ValidationError as error:
        at = Located(name, None, row.prefix, own)
        found = problems_of(name, error, row.document)
        problems.extend(replace(item, path=at.place_of(item.path)) for item in found)
        return None
