"""A monitor of the log: it notices when the log goes back, forks, breaks its rules, falls silent, or tells others else.

Each round: take the checkpoint; prove it consistent with the last one seen, and keep it; read what is new and hash it
up to that very checkpoint. A monitor that starts anew reads everything once more, which needs no memory but its own.
A sealed shard is read to its end, and the next one from its genesis, which has to go on from there (``link``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import Entry
from gateway.consentlog.gossip import Gossip, is_ahead
from gateway.consentlog.link import ReadShard, require_link
from gateway.consentlog.merkle import Frontier, verify_consistency
from gateway.consentlog.scope import Leaf
from gateway.consentlog.shard import first_of, number_of, place_of
from gateway.consentlog.trust import TrustPolicy, VerifiedCheckpoint
from gateway.consentlog.watch_mine import Mine
from gateway.consentlog.watch_state import WatchState, WatchStore
from gateway.consentlog.watch_terms import Alarm, Kind, LogSource, Wanted
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

__all__ = ["Alarm", "Kind", "LogSource", "Wanted", "Watcher"]


class Watcher:
    """One monitor of one log. ``now``: Unix seconds."""

    def __init__(self, trust: TrustPolicy, store: WatchStore, wanted: Wanted, now: Callable[[], float]) -> None:
        """Take up the stored state. Raises CONFIG_INVALID for one that is none, or of another log."""
        self._trust = trust
        self._store = store
        self._wanted = wanted
        self._now = now
        started = int(now())
        self._state = store.load() or WatchState("", 0, started, started)
        self._seen = _seen(self._state, trust)
        self._told: set[Alarm] = set()
        self._heard: set[bytes] = set()
        self._restart()

    @property
    def size(self) -> int:
        """Size of the newest checkpoint seen."""
        return 0 if self._seen is None else self._seen.size

    async def poll(self, source: LogSource, gossip: Callable[[], Iterable[Gossip]] = tuple) -> list[Alarm]:
        """One round; what is new to tell. Raises what the source raises: the next round goes on from there."""
        heard = list(gossip())  # before the checkpoint: whatever is in it has been signed by now
        alarms = await self._look(source, heard)
        return [*self._new(alarms), *self.quiet()]

    def quiet(self) -> list[Alarm]:
        """Silences that have just become too long."""
        now, wanted, state = self._now(), self._wanted, self._state
        alarms: list[Alarm] = []
        if wanted.silent_s is not None and now - state.grown_at >= wanted.silent_s:
            alarms.append(Alarm(Kind.SILENCE, f"no new entry since {state.grown_at} (Unix seconds)"))
        if wanted.mine_silent_s is not None and now - state.mine_at >= wanted.mine_silent_s:
            alarms.append(Alarm(Kind.MINE_SILENT, f"no entry of mine since {state.mine_at} (Unix seconds)"))
        return self._new(alarms)

    def _new(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        found = [alarm for alarm in alarms if alarm not in self._told]
        self._told.update(found)
        return found

    def _restart(self) -> None:
        self._frontier = Frontier()
        self._auditor: EntryAuditor | None = None
        self._shard: int | None = None
        self._ended: list[ReadShard] = []
        """Sealed shards that were read, oldest first."""
        self._mine = Mine(self._wanted)
        self._grown = False

    async def _look(self, source: LogSource, heard: Sequence[Gossip]) -> list[Alarm]:
        raw = await source.checkpoint()
        shown = self._verified(raw)
        if isinstance(shown, Alarm):
            return [shown]
        newest = number_of(shown.checkpoint.origin)
        seen = None if self._seen is None else number_of(self._seen.origin)
        if seen is not None and newest < seen:
            return [self._wrong(Kind.SMALLER_HEAD, f"a checkpoint of shard {newest} after one of shard {seen}", raw)]
        for number in range(source.oldest() if self._shard is None else self._shard, newest):
            alarms = await self._finish(source, number)
            if alarms:
                return alarms
        alarms = await self._take(source, raw, shown)
        return [*alarms, *await self._compare(source, raw, shown.checkpoint, heard)]

    async def _finish(self, source: LogSource, number: int) -> list[Alarm]:
        """Read a shard that others follow: up to its last checkpoint, which its seal comes right before."""
        raw = await source.checkpoint(number)
        shown = self._verified(raw)
        if isinstance(shown, Alarm):
            return [shown]
        alarms = await self._take(source, raw, shown)
        if alarms or self._auditor is None:
            return alarms
        if self._auditor.next is None:
            return [self._wrong(Kind.RULE_BROKEN, f"{shown.checkpoint.origin} is followed and not sealed", raw)]
        self._ended.append(self._as_read(shown, self._auditor))
        self._shard, self._frontier = number + 1, Frontier()
        return []

    async def _take(self, source: LogSource, raw: bytes, shown: VerifiedCheckpoint) -> list[Alarm]:
        """Take a shard's checkpoint, and read what is new up to there."""
        head = shown.checkpoint
        seen = number_of(head.origin if self._seen is None else self._seen.origin)
        follows = number_of(head.origin) > seen
        if number_of(head.origin) == seen:
            wrong = await self._against_seen(source, head)
            if wrong is not None:
                return [self._wrong(*wrong, raw)]
            self._see(raw, head)
        alarms = await self._read(source, shown)
        if follows and self._auditor is not None:  # it is the next shard: what was read of it says so
            self._see(raw, head)
        return alarms

    def _verified(self, raw: bytes) -> VerifiedCheckpoint | Alarm:
        try:
            return self._trust.verify(raw)
        except TiergateError as error:
            return Alarm(Kind.NOT_VERIFIED, f"the checkpoint: {error.detail}", None, self._store.keep({"shown": raw}))

    def _wrong(self, kind: Kind, detail: str, raw: bytes) -> Alarm:
        return Alarm(kind, detail, None, self._store.keep({"seen": self._state.checkpoint.encode(), "shown": raw}))

    @staticmethod
    def _as_read(shown: VerifiedCheckpoint, auditor: EntryAuditor) -> ReadShard:
        head = shown.checkpoint
        return ReadShard(
            head.origin, head.size, head.root, shown.log, auditor.deployment, auditor.next, auditor.previous
        )

    async def _against_seen(self, source: LogSource, head: Checkpoint) -> tuple[Kind, str] | None:
        seen = self._seen
        if seen is None:
            return None
        if head.origin != seen.origin:
            return Kind.OTHER_LOG, f"a checkpoint of {head.origin}; this state is of {seen.origin}"
        if head.size < seen.size:
            return Kind.SMALLER_HEAD, f"a checkpoint of {head.size} entries after one of {seen.size}"
        if not await self._is_prefix(source, seen, head):
            return Kind.FORK, f"the tree of {head.size} entries does not go on from the one of {seen.size}"
        return None

    @staticmethod
    async def _is_prefix(source: LogSource, old: Checkpoint, new: Checkpoint) -> bool:
        shard = number_of(new.origin)
        if old.size > new.size:  # of a sealed shard, which has ended
            return False
        proof = () if old.size == new.size else await source.consistency(old.size, new.size, shard)
        try:
            verify_consistency(old.size, new.size, old.root, new.root, proof)
        except TiergateError:
            return False
        return True

    def _see(self, raw: bytes, head: Checkpoint) -> None:
        if head.size and (self._seen is None or _end(head) > _end(self._seen)):
            self._state.checkpoint = raw.decode()
            self._store.save(self._state)
            self._seen = head

    async def _read(self, source: LogSource, shown: VerifiedCheckpoint) -> list[Alarm]:
        head = shown.checkpoint
        number = number_of(head.origin)
        auditor, first = self._auditor, first_of(number)
        if auditor is None or (self._ended and auditor.index < first):
            auditor = EntryAuditor(head.origin, auditor, self._trust.window(shown.log))
        self._auditor, self._shard = auditor, number
        known = self._mine.known()
        try:
            async for leaf in source.leaves(first + self._frontier.size, first + head.size):
                try:
                    entry = _checked(auditor, leaf)
                except TiergateError as error:
                    self._restart()
                    return [Alarm(Kind.RULE_BROKEN, error.detail)]
                self._examine(first + self._frontier.size, entry, known)
                self._frontier.append(leaf.hash)
        except TiergateError as error:
            if error.reason is not Reason.LOG_CORRUPT:
                raise  # what was read stays read
            self._restart()
            return [Alarm(Kind.ENTRIES_DIFFER, error.detail)]
        if self._frontier.size != head.size or self._frontier.root() != head.root:
            self._restart()
            return [Alarm(Kind.ENTRIES_DIFFER, f"the entries do not lead to the root of the tree of {head.size}")]
        try:
            if self._ended:
                require_link(self._ended[-1], self._as_read(shown, auditor))
        except TiergateError as error:
            self._restart()
            return [Alarm(Kind.RULE_BROKEN, error.detail)]
        return self._judge(first + head.size)

    def _examine(self, index: int, entry: Entry | None, known: Collection[str]) -> None:
        new = index >= self._state.read
        if entry is not None:
            self._mine.take(index, entry, known, int(self._now()), new=new)
        if entry is None or entry.type != "audit_read":
            self._grown |= new  # a monitor's own reads make the log grow: they do not end a silence

    def _judge(self, end: int) -> list[Alarm]:
        """What was read, up to a log index, is the log's; make something of it, and remember that."""
        state, now = self._state, int(self._now())
        before = state.to_json()
        if self._grown:
            state.grown_at = now
        if self._mine.fresh:
            state.mine_at = now
        ended = {
            kind for kind, is_over in ((Kind.SILENCE, self._grown), (Kind.MINE_SILENT, self._mine.fresh)) if is_over
        }
        self._told = {alarm for alarm in self._told if alarm.kind not in ended}
        state.read = max(state.read, end)
        self._grown = False
        alarms = self._mine.judge(state, now)
        if state.to_json() != before:
            self._store.save(state)
        return alarms

    async def _compare(self, source: LogSource, raw: bytes, head: Checkpoint, heard: Sequence[Gossip]) -> list[Alarm]:
        alarms: list[Alarm] = []
        for item in heard:
            if item.mark in self._heard:
                continue
            mine = None if item.head is None else self._head_of(item.head.origin, head)
            if item.detail:
                alarms.append(Alarm(Kind.GOSSIP_UNUSABLE, f"{item.name}: {item.detail}"))
            if item.head is not None and is_ahead(item.head, head):
                if source.live and self._now() - item.since >= self._wanted.grace_s:
                    detail = f"{item.name} is of {item.head.size} entries; this one is shown {head.size}"
                    alarms.append(Alarm(Kind.WITHHELD, detail, None, self._kept(item, raw)))
                continue  # until the log shown here is as long
            if item.head is not None:
                if mine is None:
                    alarms.append(Alarm(Kind.GOSSIP_UNUSABLE, f"{item.name}: a checkpoint of another log"))
                elif item.head.size and not await self._is_prefix(source, item.head, mine):
                    detail = f"{item.name}, of {item.head.size} entries, is of another history than the one shown here"
                    alarms.append(Alarm(Kind.SPLIT_VIEW, detail, None, self._kept(item, raw)))
            self._heard.add(item.mark)
        return alarms

    def _head_of(self, origin: str, newest: Checkpoint) -> Checkpoint | None:
        """What this log has shown of an origin: the newest head, or the last one of a sealed shard."""
        ended = {item.origin: Checkpoint(item.origin, item.size, item.root) for item in self._ended}
        return {**ended, newest.origin: newest}.get(origin)

    def _kept(self, item: Gossip, raw: bytes) -> tuple[str, ...]:
        return self._store.keep({"gossip": item.note, "shown": raw})


def _end(head: Checkpoint) -> int:
    return place_of(head.origin, head.size)


def _checked(auditor: EntryAuditor, leaf: Leaf) -> Entry | None:
    """The entry, in order after those before it; None if it is out of scope. Raises LOG_CORRUPT."""
    if leaf.entry is None:
        auditor.skip()
        return None
    return auditor.add(leaf.entry)


def _seen(state: WatchState, trust: TrustPolicy) -> Checkpoint | None:
    """The head of the stored checkpoint, under the trust file of today."""
    if not state.checkpoint:
        return None
    try:
        return trust.verify(state.checkpoint.encode("utf-8", "surrogatepass")).checkpoint
    except TiergateError as error:
        problem = Problem(
            "the state", "checkpoint", error.detail, "it is of another log, or the trust file has changed"
        )
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
