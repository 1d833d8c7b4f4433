"""Group commit: one thread owns the writing connection; the event loop hands it groups and is woken once per group.

The life of one operation:

1. ``submit`` puts it with those that wait; groups form on the loop (``gateway.groups``), one on its way at a time. It
   is the loop that waits for company and not the thread, which would take the interpreter lock at every arrival.
2. The thread: ``BEGIN IMMEDIATE``, ``apply`` with the whole group, ``COMMIT``, ``after_commit``.
3. One call into the loop releases all results of the group, and hands over the next one if it is complete.

On any failure the transaction is rolled back, ``on_rollback`` puts memory back in step with the database, every
operation of the group fails with a typed error, and the thread goes on: it recovers when the cause is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from gateway.errors import Reason, TiergateError
from gateway.groups import Groups, release
from gateway.sqlite.connect import map_sqlite_error

OpT = TypeVar("OpT")
ResT = TypeVar("ResT")

Apply = Callable[[sqlite3.Connection, Sequence[OpT]], Sequence[ResT | Exception]]
"""Carries out a group inside its transaction and returns one result per operation, in order.

An exception *returned* fails its operation alone, which must then have written nothing; one *raised* fails the group.
"""
AfterCommit = Callable[[Sequence[OpT], Sequence[ResT | Exception]], None]
"""Runs after the COMMIT and before any result is released. If it raises, the group is stored but every operation is
reported as failed: nobody may act on it."""


class _Alone(NamedTuple):
    """Something that is carried out between two groups."""

    run: Callable[[sqlite3.Connection], None]
    done: asyncio.Future[None]


END_CHECK_S = 1.0
"""How often the thread, with nothing to do, looks whether the loop is still there."""


class GroupWriter(Generic[OpT, ResT]):
    """The writer of one database. Owns ``connection`` from ``start`` on and closes it at the end.

    ``max_pending``: operations submitted and not yet released; more are refused with BUSY. ``look_s`` and ``window_s``
    in seconds.
    ``on_rollback`` MUST re-read from the database whatever ``apply`` keeps in memory: when COMMIT itself fails, only
    the database knows what was stored. It is called again before the next group if it fails.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        apply: Apply[OpT, ResT],
        *,
        after_commit: AfterCommit[OpT, ResT] | None = None,
        on_rollback: Callable[[], None] | None = None,
        max_pending: int = 8192,
        max_group: int = 1024,
        target: int = 64,
        look_s: float = 0.001,
        window_s: float = 0.02,
    ) -> None:
        self._connection = connection
        self._apply = apply
        self._after_commit = after_commit
        self._on_rollback = on_rollback
        self._max_pending = max_pending
        self._stale = False
        # between the two: at most one group, and what is done alone; None ends the thread
        self._handed: SimpleQueue[list[tuple[OpT, asyncio.Future[ResT]]] | _Alone | None] = SimpleQueue()
        # event loop's side
        self._loop: asyncio.AbstractEventLoop | None = None
        self._groups: Groups[tuple[OpT, asyncio.Future[ResT]]] = Groups(
            self._hand_over, max_group=max_group, target=target, look_s=look_s, window_s=window_s
        )
        self._closing = False
        self._stopped: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="group-writer", daemon=False)

    @property
    def pending(self) -> int:
        """Operations submitted and not yet released."""
        return self._groups.pending

    def start(self) -> None:
        """Start the thread; to be called once, on the running loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._thread.start()

    async def submit(self, operation: OpT) -> ResT:
        """Have ``operation`` applied and committed; its result.

        A cancelled caller does not undo it: once submitted it is carried out. Raises what ``apply`` returned for it;
        BUSY when too many are pending; SHUTTING_DOWN after ``close``; STORE_BUSY, STORE_FAILED or INTERNAL when the
        group failed.
        """
        if self._loop is None or self._closing:
            raise TiergateError(Reason.SHUTTING_DOWN, "writer is not running")
        if self._groups.pending >= self._max_pending:
            raise TiergateError(Reason.BUSY, "writer queue is full", retry_after_s=1)
        future: asyncio.Future[ResT] = self._loop.create_future()
        self._groups.add((operation, future))
        return await future

    async def alone(self, run: Callable[[sqlite3.Connection], None]) -> None:
        """Have ``run`` carried out on the thread between two groups: it begins and commits transactions of its own.

        It overtakes what still waits for company. Whatever it raises, what is open is rolled back and ``on_rollback``
        called; and once submitted it is carried out, as an operation is. Raises what ``run`` raises, SQLite's errors as
        STORE_BUSY or STORE_FAILED and others as INTERNAL; SHUTTING_DOWN after ``close``.
        """
        if self._loop is None or self._closing:
            raise TiergateError(Reason.SHUTTING_DOWN, "writer is not running")
        done: asyncio.Future[None] = self._loop.create_future()
        self._handed.put(_Alone(run, done))
        await done

    async def close(self) -> None:
        """Carry out everything submitted, end the thread, close the connection. Later submissions are refused."""
        if self._loop is None or self._stopped is None:
            self._closing = True
            return
        if not self._closing:
            self._closing = True
            self._groups.finish(lambda: self._hand_over(None))
        await self._stopped.wait()
        self._thread.join()

    def _hand_over(self, group: list[tuple[OpT, asyncio.Future[ResT]]] | None) -> None:
        self._handed.put(group)

    def _release(self, group: Sequence[tuple[OpT, asyncio.Future[ResT]]], results: Sequence[ResT | Exception]) -> None:
        self._groups.back(len(group))  # before anything else: the thread works on the next while these answers leave
        release(group, results)

    # -- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        loop, stopped = self._loop, self._stopped
        if loop is None or stopped is None:
            return
        while (handed := self._next(loop)) is not None:
            if isinstance(handed, _Alone):
                self._call(loop, release, [(None, handed.done)], [self._carry_out(handed.run)])
            else:
                self._call(loop, self._release, handed, self._commit([operation for operation, _ in handed]))
        try:
            self._connection.close()
        finally:
            self._call(loop, stopped.set)

    def _next(self, loop: asyncio.AbstractEventLoop) -> list[tuple[OpT, asyncio.Future[ResT]]] | _Alone | None:
        """What is handed over; None at the end mark, or when the loop is gone and nothing waits."""
        while True:
            try:
                return self._handed.get(timeout=END_CHECK_S)
            except Empty:
                if loop.is_closed():  # whoever submitted is gone, and what was submitted is still carried out
                    return self._groups.take() or None

    def _commit(self, operations: Sequence[OpT]) -> Sequence[ResT | Exception]:
        try:
            self._catch_up()
            self._connection.execute("BEGIN IMMEDIATE")
            results = self._apply(self._connection, operations)
            if len(results) != len(operations):
                raise TiergateError(Reason.INTERNAL, "apply returned another number of results")
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # whatever happens, the group fails and the thread lives
            self._roll_back()
            return _failures(error, len(operations))
        if self._after_commit is not None:
            try:
                self._after_commit(operations, results)
            except Exception as error:  # noqa: BLE001  # as above; the group is stored but must not be acted on
                return _failures(error, len(operations))
        return results

    def _carry_out(self, run: Callable[[sqlite3.Connection], None]) -> Exception | None:
        try:
            self._catch_up()
            run(self._connection)
        except Exception as error:  # noqa: BLE001  # as above
            self._roll_back()
            return _failures(error, 1)[0]
        return None

    def _roll_back(self) -> None:
        self._stale = True
        with contextlib.suppress(Exception):  # the next group begins with another attempt and reports its failure
            self._catch_up()

    def _catch_up(self) -> None:
        if self._stale:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if self._on_rollback is not None:
                self._on_rollback()
            self._stale = False

    @staticmethod
    def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object) -> None:
        try:
            loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more, and what was submitted is still carried out


def _failures(error: Exception, count: int) -> list[Exception]:
    """One exception per operation: a shared one would collect the traceback of every task that raises it."""
    if isinstance(error, sqlite3.Error):
        mapped = map_sqlite_error(error)
    elif isinstance(error, TiergateError):
        mapped = error
    else:
        mapped = TiergateError(Reason.INTERNAL, f"group failed: {type(error).__name__}")
    failures: list[Exception] = []
    for _ in range(count):
        failure = TiergateError(mapped.reason, mapped.detail, retry_after_s=mapped.retry_after_s)
        failure.__cause__ = error
        failures.append(failure)
    return failures
