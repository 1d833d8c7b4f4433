"""A synthetic network: keys of ten cities and their operators, the directory of them, and the product's own policies.

``Network`` makes tokens and proofs as the real parties would; changed ones are made by ``replace`` on the claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from adapters.custody import CityKeys, SigningKey
from adapters.pairwise import PairwiseSecret
from adapters.reference import Reference
from gateway.cli.localnet.plan import CITY_NAMES
from gateway.consentlog.note import SignerKey
from gateway.crypto import jws
from gateway.crypto.consent import TYP, ConsentToken, issue_consent, new_id, token_hash
from gateway.crypto.keys import algorithm_of, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_proof
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle, Timeline
from gateway.domain.directory import (
    CityPeer,
    Directory,
    DirectoryKey,
    Endpoint,
    GatewayPeer,
    KeyPurpose,
    OperatorPeer,
)
from gateway.domain.ids import CityId, OperatorId, PeerIdentity, ResidentRef, ScenarioId
from gateway.errors import TiergateError
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies

DEPLOYMENT = "test-province"
DOMAIN = "tiergate.test"
ORIGIN = "log.tiergate.test/2026q4"
FUZHOU, XIAMEN, QUANZHOU = CityId("fuzhou"), CityId("xiamen"), CityId("quanzhou")
CITIES: Mapping[CityId, tuple[str, str]] = {CityId(city): names for city, names in sorted(CITY_NAMES.items())}
XIAMEN_LIBRARY = OperatorId("xiamen-library")
XIAMEN_PARKING = OperatorId("xiamen-parking")
FUZHOU_METRO = OperatorId("fuzhou-metro")
LIBRARY_LOAN = ScenarioId("xiamen-library")
PARKING = ScenarioId("xiamen-roadside-parking")
TRANSIT = ScenarioId("fuzhou-transit")
POLICIES = Path(__file__).parents[2] / "policies"


@cache
def bundle_bytes(version: int = 1) -> bytes:
    """The product's policies as a bundle that ends with 2027."""
    return build_bundle(load_policies(POLICIES), version, date(2027, 12, 31))


def _listed(purpose: KeyPurpose, key: SigningKey) -> DirectoryKey:
    return DirectoryKey(key.kid, purpose, algorithm_of(key.key), public_jwk(key.key))


def _city_keys(city: CityId) -> CityKeys:
    made = {
        purpose: SigningKey(f"{city}-{purpose}-1", generate_signing_key("ES256"))
        for purpose in ("consent", "attestation", "event")
    }
    return CityKeys(made["consent"], made["attestation"], made["event"], PairwiseSecret(city.encode().ljust(32, b"-")))


def _proof_key() -> SigningKey:
    key = generate_signing_key("ES256")
    return SigningKey(thumbprint(public_jwk(key)), key)


@dataclass(frozen=True)
class Token:
    """An issued token: its text, its hash, and the claims that it was made from."""

    text: str
    hash: bytes
    claims: ConsentToken


