"""The rules of a witness (C2SP tlog-witness): an ``add-checkpoint`` request in, a status and a body out. No IO here.

A witness cosigns a checkpoint only if it continues the one that it cosigned last, and its state is durable before it
signs: whatever happens to it in between, it never cosigns two histories. A cosignature says that as of its time this
was the largest tree seen, so the times of a log never go back either. What it refuses under the log's own signature is
evidence against the log, and is kept before the refusal is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple, Protocol

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import MAX_UINT63, decode_base64, decode_decimal, encode_base64
from gateway.consentlog.merkle import HASH_SIZE, OtherPrefixError, verify_consistency
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, VerifierKey, add_signatures, open_note, parse_note
from gateway.errors import Reason, TiergateError

MAX_PROOF_LINES = 63
MAX_REQUEST_BYTES = 64 * 1024
"""Of a whole request: 63 proof lines take 2.8 KiB, and a checkpoint with sixteen post-quantum signatures 56 KiB."""
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"
ForkKind = Literal["split", "inconsistent", "unproven"]


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size that the witness is thought to be at, the consistency proof from there, the signed note."""

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old_size}", *map(encode_base64, self.proof), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, raw: bytes) -> AddCheckpoint:
        """Read a body; MALFORMED_REQUEST unless it is exactly what ``to_bytes`` writes. The note stays unread."""
        head, separator, note = raw.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
            if not separator or not note or not first.startswith("old "):
                raise ValueError("old size, blank line or checkpoint missing")
            if len(lines) > MAX_PROOF_LINES:
                raise ValueError("more than 63 proof lines")
            old_size, proof = decode_decimal(first[4:]), tuple(map(decode_base64, lines))
            if any(len(item) != HASH_SIZE for item in proof):
                raise ValueError("a hash does not have 32 bytes")
        except ValueError as error:
            raise TiergateError(Reason.MALFORMED_REQUEST, f"add-checkpoint: {error}") from error
        return cls(old_size, proof, note)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: the HTTP status, the body and its media type."""

    status: int
    body: bytes
    media_type: str = TEXT


@dataclass(frozen=True, slots=True)
class Fork:
    """Two notes under one log key of which at most one can be true, and the request that showed the second.

    ``split``: one size, two roots; the notes alone prove it. ``inconsistent``: the request's own proof leads from
    another beginning to the second; notes and request prove it. ``unproven``: no proof that the second continues the
    first; whoever holds any checkpoint of the log can bring that about, so it asks for a look, and proves nothing.
    """

    kind: ForkKind
    origin: str
    seen: bytes
    shown: bytes
    request: bytes


class ClockError(TiergateError):
    """The clock shows a time that a cosignature must not have: it has gone back, or is before 1970."""

    def __init__(self, now_s: int, last_s: int) -> None:
        detail = f"the clock shows {now_s}; the newest cosignature is of {last_s} (Unix seconds)"
        super().__init__(Reason.LOG_UNAVAILABLE, detail, retry_after_s=5)


class Newest(NamedTuple):
    """The newest note of a log that a witness has decided to cosign, with the log's signatures, and as of when."""

    note: bytes
    at_s: int


class WitnessState(Protocol):
    """What a witness remembers of each log. Called by one thread at a time."""

    def newest(self, origin: str) -> Newest | None:
        """What was cosigned last of a log; None before the first."""
        ...

    def advance(self, origin: str, before: bytes | None, note: bytes, size: int, at_s: int) -> None:
        """Replace ``before`` by ``note``, durably when this returns. Raises STORE_FAILED or STORE_BUSY.

        MUST change nothing unless ``before`` is still the newest.
        """
        ...

    def keep(self, fork: Fork) -> None:
        """Keep evidence, durably when this returns, and tell of it, kept or not. Raises STORE_FAILED."""
        ...


def log_id(origin: str) -> str:
    """How a log is named in paths: SHA-256 of its origin, 64 hex digits."""
    return sha256(origin.encode()).hexdigest()


