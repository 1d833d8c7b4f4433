"""Decisions of mine, as a monitor reads them: those that I do not know, and those with an id that another one has.

An id that I know is known once: a second decision under it is one that somebody invented, and made to look like mine.
The first index of every id is remembered while the monitor runs, and learnt again from the log when it is started anew.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.consentlog.entry import Entry
from gateway.consentlog.watch_state import Unknown, WatchState
from gateway.consentlog.watch_terms import Alarm, Kind, Wanted


class Mine:
    """What has been read of one log, from its beginning. Memory grows with the decisions of mine, where I know any."""

    def __init__(self, wanted: Wanted) -> None:
        """``wanted``: whose decisions are mine, and which of them I know."""
        self._wanted = wanted
        self._first: dict[bytes, int] = {}
        self._fresh: dict[int, Unknown] = {}
        self._repeated: list[Alarm] = []
        self.fresh = False
        """Whether one was new since the last judgement."""

    def known(self) -> Collection[str]:
        """Ids and indices of those that I know by now."""
        return () if self._wanted.known is None else self._wanted.known()

    def take(self, index: int, entry: Entry, known: Collection[str], now: int, *, new: bool) -> None:
        """Look at the next entry. ``new``: it has not been looked at before, nor told of."""
        if not self._wanted.is_mine(entry):
            return
        self.fresh |= new
        if self._wanted.known is None:
            return
        identifier = entry.text("id")
        first = self._first.setdefault(bytes.fromhex(identifier), index)
        if not new:
            return
        if first != index:
            detail = f"a decision of mine with the id that entry {first} has: {identifier}"
            self._repeated.append(Alarm(Kind.UNEXPECTED_ENTRY, detail, index))
        elif identifier not in known and str(index) not in known:
            self._fresh[index] = Unknown(identifier, now)

    def judge(self, state: WatchState, now: int) -> list[Alarm]:
        """What was taken is the log's: note in the state what is unknown, and tell what has been so for too long."""
        state.unknown.update(self._fresh)
        alarms, self._fresh, self._repeated, self.fresh = self._repeated, {}, [], False
        known = self.known() if state.unknown else ()
        for index, item in sorted(state.unknown.items()):
            if item.id in known or str(index) in known:
                del state.unknown[index]
            elif now - item.since >= self._wanted.grace_s:
                del state.unknown[index]
                alarms.append(Alarm(Kind.UNEXPECTED_ENTRY, f"a decision of mine that I do not know: {item.id}", index))
        return alarms
