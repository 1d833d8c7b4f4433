"""Reading the log for auditors, and an operator's own receipts."""

from __future__ import annotations

from gateway.consentlog.entry import decode
from gateway.consentlog.proof import LogProof
from gateway.consentlog.shard import located
from gateway.domain.ids import BundleDigest, OperatorId
from gateway.errors import Reason, TiergateError
from gateway.ports import LogReader, ReceiptParts


class ReadLog:
    """Every method may block on disk and is called in a thread."""

    def __init__(self, log: LogReader) -> None:
        self._log = log

    def checkpoint(self, shard: int | None = None) -> str:
        """A shard's newest signed checkpoint; None: the newest shard's. Raises RANGE_INVALID."""
        return self._log.checkpoint(shard)

    def inclusion(self, index: int, size: int) -> tuple[int, list[bytes], bytes, str]:
        """Size, proof, entry and the shard's newest checkpoint. ``size`` 0: the newest. Raises RANGE_INVALID."""
        if not size:
            parts = self._log.receipt(index)
            return size_of(parts.checkpoint), list(parts.hashes), parts.entry, parts.checkpoint
        (entry,) = self._log.entries(index, index + 1)
        return size, self._log.inclusion(index, size), entry, self._log.checkpoint(located(index)[0])

    def consistency(self, first: int, second: int, shard: int | None = None) -> tuple[int, list[bytes]]:
        """Newer size and proof. ``second`` 0: the newest. Raises RANGE_INVALID."""
        size = second or self._log.size(shard)
        return size, self._log.consistency(first, size, shard)

    def bundle(self, digest: BundleDigest) -> bytes:
        """Canonical bytes of a published bundle. Raises NOT_FOUND."""
        return self._log.bundle(digest)

    def receipt(self, index: int, operator: OperatorId) -> tuple[bytes, str]:
        """Entry and tlog-proof of one of the operator's own decisions.

        Raises NOT_FOUND for any other index, so that an operator learns nothing about entries that are not hers.
        """
        try:
            parts = self._log.receipt(index)
        except TiergateError as error:
            if error.reason is Reason.RANGE_INVALID:
                raise TiergateError(Reason.NOT_FOUND) from error
            raise
        entry = decode(parts.entry)
        if entry.type != "decision" or entry.fields.get("operator") != operator:
            raise TiergateError(Reason.NOT_FOUND)
        return parts.entry, receipt_text(parts)


def size_of(checkpoint: str) -> int:
    """Tree size of one of our own checkpoints (its second line)."""
    return int(checkpoint.split("\n", 2)[1])


def receipt_text(parts: ReceiptParts) -> str:
    """C2SP tlog-proof text of a receipt."""
    return LogProof(located(parts.index)[1], parts.hashes, parts.checkpoint.encode()).to_bytes().decode()