class Witness:
    """A witness of several logs, each known by its origin and one key or more. Not for several threads at once."""

    def __init__(
        self,
        signer: SignerKey,
        logs: Mapping[str, Sequence[VerifierKey]],
        state: WitnessState,
        now_s: Callable[[], int],
    ) -> None:
        """``signer`` makes cosignatures (type 0x04); ``now_s``: POSIX seconds. Raises KEY_INVALID."""
        if signer.kind != COSIGNATURE_V1:
            raise TiergateError(Reason.KEY_INVALID, "a witness key makes cosignatures (type 0x04)")
        self._signer = signer
        self._logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._state = state
        self._now_s = now_s

    def add_checkpoint(self, raw: bytes) -> Answer:
        """Judge a request, in the order of the specification.

        Raises STORE_FAILED or STORE_BUSY, nothing being signed, and ClockError, nothing being changed.

        200 with the cosignature; 400 malformed, or the old size is larger than the checkpoint's; 403 not signed by the
        log; 404 log unknown; 409 with our size: another old size, or our size with another root; 422 proof wrong.
        """
        try:
            request = AddCheckpoint.parse(raw)
            shown = Checkpoint.parse(parse_note(request.note).text)
        except TiergateError:
            return _refusal(400, "not an add-checkpoint request")
        keys = self._logs.get(shown.origin)
        if keys is None:
            return _refusal(404, "unknown log")
        try:
            open_note(request.note, keys)
        except TiergateError:
            return _refusal(403, "not signed by a key of this log")
        if request.old_size > shown.size:
            return _refusal(400, "old size is larger than the checkpoint's")
        return self._judge(raw, request, shown)

    def _judge(self, raw: bytes, request: AddCheckpoint, shown: Checkpoint) -> Answer:
        note = log_signed(request.note, self._logs[shown.origin])
        newest = self._state.newest(shown.origin)
        before = None if newest is None else newest.note
        seen = None if before is None else Checkpoint.parse(parse_note(before).text)
        size = 0 if seen is None else seen.size
        if before is not None and seen is not None and shown.size == size and shown.root != seen.root:
            # a fork whatever the old size was; told as the specification says for the right one
            self._state.keep(Fork("split", shown.origin, before, note, raw))
            return Answer(409, f"{size}\n".encode(), SIZE)
        if request.old_size != size:
            return Answer(409, f"{size}\n".encode(), SIZE)
        try:
            if seen is not None and size:
                verify_consistency(size, shown.size, seen.root, shown.root, request.proof)
            elif request.proof:
                return _refusal(422, "the empty tree takes no proof")
        except TiergateError as error:
            if before is not None and shown.size > size:
                kind: ForkKind = "inconsistent" if isinstance(error, OtherPrefixError) else "unproven"
                self._state.keep(Fork(kind, shown.origin, before, note, raw))
            return _refusal(422, "the consistency proof does not verify")
        now_s = self._now_s()
        _require_time(now_s, 0 if newest is None else newest.at_s)
        self._state.advance(shown.origin, before, note, shown.size, now_s)
        # only from here on may a signature exist
        return Answer(200, _cosignature(note, self._signer, now_s))

    def cosigned(self, log: str) -> Answer:
        """The newest checkpoint of a log (by :func:`log_id`), cosigned as of when it was; 404 if there is none.

        A later time would have to be remembered as the last one. Raises STORE_FAILED, or ClockError as above.
        """
        origin = next((origin for origin in self._logs if log_id(origin) == log), None)
        newest = None if origin is None else self._state.newest(origin)
        if newest is None:
            return _refusal(404, "no checkpoint of such a log")
        _require_time(newest.at_s, 0)
        return Answer(200, newest.note + _cosignature(newest.note, self._signer, newest.at_s))


def log_signed(note: bytes, keys: Sequence[VerifierKey]) -> bytes:
    """The note with those signature lines alone that these keys made: strangers' lines are not passed on."""
    parsed = parse_note(note)
    verified = {(key.name, key.id) for key, _ in open_note(note, keys).signed_by}
    kept: dict[tuple[str, bytes], str] = {}
    for line in parsed.signatures:
        key = (line.name, line.key_id)
        if key in verified and key not in kept:
            kept[key] = f"— {line.name} {encode_base64(line.key_id + line.signature)}\n"
    return f"{parsed.text}\n{''.join(kept.values())}".encode()


def _require_time(now_s: int, last_s: int) -> None:
    """Return if a cosignature may have this time after one of ``last_s``. Raises ClockError."""
    if not max(1, last_s) <= now_s <= MAX_UINT63:
        raise ClockError(now_s, last_s)


def _cosignature(note: bytes, signer: SignerKey, now_s: int) -> bytes:
    return add_signatures(note, [signer], now_s)[len(note) :]


def _refusal(status: int, text: str) -> Answer:
    return Answer(status, f"{text}\n".encode())
