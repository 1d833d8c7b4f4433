"""A resident's phone: it makes a key for one operator, and proofs with it."""

from __future__ import annotations

from typing import Any

from gateway.api.consent.v1 import consent_pb2
from gateway.cli.consent_device import device_key
from gateway.crypto.consent import new_id, token_hash
from gateway.crypto.keys import Algorithm, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_device_proof


class Device:
    """One key of a device. What it proves is for the library in Xiamen unless said otherwise."""

    def __init__(self, alg: Algorithm = "ES256") -> None:
        self.key = generate_signing_key(alg)
        self.jwk = public_jwk(self.key)
        self.thumbprint = thumbprint(self.jwk)

    def proof(self, token: str, *, now_s: int, **changes: Any) -> str:
        """A new proof for a token; ``changes`` replace what ``issue_device_proof`` is given."""
        members: dict[str, Any] = {
            "token_hash": token_hash(token),
            "operator": "xiamen-library",
            "scenario": "xiamen-library",
            "issued_at": now_s,
            "proof_id": new_id(),
        }
        return issue_device_proof(self.key, **{**members, **changes})

    @property
    def message(self) -> consent_pb2.DeviceKey:
        """The public key as the city's app hands it on."""
        return consent_pb2.DeviceKey(**device_key(self.jwk))
