"""The benchmark of the consent log: it measures what it says, and its floor stays bare."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from bench.log import appends, curve, exports
from bench.log.__main__ import main, parse
from bench.log.appends import Round, rows_of
from bench.log.curve import Cost
from bench.log.exports import Reading
from bench.log.floor import Floor
from bench.log.importing import bulk_import
from bench.log.material import DATA, Log, draft, fill
from bench.log.report import Found
from gateway.cli.stored_log import check_database

ROOT = Path(__file__).parents[3]


def test_the_floor_stays_bare() -> None:
    assert len((ROOT / "bench/log/floor.py").read_text(encoding="utf-8").splitlines()) <= 60


async def test_the_floor_writes_the_rows_that_the_store_wrote(tmp_path: Path) -> None:
    log = Log.make(tmp_path / "log")
    store = await log.open()
    await appends.in_flight([draft("one", number) for number in range(100)], store, 16)
    floor = Floor(tmp_path / "floor.db")
    rows = list(rows_of(log.folder / DATA, 0, store.size()))
    assert len(rows) == 100
    await asyncio.gather(*map(floor.append, rows))
    floor.close()
    await store.close()
    theirs, ours = sqlite3.connect(tmp_path / "floor.db"), sqlite3.connect(log.folder / DATA)
    for query in (
        "SELECT * FROM entry WHERE idx > 1 ORDER BY 1",  # genesis and publication are no appends
        "SELECT * FROM request ORDER BY 1",
        "SELECT * FROM consent ORDER BY 1",
        "SELECT * FROM attestation ORDER BY 1",
    ):
        assert theirs.execute(query).fetchall() == ours.execute(query).fetchall() != []
    theirs.close()
    ours.close()


async def test_an_imported_log_is_one_that_the_store_goes_on_with(tmp_path: Path) -> None:
    log = Log.make(tmp_path / "log")
    store = await log.open()
    await fill(store, "first", 50)
    await store.close()
    bulk_import(log, 1500)
    store = await log.open()
    assert store.size() == 1500
    await fill(store, "more", 1600)
    size = store.size()
    appends.prove(map(store.receipt, range(0, size, 7)), log)
    await store.close()
    assert check_database(log.folder / DATA, log.trust).size == size >= 1600


async def test_every_part_measures(tmp_path: Path) -> None:
    (found,) = await appends.measure(tmp_path, 1, 1000)
    assert min(found.appends, found.floor, found.p50_ms, found.fdatasync_ms) > 0
    costs = await curve.measure(tmp_path, [2000, 2500], 1, 200, 50)
    assert {size: len(rounds) for size, rounds in costs.items()} == {2000: 1, 2500: 1}
    assert all(cost.wall > 0 for rounds in costs.values() for cost in rounds[0].values())
    readings = await exports.measure(tmp_path, [2000], 1)
    assert {what: runs[0].entries for what, runs in readings[2000].items()} == dict.fromkeys(exports.WHAT, 2000)


def test_the_verdict_is_the_median_of_the_rounds_own_ratios() -> None:
    rounds = [Round(50, 100, 4, 1), Round(100, 50, 9, 1), Round(40, 100, 30, 3)]
    rate, wait = Found({}, rounds).verdicts()
    assert (rate.per_round, rate.median, rate.met) == ((0.5, 2.0, 0.4), 0.5, True)
    assert (wait.per_round, wait.median, wait.met) == ((4, 9, 10), 9, False)


def test_the_largest_log_is_held_against_the_smallest() -> None:
    costs = {
        size: [dict.fromkeys(("append", "new", "any"), Cost(wall, wall))]
        for size, wall in ((10, 1.0), (100, 9.0), (1000, 1.3))
    }
    verdicts = Found({}, curve=costs).verdicts()
    assert [(one.median, one.met) for one in verdicts] == [(1.3, False)] * 6


def test_rates_of_a_core_are_judged_and_shown_with_those_of_the_clock() -> None:
    reading = Reading(100_000, 2.0, 2.5, 70 << 20)
    found = Found({}, exports={100_000: {what: [reading] for what in exports.WHAT}})
    assert [(one.median, one.met) for one in found.verdicts()] == [(40_000, False), (40_000, True)]
    assert "50000/s (40000/s a core), peak 70 MiB" in found.table()


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_options: object, _folder: object) -> Found:
        return Found({"cores": 2}, [Round(1, 2, 3, 4)])

    monkeypatch.setattr("bench.log.__main__.measure", nothing)
    assert main(["--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["appends"] == [{"appends": 1, "floor": 2, "p50_ms": 3, "fdatasync_ms": 4}]
    assert [verdict["median"] for verdict in document["verdicts"]] == [0.5, 0.75]


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--count", "9"], ["--sizes", "5"], ["--only", "x"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(arguments)
    assert refused.value.code == 2


def test_sizes_are_options() -> None:
    assert parse(["--sizes", "1e5", "1e4", "--exports", "5000"]).sizes == (10_000, 100_000)
    assert max(parse(["--quick"]).sizes) < 10_000
