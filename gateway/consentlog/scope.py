"""Which entries an auditor sees: one row for each type of entry. A type without a row is seen by nobody.

What an entry says of others stays within a scope: a decision and the registration that it names, and every change of a
consent, carry the same city, and what is about no city is for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.merkle import leaf_hash
from gateway.domain.audit_scope import AuditScope

Rule = Literal["all", "city", "full"]
"""``all``: every auditor with a scope. ``city``: those whose scope has the entry's ``city``, and all if it names none.
``full``: only those whose scope is the whole log."""

SEEN_BY: Mapping[str, Rule] = {
    "genesis": "all",
    "policy_published": "all",
    "consent_registered": "city",
    "consent_withdrawn": "city",
    "consent_paused": "city",
    "consent_resumed": "city",
    "erasure_requested": "city",
    "decision": "city",
    # names an operator and what it asked for, and no city whose auditor it would concern
    "refusal": "full",
    "correction": "city",
    "contest": "city",
    # by age it names no city and no consent
    "erasure": "city",
    # who reads the log is no secret among those who do
    "audit_read": "all",
    "shard_sealed": "all",
    # the directory is no secret among those who are in it
    "peer_changed": "all",
    "key_rotated": "all",
}


class Leaf(NamedTuple):
    """One place of the log as an auditor gets it: the leaf hash (32 bytes), and the entry unless it is out of scope."""

    hash: bytes
    entry: bytes | None


def sees(scope: AuditScope, entry: Entry) -> bool:
    """Whether the entry is in scope."""
    rule = SEEN_BY.get(entry.type)
    if rule is None:
        return False
    if scope.cities is None or rule == "all":
        return True
    return rule == "city" and entry.fields.get("city") in {None, *scope.cities}


def scoped(scope: AuditScope, raw: bytes) -> Leaf:
    """An entry's place as the scope shows it. Raises LOG_CORRUPT for bytes that are no entry."""
    if scope.cities is None:
        return Leaf(leaf_hash(raw), raw)
    return Leaf(leaf_hash(raw), raw if sees(scope, decode(raw)) else None)
