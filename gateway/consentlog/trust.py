"""C2SP tlog-policy: the trust file that says which logs are known and which witnesses must have cosigned.

The file is octets; names are opaque. Everything malformed raises POLICY_INVALID with the line number.

A comment ``# tiergate-valid FROM UNTIL`` right before a log line says from when until when that key is trusted (UTC, as
2026-10-01T00:00:00Z; ``-``: without bound): no entry of another time is accepted from it. Other tools see a comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import decode_decimal
from gateway.consentlog.note import COSIGNATURE_MLDSA44, COSIGNATURES, ED25519, VerifierKey, open_note
from gateway.domain.directory import GatewayPeer
from gateway.errors import Reason, TiergateError

MAX_TRUST_BYTES = 1_000_000
NONE = b"none"
_LOG_KINDS = frozenset({ED25519, COSIGNATURE_MLDSA44})
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_SPACE = re.compile(rb"[ \t]+")
_VALID = b"# tiergate-valid"
_NO_LOG = "a time of validity that no log line follows"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
DAY_MS = 86_400_000
"""The coarsest grain that an entry's time is rounded down to."""


class Window(NamedTuple):
    """When a log's key is trusted (Unix milliseconds, the end excluded); None: without bound."""

    from_ms: int | None = None
    until_ms: int | None = None

    def holds(self, time_ms: int) -> bool:
        """Whether an entry of this time may be one of its entries; times may be rounded down, to a day at most."""
        early = self.from_ms is not None and time_ms <= self.from_ms - DAY_MS
        return not early and (self.until_ms is None or time_ms < self.until_ms)


ALWAYS = Window()


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses a checkpoint when at least ``threshold`` of ``members`` (witness or group names) do."""

    threshold: int
    members: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """An accepted checkpoint, the log's key, and by witness name the time of its cosignature (POSIX seconds).

    ``note``: the signed note without the signature lines that the policy has no key for.
    """

    checkpoint: Checkpoint
    log: VerifierKey
    witnessed: Mapping[bytes, int]
    note: bytes


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """Known logs, named witnesses and groups, and the quorum's name (``none``: no witness is asked for)."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[bytes, VerifierKey]
    groups: Mapping[bytes, Group]
    quorum: bytes
    windows: Mapping[VerifierKey, Window] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes) -> TrustPolicy:
        """Read a trust file; POLICY_INVALID names the offending line."""
        if len(data) > MAX_TRUST_BYTES:
            raise TiergateError(Reason.POLICY_INVALID, "trust file too large")
        reader = _Reader()
        for number, line in enumerate(data.split(b"\n"), start=1):
            try:
                reader.read(line)
            except (ValueError, TiergateError) as error:
                cause = error.detail if isinstance(error, TiergateError) else str(error)
                raise TiergateError(Reason.POLICY_INVALID, f"trust file, line {number}: {cause}") from error
        if reader.window is not None:
            raise TiergateError(Reason.POLICY_INVALID, f"trust file, at its end: {_NO_LOG}")
        if reader.quorum is None:
            raise TiergateError(Reason.POLICY_INVALID, "trust file has no quorum line")
        return cls(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum, reader.windows)

    def verify(self, raw: bytes) -> VerifiedCheckpoint:
        """Accept a checkpoint signed by a known log, under its origin, and cosigned by a quorum.

        Raises NOTE_INVALID. A policy without logs accepts nothing.
        """
        note = open_note(raw, [*self.logs, *self.witnesses.values()])
        checkpoint = Checkpoint.parse(note.text)
        times = dict(note.signed_by)
        log = next((key for key in self.logs if key in times and key.name == checkpoint.origin), None)
        if log is None:
            raise TiergateError(Reason.NOTE_INVALID, "checkpoint is not signed by a known log under its own name")
        witnessed = {name: time for name, key in self.witnesses.items() if (time := times.get(key)) is not None}
        self.require_quorum(witnessed)
        return VerifiedCheckpoint(checkpoint, log, witnessed, note.raw)

    def window(self, log: VerifierKey) -> Window:
        """When a log's key is trusted."""
        return self.windows.get(log, ALWAYS)

    def require_time(self, verified: VerifiedCheckpoint, time_ms: int) -> None:
        """Return if the log's key is trusted for an entry of this time (Unix milliseconds). Raises NOTE_INVALID."""
        if not self.window(verified.log).holds(time_ms):
            raise TiergateError(
                Reason.NOTE_INVALID, "the entry was made when the trust file does not trust the log's key"
            )

    def require_quorum(self, witnessed: Collection[bytes]) -> None:
        """Check that these witnesses (by name) satisfy the quorum; NOTE_INVALID when they do not."""
        met = set(witnessed)
        for name, group in self.groups.items():  # in the file's order, in which a group comes after its members
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(name)
        if self.quorum != NONE and self.quorum not in met:
            raise TiergateError(Reason.NOTE_INVALID, "too few witnesses have cosigned the checkpoint")


