"""A small world of synthetic cities and operators with real keys and the shipped policies."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from gateway.consentlog.note import SignerKey
from gateway.crypto.attestation import Attestation, issue_attestation, request_binding
from gateway.crypto.consent import ConsentToken, ConsentVerifier, issue_consent, new_id, token_hash
from gateway.crypto.event import SecurityEvent, issue_event
from gateway.crypto.keys import Algorithm, PrivateKey, b64url, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_proof
from gateway.crypto.trusted import TrustedKeys
from gateway.domain.bundle import Bundle
from gateway.domain.directory import CityPeer, Directory, DirectoryKey, Endpoint, GatewayPeer, KeyPurpose, OperatorPeer
from gateway.domain.ids import BundleDigest, CityId, OperatorId, PeerIdentity, RequestId, ScenarioId
from gateway.policy.bundle import build_bundle, read_bundle
from gateway.policy.load import load_policies
from gateway.policy.rotation import KeyOwner, with_first, with_key, without_key
from tests.fakes.device import Device

POLICIES = Path(__file__).parents[2] / "policies"
TRUST_DOMAIN = "test.tiergate.invalid"
DEPLOYMENT = "fujian"
FUZHOU, XIAMEN = CityId("fuzhou"), CityId("xiamen")
LIBRARY, METRO = OperatorId("xiamen-library"), OperatorId("fuzhou-metro")
XIAMEN_LIBRARY, FUZHOU_TRANSIT = ScenarioId("xiamen-library"), ScenarioId("fuzhou-transit")
_CITY_PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event")


def _owner(purpose: KeyPurpose, name: str) -> KeyOwner:
    return KeyOwner("operator" if purpose == "proof" else "city", name)


def shipped_bundle() -> Bundle:
    """The bundle that the shipped policies make."""
    return read_bundle(build_bundle(load_policies(POLICIES), 1, date(2027, 12, 31)))


class World:
    """Keys of every participant, the directory that lists them, and what they would sign."""

    def __init__(self, now_s: int) -> None:
        self.now_s = now_s
        self.bundle = shipped_bundle()
        self.keys: dict[tuple[str, KeyPurpose], tuple[str, PrivateKey]] = {}
        self.log_key = SignerKey.generate("test.tiergate.invalid/log")
        self.directory = Directory(
            version=1,
            issued=now_s - 60,
            expires=now_s + 30 * 86_400,
            trust_domain=TRUST_DOMAIN,
            gateway=GatewayPeer(
                DEPLOYMENT,
                PeerIdentity(TRUST_DOMAIN, "gateway", ""),
                Endpoint("127.0.0.1:1", "gateway.test.tiergate.invalid"),
                self.log_key.name,
                str(self.log_key.verifier),
            ),
            cities={
                city: CityPeer(
                    city,
                    city,
                    city,
                    PeerIdentity(TRUST_DOMAIN, "city", city),
                    Endpoint("127.0.0.1:1", f"{city}.test.tiergate.invalid"),
                    tuple(self._key(city, purpose) for purpose in _CITY_PURPOSES),
                )
                for city in (FUZHOU, XIAMEN)
            },
            operators={
                operator: OperatorPeer(
                    operator, PeerIdentity(TRUST_DOMAIN, "operator", operator), (self._key(operator, "proof"),)
                )
                for operator in (LIBRARY, METRO)
            },
            auditors={"province": PeerIdentity(TRUST_DOMAIN, "auditor", "province")},
            witnesses={},
        )

    def _key(self, owner: str, purpose: KeyPurpose, alg: Algorithm = "ES256") -> DirectoryKey:
        key = generate_signing_key(alg)
        jwk = public_jwk(key)
        kid = thumbprint(jwk)
        self.keys[owner, purpose] = (kid, key)
        return DirectoryKey(kid, purpose, alg, jwk)

    def rotate(self, owner: str, purpose: KeyPurpose, alg: Algorithm = "ES256") -> str:
        """List a further key and sign with it from now on; the id of the one before, which stays listed."""
        before, _ = self.keys[owner, purpose]
        self.directory = with_key(self.directory, _owner(purpose, owner), self._key(owner, purpose, alg))
        if purpose == "proof":
            self.directory = with_first(self.directory, _owner(purpose, owner), purpose, self.keys[owner, purpose][0])
        return before

    def retire(self, owner: str, purpose: KeyPurpose, kid: str) -> None:
        """Remove a key from the directory."""
        self.directory = without_key(self.directory, _owner(purpose, owner), purpose, kid)

    def trusted(self, *, remember: int = 0) -> TrustedKeys:
        """Verifiers of the directory."""
        return TrustedKeys.of(self.directory, remember_tokens=remember, remember_proofs=remember)

    def consent(
        self,
        *,
        city: CityId = FUZHOU,
        operator: OperatorId = LIBRARY,
        scenario: ScenarioId = XIAMEN_LIBRARY,
        uses: int | None = None,
        lifetime_s: int = 86_400,
        audience: str = DEPLOYMENT,
        purpose: str | None = None,
        device: Device | None = None,
    ) -> str:
        """A consent token: bound to the device's key if there is one, else to the operator's unless for one use."""
        issued = self.now_s - self.now_s % 60
        kid, key = self.keys[city, "consent"]
        token = ConsentToken(
            hash=b"",
            issuer=city,
            audience=audience,
            subject=b64url(bytes(32)),
            operator=operator,
            scenarios={scenario: purpose or self.bundle.scenarios[scenario].purpose},
            issued_at=issued,
            not_before=issued,
            expires_at=issued + lifetime_s,
            id=new_id(),
            uses=uses,
            notice="ab" * 32,
            key_thumbprint=self._bound_to(operator, uses, device),
            of_device=device is not None,
        )
        return issue_consent(key, kid, token)[0]

    def _bound_to(self, operator: OperatorId, uses: int | None, device: Device | None) -> str | None:
        if device is not None:
            return device.thumbprint
        return None if uses == 1 else self.keys[operator, "proof"][0]

    def read(self, text: str, operator: OperatorId = LIBRARY) -> ConsentToken:
        """The verified claims of a token."""
        verifier: ConsentVerifier = self.trusted().consents
        return verifier.verify(text, operator=operator, now_s=self.now_s)

    def proof(
        self,
        token: str,
        *,
        operator: OperatorId = LIBRARY,
        scenario: ScenarioId = XIAMEN_LIBRARY,
        issued_at: int | None = None,
        signer: OperatorId | None = None,
    ) -> str:
        """An operator-bound proof for a token."""
        kid, key = self.keys[signer or operator, "proof"]
        return issue_proof(
            key,
            kid,
            token_hash=token_hash(token),
            operator=operator,
            scenario=scenario,
            issued_at=self.now_s if issued_at is None else issued_at,
            proof_id=new_id(),
        )

    def attestation(
        self,
        token: ConsentToken,
        rung: int,
        *,
        now_s: int,
        request_id: RequestId,
        scenario: ScenarioId = XIAMEN_LIBRARY,
        bundle: BundleDigest | None = None,
        lifetime_s: int = 300,
        signer: CityId | None = None,
    ) -> str:
        """What an honest home city signs."""
        kid, key = self.keys[signer or token.issuer, "attestation"]
        return issue_attestation(
            key,
            kid,
            Attestation(
                id=new_id(),
                issuer=token.issuer,
                audience=token.audience,
                subject=token.subject,
                operator=token.operator,
                token_hash=token.hash,
                scenario=scenario,
                bundle=bundle or self.bundle.digest,
                rung=rung,
                issued_at=now_s,
                expires_at=min(now_s + lifetime_s, token.expires_at),
                request=request_binding(token.operator, request_id) if token.uses is not None else None,
            ),
        )

    def withdrawal(self, consent_id: str, *, city: CityId = FUZHOU) -> str:
        """A signed withdrawal event."""
        kid, key = self.keys[city, "event"]
        return issue_event(key, kid, SecurityEvent(new_id(), city, DEPLOYMENT, "withdrawal", consent_id, self.now_s))

    def correction(self, *, city: CityId = FUZHOU) -> str:
        """A signed correction event."""
        kid, key = self.keys[city, "event"]
        return issue_event(key, kid, SecurityEvent(new_id(), city, DEPLOYMENT, "correction", None, self.now_s))
