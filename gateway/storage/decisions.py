"""How a decision is written: its entry, the private payload beside it, and the attestation that it rests on."""

from __future__ import annotations

import os
from collections.abc import Container

from gateway.consentlog.entry import encode_decision
from gateway.consentlog.private import PrivatePayload, commit
from gateway.domain.decision import Decision
from gateway.domain.evaluate import logged_from, logged_until
from gateway.ports import DecisionDraft
from gateway.storage.operations import ConsentState, GroupRows
from gateway.storage.rows import commitment
from gateway.storage.tree import TreeWriter


def write_decision(
    tree: TreeWriter, rows: GroupRows, draft: DecisionDraft, consent: ConsentState, rung: int, *, keep: Container[str]
) -> Decision:
    """Append a decision on a registered consent. ``keep``: ids of attestations that are stored already."""
    random = os.urandom(48)
    salt, identifier = random[:32], random[32:].hex()
    attestation, grain = draft.attestation, draft.grain_ms
    payload = PrivatePayload(
        attestation.digest, draft.decided_at_ms, draft.request, draft.token_hash, draft.valid_until_ms
    )
    leaf = encode_decision(
        time=logged_from(draft.decided_at_ms, grain),
        decision_id=identifier,
        city=draft.city,
        operator=draft.operator,
        scenario=draft.scenario,
        bundle=draft.bundle,
        consent=consent.index or 0,
        token=commitment(consent.secret, draft.token_hash),
        private=commit(salt, payload),
        rung=rung,
        valid_until=logged_until(draft.valid_until_ms, grain),
    )
    index = tree.append(leaf.encode("ascii"))
    rows.entries.append(
        (
            index, leaf, draft.city, attestation.id, salt.hex(), draft.decided_at_ms, draft.valid_until_ms,
            draft.request.hex(),
        )
    )  # fmt: skip
    if attestation.id not in keep:
        rows.attestations[attestation.id] = (attestation.id, attestation.jws)
    return Decision(
        identifier, draft.operator, draft.city, draft.scenario, draft.bundle, rung, draft.decided_at_ms,
        draft.valid_until_ms, index,
    )  # fmt: skip