class Network:
    """One deployment. ``addresses`` (by city, and ``gateway``) go into the directory; unlisted ones get a dummy."""

    def __init__(self, *, now_s: int = 1_793_491_200, addresses: Mapping[str, str] | None = None) -> None:
        places = dict(addresses or {})
        self.bundle: Bundle = read_bundle(bundle_bytes())
        self.keys: dict[CityId, CityKeys] = {city: _city_keys(city) for city in CITIES}
        self.operator_keys: dict[OperatorId, SigningKey] = {
            name: _proof_key() for name in sorted(self.bundle.operators)
        }
        self.log = SignerKey.generate(ORIGIN)
        self.directory = Directory(
            version=1,
            issued=now_s - 86_400,
            expires=now_s + 90 * 86_400,
            trust_domain=DOMAIN,
            gateway=GatewayPeer(
                DEPLOYMENT,
                PeerIdentity(DOMAIN, "gateway", ""),
                Endpoint(places.get("gateway", "127.0.0.1:1"), "gateway.tiergate.test"),
                ORIGIN,
                str(self.log.verifier),
            ),
            cities={city: self._city(city, places.get(city, "127.0.0.1:1")) for city in CITIES},
            operators={
                name: OperatorPeer(name, PeerIdentity(DOMAIN, "operator", name), (_listed("proof", key),))
                for name, key in self.operator_keys.items()
            },
            auditors={"provincial-audit": PeerIdentity(DOMAIN, "auditor", "provincial-audit")},
            witnesses={},
        )

    def _city(self, city: CityId, address: str) -> CityPeer:
        keys = self.keys[city]
        return CityPeer(
            city,
            *CITIES[city],
            PeerIdentity(DOMAIN, "city", city),
            Endpoint(address, f"{city}.tiergate.test"),
            (
                _listed("consent", keys.consent),
                _listed("attestation", keys.attestation),
                _listed("event", keys.event),
            ),
        )

    def trusted(self) -> TrustedKeys:
        """All verifiers, as a gateway has them."""
        return TrustedKeys.of(self.directory)

    def reference(self, city: CityId) -> Reference:
        """What a city's adapter works by."""
        return Reference.of(city, self.directory, self.bundle)

    def claims(
        self,
        *,
        now_s: int,
        city: CityId = FUZHOU,
        operator: OperatorId = XIAMEN_LIBRARY,
        scenario: ScenarioId = LIBRARY_LOAN,
        resident: str = "synthetic-1",
        uses: int | None = 3,
        lifetime_s: int = 86_400,
    ) -> ConsentToken:
        """Claims of a consent that the city would sign now: bound to the operator unless for one use."""
        start = now_s - now_s % 60
        return ConsentToken(
            hash=b"",
            issuer=city,
            audience=DEPLOYMENT,
            subject=self.keys[city].pairwise.subject(operator, ResidentRef(resident)),
            operator=operator,
            scenarios={scenario: self.bundle.scenarios[scenario].purpose},
            issued_at=start,
            not_before=start,
            expires_at=start + lifetime_s,
            id=new_id(),
            uses=uses,
            notice="ab" * 32,
            key_thumbprint=None if uses == 1 else self.operator_keys[operator].kid,
        )

    def sign(self, claims: ConsentToken, *, key: SigningKey | None = None, **changes: Any) -> Token:
        """Sign claims, changed by name, with the issuer's consent key or another."""
        changed = replace(claims, **changes)
        signing = key or self.keys[claims.issuer].consent
        text, digest = issue_consent(signing.key, signing.kid, changed)
        return Token(text, digest, changed)

    def token(self, *, now_s: int, **terms: Any) -> Token:
        """A signed token; ``terms`` as for ``claims``."""
        return self.sign(self.claims(now_s=now_s, **terms))

    def proof(
        self,
        token: str,
        *,
        now_s: int,
        operator: OperatorId = XIAMEN_LIBRARY,
        scenario: str = LIBRARY_LOAN,
        key: SigningKey | None = None,
        **changes: Any,
    ) -> str:
        """An operator's proof of possession for a token; ``changes`` replace what ``issue_proof`` is given."""
        signing = key or self.operator_keys[operator]
        members: dict[str, Any] = {
            "token_hash": token_hash(token),
            "operator": operator,
            "scenario": scenario,
            "issued_at": now_s,
            "proof_id": new_id(),
        }
        return issue_proof(signing.key, signing.kid, **{**members, **changes})

    def proof_if_bound(
        self, token: str, *, now_s: int, operator: OperatorId = XIAMEN_LIBRARY, scenario: str = LIBRARY_LOAN
    ) -> str:
        """What the operator presents with a token: a proof where it is bound to the operator's key, else nothing."""
        held = self.operator_keys.get(operator)
        try:
            cnf = jws.parse(token, TYP).claims.get("cnf")
        except TiergateError:
            return ""  # no token at all
        if held is None or cnf != {"jkt": held.kid}:
            return ""
        return self.proof(token, now_s=now_s, operator=operator, scenario=scenario)


def going_by(reference: Reference, bundle: Bundle) -> Reference:
    """The reference with this bundle alone."""
    return replace(reference, bundle=bundle, timeline=Timeline((bundle,)))
