"""Shards: the log of a deployment as a row of trees, each with an origin and a key of its own, the newest one growing.

One number names an entry for good, its *place*: the shard's number times 10^12, and the entry's index in that shard's
tree. What the product calls a log index is a place; in the first shard the two are the same. The index in a proof (C2SP
tlog-proof) and the size in a checkpoint are those of the tree. A shard's number is the end of its origin (``/shard3``;
without one it is 0), which its key signs with every head: nobody needs a list to tell which tree a place is in.
"""

from __future__ import annotations

import re

from gateway.errors import Reason, TiergateError

PLACES = 10**12
"""Places of one shard; more entries than a quarter can have. 999 shards stay below 10^15, the largest number logged."""
MAX_SHARD = 999
_NUMBERED = re.compile(r".+/shard([1-9][0-9]{0,2})\Z")


def number_of(origin: str) -> int:
    """The number of the shard with this origin."""
    found = _NUMBERED.match(origin)
    return 0 if found is None else int(found[1])


def first_of(number: int) -> int:
    """The place of a shard's first entry."""
    return number * PLACES


def located(place: int) -> tuple[int, int]:
    """Number of the shard, and index in its tree."""
    return divmod(place, PLACES)


def place_of(origin: str, index: int) -> int:
    """The place of an entry by its index in the tree of an origin. Raises PROOF_OF_LOG_INVALID beyond a shard."""
    if not 0 <= index < PLACES:
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "an index beyond what a shard can hold")
    return first_of(number_of(origin)) + index


def index_in(origin: str, place: int) -> int:
    """The index of a place in the tree of an origin. Raises PROOF_OF_LOG_INVALID for one in another shard."""
    number, index = located(place)
    if number != number_of(origin):
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, f"log index {place} is in another shard than the checkpoint")
    return index
