"""Marks of proofs that are good once: looked up with a group, kept in its transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from gateway.crypto.proof import PROOF_KEPT_S
from gateway.ports import DecisionDraft
from gateway.sqlite.rows import RowInsert
from gateway.storage.operations import GroupRows, Operation, RecordDecisions
from gateway.storage.rows import short

PROOFS = RowInsert("INSERT OR IGNORE INTO proof (key, until)", 2)
_SELECT = "SELECT json_group_array(key) FROM proof WHERE key IN (SELECT value FROM json_each(?))"


def used_proofs(connection: sqlite3.Connection, operations: Sequence[Operation]) -> set[bytes]:
    """The marks (32 bytes each) of a group's drafts that are kept already; a group without any asks nothing."""
    marks = {
        short(draft.proof): draft.proof
        for operation in operations
        if isinstance(operation, RecordDecisions)
        for draft in operation.drafts
        if draft.proof is not None
    }
    if not marks:
        return set()
    (found,) = connection.execute(_SELECT, (json.dumps(list(marks)),)).fetchone()
    return {marks[key] for key in json.loads(found)}


def keep_proof(draft: DecisionDraft, used: set[bytes], rows: GroupRows) -> None:
    """A draft is decided: its mark, if it has one, is used from now on, in this group and in those after it."""
    if draft.proof is not None:
        used.add(draft.proof)
        rows.proofs.append((short(draft.proof), draft.decided_at_ms + 1000 * PROOF_KEPT_S))
