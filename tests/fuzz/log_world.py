"""A made-up log with an entry of each type, and what is signed about it."""

from __future__ import annotations

import base64
import hashlib
from functools import cache

from gateway.consentlog import checkpoint, entry, merkle, note, proof
from gateway.domain.consent import STEPS
from tests.fuzz import world

TIME = world.NOW * 1000
BUNDLE_BYTES = b"{}"
BUNDLE = hashlib.sha256(BUNDLE_BYTES).hexdigest()

NEXT_KEY = f"log.example/shard1+0123abcd+{'A' * 44}"


@cache
def later_genesis() -> bytes:
    """The first entry of the shard after that log."""
    ended = base64.b64encode(signed_checkpoint()).decode()
    members: dict[str, entry.Value] = {
        "origin": "log.example/shard1",
        "deployment": world.DEPLOYMENT,
        "previous": ended,
        "directory": 2,
    }
    return entry.encode({"v": 1, "time": TIME, "type": "genesis", **members})


@cache
def entries() -> tuple[bytes, ...]:
    """A log with one entry of each type; the fourth is the decision."""
    members: tuple[dict[str, entry.Value], ...] = (
        {"type": "genesis", "origin": world.ORIGIN, "deployment": world.DEPLOYMENT},
        {"type": "policy_published", "bundle": BUNDLE, "version": 1},
        {
            "type": "consent_registered", "city": world.CITY, "operator": world.OPERATOR, "token": "01" * 32,
            "bound": "none", "expires": TIME + 1,
        },
        {
            "type": "decision", "id": "02" * 16, "city": world.CITY, "operator": world.OPERATOR,
            "scenario": world.SCENARIO, "bundle": BUNDLE, "consent": 2, "token": "01" * 32,
            "private": "03" * 32, "outcome": "entitled", "rung": 1, "valid_until": TIME + 1,
        },
        {"type": "consent_paused", "city": world.CITY, "consent": 2, "event": "06" * 32},
        {"type": "consent_resumed", "city": world.CITY, "consent": 2, "event": "07" * 32},
        {"type": "contest", "city": world.CITY, "decision": 3, "step": STEPS[0], "event": "08" * 32},
        {"type": "consent_withdrawn", "city": world.CITY, "consent": 2, "event": "04" * 32},
        {
            "type": "refusal", "id": "0d" * 16, "operator": world.OPERATOR, "scenario": world.SCENARIO,
            "code": "SCENARIO_NOT_OPEN",
        },
        {"type": "erasure_requested", "city": world.CITY, "consent": 2, "event": "09" * 32},
        {
            "type": "erasure", "by": "order", "city": world.CITY, "consent": 2, "consents": 1, "decisions": 1,
            "order": "0a" * 32, "ordered_by": "court",
        },
        {"type": "correction", "city": world.CITY, "event": "05" * 32},
        {"type": "audit_read", "auditor": "office", "start": 0, "end": 10, "scope": "09" * 32},
        {"type": "peer_changed", "directory": 1, "role": "city", "name": world.CITY, "peer": "0b" * 32},
        {
            "type": "key_rotated", "directory": 1, "role": "city", "name": world.CITY, "purpose": "event",
            "key": "0c" * 32, "state": "added",
        },
        {"type": "shard_sealed", "next": NEXT_KEY},
    )  # fmt: skip
    return tuple(entry.encode({"v": 1, "time": TIME, **item}) for item in members)


@cache
def leaves() -> tuple[bytes, ...]:
    """The leaf hashes of :func:`entries`."""
    return tuple(map(merkle.leaf_hash, entries()))


def subtree(level: int, index: int) -> bytes:
    return merkle.root_of(leaves()[index << level : (index + 1) << level])


@cache
def signed_checkpoint() -> bytes:
    """The head of that log, signed and cosigned."""
    head = checkpoint.Checkpoint(world.ORIGIN, len(leaves()), merkle.root_of(leaves()))
    witness = note.SignerKey("witness", world.key("witness"), note.COSIGNATURE_V1)
    return note.sign_note(head.body(), [world.LOG, witness], world.NOW)


@cache
def log_proof() -> bytes:
    """The receipt of the decision."""
    hashes = merkle.inclusion_proof(3, len(leaves()), subtree)
    return proof.LogProof(3, tuple(hashes), signed_checkpoint(), b"context").to_bytes()


@cache
def trust_file() -> bytes:
    """A trust file that the checkpoint satisfies."""
    witness = note.SignerKey("witness", world.key("witness"), note.COSIGNATURE_V1).verifier
    lines = (f"log {world.LOG.verifier}", f"witness w {witness} https://witness.example.invalid/", "group g any w")
    return "\n".join((*lines, "quorum g", "")).encode()
