"""What a database is asked, without what it is asked about: for comparing the work of two answers."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

_VALUE = re.compile(r"[xX]?'(?:[^']|'')*'|\bNULL\b|-?\b\d+(?:\.\d+)?\b")


@contextmanager
def statements(*connections: sqlite3.Connection) -> Iterator[list[str]]:
    """Every statement that the connections carry out in the block, in order; each value is a question mark."""
    seen: list[str] = []
    for connection in connections:
        connection.set_trace_callback(lambda text: seen.append(" ".join(_VALUE.sub("?", text).split())))
    try:
        yield seen
    finally:
        for connection in connections:
            connection.set_trace_callback(None)
