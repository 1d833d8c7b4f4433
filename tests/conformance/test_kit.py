"""The kit passes the product's own adapter, and catches every planted fault by the check that is meant for it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.conformance.check import Result
from gateway.conformance.deployment import DAYS, load_deployment
from gateway.conformance.residents import as_csv
from gateway.conformance.run import run_checks
from gateway.conformance.session import CONSENT, MANDATORY, PEER
from gateway.conformance.table import CHECKS
from tests.conformance.city import make, serving
from tests.conformance.fault import Fault
from tests.conformance.faults import FAULTS
from tests.conformance.faulty_wire import unserved

NEVER = {"error.retry": "the city was never unavailable during the run"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("made")).folder


def failed(results: Sequence[Result]) -> dict[str, str]:
    return {item.id: f"expected {item.expected}, came {item.came}" for item in results if item.verdict == "failed"}


def records(folder: Path) -> dict[str, tuple[int | None, str]]:
    """Points, and the moment at which the day of the score begins, by resident: of the export that the kit wrote."""
    with (folder / "residents.csv").open(encoding="ascii", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) == 3][1:]
    return {who: (int(points) if points else None, f"{day}T00:00:00+00:00") for who, points, day in rows}


def with_database(folder: Path) -> str:
    """The residents in a database, and the settings' source for it."""
    with sqlite3.connect(folder / "scores.sqlite3") as connection:
        connection.execute("CREATE TABLE scores (resident TEXT PRIMARY KEY, points INTEGER, day TEXT)")
        rows = [(who, *record) for who, record in records(folder).items()]
        connection.executemany("INSERT INTO scores VALUES (?, ?, ?)", rows)
    connection.close()
    return """[source]
kind = "sql"
sqlite_file = "scores.sqlite3"
query = "SELECT resident, points, day FROM scores WHERE resident = :resident"

[source.fields]
resident = "resident"
score = "points"
as_of = "day"
as_of_format = "iso8601"
"""


class Platform(BaseHTTPRequestHandler):
    """A score platform's JSON interface, with the test residents in it."""

    protocol_version = "HTTP/1.1"
    held: Mapping[str, tuple[int | None, str]]

    def do_GET(self) -> None:  # the base class calls it so
        who = self.path.removeprefix("/residents/")
        found = self.held.get(who)
        record = found and {"resident": who, "points": found[0], "day": found[1]}
        data = json.dumps(record or {}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def platform(made: Path) -> Iterator[str]:
    """The address of a running platform."""
    handler = type("Handler", (Platform,), {"held": records(made / "city")})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def with_http(address: str) -> str:
    """The settings' source for the platform."""
    return f"""[source]
kind = "http"
base_url = "{address}"
path = "/residents/{{resident}}"
unknown_status = [404]

[source.fields]
resident = "resident"
score = "points"
as_of = "day"
as_of_format = "iso8601"
"""


@pytest.mark.parametrize("source", ["csv", "sql", "http"])
async def test_our_own_adapter_passes(made: Path, tmp_path: Path, platform: str, source: str) -> None:
    deployment = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))

    def change(text: str) -> str:
        if source == "csv":
            return text
        before, answers = text.split("\n[answers]")
        table = with_http(platform) if source == "http" else with_database(deployment.folder / "city")
        return f"{before.split('[source]')[0]}{table}\n[answers]{answers}"

    async with serving(deployment, change) as address:
        for _ in range(2):  # the second time the city knows the kit, its log and its consents
            results = await run_checks(deployment, address)
            assert failed(results) == {}
            assert {item.id: item.came for item in results if item.verdict != "passed"} == NEVER


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_is_caught_by_its_check(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    deployment = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))
    fault.plant(monkeypatch)
    async with serving(deployment) as address:
        results = await run_checks(deployment, address)
    found = failed(results)
    assert set(found) == {fault.check, *fault.also}, found


async def test_a_deployment_can_be_used_to_its_last_day(made: Path, tmp_path: Path) -> None:
    today = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))
    last = replace(today, day=today.day - timedelta(days=DAYS))  # made so long ago that today is its end
    (last.folder / "city" / "residents.csv").write_text(as_csv(last.day), "ascii")
    async with serving(last) as address:
        assert failed(await run_checks(last, address)) == {}


async def test_what_is_optional_may_be_absent(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))
    consents = f"{CONSENT}ConsentService"
    for method in (f"{consents}/PauseConsent", f"{consents}/IssueHandle", f"{PEER}StatusService/GetInForce"):
        unserved(method)(monkeypatch)
    async with serving(deployment) as address:
        results = await run_checks(deployment, address)
    assert failed(results) == {}
    without = {item.id for item in results if item.verdict == "not applicable"}
    assert without == {"consent.paused", "handle.redeemed", "handle.one-error", "keys.in-force", *NEVER}


@pytest.mark.parametrize("method", MANDATORY)
async def test_what_is_not_optional_may_not_be_absent(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    deployment = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))
    unserved(method)(monkeypatch)
    async with serving(deployment) as address:
        results = await run_checks(deployment, address)
    assert failed(results)["wire.served"].startswith(f"expected {method.rpartition('/')[2]} to be served")
    assert {item.id for item in results if item.verdict == "not applicable"} == set(NEVER)


def test_the_faults_are_many_and_each_has_a_check_of_the_table() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert {name for fault in FAULTS for name in (fault.check, *fault.also)} <= set(ids)
    assert len({fault.check for fault in FAULTS}) >= 20


def test_every_check_says_what_it_asks_for_and_where_that_is_written() -> None:
    for check in CHECKS:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", check.id)
        assert check.says.endswith(".")
        assert check.source


async def test_nothing_that_is_said_holds_a_token_or_text_of_the_peer(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = load_deployment(Path(shutil.copytree(made, tmp_path / "kit")))
    for fault in FAULTS[:60]:
        if fault.check in {"error.fixed-text", "no.unknown", "token.alg-none"}:
            fault.plant(monkeypatch)
    async with serving(deployment) as address:
        results = await run_checks(deployment, address)
    said = " ".join(f"{item.expected} {item.came}" for item in results)
    assert len(failed(results)) >= 3
    assert "eyJ" not in said
    assert "KeyError" not in said
