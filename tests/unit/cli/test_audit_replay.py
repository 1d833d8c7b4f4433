from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Ran, Run
from tests.unit.consentlog.replayed import (
    DAY,
    MINUTE,
    NOON,
    decided,
    policies,
    policy_bytes,
    published,
    sound,
    write,
    write_shown,
)

Log = tuple[Path, Path]


@pytest.fixture
def export(tmp_path: Path, trust: Path) -> Log:
    """A sound log."""
    return write(tmp_path / "export", sound()), trust


def _replay(run: Run, export: Log, *more: object) -> Ran:
    return run("audit", "replay", export[0], "--trust", export[1], *more)


def test_a_sound_log(run: Run, export: Log) -> None:
    done = _replay(run, export, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert (document["decisions"], document["differences"], document["counts"]) == (4, [], {})
    assert document["verified"]["size"] == len(sound())
    assert "4 decisions" in _replay(run, export).out


def test_every_difference_is_told(run: Run, tmp_path: Path, trust: Path) -> None:
    items = [*sound()[:3], *(decided(scenario="nowhere") for _ in range(60))]
    export = write(tmp_path / "wrong", items), trust
    done = _replay(run, export, "--json")
    assert done.code == 1
    assert [item["index"] for item in done.document["differences"]] == list(range(3, 63))
    assert {item["code"] for item in done.document["differences"]} == {"SCENARIO_UNKNOWN"}
    assert done.document["counts"] == {"SCENARIO_UNKNOWN": 60}
    told = _replay(run, export)
    assert told.code == 1
    assert "the first 50 of 60" in told.out
    assert "the bundle has no such scenario" in told.out


def test_a_decision_is_explained_in_words(run: Run, export: Log) -> None:
    scenario = next(item for name, item in policies().scenarios.items() if name == "xiamen-library")
    entitled, ordinary = (_replay(run, export, "--decision", index, "--json").document["decision"] for index in (3, 4))
    assert entitled["terms"]["text_zh"] == scenario.rungs[0].terms.text_zh
    assert ordinary["terms"]["text_en"] == scenario.base.text_en
    assert entitled["bundle"]["version"] == 1
    assert entitled["scenario"]["source"]["url"] == scenario.source.url
    assert entitled["home_city"]["city"] == "fuzhou"
    told = _replay(run, export, "--decision", 3).out
    for words in (scenario.rungs[0].terms.text_zh, scenario.rungs[0].terms.text_en, scenario.source.url, "version 1"):
        assert words in told
    by_day = _replay(run, export, "--decision", 6)
    assert by_day.code == 0
    assert ("illustrative" in by_day.out) == (
        _replay(run, export, "--decision", 6, "--json").document["decision"]["illustrative"]
    )


def test_a_decision_that_cannot_be_explained_is_told_as_far_as_it_goes(run: Run, tmp_path: Path, trust: Path) -> None:
    export = write(tmp_path / "wrong", [*sound()[:3], decided(scenario="nowhere")]), trust
    done = _replay(run, export, "--decision", 3)
    assert done.code == 1
    assert "SCENARIO_UNKNOWN" in done.out


def test_what_is_no_decision(run: Run, export: Log) -> None:
    assert _replay(run, export, "--decision", 2).code == 2
    assert _replay(run, export, "--decision", 99).code == 2


def test_an_auditor_of_one_city_replays_what_is_in_scope(run: Run, tmp_path: Path, trust: Path) -> None:
    export = write_shown(tmp_path / "scoped", sound()), trust
    done = _replay(run, export, "--json")
    assert done.code == 0, done.err
    document = done.document
    assert (document["scope"], document["decisions"], document["differences"]) == (["fuzhou"], 2, [])
    assert document["hashes_alone"] == 4
    assert document["verified"]["size"] == len(sound()) + 1
    told = _replay(run, export).out
    assert "those about fuzhou alone: of 4 other entries the export has the hashes" in told
    assert _replay(run, export, "--decision", 3).code == 0
    assert _replay(run, export, "--decision", 6).code == 2  # another city's


def test_an_auditor_of_one_city_finds_what_differs_there(run: Run, tmp_path: Path, trust: Path) -> None:
    items = [*sound(), published(2), decided(3), decided(time=NOON + DAY, valid_until=NOON + DAY + MINUTE)]
    export = write_shown(tmp_path / "scoped", items, [policy_bytes(1), policy_bytes(2)]), trust
    done = _replay(run, export, "--json")
    assert done.code == 1
    assert done.document["counts"] == {"BUNDLE_SUPERSEDED": 1, "RUNG_NOT_DISTINGUISHED": 1}


def test_of_a_whole_log_no_entry_is_known_by_its_hash_alone(run: Run, export: Log) -> None:
    document = _replay(run, export, "--json").document
    assert (document["scope"], document["hashes_alone"]) == ("all", 0)
    assert "hashes" not in _replay(run, export).out


def test_nothing_is_said_of_an_export_that_does_not_verify(run: Run, export: Log) -> None:
    path = export[0] / "tile/entries/000.p" / str(len(sound()))
    path.write_bytes(path.read_bytes().replace(b'"rung":1', b'"rung":2', 1))
    done = _replay(run, export)
    assert (done.code, done.out) == (4, "")


def test_a_changed_bundle(run: Run, export: Log) -> None:
    path = next((export[0] / "bundles").iterdir())
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2', 1))
    assert _replay(run, export).code == 4
