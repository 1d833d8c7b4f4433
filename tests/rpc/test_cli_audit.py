"""The command of an auditor who follows one consent, against a real gateway and a real adapter."""

from __future__ import annotations

import asyncio
import csv
import json
import sys

from gateway.cli.audit_list import csv_header
from gateway.consentlog.entry import encode
from tests.fakes.running import CITY, OPERATOR, TOP, Ran, Running


def _indices(done: Ran) -> list[int]:
    assert done.code == 0, done.err
    return [item["index"] for item in done.document["entries"]]


async def test_a_consent_is_followed_from_the_receipt_of_one_decision(network: Running) -> None:
    identifier, token = await network.granted("followed.jwt", "--uses", 5)
    base = network.folder / "followed"
    first = (await network.check(token, "--receipt", "--receipt-out", base, "--json")).document["log_index"]
    _, other = await network.granted("not-followed.jwt", "--uses", 5)
    assert (await network.check(other)).code == 0
    for act in ("pause", "resume"):
        assert (await network.consent(act, identifier, "--resident", TOP, "--json")).document["acknowledged"] is True
    again = (await network.check(token, "--json")).document["log_index"]
    withdrawn = (await network.consent("withdraw", identifier, "--resident", TOP, "--json")).document["log_index"]
    by_receipt = await network.audit("list", "--receipt", f"{base}.entry", "--json")
    whole = _indices(by_receipt)
    assert [item["type"] for item in by_receipt.document["entries"]] == [
        "consent_registered",
        "decision",
        "consent_paused",
        "consent_resumed",
        "decision",
        "consent_withdrawn",
    ]
    assert (whole[:2], whole[4:]) == ([first - 1, first], [again, withdrawn])
    assert by_receipt.document["receipt"] == first
    assert by_receipt.document["looked_at"]["start"] == first - 1
    registered = by_receipt.document["entries"][0]
    assert registered["operator"] == OPERATOR
    by_token = await network.audit("list", "--token", registered["token"], "--last", 0, "--json")
    assert _indices(by_token) == [first - 1, first, again]
    narrowed = await network.audit("list", "--receipt", f"{base}.entry", "--type", "consent_withdrawn", "--json")
    assert _indices(narrowed) == whole[-1:]
    assert narrowed.document["receipt"] == first
    told = await network.audit("list", "--receipt", f"{base}.entry")
    assert f"the receipt's entry is {first}" in told.out

    printed = await network.audit("list", "--receipt", f"{base}.entry", "--csv")
    assert printed.code == 0, printed.err
    lines = printed.out.split("\r\n")
    assert (lines.pop(), "\n" in "".join(lines)) == ("", False)
    header, *rows = csv.reader(lines)
    assert header == csv_header()
    assert [int(row[0]) for row in rows] == whole
    assert [row[1] for row in rows] == [item["time"] for item in by_receipt.document["entries"]]
    assert all(row[1].endswith("Z") for row in rows)


async def test_an_entry_that_the_log_does_not_hold(network: Running) -> None:
    _, token = await network.granted("held.jwt", "--uses", 1)
    base = network.folder / "held"
    index = (await network.check(token, "--receipt", "--receipt-out", base, "--json")).document["log_index"]
    path = network.folder / "held.entry"
    held = json.loads(path.read_bytes())
    for consent in (index - 1, 10**9):
        path.write_bytes(encode(held | {"id": "0" * 32, "consent": consent}))
        done = await network.audit("list", "--receipt", path, "--json")
        assert done.code == 4
        assert done.document["error"]["reason"] == "PROOF_OF_LOG_INVALID"


async def test_what_a_real_gateway_decides_is_what_an_auditor_recomputes(network: Running) -> None:
    _, token = await network.granted("replayed.jwt", "--uses", 1)
    index = (await network.check(token, "--json")).document["log_index"]
    folder = network.folder / "replayed"
    assert (await network.audit("export", "--out", folder)).code == 0
    shared = network.layout.shared
    given = ("--trust", folder / "trust", "--root", shared / "root.json", "--signed", shared / "bundle.json")
    done = await network.run("audit", "replay", folder, *given, "--decision", index, "--json")
    assert done.code == 0, done.out
    assert (done.document["bundle_signatures"]["checked"], done.document["bundle_signatures"]["unsigned"]) == (True, [])
    assert done.document["differences"] == []
    assert done.document["decision"]["entry"]["index"] == index


async def test_log_and_journal_of_a_real_city_agree(network: Running) -> None:
    _, token = await network.granted("reconciled.jwt", "--uses", 2)
    index = (await network.check(token, "--json")).document["log_index"]
    journal, folder, shared = network.folder / "journal", network.folder / "reconciled", network.layout.shared
    config = network.layout.city(CITY) / "adapter.toml"
    while True:  # the report follows the decision
        written = await network.run("adapter", "journal", "--config", config, "--out", journal, "--json")
        assert written.code == 0, written.err
        if written.document["reported"] > index:
            break
    assert written.document["city"] == CITY
    assert (await network.audit("export", "--out", folder)).code == 0
    trusted = ("--trust", folder / "trust", "--root", shared / "root.json", "--directory", shared / "directory.json")
    done = await network.run("audit", "reconcile", folder, "--journal", journal, *trusted, "--json")
    assert done.code == 0, done.out
    assert done.document["findings"] == []
    assert done.document["compared"] == written.document["uses"] > 0
    bad = await network.run("adapter", "journal", "--config", config, "--out", journal, "--from", 5, "--to", 4)
    assert bad.code == 2


async def test_a_monitor_of_a_real_gateway(network: Running) -> None:
    state, mine, gossip = network.folder / "watched", network.folder / "mine", network.folder / "gossip"
    gossip.mkdir()
    mine.write_text("")
    given = ("--state", state, "--operator", OPERATOR, "--mine", mine, "--gossip", gossip, "--grace", 0)
    first = await network.audit("watch", *given, "--once", "--json")
    assert first.code in {0, 1}, first.err  # decisions of tests before this one
    _, token = await network.granted("watched.jwt", "--uses", 5)
    checked = await network.check(token, "--receipt", "--receipt-out", gossip / "theirs", "--json")
    told = await network.audit("watch", *given, "--once", "--json")
    alarm, seen = (json.loads(line) for line in told.out.splitlines())
    assert (told.code, alarm["kind"], alarm["index"]) == (1, "UNEXPECTED_ENTRY", checked.document["log_index"])
    assert seen["size"] > checked.document["log_index"]
    known = await network.check(token, "--json")
    mine.write_text(f"{known.document['log_index']}\n")
    quiet = await network.audit("watch", *given, "--once", "--json")
    assert (quiet.code, [json.loads(line)["kind"] for line in quiet.out.splitlines()]) == (0, ["SEEN"])


async def test_a_monitor_goes_on_until_it_is_stopped(network: Running) -> None:
    profile = network.layout.auditor / "client.toml"
    given = ("--state", network.folder / "watching", "--profile", profile, "--every", 0.05, "--silent", 0, "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "audit", "watch", *map(str, given)),
        cwd=network.checkout,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert json.loads(await process.stdout.readline())["kind"] == "SILENCE"
    _, token = await network.granted("watching.jwt", "--uses", 1)
    assert (await network.check(token)).code == 0
    assert json.loads(await process.stdout.readline())["kind"] == "SILENCE"  # another one: the log has grown between
    process.terminate()
    rest, _ = await process.communicate()
    assert {json.loads(line)["kind"] for line in rest.splitlines()} <= {"SILENCE"}
    assert process.returncode == 1
