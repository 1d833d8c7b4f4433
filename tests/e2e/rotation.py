"""What the test of rotations is made of: a load of checks that must never fail, and the commands that change keys."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.clients import Consent
from gateway.crypto.keys import PrivateKey, load_private_key, public_jwk, thumbprint
from gateway.domain.directory import KeyPurpose
from gateway.errors import TiergateError
from tests.e2e.harness import LIBRARY, PATIENCE_S, TOP, TestNetwork, until

CITY = "fuzhou"
USES = 20
"""Checks of one consent, before the next; below what one consent may be asked about at once."""
_WAITING = re.compile(r"^tiergate: waiting for ([a-z, -]+):")


@dataclass
class Caller:
    """An operator's desk: one check after the other, each one entitled. ``counted``: with tokens of a few uses."""

    network: TestNetwork
    counted: bool
    consent: Consent | None = None
    left: int = 0
    done: int = 0
    failures: list[str] = field(default_factory=list)
    stopped: bool = False

    async def renew(self) -> None:
        """A new consent; the one before is not used again."""
        uses = USES if self.counted else 0
        self.consent = await self.network.clients.grant(CITY, TOP, LIBRARY, LIBRARY, uses=uses)
        self.left = USES

    async def run(self) -> None:
        """Check until stopped."""
        while not self.stopped:
            try:
                if self.consent is None or self.left == 0:
                    await self.renew()
                assert self.consent is not None
                consent = self.consent
                self.left -= 1
                decision = await self.network.clients.check(consent)
                assert decision.outcome == pb.OUTCOME_ENTITLED, "ordinary"
            except (TiergateError, AssertionError) as error:
                self.failures.append(f"{error} {getattr(error, 'detail', '')}")
            else:
                self.done += 1


class Load:
    """A bounded number of checks in flight, all the time."""

    def __init__(self, network: TestNetwork, callers: int) -> None:
        self.callers = [Caller(network, counted=bool(place % 2)) for place in range(callers)]

    async def goes_on(self) -> None:
        """Wait until every caller has been answered twice more: its next check began after we asked."""
        before = [caller.done + len(caller.failures) for caller in self.callers]

        async def went_on() -> bool:
            now = [caller.done + len(caller.failures) for caller in self.callers]
            return all(later >= earlier + 2 for earlier, later in zip(before, now, strict=True))

        await until(went_on, "checks of every caller")
        self.unharmed()

    async def renew(self) -> None:
        """Every caller works with a consent that is given now, and has had none in flight with another."""
        for caller in self.callers:
            await caller.renew()
        await self.goes_on()

    def unharmed(self) -> None:
        """No check has failed so far."""
        assert not [failure for caller in self.callers for failure in caller.failures]

    @property
    def done(self) -> int:
        """Checks answered so far."""
        return sum(caller.done for caller in self.callers)


@asynccontextmanager
async def under_load(network: TestNetwork, callers: int) -> AsyncIterator[Load]:
    """Checks for the time of the block."""
    load = Load(network, callers)
    running = asyncio.gather(*(caller.run() for caller in load.callers))
    try:
        await load.goes_on()
        yield load
    finally:
        for caller in load.callers:
            caller.stopped = True
        await running
    load.unharmed()


def owner(network: TestNetwork, purpose: KeyPurpose) -> Path:
    """The folder of whoever holds a key."""
    return network.layout.operator(LIBRARY) if purpose == "proof" else network.layout.city(CITY)


def key_file(network: TestNetwork, purpose: KeyPurpose) -> Path:
    """The file of the key in use."""
    folder = owner(network, purpose)
    return folder / "proof.key" if purpose == "proof" else folder / "keys" / f"{purpose}.key"


def held_key(network: TestNetwork, purpose: KeyPurpose) -> tuple[str, PrivateKey]:
    """Id and private key in use: what a thief would take."""
    key = load_private_key(key_file(network, purpose))
    return thumbprint(public_jwk(key)), key


def reload(network: TestNetwork, names: Sequence[str]) -> None:
    """SIGHUP to processes."""
    for name in names:
        network.children[name].process.send_signal(signal.SIGHUP)


async def keys(network: TestNetwork, what: str, purpose: KeyPurpose, *more: str) -> dict[str, Any]:
    """``tiergate keys`` as the owner runs it; whoever it waits for is sent SIGHUP, as their engineers would."""
    whose = ["--profile", "client.toml"] if purpose == "proof" else ["--config", "adapter.toml"]
    whose[1] = str(owner(network, purpose) / whose[1])
    authority = [text for key in network.layout.signing_keys for text in ("--authority-key", str(key))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "keys", what, "--purpose", purpose, *whose, *authority, *more, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    said = []
    async with asyncio.timeout(3 * PATIENCE_S):
        async for line in process.stderr:
            said.append(line.decode())
            waiting = _WAITING.match(said[-1])
            if waiting:
                reload(network, waiting[1].split(", "))
        out = await process.stdout.read()
        code = await process.wait()
    assert code == 0, "".join(said)
    document: dict[str, Any] = json.loads(out)
    return document
