"""A witness with few connections, and clients that keep them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from gateway.cli.localnet.processes import Processes
from tests.fakes.witness_process import WitnessProcess
from tests.fakes.witnessed import ORIGIN, LogOfLeaves

CONNECTIONS = 4
CHEAP = b"GET /nothing/checkpoint HTTP/1.1\r\nHost: x\r\n\r\n"
BEGUN = b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"


@pytest.fixture(scope="module")
def log() -> LogOfLeaves:
    return LogOfLeaves()


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory, log: LogOfLeaves) -> Iterator[WitnessProcess]:
    folder: Path = tmp_path_factory.mktemp("witness")
    with Processes() as processes:
        logs = {ORIGIN: str(log.signer.verifier)}
        made = WitnessProcess(folder, processes, "witness.example/w1", logs, f"connections = {CONNECTIONS}")
        made.init()
        made.start()
        yield made


class Client:
    """A connection that is kept."""

    def __init__(self, witness: WitnessProcess, stack: ExitStack) -> None:
        host, _, port = witness.address.rpartition(":")
        self.socket = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))

    def ask(self, request: bytes = CHEAP) -> bytes:
        """The status line of the answer, which is read whole (its end is a newline); empty when there is none."""
        self.socket.sendall(request)
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2].endswith(b"\n"):
            data = self.socket.recv(4096)
            if not data:
                break
            answer += data
        return answer.partition(b"\r\n")[0]

    def begin(self) -> None:
        """Send a request's head, and return when the witness waits for its body."""
        self.socket.sendall(BEGUN)
        assert self.socket.recv(4096).startswith(b"HTTP/1.1 100 ")

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""


def test_the_connection_that_is_idle_for_longest_makes_room(witness: WitnessProcess, log: LogOfLeaves) -> None:
    with ExitStack() as stack:
        kept = [Client(witness, stack) for _ in range(CONNECTIONS - 1)]
        for client in kept:
            assert client.ask() == b"HTTP/1.1 404 Not Found"
        assert kept[0].ask() == b"HTTP/1.1 404 Not Found"  # so that the second has been idle for longer
        url = f"{witness.url}/add-checkpoint"
        answer = httpx2.post(url, content=log.request(0, 5), trust_env=False, timeout=30)
        assert answer.status_code == 200
        assert kept[1].is_closed()
        assert [kept[number].ask() for number in (0, 2)] == [b"HTTP/1.1 404 Not Found"] * 2


def test_many_that_ask_for_nothing_keep_nobody_out(witness: WitnessProcess) -> None:
    with ExitStack() as stack:
        silent = [Client(witness, stack) for _ in range(3 * CONNECTIONS)]
        assert Client(witness, stack).ask() == b"HTTP/1.1 404 Not Found"
        assert silent[0].is_closed()


def test_a_request_that_is_under_way_is_not_closed_for_others(witness: WitnessProcess) -> None:
    with ExitStack() as stack:
        busy = Client(witness, stack)
        busy.begin()
        others = [Client(witness, stack) for _ in range(2 * CONNECTIONS)]
        for client in others[-2:]:
            assert client.ask() == b"HTTP/1.1 404 Not Found"
        assert busy.ask(b"10 letters") == b"HTTP/1.1 400 Bad Request"


def test_where_all_are_under_way_one_more_is_503(witness: WitnessProcess) -> None:
    with ExitStack() as stack:
        for _ in range(CONNECTIONS - 1):
            Client(witness, stack).begin()
        assert Client(witness, stack).ask() == b"HTTP/1.1 503 Service Unavailable"
