"""What a write is: an object that the writer thread runs inside the group's transaction."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

from adapters.store.attestations import Attest, attest_all
from gateway.errors import Reason, TiergateError

Result_co = TypeVar("Result_co", covariant=True)


class Operation(Protocol[Result_co]):
    """One write. ``run`` raises a TiergateError only before its first change: then it alone fails."""

    def run(self, connection: sqlite3.Connection) -> Result_co:
        """Read, decide and write; the result is released after the commit."""
        ...


def apply(connection: sqlite3.Connection, operations: Sequence[Operation[Any]]) -> list[Any]:
    """Run a group in order, each seeing what those before it wrote; attestations that follow each other, together."""
    results: list[Any] = []
    for kind, run in itertools.groupby(operations, type):
        if kind is Attest:
            results += attest_all(connection, cast("list[Attest]", list(run)))
        else:
            results += [_apply_one(connection, operation) for operation in run]
    return results


def _apply_one(connection: sqlite3.Connection, operation: Operation[Any]) -> Any:
    changes = connection.total_changes
    try:
        return operation.run(connection)
    except TiergateError as error:
        if connection.total_changes != changes:  # half a write: the whole group must go
            raise TiergateError(Reason.INTERNAL, "an operation failed after its first change") from error
        return error
