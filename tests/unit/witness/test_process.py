"""The witness as a process: what is sent over HTTP, kill -9 at the worst moment, clients that are slow or too large."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from gateway.cli.localnet.processes import Processes
from gateway.consentlog.note import SignerKey, VerifierKey, open_note
from gateway.consentlog.witness import MAX_REQUEST_BYTES, AddCheckpoint, log_id
from tests.fakes.witness_process import DIES_BEFORE_IT_SIGNS, WitnessProcess
from tests.fakes.witnessed import ORIGIN, LogOfLeaves

OTHER = "log.example/other"


@pytest.fixture(scope="module")
def log() -> LogOfLeaves:
    return LogOfLeaves()


@pytest.fixture(scope="module")
def other() -> LogOfLeaves:
    return LogOfLeaves(SignerKey.generate(OTHER), "other")


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory, log: LogOfLeaves, other: LogOfLeaves) -> Iterator[WitnessProcess]:
    with Processes() as processes:
        logs = {ORIGIN: str(log.signer.verifier), OTHER: str(other.signer.verifier)}
        folder: Path = tmp_path_factory.mktemp("witness")
        made = WitnessProcess(folder, processes, "witness.example/w1", logs, "request_s = 0.5")
        made.init()
        made.start()
        yield made


def post(witness: WitnessProcess, body: bytes) -> httpx2.Response:
    return httpx2.post(f"{witness.url}/add-checkpoint", content=body, trust_env=False, timeout=30)


def test_many_at_once_are_one_growing_history(witness: WitnessProcess, other: LogOfLeaves) -> None:
    """Of requests that all continue the same size one is cosigned, and the others are told where it is now."""
    size = 0
    for _ in range(3):
        bodies = [other.request(size, size + step) for step in range(1, 9)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda body: post(witness, body), bodies))
        (step,) = [number for number, answer in enumerate(answers, 1) if answer.status_code == 200]
        size += step
        told = {(answer.status_code, answer.text, answer.headers["content-type"]) for answer in answers}
        told = {item for item in told if item[0] != 200}
        assert told == {(409, f"{size}\n", "text/x.tlog.size")}
    shown = httpx2.get(f"{witness.url}/{log_id(OTHER)}/checkpoint", trust_env=False).content
    assert {key.name for key, _ in open_note(shown, [VerifierKey.parse(witness.vkey)]).signed_by} == {witness.name}


def test_killed_between_state_and_signature_it_signs_no_second_history(
    witness: WitnessProcess, log: LogOfLeaves
) -> None:
    witness.stop()
    witness.start(DIES_BEFORE_IT_SIGNS)
    with pytest.raises(httpx2.TransportError):
        post(witness, log.request(0, 5))
    assert witness.child is not None
    assert witness.child.process.wait(30) == -9
    witness.start()
    fork = LogOfLeaves(log.signer, "fork")
    assert post(witness, fork.request(0, 5)).status_code == 409
    assert post(witness, log.request(0, 5)).text == "5\n"
    again = post(witness, log.request(5, 5))
    assert again.status_code == 200
    note = open_note(log.note(5) + again.content, [VerifierKey.parse(witness.vkey)])
    assert note.text.encode() == log.note(5).partition(b"\n\n")[0] + b"\n"
    assert post(witness, fork.request(5, 9)).status_code == 422
    assert post(witness, AddCheckpoint(5, (bytes(32),), fork.note(8)).to_bytes()).status_code == 422
    status = witness.run("status", code=1)
    assert {item["kind"] for item in status["evidence"]} == {"split", "inconsistent", "unproven"}
    assert {item["origin"]: item["size"] for item in status["logs"]}[ORIGIN] == 5
    alarms = [json.loads(line) for line in (witness.folder / "log").read_text("utf-8").splitlines() if '"fork"' in line]
    assert {(line["alarm"], line["kind"], line["origin"]) for line in alarms} == {
        ("fork", "split", ORIGIN),
        ("fork", "inconsistent", ORIGIN),
        ("fork", "unproven", ORIGIN),
    }


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_beyond_the_limit_is_413(witness: WitnessProcess, declared: bool) -> None:
    body = b"x" * (MAX_REQUEST_BYTES + 1)
    content = body if declared else iter([body])
    answer = httpx2.post(f"{witness.url}/add-checkpoint", content=content, trust_env=False, timeout=30)
    assert answer.status_code == 413


def test_other_paths_and_methods_are_refused(witness: WitnessProcess) -> None:
    with httpx2.Client(base_url=witness.url, trust_env=False) as client:
        assert client.get("/add-checkpoint").status_code == 405
        assert client.post("/").status_code == 404
        assert client.get(f"/{64 * '0'}/checkpoint").status_code == 404
        assert client.post("/add-checkpoint", content=b"nonsense").status_code == 400


@pytest.mark.parametrize("sent", [b"", b"POST /add-check", b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nA: "])
def test_a_client_that_never_finishes_its_head_is_cut_off(witness: WitnessProcess, sent: bytes) -> None:
    host, _, port = witness.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        assert connection.recv(1) == b""


def test_a_client_that_never_finishes_its_body_is_told_and_cut_off(witness: WitnessProcess) -> None:
    host, _, port = witness.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold")
        answer = b""
        while data := connection.recv(4096):
            answer += data
    assert answer.startswith(b"HTTP/1.1 408 ")
