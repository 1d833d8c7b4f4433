"""Reading a large bundle beside checks: two threads share one interpreter lock, and the checks must feel nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

AT_ONCE_S, BETWEEN_S = 0.001, 0.007
"""How long the reader works at a time, and how long the checks then have the interpreter for themselves."""
Breathe = Callable[[], None]
T = TypeVar("T")


def at_once() -> None:
    """The pace of a reader that nobody waits for."""


def without_haste() -> Breathe:
    """What a reader beside checks calls often: it sleeps now and then."""
    since = time.monotonic()

    def breathe() -> None:
        nonlocal since
        if time.monotonic() - since > AT_ONCE_S:
            time.sleep(BETWEEN_S)
            since = time.monotonic()

    return breathe


def paced(items: Iterable[T], breathe: Breathe) -> Iterator[T]:
    """The items, with a breath after each."""
    for item in items:
        yield item
        breathe()
