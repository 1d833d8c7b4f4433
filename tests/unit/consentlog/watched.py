"""A monitor of a made-up log, and what it is shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from gateway.consentlog.entry import encode
from gateway.consentlog.gossip import read_gossip
from gateway.consentlog.merkle import consistency_proof, leaf_hash, root_of
from gateway.consentlog.note import SignerKey
from gateway.consentlog.scope import Leaf
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.watch import Alarm, Kind, Wanted, Watcher
from gateway.consentlog.watch_state import WatchState, WatchStore
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import SIGNER, TRUST, MemoryLog, decision, long_log, refusal

POLICY = TrustPolicy.parse(TRUST)


class Shown:
    """A log as somebody shows it. ``signed``: what the checkpoint is over, if not what is shown."""

    def __init__(
        self, items: Sequence[bytes], signed: Sequence[bytes] | None = None, signer: SignerKey = SIGNER
    ) -> None:
        self.items = list(items)
        self.signed = signed
        self.signer = signer
        self.live = True
        self.breaks_at: int | None = None
        self.hidden: set[int] = set()
        self.asked: list[tuple[int, int]] = []

    def subtree(self, level: int, index: int) -> bytes:
        return root_of(map(leaf_hash, self.items[index << level : (index + 1) << level]))

    def oldest(self) -> int:
        return 0

    async def checkpoint(self, _shard: int | None = None) -> bytes:
        return MemoryLog(self.items if self.signed is None else self.signed, self.signer).checkpoint().encode()

    async def consistency(self, first: int, second: int, _shard: int) -> Sequence[bytes]:
        return consistency_proof(first, second, self.subtree)

    async def leaves(self, start: int, end: int) -> AsyncIterator[Leaf]:
        self.asked.append((start, end))
        for index in range(start, end):
            if index == self.breaks_at:
                raise TiergateError(Reason.LOG_UNAVAILABLE)
            raw = self.items[index]
            yield Leaf(leaf_hash(raw), None if index in self.hidden else raw)


class Monitor:
    """Watches in a folder; ``again`` is a new process on the same state."""

    def __init__(self, folder: Path, **wanted: object) -> None:
        self.folder = folder
        self.now = 1_000.0
        self.known: set[str] = set()
        self.wanted = wanted
        self.again()

    def again(self) -> None:
        known = self._known if "operator" in self.wanted else None
        wanted = Wanted(known=known, **self.wanted)  # type: ignore[arg-type]
        store = WatchStore(self.folder / "state", self.folder / "evidence")
        self.watcher = Watcher(POLICY, store, wanted, lambda: self.now)

    def _known(self) -> Collection[str]:
        return set(self.known)

    async def kinds(self, shown: Shown) -> list[Kind]:
        return [alarm.kind for alarm in await self.watcher.poll(shown)]

    async def heard(self, shown: Shown) -> list[Alarm]:
        gossip = self.folder / "gossip"
        gossip.mkdir(exist_ok=True)
        return await self.watcher.poll(shown, lambda: read_gossip(gossip, POLICY))

    @property
    def state(self) -> WatchState:
        return WatchState.from_json((self.folder / "state").read_bytes())


def kept(alarm: Alarm) -> list[bytes]:
    return [Path(path).read_bytes() for path in alarm.evidence]


def forked(size: int) -> list[bytes]:
    """The same beginning, and another end."""
    return [*long_log(size)[:-2], encode(refusal()), encode(decision(2, rung=1))]
