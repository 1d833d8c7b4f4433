"""What a check is, and how it says what it found. Nothing that is said holds a token, a score, or the peer's text."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import rfc8785

if TYPE_CHECKING:
    from gateway.conformance.session import Kit

KIT_VERSION: Final = 2
"""Rises with every change of what a check asks for."""
Verdict = Literal["passed", "failed", "not applicable"]


class FailedError(Exception):
    """The peer did something else than it should: what was expected, and what came, in the kit's own words."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(expected, came)
        self.expected = expected
        self.came = came


class NotApplicableError(Exception):
    """The peer does not offer what is optional, or what is needed did not occur; ``str`` says which."""


@dataclass(frozen=True, slots=True)
class Check:
    """One property. ``id`` is stable; ``says`` one sentence; ``source`` where it is asked for."""

    id: str
    says: str
    source: str
    run: Callable[[Kit], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found. ``expected`` and ``came`` are empty for a passed one, ``came`` is the reason otherwise."""

    id: str
    says: str
    source: str
    verdict: Verdict
    expected: str = ""
    came: str = ""


def require(holds: object, expected: str, came: str) -> None:
    """Return if it holds; else the check has failed."""
    if not holds:
        raise FailedError(expected, came)


def digest_of_checks(checks: Sequence[Check]) -> str:
    """Names this list of checks: SHA-256 over version, ids, sentences and sources (64 hex digits)."""
    listed = [[item.id, item.says, item.source] for item in checks]
    return hashlib.sha256(rfc8785.dumps([KIT_VERSION, listed])).hexdigest()


def digest_of_results(results: Sequence[Result]) -> str:
    """Names these results: SHA-256 over ids and verdicts (64 hex digits)."""
    return hashlib.sha256(rfc8785.dumps([[item.id, item.verdict] for item in results])).hexdigest()
