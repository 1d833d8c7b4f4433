"""What a cosigner signs (C2SP tlog-cosignature): the messages of cosignature/v1 (Ed25519) and subtree/v1 (ML-DSA-44).

A signature of either kind is an 8-byte big-endian time (POSIX seconds) followed by the algorithm's signature.
"""

from __future__ import annotations

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import MAX_UINT63

TIMESTAMP_SIZE = 8


def split_timestamp(signature: bytes) -> tuple[int, bytes]:
    """Time and inner signature; ValueError when too short or the time exceeds 2**63 - 1."""
    timestamp = int.from_bytes(signature[:TIMESTAMP_SIZE], "big")
    if len(signature) <= TIMESTAMP_SIZE or timestamp > MAX_UINT63:
        raise ValueError("cosignature without a valid time")
    return timestamp, signature[TIMESTAMP_SIZE:]


def join_timestamp(timestamp: int, inner: bytes) -> bytes:
    """The signature as it stands in a note (after the key id)."""
    return timestamp.to_bytes(TIMESTAMP_SIZE, "big") + inner


def ed25519_message(text: str, timestamp: int) -> bytes:
    """Message of cosignature/v1 over a checkpoint's note text. NOTE_INVALID when the text is not a checkpoint."""
    Checkpoint.parse(text)
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def mldsa44_message(cosigner: str, text: str, timestamp: int) -> bytes:
    """Message of subtree/v1 over a checkpoint. NOTE_INVALID when not a checkpoint, ValueError for overlong names."""
    checkpoint = Checkpoint.parse(text)
    name, origin = cosigner.encode(), checkpoint.origin.encode()
    if len(name) > 255 or len(origin) > 255:
        raise ValueError("name too long for an ML-DSA cosignature")
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(name)]),
            name,
            timestamp.to_bytes(8, "big"),
            bytes([len(origin)]),
            origin,
            (0).to_bytes(8, "big"),
            checkpoint.size.to_bytes(8, "big"),
            checkpoint.root,
        )
    )
