"""Canonical log entries: RFC 8785 JSON of codes and commitments, at most 4096 bytes, nothing about a person.

A schema is a table of fields and kinds. From it one regular expression per type is compiled that matches exactly the
canonical bytes of valid entries: member order, absence of spaces, duplicates, floats and null, and every value's form
are checked in one pass, both before an entry is written and when it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gateway.consentlog.shard import number_of
from gateway.domain.consent import STEPS
from gateway.errors import Reason, TiergateError

MAX_ENTRY_BYTES = 4096
VERSION = 1

Value = str | int


class Kind(NamedTuple):
    """One form of value: its canonical JSON as a regular expression, and a name for messages."""

    pattern: str
    name: str


def _text(pattern: str, name: str) -> Kind:
    return Kind(f'"{pattern}"', name)


def _enum(*words: str) -> Kind:
    return _text(f"(?:{'|'.join(words)})", " or ".join(words))


SLUG = _text(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?", "slug")
CODE = _enum(*Reason)
HEX64 = _text(r"[0-9a-f]{64}", "64 hex digits")
HEX32 = _text(r"[0-9a-f]{32}", "32 hex digits")
ORIGIN = _text(r"[!#-*,-\[\]-~]{1,200}", "log origin without space, plus, quote or backslash")
VKEY = _text(r"[!#-*,-\[\]-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}", "verifier key of an Ed25519 signer")
# The bits that the last character has too many are zero: one note has one form.
_LAST = r"[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]="
NOTE = _text(rf"(?:[A-Za-z0-9+/]{{4}}){{1,800}}(?:{_LAST})?", "signed note in canonical base64")
# Fifteen digits stay below 2**53, where every JSON reader still sees the exact number.
NUMBER = Kind(r"(?:0|[1-9][0-9]{0,14})", "whole number below 10**15")
ROLE = _enum("gateway", "city", "operator", "auditor", "witness")
RUNG = Kind(r"[0-3]", "rung 0 to 3")

_COMMON = {"v": Kind(str(VERSION), "schema version 1"), "time": NUMBER}

SCHEMAS: Mapping[str, Mapping[str, Kind]] = {
    "genesis": {"origin": ORIGIN, "deployment": SLUG, "directory?": NUMBER, "previous?": NOTE},
    "policy_published": {"bundle": HEX64, "version": NUMBER},
    "consent_registered": {
        "city": SLUG,
        "operator": SLUG,
        "token": HEX64,
        "bound": _enum("none", "operator", "device"),
        "expires": NUMBER,
    },
    "consent_withdrawn": {"city": SLUG, "consent?": NUMBER, "event": HEX64},
    "consent_paused": {"city": SLUG, "consent?": NUMBER, "event": HEX64},
    "consent_resumed": {"city": SLUG, "consent?": NUMBER, "event": HEX64},
    "erasure_requested": {"city": SLUG, "consent?": NUMBER, "event": HEX64},
    "decision": {
        "id": HEX32,
        "city": SLUG,
        "operator": SLUG,
        "scenario": SLUG,
        "bundle": HEX64,
        "consent": NUMBER,
        "token": HEX64,
        "private": HEX64,
        "outcome": _enum("entitled", "ordinary"),
        "rung": RUNG,
        "valid_until": NUMBER,
    },
    # its id is random, and nothing else in it is: without that, its leaf hash could be tried out
    "refusal": {"id": HEX32, "operator": SLUG, "scenario": SLUG, "code": CODE},
    "correction": {"city": SLUG, "event": HEX64},
    "contest": {"city": SLUG, "decision": NUMBER, "step": _enum(*STEPS), "event": HEX64},
    "erasure": {
        "by": _enum("retention", "order"),
        "city?": SLUG,
        "consent?": NUMBER,
        "consents": NUMBER,
        "decisions": NUMBER,
        "order?": HEX64,
        "ordered_by?": SLUG,
        "upto?": NUMBER,
    },
    "audit_read": {"auditor": SLUG, "start": NUMBER, "end": NUMBER, "scope": HEX64},
    "shard_sealed": {"next": VKEY},
    "peer_changed": {"directory": NUMBER, "role": ROLE, "name": SLUG, "peer?": HEX64},
    "key_rotated": {
        "directory": NUMBER,
        "role": ROLE,
        "name": SLUG,
        "purpose": _enum("consent", "attestation", "event", "proof"),
        "key": HEX64,
        "state": _enum("added", "removed"),
    },
}
"""Fields of each type beside ``v``, ``type`` and ``time``. A question mark marks an optional field."""


def _compile(name: str, schema: Mapping[str, Kind]) -> re.Pattern[str]:
    fields = {**_COMMON, "type": _enum(name), **schema}
    pattern = ""
    for field in sorted(fields, key=lambda item: item.rstrip("?")):
        if not pattern and field.endswith("?"):
            raise ValueError("the member that sorts first must be required: it alone has no comma before it")
        member = f'{"," if pattern else ""}"{field.rstrip("?")}":{fields[field].pattern}'
        pattern += f"(?:{member})?" if field.endswith("?") else member
    return re.compile(r"\{" + pattern + r"\}")


_PATTERNS = {name: _compile(name, schema) for name, schema in SCHEMAS.items()}
_dump = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False, allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """One decoded entry. ``time`` is Unix milliseconds (UTC); ``fields`` holds everything beside type, time and v."""

    type: str
    time: int
    fields: Mapping[str, Value]

    def text(self, name: str) -> str:
        """A string field; KeyError when the type does not have it."""
        value = self.fields[name]
        if not isinstance(value, str):
            raise KeyError(name)
        return value

    def number(self, name: str) -> int:
        """A number field; KeyError when the type does not have it."""
        value = self.fields[name]
        if not isinstance(value, int):
            raise KeyError(name)
        return value


def encode(entry: Mapping[str, Value]) -> bytes:
    """Canonical bytes of an entry, which must be complete (``v`` and ``type`` included).

    The values are ASCII strings without escapes and whole numbers below 2**53; for these the standard encoder's
    output is RFC 8785. Raises INTERNAL for an entry that does not fit its schema: writing it would be our fault.
    """
    try:
        text = _dump(entry)
    except (TypeError, ValueError) as error:
        raise TiergateError(Reason.INTERNAL, "log entry cannot be encoded") from error
    pattern = _PATTERNS.get(str(entry.get("type")))
    if pattern is None or not pattern.fullmatch(text) or not _keeps_rules(entry):
        raise TiergateError(Reason.INTERNAL, f"log entry breaks its schema: {_diagnose(text)}")
    return _sized(text.encode("ascii"), Reason.INTERNAL)


def encode_decision(
    *, time: int, decision_id: str, city: str, operator: str, scenario: str, bundle: str, consent: int, token: str,
    private: str, rung: int, valid_until: int,
) -> str:  # fmt: skip
    """A decision's canonical text, as :func:`encode` makes it, without building it from a mapping first.

    It is the one type that is written thousands of times a second. Raises INTERNAL for values outside the schema.
    """
    outcome = "entitled" if rung else "ordinary"
    text = (
        f'{{"bundle":"{bundle}","city":"{city}","consent":{consent},"id":"{decision_id}","operator":"{operator}",'
        f'"outcome":"{outcome}","private":"{private}","rung":{rung},"scenario":"{scenario}","time":{time},'
        f'"token":"{token}","type":"decision","v":{VERSION},"valid_until":{valid_until}}}'
    )
    if not _PATTERNS["decision"].fullmatch(text):
        raise TiergateError(Reason.INTERNAL, f"log entry breaks its schema: {_diagnose(text)}")
    return text


def decode(raw: bytes) -> Entry:
    """Read one entry; LOG_CORRUPT unless the bytes are exactly the canonical form of a valid entry."""
    _sized(raw, Reason.LOG_CORRUPT)
    try:
        text = raw.decode("ascii")
        members = json.loads(text)
        name = members["type"]
        valid = _PATTERNS[name].fullmatch(text) is not None and _keeps_rules(members)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise TiergateError(Reason.LOG_CORRUPT, "entry is not a JSON object of a known type") from error
    if not valid:
        raise TiergateError(Reason.LOG_CORRUPT, f"entry breaks its schema: {_diagnose(text)}")
    del members["type"], members["v"]
    return Entry(name, members.pop("time"), members)


def _sized(raw: bytes, reason: Reason) -> bytes:
    if len(raw) > MAX_ENTRY_BYTES:
        raise TiergateError(reason, "log entry larger than 4096 bytes")
    return raw


def _keeps_rules(members: Mapping[str, Value]) -> bool:
    """What one field says about another: a decision is entitled exactly when its rung is positive (I2).

    An erasure by order says by whose, about a resident of which city, and of which consent at most one; one by age says
    none of it. The genesis of every shard but the first says how the one before it ended, and which version of the
    directory was in force.
    """
    if members["type"] == "genesis":
        named = {"directory", "previous"} & members.keys()
        return len(named) == (2 if number_of(str(members["origin"])) else 0)
    if members["type"] == "erasure":
        named = {"order", "ordered_by", "city"} & members.keys()
        ordered = members["by"] == "order" and members["consents"] == 1 and "upto" not in members
        return len(named) == 3 if ordered else members["by"] != "order" and not named and "consent" not in members
    if members["type"] != "decision":
        return True
    return (members["outcome"] == "entitled") == (members["rung"] != 0)


def _shown(field: str) -> str:
    """A stray field's name, unless it could be anything: it may come from outside."""
    return repr(field) if re.fullmatch(r"[a-z_]{1,32}", field) else "of a strange name"


def _diagnose(text: str) -> str:
    """Name what is wrong, by field names alone: values stay out of messages."""
    try:
        pairs = json.loads(text, object_pairs_hook=lambda items: items)
    except RecursionError:  # the hook's own frame can be the one too many
        return "nested too deeply"
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        return "not an object"
    members = dict(pairs)
    if len(members) != len(pairs):
        return "duplicate members"
    name = str(members.get("type"))
    if name not in SCHEMAS:
        return "unknown type"
    fields = {"type": _enum(name), **_COMMON, **SCHEMAS[name]}
    known = {field.rstrip("?"): kind for field, kind in fields.items()}
    problems = [f"unknown field {_shown(field)}" for field in members if field not in known]
    problems += [f"no {field!r}" for field in fields if not field.endswith("?") and field not in members]
    for field, kind in known.items():
        value = members.get(field, 0)
        if field in members and not (isinstance(value, str | int) and re.fullmatch(kind.pattern, json.dumps(value))):
            problems.append(f"{field!r} is not {kind.name}")
    return "; ".join(problems) or "not canonical, or fields disagree"
