"""A consent log in memory, as far as receivers of use reports see it: decisions, proofs, signed checkpoints."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import encode
from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of
from gateway.consentlog.note import SignerKey, sign_note
from gateway.consentlog.proof import LogProof
from gateway.crypto.event import event_digest


class FakeLog:
    """Appends valid entries and proves them. ``fork`` copies it, so that two histories can be shown."""

    def __init__(self, signer: SignerKey) -> None:
        self.signer = signer
        self.entries: list[bytes] = []
        self._append(type="genesis", origin=signer.name, deployment="test-province")

    def _append(self, **fields: Any) -> int:
        self.entries.append(encode({"v": 1, "time": 1_793_491_200_000, **fields}))
        return len(self.entries) - 1

    def decide(self, rung: int, **changes: Any) -> int:
        """Append a decision; its index."""
        fields: dict[str, Any] = {
            "id": secrets.token_hex(16),
            "city": "fuzhou",
            "operator": "xiamen-library",
            "scenario": "xiamen-library",
            "bundle": "ab" * 32,
            "consent": 0,
            "token": secrets.token_hex(32),
            "private": secrets.token_hex(32),
            "outcome": "entitled" if rung else "ordinary",
            "rung": rung,
            "valid_until": 1_793_491_500_000,
        }
        return self._append(type="decision", **{**fields, **changes})

    def register(self, token_hash: bytes, opening: bytes = bytes(32), **changes: Any) -> int:
        """Append the registration of a consent, whose first decision is the next entry; its index."""
        fields: dict[str, Any] = {
            "city": "fuzhou",
            "operator": "xiamen-library",
            "token": hmac.digest(opening, token_hash, "sha256").hex(),
            "bound": "operator",
            "expires": 1_793_577_600,
        }
        return self._append(type="consent_registered", **{**fields, **changes})

    def take_event(self, event: str, kind: str = "consent_withdrawn", city: str = "fuzhou", **link: Any) -> int:
        """Append the entry of a signed event; its index. ``link``: what it names beside the event."""
        return self._append(type=kind, city=city, event=event_digest(event).hex(), **link)

    def publish(self, bundle: str, version: int = 1) -> int:
        """Append the publication of a bundle; its index."""
        return self._append(type="policy_published", bundle=bundle, version=version)

    def change(self, kind: str, **link: Any) -> int:
        """Append a change of a consent of Fuzhou's, or a correction; its index."""
        return self._append(type=kind, **{"city": "fuzhou", "event": secrets.token_hex(32), **link})

    def read_under(self, scope: str) -> int:
        """Append the record of an auditor's read of all there is, under a scope (its digest); its index."""
        return self._append(type="audit_read", auditor="bureau", start=0, end=len(self.entries), scope=scope)

    def receipt(self, index: int) -> tuple[bytes, bytes]:
        """Entry and tlog-proof in the log as it is now."""
        proof = LogProof(index, self.inclusion(index), self.checkpoint().encode())
        return self.entries[index], proof.to_bytes()

    def refuse(self) -> int:
        """Append an entry that is not a decision; its index."""
        return self._append(
            type="refusal",
            id=secrets.token_hex(16),
            operator="xiamen-library",
            scenario="fuzhou-transit",
            code="RATE_LIMITED",
        )

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The proof of an entry in the log as it is now."""
        return tuple(inclusion_proof(index, len(self.entries), self._subtree))

    def checkpoint(self) -> str:
        """A signed checkpoint of the log as it is now."""
        root = root_of(map(leaf_hash, self.entries))
        body = Checkpoint(self.signer.name, len(self.entries), root).body()
        return sign_note(body, [self.signer]).decode()

    def fork(self) -> FakeLog:
        """Another log with the same beginning."""
        twin = FakeLog(self.signer)
        twin.entries = list(self.entries)
        return twin

    def _subtree(self, level: int, index: int) -> bytes:
        return root_of(map(leaf_hash, self.entries[index << level : (index + 1) << level]))
