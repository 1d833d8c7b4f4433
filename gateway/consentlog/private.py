r"""The private payload of a decision, committed field by field, so that one field can be shown without the rest.

The entry's member ``private`` is built from a random salt of 32 bytes that is drawn for this entry alone:

    salt(name)  = SHA-256("tiergate private salt "  name "\n" salt of the entry)
    leaf(name)  = SHA-256("tiergate private field " name "\n" salt(name) value)
    private     = SHA-256("tiergate private\n" leaf(attestation) leaf(decided_at) ... in the order of :data:`FIELDS`)

An opening shows a value, its own salt, and the leaves of the other fields: from one field's salt nobody gets to the
entry's, so the others stay hidden even where their values could be guessed. Once the entry's salt is erased, the
member is a random number. Salts are of fixed length, names hold no newline: no two inputs read alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from gateway.errors import Reason, TiergateError

SALT_BYTES = 32
MAX_OPENING_BYTES = 4096
_HEX64 = r"[0-9a-f]{64}"
_NUMBER = r"(?:0|[1-9][0-9]{0,14})"
FIELDS: Mapping[str, str] = {
    "attestation": _HEX64,
    "decided_at": _NUMBER,
    "request": _HEX64,
    "token": _HEX64,
    "valid_until": _NUMBER,
}
"""Names in the order of the commitment, with the form of each value.

``attestation``: SHA-256 of the attestation's characters; ``decided_at``, ``valid_until``: exact, Unix milliseconds;
``request``: SHA-256 over operator and request id (``domain.ids.request_key``); ``token``: SHA-256 of the token.
"""
_SALT = {name: f"tiergate private salt {name}\n".encode() for name in FIELDS}
_FIELD = {name: f"tiergate private field {name}\n".encode() for name in FIELDS}
_WHOLE = b"tiergate private\n"


class PrivatePayload(NamedTuple):
    """The values of one decision, in the order of :data:`FIELDS`: digests of 32 bytes, times in Unix milliseconds."""

    attestation: bytes
    decided_at: int
    request: bytes
    token: bytes
    valid_until: int

    def texts(self) -> tuple[bytes, ...]:
        """The values as they are committed: lower-case hex, or decimal."""
        return (
            self.attestation.hex().encode(), b"%d" % self.decided_at, self.request.hex().encode(),
            self.token.hex().encode(), b"%d" % self.valid_until,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opening:
    """One field of one entry, shown. ``salt``: its own; ``others``: the leaves of all other fields, 32 bytes each."""

    field: str
    value: str
    salt: bytes
    others: Mapping[str, bytes]


def commit(salt: bytes, payload: PrivatePayload) -> str:
    """The member ``private`` (64 hex digits) under an entry's salt (32 random bytes)."""
    return sha256(_WHOLE + b"".join(_leaves(salt, payload))).hexdigest()


def open_field(salt: bytes, payload: PrivatePayload, field: str) -> Opening:
    """What shows ``field`` and nothing else. Raises KeyError for a name that is not in :data:`FIELDS`."""
    leaves = dict(zip(FIELDS, _leaves(salt, payload), strict=True))
    del leaves[field]
    value = str(dict(zip(FIELDS, (text.decode() for text in payload.texts()), strict=True))[field])
    return Opening(field, value, sha256(_SALT[field] + salt).digest(), leaves)


def verify_opening(opening: Opening, private: str) -> str:
    """The value that an entry's member ``private`` commits to in this field. Raises PROOF_OF_LOG_INVALID."""
    form = FIELDS.get(opening.field)
    lengths = {len(opening.salt), *map(len, opening.others.values())}
    if form is None or lengths != {SALT_BYTES} or opening.others.keys() != FIELDS.keys() - {opening.field}:
        raise _invalid("an opening that does not fit the fields")
    if not re.fullmatch(form, opening.value, re.ASCII):
        raise _invalid(f"the value of {opening.field} has another form")
    leaf = sha256(_FIELD[opening.field] + opening.salt + opening.value.encode()).digest()
    leaves = {**opening.others, opening.field: leaf}
    if sha256(_WHOLE + b"".join(leaves[name] for name in FIELDS)).hexdigest() != private:
        raise _invalid("the entry commits to something else")
    return opening.value


def encode_opening(opening: Opening) -> bytes:
    """An opening as a file: JSON, sorted members, one line."""
    members = {
        "field": opening.field,
        "others": {name: leaf.hex() for name, leaf in opening.others.items()},
        "salt": opening.salt.hex(),
        "value": opening.value,
    }
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def decode_opening(data: bytes) -> Opening:
    """Read a file of :func:`encode_opening`: exactly that form. Raises PROOF_OF_LOG_INVALID."""
    try:
        if len(data) > MAX_OPENING_BYTES:
            raise ValueError("too long")
        members = json.loads(data)
        others = {str(name): bytes.fromhex(leaf) for name, leaf in members["others"].items()}
        opening = Opening(str(members["field"]), str(members["value"]), bytes.fromhex(members["salt"]), others)
        if encode_opening(opening) != data:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid("not an opening") from error
    return opening


def _leaves(salt: bytes, payload: PrivatePayload) -> list[bytes]:
    return [
        sha256(_FIELD[name] + sha256(_SALT[name] + salt).digest() + text).digest()
        for name, text in zip(FIELDS, payload.texts(), strict=True)
    ]


def _invalid(detail: str) -> TiergateError:
    return TiergateError(Reason.PROOF_OF_LOG_INVALID, detail)
