from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.audit_watch import CODES
from gateway.cli.localnet.provision import Network
from gateway.consentlog.entry import encode
from gateway.consentlog.export import write_export
from gateway.consentlog.watch import Kind
from tests.unit.cli.conftest import Ran, Run
from tests.unit.consentlog.samples import BUNDLE, DIGEST, TRUST, MemoryLog, decision, long_log, refusal, small_log


class Watched:
    """Runs one round over exports of made-up logs."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run, self.folder = run, folder
        self.state, self.trust = folder / "state", folder / "trust"
        self.trust.write_bytes(TRUST)

    def export(self, items: list[bytes]) -> Path:
        folder = self.folder / "export"
        shutil.rmtree(folder, ignore_errors=True)
        write_export(MemoryLog(items), folder, {DIGEST: BUNDLE}, TRUST)
        return folder

    def once(self, items: list[bytes], *more: object) -> Ran:
        given = ("--export", self.export(items), "--trust", self.trust, "--state", self.state, "--once")
        return self.run("audit", "watch", *given, *more)

    def lines(self, items: list[bytes], *more: object) -> tuple[int, list[dict[str, Any]]]:
        done = self.once(items, "--json", *more)
        assert done.err == ""
        return done.code, [json.loads(line) for line in done.out.splitlines()]


@pytest.fixture
def watched(run: Run, tmp_path: Path) -> Watched:
    return Watched(run, tmp_path)


def test_every_kind_has_an_exit_code() -> None:
    assert set(CODES) == set(Kind)


def test_a_log_that_grows(watched: Watched) -> None:
    for size in (3, 300, 600):
        code, (line,) = watched.lines(long_log(size))
        assert (code, line["kind"], line["size"]) == (0, "SEEN", size)
    assert "seen: a log of 600 entries" in watched.once(long_log(600)).out


def test_a_fifo_in_the_export_is_told_of(watched: Watched) -> None:
    folder = watched.export(small_log())
    (folder / "tile/entries/000.p/6").unlink()
    os.mkfifo(folder / "tile/entries/000.p/6")
    done = watched.run(
        "audit", "watch", "--export", folder, "--trust", watched.trust, "--state", watched.state, "--once"
    )
    assert (done.code, "is not a regular file" in done.out) == (3, True)


def test_a_fork_is_told_and_kept(watched: Watched) -> None:
    assert watched.once(long_log(300)).code == 0
    forked = [*long_log(299), encode(refusal()), encode(refusal())]
    code, (alarm, end) = watched.lines(forked)
    assert (code, alarm["kind"], alarm["exit_code"], end["size"]) == (4, "FORK", 4, 300)
    kept = [Path(path).read_text() for path in alarm["evidence"]]
    assert kept == [MemoryLog(long_log(300)).checkpoint(), MemoryLog(forked).checkpoint()]
    assert alarm["evidence"][0].startswith(f"{watched.state}.evidence/")
    told = watched.once(forked)
    assert told.code == 4
    assert " FORK " in told.out
    assert alarm["evidence"][0] in told.out
    code, (alarm, _) = watched.lines(long_log(3))
    assert (code, alarm["kind"]) == (4, "SMALLER_HEAD")


def test_tiles_and_entries_that_were_changed(watched: Watched) -> None:
    assert watched.once(long_log(3)).code == 0
    folder = watched.export(long_log(9))
    path = folder / "tile/entries/000.p/9"
    path.write_bytes(path.read_bytes().replace(b'"rung":2', b'"rung":1', 1))
    given = ("--export", folder, "--trust", watched.trust, "--state", watched.state, "--once", "--json")
    done = watched.run("audit", "watch", *given)
    assert (done.code, json.loads(done.out.splitlines()[0])["kind"]) == (4, "ENTRIES_DIFFER")
    path.unlink()
    done = watched.run("audit", "watch", *given)
    assert (done.code, json.loads(done.out.splitlines()[0])["kind"]) == (3, "AWAY")


def test_an_entry_that_breaks_a_rule(watched: Watched) -> None:
    code, (alarm, _) = watched.lines([*small_log(), encode(decision(2))])
    assert (code, alarm["kind"]) == (4, "RULE_BROKEN")


def test_mine(watched: Watched) -> None:
    mine = watched.folder / "mine"
    mine.write_text("# decisions of ours\n\n" + "0f" * 16 + "\n5\n")
    given = ("--operator", "xiamen-library", "--mine", mine, "--grace", 0)
    assert watched.once(small_log(), *given).code == 0
    unknown = [*small_log(), encode(decision(2, rung=0, id="1" * 32))]
    code, (alarm, _) = watched.lines(unknown, *given)
    assert (code, alarm["kind"], alarm["index"]) == (1, "UNEXPECTED_ENTRY", 6)
    assert watched.once(unknown, *given).code == 0  # told
    more = [*unknown, encode(decision(2, rung=0, id="2" * 32))]
    mine.write_text("3\n5\n7\n")
    assert watched.once(more, *given).code == 0
    again = [*more, encode(decision(2, rung=0))]
    mine.write_text(f"{'0f' * 16}\n")
    code, (alarm, _) = watched.lines(again, *given)
    assert (code, alarm["kind"], alarm["index"]) == (1, "UNEXPECTED_ENTRY", 8)
    mine.write_text("somebody\n")
    assert watched.once(again, *given).code == 2
    mine.unlink()
    assert watched.once(again, *given).code == 2


def test_silence(watched: Watched) -> None:
    code, lines = watched.lines(small_log(), "--silent", 0, "--mine-silent", 0, "--city", "fuzhou")
    assert (code, [line["kind"] for line in lines]) == (1, ["SILENCE", "MINE_SILENT", "SEEN"])


def test_the_name_of_a_file_of_gossip_forges_no_line(watched: Watched) -> None:
    folder = watched.folder / "gossip"
    folder.mkdir()
    (folder / "x\nSEEN\x1b[2J").write_bytes(b"noise")
    done = watched.once(long_log(9), "--gossip", folder)
    assert "\x1b" not in done.out
    assert not [line for line in done.out.splitlines() if line.startswith("SEEN")]
    assert "x\\nSEEN" in done.out


def test_gossip(watched: Watched) -> None:
    folder = watched.folder / "gossip"
    folder.mkdir()
    (folder / "theirs").write_text(MemoryLog(long_log(5)).checkpoint())
    assert watched.once(long_log(9), "--gossip", folder).code == 0
    (folder / "noise").write_text("noise")
    code, lines = watched.lines(long_log(9), "--gossip", folder)
    assert (code, [line["kind"] for line in lines]) == (0, ["GOSSIP_UNUSABLE", "SEEN"])
    (folder / "other").write_text(MemoryLog([*long_log(4), encode(refusal())]).checkpoint())
    code, lines = watched.lines(long_log(9), "--gossip", folder)
    assert (code, [line["kind"] for line in lines]) == (4, ["GOSSIP_UNUSABLE", "SPLIT_VIEW", "SEEN"])
    assert watched.once(long_log(9), "--gossip", watched.folder / "none").code == 2


def test_a_gateway_that_is_away(run: Run, network: Network, tmp_path: Path) -> None:
    profile = network.layout.auditor / "client.toml"
    done = run("audit", "watch", "--state", tmp_path / "state", "--profile", profile, "--once", "--json", "--silent", 0)
    first, second, _ = (json.loads(line) for line in done.out.splitlines())
    assert (done.code, first["kind"], second["kind"]) == (1, "AWAY", "SILENCE")
    done = run("audit", "watch", "--state", tmp_path / "state", "--profile", profile, "--once")
    assert done.code == 3
    assert "PEER_UNREACHABLE" in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--every", 0),
        ("--grace", -1),
        ("--mine", "x"),
        ("--mine-silent", 5),
        ("--export", "none"),
    ],
    ids=str,
)
def test_wrong_usage(run: Run, tmp_path: Path, arguments: tuple[object, ...]) -> None:
    assert run("audit", "watch", "--state", tmp_path / "state", "--once", *arguments).code == 2


def test_an_export_needs_a_trust_file(watched: Watched) -> None:
    folder = watched.export(small_log())
    assert watched.run("audit", "watch", "--state", watched.state, "--export", folder, "--once").code == 2
    (folder / "scope").mkdir()  # what a scoped export has
    given = ("--export", folder, "--trust", watched.trust, "--state", watched.state, "--once")
    assert watched.run("audit", "watch", *given).code == 2
    watched.state.write_text("{}")
    assert watched.once(small_log()).code == 2
