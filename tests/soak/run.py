"""Sends the messages, watches the processes, judges."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from adapters.sandbox.residents import residents_of
from gateway.api.operator.v1 import operator_pb2
from gateway.cli.localnet.plan import Options
from gateway.domain.directory import Endpoint
from gateway.domain.ids import CityId
from gateway.transport.access import ADAPTER_ACCESS, GATEWAY_ACCESS, HEALTH_ACCESS
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.tls import CertificateFiles, WatchedCertificate
from tests.e2e.harness import TestNetwork, running
from tests.soak import raw
from tests.soak.messages import Messages, Sent, encodings_of

CITY, OPERATOR, SCENARIO = "quanzhou", "xiamen-library", "xiamen-library"
AT_ONCE = 48
RAW_SHARE = 0.25
"""Part of the messages that are frames at most."""
WARM_UP = 0.25
"""Part of the messages after which the processes are as large as they should get; half of them if they are few."""
GROWTH_BYTES = 48 << 20
"""What a process may grow by after that: arenas of the allocator, pools of threads, the log's own index."""
GROWTH_PER_MESSAGE = 8
"""Bytes per message on top of it: a leak of one small object per message is 50 or more."""
FORBIDDEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
FORBIDDEN_NUMBERS = {code.value[0] for code in FORBIDDEN}
FROM_CORE = ("Failed parsing HTTP/2", "Decompression failed", "Compression bit set", "Error parsing ")
"""How gRPC's core begins to say, with INTERNAL, that a frame was none; our code never sees such a call."""
HEALTH = {name.rpartition("/")[2] for name in HEALTH_ACCESS}
LIMITS: dict[str, int | float | bool] = {"per_operator_per_s": 1e6, "burst": 1_000_000}
"""Of the gateway: what is refused for its number is not looked at."""


@dataclass
class Report:
    """What happened."""

    messages: int = 0
    frames: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    raw_statuses: Counter[raw.Status] = field(default_factory=Counter)
    warm: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    library_lines: int = 0
    faults: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        mib = {name: f"{self.warm[name] / 2**20:.1f} -> {self.after[name] / 2**20:.1f} MiB" for name in self.warm}
        return [
            f"{self.messages} messages, {self.frames} of them frames",
            f"{self.seconds:.0f} s, {self.messages / max(1, self.seconds):.0f}/s",
            f"statuses of calls: {dict(self.statuses.most_common())}",
            f"reasons of refused calls: {dict(self.reasons.most_common())}",
            f"statuses in answers to broken frames: {dict(self.raw_statuses.most_common())}",
            f"log lines of libraries: {self.library_lines}",
            f"resident memory after warm-up and at the end: {mib}",
            *(f"FAULT: {fault}" for fault in self.faults),
        ]


@asynccontextmanager
async def network(base: Path) -> AsyncIterator[TestNetwork]:
    """A gateway and one city, as processes."""
    async with running(base, Options(cities=(CITY,), gateway_limits=LIMITS)) as started:
        yield started


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024


