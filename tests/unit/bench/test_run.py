from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.__main__ import parse
from bench.asked import ASKED
from bench.job import Job, Result
from bench.material import PLACEHOLDER, Template, sample_reply
from bench.measure import Mode, measure, tls_channel
from bench.network import Product, Variant, prepare, prepare_yards
from bench.prefill import prefill
from bench.processes import BenchError, Processes
from bench.procfs import cpu_seconds, rss_bytes
from bench.product import VARIANTS, product_modes
from bench.world import world_file
from bench.yards import expect_entitled, yard_modes
from gateway.cli.localnet.processes import Processes as Children
from gateway.consentlog.note import SignerKey

ROOT = Path(__file__).parents[3]
YARDS = {"echo-64", "echo-4", "echo-1", "echo-plain", "naive", "introspection"}


def test_echo_and_yardsticks_answer_a_real_load(tmp_path: Path) -> None:
    layout, world = prepare_yards(tmp_path)
    with Processes(tmp_path) as processes:
        yards = yard_modes(world, layout, processes, sample_reply(world).ByteSize())
        modes = {mode.name: mode for mode in yards}
        assert set(modes) == YARDS
        for name in ("echo-4", "echo-plain", "naive", "introspection"):
            sample = measure(modes[name], tmp_path, warm_s=0.0, seconds=0.2)
            assert sample.calls > 0
            assert sample.errors == 0
            assert 0 < sample.p50_ms <= sample.p99_ms
        pids = [server.pid for mode in modes.values() for server in mode.servers.values()]
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_product_answers_a_real_load(tmp_path: Path) -> None:
    variant = Variant("stub", stub=True)
    with Processes(tmp_path) as processes, Children() as children:
        product = Product(variant, *prepare(tmp_path, variant))
        product.start(children, processes)
        for mode in product_modes(product, ["anew-stub", "counted-stub", "first-stub", "batch-stub"], seconds=2.0):
            # long enough for one answer of many at once on a busy machine, too
            sample = measure(mode, tmp_path, warm_s=0.0, seconds=1.0)
            assert sample.calls > 0
            assert sample.errors == 0
            assert set(sample.cpu_us) == {"gateway", "city"}


def test_every_device_bound_presentation_has_a_proof_of_its_own(tmp_path: Path) -> None:
    variant = Variant("anew")
    with Processes(tmp_path) as processes, Children() as children:
        product = Product(variant, *prepare(tmp_path, variant))
        product.start(children, processes)
        (mode,) = product_modes(product, ["device-64"], seconds=0.4)
        sample = measure(mode, tmp_path, warm_s=0.0, seconds=0.2)
    assert sample.calls > 0
    assert sample.errors == 0  # a proof that comes again is refused, and so is one for another token


def test_a_reply_that_is_not_the_expected_one_stops_the_run(tmp_path: Path) -> None:
    layout, world = prepare_yards(tmp_path)
    with Processes(tmp_path) as processes:
        echo = processes.start("echo", "bench.echo", str(world_file(layout)), "10")
        channel = tls_channel(world, echo, "/bench.Echo/Echo")
        mode = Mode("echo", channel, {"echo": echo}, lambda: [Template.of(PLACEHOLDER)], expect_entitled, 1)
        with pytest.raises(BenchError, match="not as expected"):
            measure(mode, tmp_path, warm_s=0.0, seconds=0.1)


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, pytest.raises(BenchError, match="no-such-file"):
        processes.start("echo", "bench.echo", "no-such-file", "10")


def test_a_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    layout, _ = prepare_yards(tmp_path)
    program = (
        "import sys, time; from pathlib import Path; from bench.processes import Processes\n"
        "server = Processes(Path(sys.argv[1])).start('echo', 'bench.echo', sys.argv[2], '10')\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(world_file(layout))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # a zombie has ended; nobody of ours is left to collect it


def test_cpu_and_memory_of_a_process_are_read() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < before + 0.02:
        sum(range(10_000))
    assert rss_bytes(os.getpid()) > 2**20


def test_job_and_result_survive_the_pipe() -> None:
    job = Job.loads(
        json.dumps(
            {"channel": {"kind": "http", "address": "a:1"}, "templates": "t", "in_flight": 1, "warm_s": 0.1}
            | {"seconds": 1.0, "processes": {"x": 1}}
        )
    )
    assert Job.loads(job.dumps()) == job
    result = Result(1, 2, 1.0, 1.0, 2.0, {"x": 0.1}, 0.2, 0.3, 0, {}, "", 3)
    assert Result.loads(result.dumps()) == result


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rounds", "0"],
        ["--seconds", "0"],
        ["--seconds", "61"],
        ["--save-baseline", "--quick"],
        ["--frobnicate"],
        ["--only", "policies", "reload"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(arguments)
    assert refused.value.code == 2


def test_quick_is_short() -> None:
    options, as_json, save = parse(["--quick", "--json"])
    assert (options.rounds, options.seconds, as_json, save) == (2, 0.5, True, False)


def test_every_asked_ratio_is_of_modes_that_exist() -> None:
    names = YARDS.union(*VARIANTS.values())
    assert {name for asked in ASKED for name in (asked.mode, asked.base)} <= names


def test_a_prefilled_log_is_what_the_store_reads(tmp_path: Path) -> None:
    key = SignerKey.generate("bench.invalid/log")
    size = asyncio.run(prefill(tmp_path / "log.sqlite3", tmp_path / "log.mark", key, 1200))
    assert size >= 1200
    assert asyncio.run(prefill(tmp_path / "log.sqlite3", tmp_path / "log.mark", key, 1000)) == size  # never shorter


def test_the_floor_stays_bare() -> None:
    assert len((ROOT / "bench/echo.py").read_text(encoding="utf-8").splitlines()) <= 40
