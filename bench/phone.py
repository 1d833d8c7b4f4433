"""Residents' phones: each makes a key for one operator and signs a fresh proof for every presentation."""

from __future__ import annotations

from bench.material import Consent
from bench.world import World
from gateway.api.consent.v1 import consent_pb2 as api
from gateway.cli.consent_device import device_key
from gateway.crypto.consent import new_id, token_hash
from gateway.crypto.keys import generate_signing_key, public_jwk
from gateway.crypto.proof import issue_device_proof


class Phone:
    """One P-256 key, for one consent: a city refuses a key that it has seen before."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._key = generate_signing_key("ES256")

    @property
    def public(self) -> api.DeviceKey:
        """The key as the city's app hands it on."""
        return api.DeviceKey(**device_key(public_jwk(self._key)))

    def presented(self, token: str, now_s: int) -> Consent:
        """The token with a fresh proof, good once and for a minute."""
        proof = issue_device_proof(
            self._key,
            token_hash=token_hash(token),
            operator=self._world.operator,
            scenario=self._world.scenario,
            issued_at=now_s,
            proof_id=new_id(),
        )
        return Consent(token, proof)