class _Reader:
    """Collects the lines of one trust file; each method refuses by ValueError or KEY_INVALID."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[bytes, VerifierKey] = {}
        self.groups: dict[bytes, Group] = {}
        self.quorum: bytes | None = None
        self.windows: dict[VerifierKey, Window] = {}
        self.window: Window | None = None
        """That of the log line to come."""
        self._members: set[bytes] = set()
        self._log_keys: set[bytes] = set()
        self._witness_keys: set[bytes] = set()
        self._keywords: dict[bytes, Callable[[list[bytes]], None]] = {
            b"log": self._log,
            b"witness": self._witness,
            b"group": self._group,
            b"quorum": self._quorum,
        }

    def read(self, line: bytes) -> None:
        if _FORBIDDEN.search(line):
            raise ValueError("control character")
        line = line.strip(b" \t")
        if not line or (line.startswith(b"#") and not line.startswith(_VALID)):
            return
        keyword, *items = _SPACE.split(line)
        if self.window is not None and keyword != b"log":
            raise ValueError(_NO_LOG)
        if line.startswith(_VALID):
            self.window = _window(line)
            return
        if keyword not in self._keywords:
            raise ValueError("unknown keyword")
        self._keywords[keyword](items)

    def _log(self, items: list[bytes]) -> None:
        if len(items) not in (1, 2):
            raise ValueError("log takes a key and perhaps a URL")
        self.logs.append(_new_key(items[0], _LOG_KINDS, self._log_keys))
        if self.window is not None:
            self.windows[self.logs[-1]], self.window = self.window, None

    def _witness(self, items: list[bytes]) -> None:
        if len(items) not in (2, 3):
            raise ValueError("witness takes a name, a key and perhaps a URL")
        self._check_new(items[0])
        self.witnesses[items[0]] = _new_key(items[1], COSIGNATURES, self._witness_keys)

    def _group(self, items: list[bytes]) -> None:
        if len(items) < 3:
            raise ValueError("group takes a name, a threshold and members")
        name, threshold, *members = items
        self._check_new(name)
        for member in members:
            self._check_known(member)
            if member in self._members:
                raise ValueError("a name is a member twice")
            self._members.add(member)
        self.groups[name] = Group(_threshold(threshold, len(members)), tuple(members))

    def _quorum(self, items: list[bytes]) -> None:
        if len(items) != 1 or self.quorum is not None:
            raise ValueError("exactly one quorum line with one name is required")
        if items[0] != NONE:
            self._check_known(items[0])
        self.quorum = items[0]

    def _check_new(self, name: bytes) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError("name is taken")

    def _check_known(self, name: bytes) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError("name is not defined on a line before")


def _window(line: bytes) -> Window:
    words = line.decode("latin-1").split()[2:]
    if len(words) != 2:
        raise ValueError("tiergate-valid takes two times")
    return Window(*map(_moment, words))


def _moment(word: str) -> int | None:
    if word == "-":
        return None
    if not _TIME.fullmatch(word):
        raise ValueError("a time is written as 2026-10-01T00:00:00Z, or -")
    return int(datetime.strptime(word, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()) * 1000


def directory_trust(gateway: GatewayPeer) -> bytes:
    """The trust file for a deployment's log as the directory names it: every shard's key and window, no witness."""
    lines: list[str] = []
    for earlier in gateway.earlier_logs:
        lines += [f"{_VALID.decode()} {_written(earlier.valid_from)} {_written(earlier.until)}", f"log {earlier.vkey}"]
    return "\n".join([*lines, f"log {gateway.log_vkey}", "quorum none", ""]).encode()


def _written(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _threshold(text: bytes, members: int) -> int:
    if text == b"all":
        return members
    count = 1 if text == b"any" else decode_decimal(text.decode("latin-1"))
    if not 1 <= count <= members:
        raise ValueError("threshold out of range")
    return count


def _new_key(text: bytes, kinds: frozenset[int], present: set[bytes]) -> VerifierKey:
    """Read a key of one of ``kinds`` whose public part is not ``present`` yet, and add it there."""
    key = VerifierKey.parse(text.decode("utf-8"))
    if key.kind not in kinds:
        raise ValueError("key has a signature type that is not for this role")
    if key.public in present:
        raise ValueError("duplicate key")
    present.add(key.public)
    return key
