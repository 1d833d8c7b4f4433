"""What the audit API sends of the log, read strictly: each place as an entry, or as the hash of one out of scope."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.consentlog.entry import MAX_ENTRY_BYTES
from gateway.consentlog.merkle import HASH_SIZE, leaf_hash
from gateway.consentlog.scope import Leaf
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.errors import Reason, TiergateError


def leaves_of(run: pb.ListEntriesResponse) -> Iterator[Leaf]:
    """The places of a run, in order. Raises LOG_CORRUPT unless its hashes are those of its empty entries."""
    hashes = iter(run.leaf_hashes)
    for entry in run.entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise TiergateError(Reason.LOG_CORRUPT, "the gateway sent an entry that is too large")
        leaf = Leaf(leaf_hash(entry), entry) if entry else Leaf(next(hashes, b""), None)
        if len(leaf.hash) != HASH_SIZE:
            raise TiergateError(Reason.LOG_CORRUPT, "the gateway sent neither entry nor hash")
        yield leaf
    if next(hashes, None) is not None:
        raise TiergateError(Reason.LOG_CORRUPT, "the gateway sent a hash for no entry")


def scope_told(run: pb.ListEntriesResponse, listed: AuditScope | None) -> AuditScope:
    """The scope that the gateway goes by; ``listed`` is the caller's in the directory that it holds, if there is one.

    Raises LOG_CORRUPT for what is no scope, AUDIT_SCOPE where the two differ.
    """
    told = WHOLE_LOG
    if run.scope_cities:
        told = AuditScope.parse(AuditScope.of(run.scope_cities).text())
        if told.cities != tuple(run.scope_cities):
            raise TiergateError(Reason.LOG_CORRUPT, "the gateway sent a scope that is none")
    if listed not in {None, told}:
        raise TiergateError(Reason.AUDIT_SCOPE, "the gateway's directory has another scope; take the newest directory")
    return told
