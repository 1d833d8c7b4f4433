"""A city's journal as an auditor gets it: what was reported, and what was attested and never reported; nobody is named.

JSON lines, each in its one canonical form (members sorted, no spaces, ASCII):

    header           city, deployment, format, from, made_at, reported, and to, if the journal was asked up to there
    use              attestation, attested, entry, index, outcome, proved; in rising order of log index
    not reported     attestation, and the members of ``attested``: at, bundle, operator, rung, scenario

and a last line: a JWS (``typ: tiergate-journal+jwt``) by the city's event key over the SHA-256 of all lines before.
An attestation is named by the SHA-256 of its id, which is random: it tells two of them apart, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from gateway.crypto import jws
from gateway.crypto.keys import KeyRing, PrivateKey
from gateway.domain.directory import Directory
from gateway.domain.ids import CityId
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

FORMAT = "tiergate-journal/1"
TYP = "tiergate-journal+jwt"
MAX_LINE_BYTES = 16_384
_MAX_INDEX = 2**53 - 1
_dump = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False).encode
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Attested(NamedTuple):
    """What a city attested: a rung, for one question. ``at``: Unix seconds, as coarse as its scenario asks."""

    operator: str
    scenario: str
    bundle: str
    rung: int
    at: int


@dataclass(frozen=True, slots=True)
class Header:
    """Whose journal, made when (Unix seconds), of which log indices: from ``first`` up to ``end`` (None: all).

    ``reported``: the log index after the newest report that the city held.
    """

    city: CityId
    deployment: str
    made_at: int
    first: int
    end: int | None
    reported: int

    def line(self) -> bytes:
        """The line."""
        members: dict[str, Any] = {"city": self.city, "deployment": self.deployment, "format": FORMAT}
        members |= {"from": self.first, "made_at": self.made_at, "reported": self.reported}
        return _line(members if self.end is None else members | {"to": self.end})


@dataclass(frozen=True, slots=True)
class Use:
    """One reported decision. ``attested`` is None when the attestation is not this city's.

    ``proved``: whether the proof that the city holds leads from the entry to a checkpoint signed by the log's key.
    """

    index: int
    entry: bytes
    outcome: str
    attestation: str
    attested: Attested | None
    proved: bool

    def line(self) -> bytes:
        """The line."""
        attested = {} if self.attested is None else {"attested": self.attested._asdict()}
        return _line(
            {
                "attestation": self.attestation,
                "entry": self.entry.decode("ascii"),
                "index": self.index,
                "outcome": self.outcome,
                "proved": self.proved,
            }
            | attested
        )


@dataclass(frozen=True, slots=True)
class Unreported:
    """An attestation that no report names."""

    attestation: str
    attested: Attested

    def line(self) -> bytes:
        """The line."""
        return _line({"attestation": self.attestation} | self.attested._asdict())


class JournalWriter:
    """Writes the lines of a journal, and signs them at the end."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._hash = hashlib.sha256()
        self.add(header)

    def add(self, record: Header | Use | Unreported) -> None:
        """Write one line. Raises OSError."""
        line = record.line()
        self._hash.update(line)
        self._file.write(line)

    def sign(self, key: PrivateKey, kid: str) -> None:
        """Write the last line. Raises OSError."""
        header = self._header
        claims = {
            "iss": header.city,
            "aud": header.deployment,
            "iat": header.made_at,
            "sha256": self._hash.hexdigest(),
        }
        self._file.write(jws.issue(key, kid, TYP, claims).encode("ascii") + b"\n")


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal whose city has signed it. It is read once more by :meth:`records`, line by line."""

    path: Path
    header: Header
    digest: str

    @classmethod
    def verify(cls, path: Path, directory: Directory) -> Journal:
        """Check a file against the keys that ``directory`` lists for its city.

        Raises SIGNATURE_INVALID for whatever is no such journal, CONFIG_INVALID for a file that cannot be read.
        """
        digest = hashlib.sha256()
        first: bytes | None = None
        last = b""
        for line in _lines(path):
            digest.update(last)
            first = line if first is None else first
            last = line
        if first is None or first is last:
            raise _invalid("no header, or no signature")
        header = _header(first)
        if header.deployment != directory.gateway.deployment:
            raise _invalid("of another deployment")
        _check_signature(last, header, digest.hexdigest(), directory)
        return cls(path, header, digest.hexdigest())

    def records(self) -> Iterator[Use | Unreported]:
        """Uses in rising order of index, then attestations that are not reported.

        Raises SIGNATURE_INVALID for a line that is neither or out of order, and at the end if the file has changed.
        """
        header, before = self.header, self.header.first - 1
        end = header.reported if header.end is None else min(header.end, header.reported)
        digest = hashlib.sha256()
        pending = b""
        for number, line in enumerate(_lines(self.path)):
            digest.update(pending)
            if number > 1:  # the first is the header; the last is known to be the last when there is no other
                record = _record(pending)
                if isinstance(record, Use):
                    if not before < record.index < end:
                        raise _invalid("uses out of order or out of range")
                    before = record.index
                else:
                    end = 0  # no use comes after the first of these
                yield record
            pending = line
        if digest.hexdigest() != self.digest:
            raise _invalid("changed while it was read")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if not line.endswith(b"\n"):
                    raise _invalid("a line is too long or not ended")
                yield line
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read ({error.strerror})", "name the city's journal")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error


def _line(members: Mapping[str, Any]) -> bytes:
    return _dump(members).encode("ascii") + b"\n"


def _members(line: bytes) -> jws.Claims:
    """The members of a line in its canonical form."""
    try:
        members = jws.strict_object(line)
    except ValueError as error:
        raise _invalid("a line is no JSON object") from error
    if _line(members) != line:
        raise _invalid("a line is not canonical")
    return jws.Claims(members, Reason.SIGNATURE_INVALID)


def _header(line: bytes) -> Header:
    members = _members(line)
    if members.text("format") != FORMAT:
        raise _invalid("of another format")
    found = Header(
        CityId(members.text("city")),
        members.text("deployment"),
        members.integer("made_at"),
        members.integer("from"),
        members.optional_integer("to", 0, _MAX_INDEX),
        members.integer("reported"),
    )
    members.done()
    return found


def _record(line: bytes) -> Use | Unreported:
    members = _members(line)
    name = _digest(members, "attestation")
    if not members.has("index"):
        missing = Unreported(name, _attested(members))
        members.done()
        return missing
    attested: Attested | None = None
    if members.has("attested"):
        inner = members.take("attested")
        if not isinstance(inner, dict):
            raise _invalid("attested")
        of_attested = jws.Claims(inner, Reason.SIGNATURE_INVALID)
        attested = _attested(of_attested)
        of_attested.done()
    proved, entry = members.take("proved"), members.text("entry", MAX_LINE_BYTES)
    if not isinstance(proved, bool) or not entry.isascii():
        raise _invalid("proved or entry")
    use = Use(members.integer("index"), entry.encode("ascii"), members.text("outcome"), name, attested, proved)
    members.done()
    return use


def _attested(members: jws.Claims) -> Attested:
    return Attested(
        members.text("operator"),
        members.text("scenario"),
        _digest(members, "bundle"),
        members.integer("rung", 0, MAX_LEVEL),
        members.integer("at"),
    )


def _digest(members: jws.Claims, name: str) -> str:
    value = members.text(name)
    if not _DIGEST.match(value):
        raise _invalid(name)
    return value


def _check_signature(line: bytes, header: Header, digest: str, directory: Directory) -> None:
    peer = directory.cities.get(header.city)
    if peer is None:
        raise _invalid("of a city that the directory does not list")
    try:
        token = line[:-1].decode("ascii")
        parsed = jws.parse(token, TYP, malformed=Reason.SIGNATURE_INVALID)
        claims = jws.Claims(jws.verify(parsed, KeyRing("event", peer.keys)), Reason.SIGNATURE_INVALID)
    except UnicodeDecodeError as error:
        raise _invalid("the signature is not ASCII") from error
    except TiergateError as error:
        raise _invalid(f"signature: {error.reason} {error.detail}") from error
    named = (claims.text("iss"), claims.text("aud"), claims.integer("iat"), claims.text("sha256"))
    claims.done()
    if named != (header.city, header.deployment, header.made_at, digest):
        raise _invalid("the signature is over other lines")


def _invalid(detail: str) -> TiergateError:
    return TiergateError(Reason.SIGNATURE_INVALID, f"journal: {detail}")
