"""A random sample of a log that its checkpoint chooses: whoever has the checkpoint draws the same entries.

The seed is a hash of the tree head, which covers entries that were written before. A log that tries many heads can
still find one that it likes, unless the auditor adds a nonce afterwards. The numbers come from SHA-256 in counter mode,
the choice from a Fisher-Yates shuffle that stops early. README.md of this folder says what a sample is worth, and has
its rules in the words that one needs to write them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import count as counter_from

from gateway.errors import Reason, TiergateError

DOMAIN = "tiergate audit sample v1"
"""First line of what is hashed: no other hash of this product begins so."""

_BLOCK_BYTES = 8
_RANGE = 1 << (8 * _BLOCK_BYTES)


def seed_of(size: int, root: bytes, nonce: str = "") -> bytes:
    """The seed (32 bytes) of a tree head: SHA-256 over four lines: domain, size, root in hex, nonce (UTF-8).

    Only the nonce may hold a line end, and it comes last, so no two heads and nonces share what is hashed. The origin
    is not among them: the root covers the genesis entry, which names it. Raises RANGE_INVALID for a nonce that is not
    UTF-8.
    """
    try:
        return sha256(f"{DOMAIN}\n{size}\n{root.hex()}\n{nonce}\n".encode()).digest()
    except UnicodeEncodeError as error:  # an argument that was no UTF-8 holds lone surrogates
        raise TiergateError(Reason.RANGE_INVALID, "the nonce is not UTF-8") from error


def sample(seed: bytes, population: int, count: int) -> list[int]:
    """``count`` distinct numbers below ``population`` in the order drawn; all of them if there are not that many.

    Every ordered choice is equally likely for a random seed. A larger ``count`` goes on where a smaller one ended, so
    that a sample can be extended. Time and memory grow with ``count`` alone. Raises RANGE_INVALID for a negative
    argument or a population above 2**64.
    """
    if count < 0 or not 0 <= population <= _RANGE:
        raise TiergateError(Reason.RANGE_INVALID, "sample or population out of range")
    numbers = _numbers(seed)
    moved: dict[int, int] = {}  # places of the shuffled row whose number is not their own
    drawn = []
    for place in range(min(count, population)):
        other = place + _below(population - place, numbers)
        drawn.append(moved.get(other, other))
        moved[other] = moved.get(place, place)
    return drawn


def _numbers(seed: bytes) -> Iterator[int]:
    """Numbers below 2**64: the first 8 bytes of SHA-256(seed, counter), counter and number big-endian."""
    for counter in counter_from():
        block = sha256(seed + counter.to_bytes(_BLOCK_BYTES, "big")).digest()
        yield int.from_bytes(block[:_BLOCK_BYTES], "big")


def _below(bound: int, numbers: Iterator[int]) -> int:
    """The next number that says something about ``bound``: those of the last, incomplete round are passed over.

    Taking the remainder of every number would favour the small ones.
    """
    whole = _RANGE - _RANGE % bound
    return next(number for number in numbers if number < whole) % bound
