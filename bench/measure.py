"""One measurement: a mode is measured by a fresh load generator, its replies are looked at, its servers calm down."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from bench.job import Channel, Job, Result
from bench.material import Template, write_templates
from bench.processes import BenchError, Server, wait_until_quiet
from bench.procfs import cpu_seconds
from bench.world import World

QUIET_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Mode:
    """One thing to measure.

    ``templates`` makes the requests anew for each round (proofs and attestations are short-lived); ``check`` raises
    ValueError for a reply that is not the expected one; ``servers`` are those whose CPU time is counted, by role.
    ``decisions``: per call. ``once``: each template is good for one call; ``templates`` makes as many as may be needed.
    """

    name: str
    channel: Channel
    servers: Mapping[str, Server]
    templates: Callable[[], list[Template]]
    check: Callable[[bytes], None]
    in_flight: int
    decisions: int = 1
    once: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement gave. Throughput in decisions per second, CPU in microseconds per decision by server.

    ``cpu_all_us`` includes what the servers did after the answers (reports, checkpoints), over all calls sent.
    ``other_load``: how many cores everything else on the machine kept busy.
    """

    throughput: float
    p50_ms: float
    p99_ms: float
    cpu_us: Mapping[str, float]
    cpu_all_us: Mapping[str, float]
    client_cpu_us: float
    other_load: float
    calls: int
    errors: int
    notes: tuple[str, ...] = field(default=())


def tls_channel(world: World, server: Server, method: str) -> Channel:
    """A gRPC channel to a server of the world, with the operator's certificate."""
    tls = world.client
    return Channel(
        "grpc", server.address, method, str(tls.authority), str(tls.certificate), str(tls.key), world.server_name
    )


def measure(mode: Mode, folder: Path, *, warm_s: float, seconds: float) -> Sample:
    """Measure once. Raises BenchError when the load generator fails or a reply is not what it should be."""
    path = folder / "templates.json"
    write_templates(path, mode.templates())
    job = Job(
        channel=mode.channel,
        templates=str(path),
        in_flight=mode.in_flight,
        warm_s=warm_s,
        seconds=seconds,
        processes={role: server.pid for role, server in mode.servers.items()},
        once=mode.once,
    )
    before = {role: cpu_seconds(server.pid) for role, server in mode.servers.items()}
    result = _generate(mode.name, job)
    notes = _check(mode, result)
    if not wait_until_quiet(list(mode.servers.values()), QUIET_LIMIT_S):
        notes.append(f"servers still busy {QUIET_LIMIT_S:.0f} s after the last answer")
    whole = {role: cpu_seconds(server.pid) - before[role] for role, server in mode.servers.items()}
    decisions, sent = result.calls * mode.decisions, result.sent * mode.decisions
    return Sample(
        throughput=decisions / result.seconds,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        cpu_us={role: spent / decisions * 1e6 for role, spent in result.cpu.items()},
        cpu_all_us={role: spent / sent * 1e6 for role, spent in whole.items()},
        client_cpu_us=result.client_cpu / decisions * 1e6,
        other_load=result.other_cpu / result.seconds,
        calls=result.calls,
        errors=result.errors,
        notes=tuple(notes),
    )


def _generate(name: str, job: Job) -> Result:
    limit = 60 + job.warm_s + job.seconds
    command = [sys.executable, "-m", "bench.child", "bench.loadgen"]
    try:
        done = subprocess.run(command, input=job.dumps(), capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{name}: the load generator did not end within {limit:.0f} s") from error
    if done.returncode:
        raise BenchError(f"{name}: the load generator failed\n{done.stderr[-2000:]}")
    return Result.loads(done.stdout)


def _check(mode: Mode, result: Result) -> list[str]:
    if not result.calls:
        raise BenchError(f"{mode.name}: no call was answered; {result.error_kinds}")
    reply = base64.b64decode(result.reply)
    try:
        mode.check(reply)
    except (ValueError, DecodeError) as error:
        raise BenchError(f"{mode.name}: a reply is not as expected: {error}") from error
    if result.shortest < 0.9 * len(reply):
        raise BenchError(f"{mode.name}: a reply of {result.shortest} bytes among replies of {len(reply)}")
    return [f"{count} × {kind}" for kind, count in result.error_kinds.items()]
