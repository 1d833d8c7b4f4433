"""The sandbox platforms as the programs that they are: start, readiness, and every way to end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
REF = "synthetic-fz-0001"


class Program:
    """A sandbox process on a lifeline."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ready_file = folder / "ready.json"
        read, self.lifeline = os.pipe()
        command = [sys.executable, "-m", "adapters.sandbox", *arguments, "--ready-file", str(self.ready_file)]
        self.process = subprocess.Popen(
            [*command, "--lifeline-fd", str(read)],
            cwd=ROOT,
            pass_fds=[read],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        os.close(read)

    def ready(self) -> dict[str, Any]:
        for _ in range(600):
            if self.ready_file.exists():
                content: dict[str, Any] = json.loads(self.ready_file.read_text("utf-8"))
                return content
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
                break
        raise AssertionError(f"not ready: {self.output()}")

    def output(self) -> str:
        out, _ = self.process.communicate(timeout=60)
        return out.decode()

    def cut(self) -> None:
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def clean(self) -> None:
        self.cut()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture(params=["fuzhou", "xiamen"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    arguments = {
        "fuzhou": ["fuzhou", "--state", str(tmp_path / "state")],
        "xiamen": ["xiamen", "--db", str(tmp_path / "scores.sqlite3"), "--stay"],
    }
    started = Program(tmp_path, *arguments[request.param])
    yield started
    started.clean()


def get(port: int, ref: str, token: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", f"/api/v1/residents/{ref}/score", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_0_and_without_a_word(program: Program, number: signal.Signals) -> None:
    program.ready()
    program.process.send_signal(number)
    assert program.output() == ""
    assert program.process.returncode == 0


def test_the_end_of_the_lifeline_ends_it(program: Program) -> None:
    program.ready()
    program.cut()
    assert program.output() == ""
    assert program.process.returncode == 0


@pytest.mark.parametrize("program", ["fuzhou"], indirect=True)
def test_fuzhou_answers_whoever_has_the_token_and_logs_no_access(program: Program, tmp_path: Path) -> None:
    port = program.ready()["port"]
    file = tmp_path / "state" / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    status, body = get(port, REF, token)
    assert (status, body["code"], body["data"]["residentNo"], body["data"]["score"]) == (200, 0, REF, 1000)
    assert get(port, "nobody", token) == (200, {"code": 1404, "msg": "no such resident", "data": None})
    assert get(port, REF, "wrong")[0] == 401
    program.process.terminate()
    assert program.output() == ""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adapters.sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_xiamen_seeds_and_ends(tmp_path: Path) -> None:
    file = tmp_path / "new" / "scores.sqlite3"
    for scale in ("1", "1000000"):
        done = run("xiamen", "--db", str(file), "--scale", scale, "--offset", "3")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            rows = dict(connection.execute("SELECT resident_no, egret_points FROM egret_score").fetchall())
        assert len(rows) == 12
        assert rows["synthetic-xm-0001"] == str(1000 * int(scale) + 3)
    assert [path.name for path in file.parent.iterdir()] == ["scores.sqlite3"]


def test_quanzhou_writes_a_dataset_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "people.json").write_text('{"canary-1": 999999999999999}')
    file = tmp_path / "scores.csv"
    done = run("quanzhou", "--csv", str(file), "--dataset", str(tmp_path / "people.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "canary-1,SYNTHETIC from a dataset,999999999999999," in file.read_bytes().decode("gb18030")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fuzhou", "--state", "{folder}", "--dataset", "{folder}/none.json"],
        ["fuzhou", "--state", "/dev/null/state"],
        ["http", "--state", "{folder}/state"],
        ["sql", "--db", "{folder}/scores.sqlite3"],
        ["xiamen", "--db", "/dev/null/scores.sqlite3"],
        ["quanzhou", "--csv", "/dev/null/scores.csv"],
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    done = run(*(argument.format(folder=tmp_path) for argument in arguments))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"sandbox {arguments[0]}: ")
