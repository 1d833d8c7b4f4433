"""Runs over the whole: a real gateway and a real adapter under load, each killed with SIGKILL at random moments.

The client sends checks with request ids, of consents with a use count and of unlimited ones, and repeats each under its
id until it is answered. When everything is up again: every receipt verifies, the log verifies as an export, no consent
has more decisions than uses, a request asked once more is told the same and costs nothing, the city counts as the log.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.api.operator.v1.operator_pb2 import Decision
from gateway.cli.backup import DATABASE
from gateway.cli.localnet.clients import Consent
from gateway.cli.localnet.plan import TRUST_DOMAIN, Options
from gateway.cli.stored_log import check_database
from gateway.consentlog.entry import decode
from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.shard import located, place_of
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from gateway.storage.sealing import next_key_file
from tests.crash.run import PATIENCE_S, ROOT, Report
from tests.crash.verify import BrokenPromiseError, require
from tests.e2e.harness import LIBRARY, TOP, UNHURRIED, TestNetwork, running
from tests.e2e.rotation import reload
from tests.fakes.next_key import enter_next_key

HOME = "fuzhou"
SEALING = "gateway in a seal"
VICTIMS = (("gateway",), (HOME,), (SEALING,), ("gateway", HOME))
COUNTED, USES, TRIES = 5, 3, 5
"""Consents with a use count in each run, uses of each, and how many requests ask for one."""
PAUSE_S = 0.05
_NO_LIMIT: dict[str, int | float] = {"per_consent_per_h": 1e9, "consent_burst": 1_000_000}


@dataclass
class Load:
    """What one run's client has asked and been told, by consent and request id."""

    network: TestNetwork
    told: dict[str, dict[str, Decision]] = field(default_factory=dict)
    exhausted: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    resolved: int = 0
    stopping: bool = False

    @property
    def acknowledged(self) -> int:
        return sum(len(decisions) for decisions in self.told.values())

    async def ask(self, consent: Consent) -> None:
        """One request, repeated under its id until it is answered."""
        request, failed = secrets.token_urlsafe(16), 0
        while True:
            try:
                decision = await self.network.clients.check(consent, request_id=request, receipt=True)
            except TiergateError as error:
                if error.reason is Reason.USES_EXHAUSTED:
                    self.exhausted[consent.id] += 1
                    return
                failed += 1
                await asyncio.sleep(PAUSE_S)
                continue
            self.told.setdefault(consent.id, {})[request] = decision
            self.failures += failed
            self.resolved += failed > 0
            return

    async def counted(self, consent: Consent) -> None:
        """More requests than there are uses, two at a time."""
        async with asyncio.TaskGroup() as group:
            for requests in (TRIES // 2, TRIES - TRIES // 2):
                group.create_task(self._some(consent, requests))

    async def _some(self, consent: Consent, requests: int) -> None:
        for _ in range(requests):
            await self.ask(consent)

    async def unlimited(self, consent: Consent) -> None:
        """One request after the other until the processes are up again."""
        while not self.stopping:
            await self.ask(consent)


class WholeRuns:
    """All runs on one network, and everything that its clients have been told."""

    def __init__(self, network: TestNetwork, folder: Path, rng: random.Random) -> None:
        self._network = network
        self._folder = folder
        self._rng = rng
        self._trust = (network.layout.shared / "trust").read_bytes()
        self._shards = 1
        self._held: dict[int, bytes] = {}
        self._seen: dict[tuple[str, int], bytes] = {}

    async def run(self, victims: tuple[str, ...], report: Report) -> None:
        """Load, kill, restart, check. Raises BrokenPromiseError, or TiergateError from a check."""
        clients = self._network.clients
        counted = [await clients.grant(HOME, TOP, LIBRARY, LIBRARY, uses=USES) for _ in range(COUNTED)]
        unlimited = [await clients.grant(HOME, TOP, LIBRARY, LIBRARY) for _ in range(2)]
        load = Load(self._network)
        goal = self._rng.randint(0, COUNTED * USES)
        tasks = [asyncio.ensure_future(load.counted(consent)) for consent in counted]
        tasks += [asyncio.ensure_future(load.unlimited(consent)) for consent in unlimited]
        try:
            await _until(lambda: load.acknowledged >= goal, "some acknowledgements")
            await asyncio.sleep(self._rng.uniform(0, 0.02))
            if victims == (SEALING,):
                await self._order_seal()
                victims = ("gateway",)
            for victim in victims:
                await self._network.stop_async(victim, signal.SIGKILL)
            for victim in victims:
                await self._network.restart_async(victim)
            load.stopping = True
            await _until(lambda: all(task.done() for task in tasks), "an answer to every request")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        report.acknowledged += load.acknowledged
        report.resolved += load.resolved
        report.failures += load.failures
        self._check_receipts(load)
        await self._check_again(load, [*counted, *unlimited])
        await self._check_log(load, counted, unlimited)
        await self._check_city(load, counted, unlimited)

    async def _order_seal(self) -> None:
        """Order the log to go on in the next shard; returns before, while or after the gateway carries it out.

        Whatever it has come to, the start after the kill carries it on to the end.
        """
        layout, origin = self._network.layout, f"{TRUST_DOMAIN}/log/later/shard{self._shards}"
        signer = SignerKey.generate(origin)
        coming = next_key_file(layout.gateway / "log.key")
        coming.write_text(signer.to_secret_text() + "\n", "ascii")
        coming.chmod(0o600)
        enter_next_key(layout, str(signer.verifier))
        reload(self._network, [HOME])  # whose reports would be refused until it knows the key
        self._trust = f"log {signer.verifier}\n".encode() + self._trust
        self._shards += 1
        sealed = self._rng.random() < 0.5  # one half dies in the reload, the other some checks after it
        reload(self._network, ["gateway"])
        if sealed:
            await _until(lambda: not coming.exists(), "the seal")
        await asyncio.sleep(self._rng.uniform(0, 0.2))

    def _check_receipts(self, load: Load) -> None:
        trust = TrustPolicy.parse(self._trust)
        for decisions in load.told.values():
            for decision in decisions.values():
                raw, proof = decision.receipt.entry, LogProof.parse(decision.receipt.proof.encode())
                head = proof.verify(raw, trust).checkpoint
                require(
                    place_of(head.origin, proof.index) == decision.log_index,
                    "a receipt is of another index than the answer",
                )
                seen = self._seen.setdefault((head.origin, head.size), head.root)
                require(seen == head.root, f"fork at size {head.size}")
                require(decode(raw).text("id") == decision.decision_id, "a receipt is of another decision")
                require(decision.log_index not in self._held, f"index {decision.log_index} was given twice")
                self._held[decision.log_index] = raw

    async def _check_again(self, load: Load, consents: list[Consent]) -> None:
        """Every request asked once more is told what it was told: then no use and no entry is added either."""
        for consent in consents:
            for request, decision in load.told.get(consent.id, {}).items():
                again = await self._network.clients.check(consent, request_id=request)
                same = (again.decision_id, again.log_index) == (decision.decision_id, decision.log_index)
                require(same, "a request that was acknowledged has another decision now")

    async def _check_log(self, load: Load, counted: list[Consent], unlimited: list[Consent]) -> None:
        logs = [await self._network.clients.download(shard) for shard in range(self._shards)]
        for index, raw in self._held.items():
            shard, at = located(index)
            there = at < logs[shard].size() and logs[shard].items[at] == raw
            require(there, "an acknowledged entry is missing, or another")
        entries = [decode(raw) for log in logs for raw in log.items]
        digests = {entry.text("bundle") for entry in entries if entry.type == "policy_published"}
        bundles = {digest: await self._network.clients.bundle(digest) for digest in digests}
        target = self._folder / "export"
        for shard, log in enumerate(logs):
            write_export(log, target / shard_path(shard) if shard else target, bundles, self._trust)
        verify_export(target, self._trust)
        of_consent = Counter(entry.number("consent") for entry in entries if entry.type == "decision")
        for consent in (*counted, *unlimited):
            decisions = load.told.get(consent.id, {})
            registered = {decode(one.receipt.entry).number("consent") for one in decisions.values()}
            logged = sum(of_consent[index] for index in registered)
            require(logged == len(decisions), f"{logged} decisions in the log for {len(decisions)} requests")
        for consent in counted:
            spent, refused = len(load.told.get(consent.id, {})), load.exhausted[consent.id]
            require(spent == USES, f"{spent} requests were given a use, of {USES}")
            require(refused == TRIES - USES, f"{refused} requests were refused, of {TRIES - USES}")

    async def _check_city(self, load: Load, counted: list[Consent], unlimited: list[Consent]) -> None:
        """The city has spent as many uses as there are, and in time is told of every decision, once."""
        expected = {consent.id: len(load.told.get(consent.id, {})) for consent in (*counted, *unlimited)}

        async def reported() -> bool:
            listed = await self._network.clients.consents(HOME, TOP)
            mine = {item.consent_id: item for item in listed.consents if item.consent_id in expected}
            for consent in counted:
                require(mine[consent.id].uses_spent == USES, "the city counts other uses than were given")
            for key, item in mine.items():
                require(item.reported_uses <= expected[key], "the city was told of more decisions than there are")
            return all(item.reported_uses == expected[key] for key, item in mine.items())

        async with asyncio.timeout(PATIENCE_S):
            while not await reported():  # noqa: ASYNC110 - processes set no event of ours
                await asyncio.sleep(PAUSE_S)

    async def end(self) -> None:
        """Stop the network, and check both databases as they lie there."""
        for name in ("gateway", HOME):
            await self._network.stop_async(name)
        layout = self._network.layout
        checked = check_database(layout.gateway / "data" / DATABASE, self._trust)
        require(
            all(index < place_of(checked.origin, checked.size) for index in self._held),
            "the database holds fewer entries than were shown",
        )
        for file in (layout.city(HOME) / "data").glob("*.db"):
            with closing(sqlite3.connect(file)) as connection:
                (state,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            require(state == "ok", f"{file.name} is damaged")


async def _until(condition: Callable[[], object], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - processes set no event of ours
                await asyncio.sleep(0.002)
    except TimeoutError as error:
        raise BrokenPromiseError(f"did not come about: {what}") from error


def whole_campaign(base: Path, runs: int, seed: int, report: Report, *, say: Callable[[str], None]) -> None:
    """Carry out ``runs`` runs on one network under ``base``; what is broken ends them, and its files stay."""
    if runs:
        asyncio.run(_campaign(base, runs, random.Random(seed + 2), report, say))


async def _campaign(base: Path, runs: int, rng: random.Random, report: Report, say: Callable[[str], None]) -> None:
    limits = _NO_LIMIT | UNHURRIED
    options = Options(policies=ROOT / "policies", gateway_limits=dict(limits), adapter_limits=dict(_NO_LIMIT))
    try:
        async with running(base / "network", options) as network:
            whole = WholeRuns(network, base, rng)
            for number in range(runs):
                victims = VICTIMS[number % len(VICTIMS)]
                kind = f"{' and '.join('adapter' if name == HOME else name for name in victims)} killed"
                report.runs[kind] += 1
                shutil.rmtree(base / "export", ignore_errors=True)
                await whole.run(victims, report)
                if number % 5 == 4:
                    say(f"{number + 1}/{runs} runs of the whole, {report.acknowledged} acknowledged")
            await whole.end()
    except (BrokenPromiseError, TiergateError, TimeoutError, OSError, sqlite3.Error) as error:
        detail = error.detail if isinstance(error, TiergateError) else error
        report.broken.append(f"the whole: {type(error).__name__} {detail}")
        say(report.broken[-1])
