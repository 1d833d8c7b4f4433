"""How one shard of a log follows another: the old key names the new one, the new one signs where the old one ended.

- The seal, a sealed shard's last entry, names the key of the next shard: nobody else can go on from it.
- The genesis of the next shard holds the last checkpoint of the sealed one, whole and signed, so that both histories
  are one, and a second last checkpoint, shown to somebody else, convicts the sealed shard's key.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.note import VerifierKey, open_note
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError


class Shard(Protocol):
    """What is verified of one shard, as far as it ties it to its neighbours."""

    @property
    def origin(self) -> str:
        """Its origin."""
        ...

    @property
    def size(self) -> int:
        """Size of its tree."""
        ...

    @property
    def root(self) -> bytes:
        """Root of its tree."""
        ...

    @property
    def log(self) -> VerifierKey:
        """The key that has signed its checkpoint."""
        ...

    @property
    def deployment(self) -> str:
        """Whose log it is."""
        ...

    @property
    def next(self) -> str | None:
        """The key that its seal names (vkey); None if it is not sealed."""
        ...

    @property
    def previous(self) -> bytes | None:
        """The checkpoint in its genesis; None in the first shard."""
        ...


class ReadShard(NamedTuple):
    """A ``Shard`` by its values."""

    origin: str
    size: int
    root: bytes
    log: VerifierKey
    deployment: str
    next: str | None
    previous: bytes | None


def require_link(earlier: Shard, later: Shard) -> None:
    """Return if ``later`` goes on where ``earlier`` ends. Raises LOG_CORRUPT."""
    if earlier.next is None:
        raise _broken(f"{later.origin} follows a shard that is not sealed")
    if earlier.next != str(later.log):
        raise _broken(f"{earlier.origin} is sealed for another key than the one of {later.origin}")
    if later.deployment != earlier.deployment:
        raise _broken(f"{later.origin} is the log of another deployment")
    try:
        last = Checkpoint.parse(open_note(later.previous or b"", [earlier.log]).text)
    except TiergateError as error:
        raise _broken(f"the genesis of {later.origin} holds no checkpoint of {earlier.origin}") from error
    if (last.origin, last.size, last.root) != (earlier.origin, earlier.size, earlier.root):
        raise _broken(f"the genesis of {later.origin} holds another end of {earlier.origin}")


def require_previous(previous: bytes, trust: bytes) -> Counter[str]:
    """Check the checkpoint in a genesis whose earlier shard was not given, if the trust file has a key for it.

    What could not be checked, counted. Raises LOG_CORRUPT.
    """
    unchecked = Counter({"earlier shards": 1})
    policy = TrustPolicy.parse(trust)
    try:
        Checkpoint.parse(open_note(previous, policy.logs).text)
    except TiergateError as error:
        if any(previous.startswith(f"{key.name}\n".encode()) for key in policy.logs):
            raise _broken("the checkpoint in the genesis is not signed by the log that it names") from error
        unchecked["signatures of earlier shards"] += 1
    return unchecked


def _broken(detail: str) -> TiergateError:
    return TiergateError(Reason.LOG_CORRUPT, f"shards: {detail}")
