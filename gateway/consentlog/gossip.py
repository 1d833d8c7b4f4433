"""Checkpoints that others were given: alone, or in the receipts of their decisions. They show whether all see one log.

A folder holds them as they were handed over: ``NAME.proof`` (C2SP tlog-proof), with the entry in ``NAME.entry`` if
there is one, or a checkpoint (signed note) under any other name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
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
    """What one file says. ``head`` is None for what no log that is trusted has signed; ``detail`` says what is wrong.

    A signed head stands whatever is wrong beside it: else one bad file would keep a second history out of sight.
    ``note`` is the checkpoint as it was signed, or the file as it is; ``since``: Unix seconds of the file.
    """

    name: str
    note: bytes
    head: Checkpoint | None
    detail: str
    since: float

    @property
    def mark(self) -> bytes:
        """The same for what says the same again."""
        return sha256(f"{self.name}\0{self.detail}\0".encode("utf-8", "surrogateescape") + self.note).digest()


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
    receipt = path.suffix == ".proof"
    try:
        since = path.stat().st_mtime
        raw = _bytes_of(path, MAX_GOSSIP_BYTES)
        note, head = verify_gossip(raw, trust, receipt=receipt)
    except (OSError, TiergateError) as error:
        return Gossip(path.name, raw, None, _told(error), since)
    return Gossip(path.name, note, head, _fault_of(path, raw, trust) if receipt else "", since)


def _fault_of(path: Path, raw: bytes, trust: TrustPolicy) -> str:
    """What is wrong with a receipt whose checkpoint verifies: with its form, or with the entry beside it."""
    entry = path.with_suffix(".entry")
    try:
        proof = LogProof.parse(raw)
        if entry.exists():
            proof.verify(_bytes_of(entry, MAX_ENTRY_BYTES), _unwitnessed(trust))
    except (OSError, TiergateError) as error:
        return f"the checkpoint is signed, and the receipt proves no entry: {_told(error)}"
    return ""


def _told(error: OSError | TiergateError) -> str:
    if isinstance(error, TiergateError):
        return f"{error.reason}: {error.detail}"
    return error.strerror or "cannot be read"


def verify_gossip(raw: bytes, trust: TrustPolicy, *, receipt: bool) -> tuple[bytes, Checkpoint]:
    """The signed note in a receipt or checkpoint, and its head, whatever else the receipt is worth.

    No quorum is asked for: what a log has signed it has to stand by, whoever has witnessed it. Raises NOTE_INVALID.
    """
    note = raw.partition(b"\n\n")[2] if receipt else raw
    return note, _unwitnessed(trust).verify(note).checkpoint


def _unwitnessed(trust: TrustPolicy) -> TrustPolicy:
    return replace(trust, quorum=NONE)


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
