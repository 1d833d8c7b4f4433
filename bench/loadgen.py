"""The load generator, a process of its own: ``python -m bench.loadgen`` reads a job on stdin, prints the result.

Requests are finished bytes but for their ids, and no reply is parsed, so that its cost per call is small and the same
for every target. Load is closed-loop: a fixed number in flight, each answered before the next is sent.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop

from bench.callers import Caller, CallError, open_callers
from bench.job import Job, Result
from bench.material import PLACEHOLDER, Template, read_templates
from bench.procfs import cpu_seconds, machine_busy_seconds

_OWN, _MACHINE = "(client)", "(machine)"
_MAX_ERROR_RUN = 100
"""Calls that may fail in a row before a worker gives up: a dead target must not spin."""


def request_ids() -> Iterator[bytes]:
    """Fresh ids without end: random once per process, then counted, always as long as the placeholder."""
    prefix = secrets.token_hex(5).encode("ascii")
    for number in itertools.count():
        yield prefix + b"%0*x" % (len(PLACEHOLDER) - len(prefix), number)


def fill(template: Template, ids: Iterator[bytes]) -> bytes:
    """A finished request."""
    pieces = template.pieces
    message = pieces[0]
    for piece in pieces[1:]:
        message += next(ids) + piece
    return message


class Load:
    """One measurement under way."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ids = request_ids()
        self._templates = read_templates(Path(job.templates))
        self._turn = iter(self._templates) if job.once else itertools.cycle(self._templates)
        self._answered: list[tuple[float, float, int]] = []  # end, latency, reply length
        self._failed: list[tuple[float, str]] = []
        self._reply = b""
        self._sent = 0
        self._stop = False

    async def _one(self, call: Caller, template: Template) -> bool:
        request = fill(template, self._ids)
        self._sent += 1
        begin = time.perf_counter()
        try:
            self._reply = reply = await call(request)
        except CallError as error:
            self._failed.append((time.perf_counter(), str(error)))
            return False
        end = time.perf_counter()
        self._answered.append((end, end - begin, len(reply)))
        return True

    async def _warm(self, call: Caller, rest: Iterator[Template]) -> None:
        for template in rest:
            await self._one(call, template)

    async def _load(self, call: Caller) -> None:
        row = 0
        while not self._stop and row < _MAX_ERROR_RUN:
            template = next(self._turn, None)
            if template is None:
                self._failed.append((0.0, "no template is left"))
                return
            row = 0 if await self._one(call, template) else row + 1

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far: of each process, of this one, and of the whole machine."""
        spent = {name: cpu_seconds(pid) for name, pid in self._job.processes.items()}
        return spent | {_OWN: cpu_seconds(os.getpid()), _MACHINE: machine_busy_seconds()}

    async def run(self) -> Result:
        """Send every template once, warm up, measure, drain."""
        job = self._job
        async with open_callers(job) as callers:
            rest = iter(() if job.once else self._templates)
            await asyncio.gather(*(self._warm(call, rest) for call in callers))
            workers = [asyncio.ensure_future(self._load(call)) for call in callers]
            await asyncio.sleep(job.warm_s)
            before, begin = self._cpu(), time.perf_counter()
            await asyncio.sleep(job.seconds)
            end, after = time.perf_counter(), self._cpu()
            self._stop = True
            await asyncio.gather(*workers)
        inside = [(latency, length) for moment, latency, length in self._answered if begin <= moment <= end]
        latencies = sorted(latency for latency, _ in inside) or [0.0]
        cpu = {name: after[name] - before[name] for name in after}
        client, machine = cpu.pop(_OWN), cpu.pop(_MACHINE)
        failed = Counter(kind for moment, kind in self._failed if moment <= end)
        return Result(
            calls=len(inside),
            sent=self._sent,
            seconds=end - begin,
            p50_ms=latencies[len(latencies) // 2] * 1000,
            p99_ms=latencies[len(latencies) * 99 // 100] * 1000,
            cpu=cpu,
            client_cpu=client,
            other_cpu=max(0.0, machine - client - sum(cpu.values())),
            errors=failed.total(),
            error_kinds=dict(failed.most_common(3)),
            reply=base64.b64encode(self._reply).decode("ascii"),
            shortest=min((length for _, length in inside), default=0),
        )


def main() -> None:
    """Do the job on stdin."""
    job = Job.loads(sys.stdin.read())
    print(uvloop.run(Load(job).run()).dumps())


if __name__ == "__main__":
    main()
