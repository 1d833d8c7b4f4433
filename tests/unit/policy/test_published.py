"""Published facts that cannot be are problems of the files, at their key and with a remedy, and of no signed bundle."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.errors import ProblemsError
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies
from tests.unit.policy.files import places, problems_of, spoil, valid, write

CITY, OFFER, ACCEPTANCE = "cities/alpha.toml", "scenarios/loans.toml", "acceptance/alpha.toml"
TODAY = date(2026, 11, 28)


def band(label: str, **ends: int) -> str:
    return f'[[bands]]\nlabel_zh = "{label}"\n' + "".join(f"{key} = {end}\n" for key, end in ends.items())


def source(table: str, published: str) -> str:
    return f'[{table}]\nurl = "https://example.invalid/x"\npublished = "{published}"\nconfidence = "low"\n'


def history(since: str, until: str) -> str:
    return (
        f'[[history]]\nsince = "{since}"\nuntil = "{until}"\nbands = [{{ label_zh = "高", minimum = 900 }}]\n'
        + source("history.source", "undated")
    )


@pytest.mark.parametrize(
    ("bands", "wrong"),
    [
        ((band("高", minimum=60, maximum=100), band("低", minimum=0, maximum=59)), []),
        ((band("高", minimum=60), band("低", minimum=0)), []),
        ((band("高"), band("中"), band("低")), []),
        ((band("高", minimum=60, maximum=100), band("低", minimum=0, maximum=60)), ["bands.1"]),
        ((band("低", minimum=0, maximum=60), band("高", minimum=50)), ["bands.1"]),
        ((band("高", minimum=60), band("低", minimum=60)), ["bands.1"]),
        ((band("全", minimum=0, maximum=100), band("低", minimum=0), band("高", minimum=60)), ["bands.1", "bands.2"]),
        ((band("高", minimum=100, maximum=60),), ["bands.0.maximum"]),
        ((band("高", minimum=60, maximum=101),), ["bands.0.maximum"]),
        ((band("高", minimum=101),), ["bands.0.minimum"]),
    ],
)
def test_levels_in_force_lie_beside_each_other_on_the_score(
    tmp_path: Path, bands: tuple[str, ...], wrong: list[str]
) -> None:
    texts = {**valid(), CITY: valid()[CITY] + "".join(bands)}
    if wrong:
        assert places(problems_of(write(tmp_path, texts))) == [(CITY, path) for path in wrong]
    else:
        assert load_policies(write(tmp_path, texts)).cities[0].bands


@pytest.mark.parametrize(
    ("since", "until", "possible"),
    [
        ("2018-08-02", "2018-08-01", False),
        ("2019", "2018-12-31", False),
        ("2018-09", "2018-08", False),
        ("2018-08-02", "2018-08", True),
        ("2018", "2018-08", True),
        ("undated", "2018", True),
        ("2018-08-01", "2018-08-01", True),
    ],
)
def test_what_held_ended_after_it_began(tmp_path: Path, since: str, until: str, possible: bool) -> None:
    """Nor need what held before lie on the score of today."""
    texts = {**valid(), CITY: valid()[CITY] + history(since, until)}
    if possible:
        assert load_policies(write(tmp_path, texts)).cities[0].history
    else:
        assert places(problems_of(write(tmp_path, texts))) == [(CITY, "history.0.until")]


def test_earlier_conditions_of_one_host_are_told_in_its_row(tmp_path: Path) -> None:
    row = '[[hosts]]\ncity = "alpha"\n[[hosts.history]]\nsince = "2020"\nuntil = "2019"\n'
    row += 'text_zh = "旧"\ntext_en = "old"\n'
    texts = spoil(valid(), OFFER, 'host_city = "alpha"\n', "")
    texts[OFFER] += row + source("hosts.history.source", "2999")
    assert places(problems_of(write(tmp_path, texts))) == [
        (OFFER, "hosts.0.history.0.until"),
        (OFFER, "hosts.0.history.0.source.published"),
    ]


MEASURED = "[cuts.measured]\nstandard_error = 1\nsample = 9\n"
WITH_SOURCES = {
    "source.published": (CITY, ("[source]", source("range_source", "undated") + "[source]"), '"2026-01"'),
    "range_source.published": (CITY, ("[source]", source("range_source", "2025") + "[source]"), '"2025"'),
    "cuts.0.measured.as_of": (
        CITY,
        ('label_zh = "一"', f'label_zh = "一"\n{MEASURED}as_of = "2025"\n{source("cuts.measured.source", "undated")}'),
        '"2025"',
    ),
}


@pytest.mark.parametrize("path", WITH_SOURCES)
@pytest.mark.parametrize(
    ("said", "possible"),
    [
        ("2999", False),
        ("2026-12", False),
        ("2026-11-29", False),
        ("2026-11-28", True),
        ("2026-11", True),
        ("2026", True),
        ("undated", True),
    ],
)
def test_nothing_was_published_or_measured_after_today(tmp_path: Path, path: str, said: str, possible: bool) -> None:
    file, (old, new), known = WITH_SOURCES[path]
    texts = spoil(spoil(valid(), file, old, new), file, f"= {known}", f'= "{said}"')
    root = write(tmp_path, texts)
    if possible:
        assert load_policies(root, TODAY).cities
        return
    with pytest.raises(ProblemsError) as caught:
        load_policies(root, TODAY)
    (problem,) = caught.value.problems
    assert (problem.file, problem.path) == (file, path)
    assert said in problem.message
    assert problem.remedy


def test_a_city_that_published_its_decision_did_so_before_today(tmp_path: Path) -> None:
    texts = spoil(valid(), ACCEPTANCE, "[[honours]]", source("source", "2999-01-01") + "[[honours]]")
    assert places(problems_of(write(tmp_path, texts))) == [(ACCEPTANCE, "source.published")]


def test_a_signed_bundle_is_read_on_any_day(tmp_path: Path) -> None:
    """What was decided under it stays reproducible, whatever the clock of the reader says."""
    texts = spoil(valid(), CITY, '"2026-01"', '"2999"')
    loaded = load_policies(write(tmp_path, texts), date(2999, 1, 1) + timedelta(days=1))
    assert read_bundle(build_bundle(loaded, 1, date(2999, 12, 31))).concordances
