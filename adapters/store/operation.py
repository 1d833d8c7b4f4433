"""What a write is: an object that the writer thread runs inside the group's transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from gateway.errors import Reason, TiergateError

Result_co = TypeVar("Result_co", covariant=True)


class Operation(Protocol[Result_co]):
    """One write. ``run`` raises a TiergateError only before its first change: then it alone fails."""

    def run(self, connection: sqlite3.Connection) -> Result_co:
        """Read, decide and write; the result is released after the commit."""
        ...


def apply(connection: sqlite3.Connection, operations: Sequence[Operation[Any]]) -> list[Any]:
    """Run a group, one by one, each seeing what those before it wrote."""
    results: list[Any] = []
    for operation in operations:
        changes = connection.total_changes
        try:
            results.append(operation.run(connection))
        except TiergateError as error:
            if connection.total_changes != changes:  # half a write: the whole group must go
                raise TiergateError(Reason.INTERNAL, "an operation failed after its first change") from error
            results.append(error)
    return results
