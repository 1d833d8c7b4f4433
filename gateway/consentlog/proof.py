"""C2SP tlog-proof: the receipt of one entry (index, inclusion proof, signed checkpoint), verifiable offline."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.consentlog.encoding import MAX_UINT63, decode_base64, decode_decimal, encode_base64
from gateway.consentlog.merkle import HASH_SIZE, leaf_hash, verify_inclusion
from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.consentlog.trust import TrustPolicy, VerifiedCheckpoint
from gateway.errors import Reason, TiergateError

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
MAX_EXTRA_BYTES = 4096
_MAX_BYTES = MAX_NOTE_BYTES + 16_384


def hashes_of(joined: bytes) -> tuple[bytes, ...]:
    """The hashes of a proof that is kept as one value; a last one that is short makes the proof invalid."""
    return tuple(joined[start : start + HASH_SIZE] for start in range(0, len(joined), HASH_SIZE))


@dataclass(frozen=True, slots=True)
class LogProof:
    """``hashes`` run from the leaf's sibling upwards; ``checkpoint`` is the exact signed note; ``extra`` is opaque.

    Nothing authenticates ``extra``: it is for context, never for trust.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_UINT63 or not self.checkpoint:
            raise _invalid("index out of range, or no checkpoint")
        if len(self.hashes) > MAX_HASHES or any(len(item) != HASH_SIZE for item in self.hashes):
            raise _invalid("too many hashes, or one of a wrong length")
        if self.extra is not None and not 0 < len(self.extra) <= MAX_EXTRA_BYTES:
            raise _invalid("extra data is empty or too long")

    def to_bytes(self) -> bytes:
        """The text form."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines.extend(map(encode_base64, self.hashes))
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    @classmethod
    def parse(cls, raw: bytes) -> LogProof:
        """Read the text form; PROOF_OF_LOG_INVALID unless it is exactly what ``to_bytes`` writes."""
        if len(raw) > _MAX_BYTES:
            raise _invalid("too large")
        head, separator, checkpoint = raw.partition(b"\n\n")
        try:
            header, *lines = head.decode("ascii").split("\n")
            if header != HEADER or not separator:
                raise ValueError("header or blank line missing")
            extra = decode_base64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
            if not lines or not lines[0].startswith("index "):
                raise ValueError("index line missing")
            index = decode_decimal(lines[0][6:])
            hashes = tuple(map(decode_base64, lines[1:]))
        except ValueError as error:
            raise _invalid(str(error)) from error
        return cls(index, hashes, checkpoint, extra)

    def verify(self, entry: bytes, trust: TrustPolicy) -> VerifiedCheckpoint:
        """Check that the exact bytes of ``entry`` are in a log the policy accepts; the checkpoint that says so.

        Raises NOTE_INVALID or PROOF_OF_LOG_INVALID.
        """
        verified = trust.verify(self.checkpoint)
        head = verified.checkpoint
        verify_inclusion(self.index, head.size, leaf_hash(entry), self.hashes, head.root)
        return verified


def _invalid(detail: str) -> TiergateError:
    return TiergateError(Reason.PROOF_OF_LOG_INVALID, f"log proof: {detail}")
