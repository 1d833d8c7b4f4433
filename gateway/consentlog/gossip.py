"""Checkpoints that others were given: alone, or in the receipts of their decisions. They show whether all see one log.

A folder holds them as they were handed over: ``NAME.proof`` (C2SP tlog-proof), with the entry in ``NAME.entry`` if
there is one, or a checkpoint (signed note) under any other name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import MAX_ENTRY_BYTES
from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.consentlog.proof import LogProof
from gateway.consentlog.shard import number_of
from gateway.consentlog.trust import NONE, TrustPolicy
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.files import bytes_of

MAX_GOSSIP_BYTES = MAX_NOTE_BYTES + 16_384


@dataclass(frozen=True, slots=True)
class Gossip:
    """What one file says. ``head`` is None for what no log that is trusted has signed; ``detail`` says why.

    ``note`` is the checkpoint as it was signed, or the file as it is; ``since``: Unix seconds of the file.
    """

    name: str
    note: bytes
    head: Checkpoint | None
    detail: str
    since: float


def read_gossip(folder: Path, trust: TrustPolicy) -> Iterator[Gossip]:
    """Everything in a folder, by name. Raises CONFIG_INVALID for a folder that cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix != ".entry" and not path.name.startswith("."))
    except OSError as error:
        problem = Problem(str(folder), "", f"cannot be read ({error.strerror})", "name a folder of receipts")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    for path in paths:
        if path.is_file():
            yield _read_one(path, trust)


def _read_one(path: Path, trust: TrustPolicy) -> Gossip:
    raw = b""
    since = 0.0
    try:
        since = path.stat().st_mtime
        raw = _bytes_of(path, MAX_GOSSIP_BYTES)
        entry = path.with_suffix(".entry")
        held = _bytes_of(entry, MAX_ENTRY_BYTES) if path.suffix == ".proof" and entry.exists() else None
        note, head = verify_gossip(raw, held, trust, receipt=path.suffix == ".proof")
    except OSError as error:
        return Gossip(path.name, raw, None, error.strerror or "cannot be read", since)
    except TiergateError as error:
        return Gossip(path.name, raw, None, f"{error.reason}: {error.detail}", since)
    return Gossip(path.name, note, head, "", since)


def verify_gossip(raw: bytes, entry: bytes | None, trust: TrustPolicy, *, receipt: bool) -> tuple[bytes, Checkpoint]:
    """The signed note in a receipt or checkpoint, and its head. ``entry``: which the receipt must prove, if given.

    No quorum is asked for: what a log has signed it has to stand by, whoever has witnessed it. Raises NOTE_INVALID or
    PROOF_OF_LOG_INVALID.
    """
    signed = replace(trust, quorum=NONE)
    if not receipt:
        return raw, signed.verify(raw).checkpoint
    proof = LogProof.parse(raw)
    head = (signed.verify(proof.checkpoint) if entry is None else proof.verify(entry, signed)).checkpoint
    return proof.checkpoint, head


def _bytes_of(path: Path, limit: int) -> bytes:
    data = bytes_of(path, limit + 1)
    if len(data) > limit:
        raise TiergateError(Reason.NOTE_INVALID, f"larger than {limit} bytes")
    return data


def is_ahead(heard: Checkpoint, shown: Checkpoint) -> bool:
    """Whether others have seen more than is shown here: of the newest shard, or of one after it."""
    if heard.origin == shown.origin:
        return heard.size > shown.size
    return number_of(heard.origin) > number_of(shown.origin)
