"""The log as it is published when witnesses are configured: up to the newest checkpoint that satisfies the policy.

What is offered without a size being named ends there. Proofs between sizes that a caller names are given up to our own
head: they lead to roots that the caller holds already, a bare receipt's for one, and help to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.consentlog.shard import first_of, located
from gateway.domain.ids import BundleDigest
from gateway.errors import Reason, TiergateError
from gateway.ports import Cosigned, LogReader, ReceiptParts


class PublishedLog:
    """A ``LogReader``; where it needs a published checkpoint and there is none, it raises LOG_UNWITNESSED."""

    def __init__(self, log: LogReader, cosigned: Callable[[int], Cosigned | None]) -> None:
        """``cosigned``: the newest published checkpoint of a shard, by its number."""
        self._log = log
        self._cosigned = cosigned

    def _published(self, shard: int | None) -> Cosigned | None:
        """A shard's published checkpoint, if there is one yet. Raises RANGE_INVALID for no shard."""
        self._log.size(shard)
        return self._cosigned(self._newest() if shard is None else shard)

    def _newest(self) -> int:
        return located(self._log.end())[0]

    def _head(self, shard: int | None = None) -> Cosigned:
        head = self._published(shard)
        if head is None:
            raise TiergateError(Reason.LOG_UNWITNESSED, retry_after_s=5)
        return head

    def size(self, shard: int | None = None) -> int:
        """See ``LogReader``."""
        return self._head(shard).size

    def end(self) -> int:
        """See ``LogReader``."""
        number = self._newest()
        return first_of(number) + self._head(number).size

    def checkpoint(self, shard: int | None = None) -> str:
        """See ``LogReader``."""
        return self._head(shard).checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        shard, _ = located(start)
        if end > first_of(shard) + self._head(shard).size:
            raise TiergateError(Reason.RANGE_INVALID)
        return self._log.entries(start, end)

    def receipt(self, index: int) -> ReceiptParts:
        """See ``LogReader``."""
        return self.receipts([index])[0]

    def receipts(self, indices: Sequence[int]) -> list[ReceiptParts]:
        """See ``LogReader``."""
        return [self._receipt(index, self._head(located(index)[0])) for index in indices]

    def _receipt(self, index: int, head: Cosigned) -> ReceiptParts:
        hashes = tuple(self._log.inclusion(index, head.size))
        (entry,) = self._log.entries(index, index + 1)
        return ReceiptParts(index, entry, hashes, head.checkpoint)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """See ``LogReader``."""
        return self._log.inclusion(index, size)

    def consistency(self, first: int, second: int, shard: int | None = None) -> list[bytes]:
        """See ``LogReader``."""
        return self._log.consistency(first, second, shard)

    def bundle(self, digest: BundleDigest) -> bytes:
        """See ``LogReader``."""
        return self._log.bundle(digest)


class WitnessedReceipts(PublishedLog):
    """For operators: an entry that no published checkpoint covers yet is proved in our own newest one, for now."""

    def receipt(self, index: int) -> ReceiptParts:
        """See ``LogReader``."""
        shard, within = located(index)
        head = self._published(shard)
        return self._log.receipt(index) if head is None or within >= head.size else self._receipt(index, head)


class SealedShard:
    """The ``Heads`` of a sealed shard, for its last checkpoint to be cosigned."""

    def __init__(self, log: LogReader, shard: int) -> None:
        self._log = log
        self._shard = shard

    def size(self) -> int:
        """See ``Heads``."""
        return self._log.size(self._shard)

    def checkpoint(self) -> str:
        """See ``Heads``."""
        return self._log.checkpoint(self._shard)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """See ``Heads``."""
        return self._log.consistency(first, second, self._shard)