class _Soak:
    def __init__(self, started: TestNetwork, messages: int, seed: int) -> None:
        self._network = started
        self._wanted = messages
        self._seed = seed
        self.report = Report()
        directory, layout = started.clients.directory, started.layout
        self._servers: Mapping[str, Endpoint] = {
            "gateway": directory.gateway.endpoint,
            CITY: directory.cities[CityId(CITY)].endpoint,
        }
        self._callers: Mapping[str, Path] = {
            "operator": layout.operator(OPERATOR),
            "auditor": layout.auditor,
            "city": layout.city(CITY),
            "city-app": layout.app(CITY),
            "gateway": layout.gateway,
        }

    async def run(self) -> Report:
        started = time.monotonic()
        before = await self._good_check()
        warm = int(self._wanted * (WARM_UP if self._wanted >= 50_000 else 0.5))
        await self._send(warm, before)
        self.report.warm = self._memory()
        await self._send(self._wanted - warm, before)
        self.report.seconds = time.monotonic() - started
        await self._good_check()
        self.report.after = self._memory()
        self._judge()
        return self.report

    async def _good_check(self) -> list[str]:
        """A check that must be answered with better terms; tokens and proofs of such consents."""
        clients = self._network.clients
        best = residents_of(CITY)[0].ref
        consents = [await clients.grant(CITY, best, OPERATOR, SCENARIO, uses=uses) for uses in (1, 2, 0)]
        for consent in consents:
            decision = await clients.check(consent, receipt=True)
            assert decision.outcome == operator_pb2.OUTCOME_ENTITLED
            assert decision.receipt.proof
        shown = [clients.request(consent).presentation.token for consent in consents]
        return [text for item in shown for text in (item.token, item.proof) if text]

    def _memory(self) -> dict[str, int]:
        return {name: resident_bytes(self._network.children[name].process.pid) for name in ("gateway", CITY)}

    async def _send(self, count: int, tokens: list[str]) -> None:
        goal = self.report.messages + count
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(
                    self._calls(goal, Messages(self._seed + self.report.messages + number, tokens), number)
                )
            for number in range(2):
                group.create_task(self._frames(goal, random.Random(self._seed + goal + number), number))

    async def _calls(self, goal: int, messages: Messages, number: int) -> None:
        """One worker: its own caller, each server in turn, RPCs that its role may call and others."""
        names = list(self._callers)
        caller = names[number % len(names)]
        tls = self._callers[caller] / "tls"
        watched = WatchedCertificate(CertificateFiles(tls / "cert.pem", tls / "key.pem", tls / "ca.pem"))
        chance = random.Random(self._seed + number)
        for server, endpoint in ((s, e) for _ in range(1_000_000) for s, e in self._servers.items()):
            access = GATEWAY_ACCESS if server == "gateway" else ADAPTER_ACCESS
            may = sorted(name.rpartition("/")[2] for name, roles in access.items() if caller in roles)
            # what everybody may ask for is asked for often where a role may nothing else
            own = [name for name in may if name not in HEALTH] or sorted(HEALTH)
            async with open_channel(endpoint, watched) as channel:
                for _ in range(40 if len(own) < len(may) else 10):
                    if self.report.messages >= goal:
                        return
                    self.report.messages += 1
                    await self._call(channel, messages.call(chance.choice(own) if chance.random() < 0.75 else None))

    async def _call(self, channel: grpc.aio.Channel, sent: Sent) -> None:
        make: Any = (channel.unary_stream if sent.streaming else channel.unary_unary)(sent.method)
        call = make(sent.data, timeout=sent.deadline_s, metadata=sent.metadata)
        if sent.cancel:
            asyncio.get_running_loop().call_later(0.005, call.cancel)
        try:
            if sent.streaming:
                async for _ in call:
                    pass
            else:
                await call
            code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            code = error.code()
            self.report.reasons[error_from_rpc(error).reason.value] += 1
        except asyncio.CancelledError:
            if not call.cancelled() or not sent.cancel:
                raise
            code = grpc.StatusCode.CANCELLED
        self.report.statuses[code.name] += 1
        if code in FORBIDDEN:
            self.report.faults.append(f"{code.name} for {sent.method[:80]}: {call.debug_error_string()!r}")

    async def _frames(self, goal: int, chance: random.Random, number: int) -> None:
        names = list(self._callers)
        while self.report.messages < goal:
            if self.report.frames > RAW_SHARE * self.report.messages:
                await asyncio.sleep(0.01)  # frames are sent faster than calls are answered
                continue
            endpoint = chance.choice(list(self._servers.values()))
            tls = raw.tls_of(self._callers[names[number % len(names)]] / "tls")
            if chance.random() < 0.05:
                sent = await raw.strangers(endpoint.address, chance)
            else:
                sent = await raw.connection(endpoint.address, tls, chance, self.report.raw_statuses)
            self.report.frames += sent
            self.report.messages += sent

    def _judge(self) -> None:
        report = self.report
        self._network.check()
        allowed = GROWTH_BYTES + GROWTH_PER_MESSAGE * report.messages
        for name, warm in report.warm.items():
            if report.after[name] > warm + allowed:
                report.faults.append(f"{name} grew from {warm} to {report.after[name]} bytes; {allowed} are allowed")
        for name in ("gateway", CITY):
            text = self._network.layout.log(name).read_bytes()
            found = [mark for mark in encodings_of() if mark in text]
            if found:
                report.faults.append(f"the log of {name} holds what was sent: {found}")
            for line in text.splitlines():
                if not line.startswith(b"{"):
                    report.faults.append(f"a line in the log of {name} is not ours: {line[:300]!r}")
                elif b'"call_failed"' in line:
                    report.faults.append(f"{name} failed on a message: {line!r}")
            report.library_lines += text.count(b'"event": "library"')
        for (status, said), count in report.raw_statuses.items():
            if status in FORBIDDEN_NUMBERS and not said.startswith(FROM_CORE):
                report.faults.append(f"status {status} ({said}), {count} times, in answers to broken frames")


async def soak(started: TestNetwork, messages: int, *, seed: int = 1) -> Report:
    """Send so many messages. The report's ``faults`` is empty if all is well."""
    return await _Soak(started, messages, seed).run()
