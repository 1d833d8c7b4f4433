"""The body of a C2SP tlog-checkpoint: origin, size, root, and extension lines if a log has any.

Signing is ``note.sign_note(checkpoint.body(), ...)``; verification under a trust policy is ``trust.TrustPolicy``.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.consentlog.encoding import MAX_UINT63, decode_base64, decode_decimal, encode_base64
from gateway.consentlog.merkle import EMPTY_ROOT, HASH_SIZE
from gateway.errors import Reason, TiergateError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. ``origin`` names the log; ``size`` counts leaves; ``root`` has 32 bytes.

    ``extensions`` are kept because cosignatures cover them; this log writes none and gives them no meaning.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if not all(lines) or any(ord(char) < 0x20 for line in lines for char in line):
            raise TiergateError(Reason.NOTE_INVALID, "checkpoint line is empty or holds a control character")
        if not 0 <= self.size <= MAX_UINT63 or len(self.root) != HASH_SIZE:
            raise TiergateError(Reason.NOTE_INVALID, "checkpoint size or root out of range")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise TiergateError(Reason.NOTE_INVALID, "checkpoint of an empty tree with another root")

    def body(self) -> str:
        """The note text: three lines, then the extension lines, each ended by a newline."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, encode_base64(self.root), *self.extensions))

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a note text; NOTE_INVALID unless it is exactly what ``body`` writes."""
        origin, *rest = text.split("\n")
        if len(rest) < 3 or rest.pop() != "":
            raise TiergateError(Reason.NOTE_INVALID, "checkpoint needs three whole lines")
        try:
            size, root = decode_decimal(rest[0]), decode_base64(rest[1])
        except ValueError as error:
            raise TiergateError(Reason.NOTE_INVALID, f"checkpoint: {error}") from error
        return cls(origin, size, root, tuple(rest[2:]))
