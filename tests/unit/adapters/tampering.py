"""A gateway that does with its log what it likes, and everybody who looks at it: four tools, and the city itself."""

from __future__ import annotations

from pathlib import Path

from adapters.unreported import DEADLINE_S
from gateway.cli.audit_replay import bundle_reader
from gateway.cli.audit_signed import Publications, read_authorities
from gateway.cli.watch_sources import ExportSource
from gateway.consentlog.entry import Value, decode, encode
from gateway.consentlog.gossip import read_gossip
from gateway.consentlog.journal import Journal
from gateway.consentlog.reconcile import Reconciliation
from gateway.consentlog.replay import Replay
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.verify import verify_export
from gateway.consentlog.watch import Wanted, Watcher
from gateway.consentlog.watch_state import WatchStore
from gateway.errors import TiergateError
from tests.fakes.audited import Audited

VERIFY, REPLAY, RECONCILE, WATCH, CITY = "verify", "replay", "reconcile", "watch", "city"
MINUTE_MS = 60_000


class Scene:
    """Two honest decisions that a monitor has seen; then the gateway goes on as it likes."""

    def __init__(self, audited: Audited, folder: Path) -> None:
        self.audited = audited
        self.folder = folder
        self.policy = TrustPolicy.parse(audited.trust)
        self.known: set[str] = set()
        self.gossip = folder / "gossip"
        self.gossip.mkdir()
        self.shown: list[bytes] | None = None
        """What is exported in the end; None: the log as it is."""

    async def decided(self, rung: int = 1) -> int:
        """Attested, decided, reported, and known to the operator."""
        index = await self.audited.decided(rung)
        self.know(index)
        return index

    def know(self, index: int) -> None:
        self.known.add(decode(self.audited.log.entries[index]).text("id"))

    def changed(self, index: int, **changes: Value) -> list[bytes]:
        """The log with another entry at an index."""
        entry = decode(self.audited.log.entries[index])
        other = encode({"v": 1, "type": entry.type, "time": entry.time, **entry.fields, **changes})
        return [*self.audited.log.entries[:index], other, *self.audited.log.entries[index + 1 :]]

    def watcher(self) -> Watcher:
        store = WatchStore(self.folder / "state", self.folder / "evidence")
        wanted = Wanted(operator="xiamen-library", known=lambda: set(self.known), grace_s=0)
        return Watcher(self.policy, store, wanted, lambda: 0.0)

    async def found_by(self) -> set[str]:
        """Which tools find something in what is exported now, and whether the city has alarmed five minutes later."""
        export = self.folder / "shown"
        if not export.exists():
            self.audited.export(export, self.shown)
        self.audited.journal(self.folder / "journal")
        journal = Journal.verify(self.folder / "journal", self.audited.city.reference.directory)
        replay = Replay(bundle_reader(export))
        root, signed = self.audited.signed(self.folder)
        published = Publications(read_authorities(root, [signed]))
        reconciliation = Reconciliation(journal, lambda _bundle, _scenario: MINUTE_MS)
        found: set[str] = set()
        try:
            verify_export(export, self.audited.trust, published.take)
            verify_export(export, self.audited.trust, replay.take)
            reconciliation.finish(verify_export(export, self.audited.trust, reconciliation.take).end)
        except TiergateError:
            found |= {VERIFY, REPLAY, RECONCILE}
        if published.unsigned:
            found |= {VERIFY, REPLAY}
        if replay.counts:
            found.add(REPLAY)
        if reconciliation.findings:
            found.add(RECONCILE)
        if await self.watcher().poll(ExportSource(export), lambda: read_gossip(self.gossip, self.policy)):
            found.add(WATCH)
        await self.audited.city.unreported.look()
        self.audited.city.clock.advance(DEADLINE_S)
        await self.audited.city.unreported.look()
        if any(self.audited.city.alarms.raised.values()):
            found.add(CITY)
        return found
