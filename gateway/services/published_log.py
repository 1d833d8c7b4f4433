"""The log as it is published when witnesses are configured: up to the newest checkpoint that satisfies the policy.

What is offered without a size being named ends there. Proofs between sizes that a caller names are given up to our own
head: they lead to roots that the caller holds already, a bare receipt's for one, and help to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.domain.ids import BundleDigest
from gateway.errors import Reason, TiergateError
from gateway.ports import Cosigned, LogReader, ReceiptParts


class PublishedLog:
    """A ``LogReader``; where it needs a published checkpoint and there is none, it raises LOG_UNWITNESSED."""

    def __init__(self, log: LogReader, newest: Callable[[], Cosigned | None]) -> None:
        self._log = log
        self._newest = newest

    def _head(self) -> Cosigned:
        head = self._newest()
        if head is None:
            raise TiergateError(Reason.LOG_UNWITNESSED, retry_after_s=5)
        return head

    def size(self) -> int:
        """See ``LogReader``."""
        return self._head().size

    def checkpoint(self) -> str:
        """See ``LogReader``."""
        return self._head().checkpoint

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """See ``LogReader``."""
        if end > self._head().size:
            raise TiergateError(Reason.RANGE_INVALID)
        return self._log.entries(start, end)

    def receipt(self, index: int) -> ReceiptParts:
        """See ``LogReader``."""
        return self.receipts([index])[0]

    def receipts(self, indices: Sequence[int]) -> list[ReceiptParts]:
        """See ``LogReader``."""
        head = self._head()
        return [self._receipt(index, head) for index in indices]

    def _receipt(self, index: int, head: Cosigned) -> ReceiptParts:
        hashes = tuple(self._log.inclusion(index, head.size))
        (entry,) = self._log.entries(index, index + 1)
        return ReceiptParts(index, entry, hashes, head.checkpoint)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """See ``LogReader``."""
        return self._log.inclusion(index, size)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """See ``LogReader``."""
        return self._log.consistency(first, second)

    def bundle(self, digest: BundleDigest) -> bytes:
        """See ``LogReader``."""
        return self._log.bundle(digest)

    def bundle_digests(self) -> list[BundleDigest]:
        """See ``LogReader``."""
        return self._log.bundle_digests()


class WitnessedReceipts(PublishedLog):
    """For operators: an entry that no published checkpoint covers yet is proved in our own newest one, for now."""

    def receipt(self, index: int) -> ReceiptParts:
        """See ``LogReader``."""
        head = self._newest()
        return self._log.receipt(index) if head is None or index >= head.size else self._receipt(index, head)
