"""Showing one private field of one decision, from the stored payload."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from gateway.consentlog.entry import decode
from gateway.consentlog.private import Opening, PrivatePayload, commit, open_field
from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import map_sqlite_error


def stored_opening(connection: sqlite3.Connection, index: int, field: str) -> Opening:
    """The opening of ``field`` (a name of ``private.FIELDS``) in the decision at ``index``.

    Raises NOT_FOUND for no decision, one whose payload was erased, and one of a consent that is locked for erasure;
    LOG_CORRUPT if the entry does not commit to what is stored.
    """
    try:
        row = connection.execute(
            "SELECT e.leaf, e.salt, a.jws, e.decided_at, e.request, c.token, e.valid_until FROM entry e"
            " JOIN attestation a ON a.id = e.attestation JOIN consent c ON c.idx = e.leaf ->> '$.consent'"
            " WHERE e.idx = ? AND e.salt IS NOT NULL AND c.locked IS NULL AND c.token IS NOT NULL",
            (index,),
        ).fetchone()
    except sqlite3.Error as error:
        raise map_sqlite_error(error) from error
    if row is None:
        raise TiergateError(Reason.NOT_FOUND, "no decision here whose private payload may be shown")
    leaf, salt, jws, decided_at, request, token, valid_until = row
    digest = sha256(jws.encode("ascii")).digest()
    payload = PrivatePayload(digest, decided_at, bytes.fromhex(request), bytes.fromhex(token), valid_until)
    if commit(bytes.fromhex(salt), payload) != decode(leaf.encode("ascii")).text("private"):
        raise TiergateError(Reason.LOG_CORRUPT, "the entry commits to another payload than the one stored")
    return open_field(bytes.fromhex(salt), payload, field)
