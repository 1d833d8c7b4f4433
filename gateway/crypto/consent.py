"""Consent tokens: ``typ: consent+jwt``, issued by the home city, verified by gateway and city alike.

Claims: ``iss`` city, ``aud`` deployment, ``sub`` pairwise identifier, ``azp`` operator, ``authorization_details``
(RFC 9396), ``iat nbf exp`` on whole minutes, ``jti``, ``uses``, ``notice``, ``cnf.jkt`` (RFC 7800, RFC 9449) with
``cnf.holder``: ``device`` for a key of the resident's device, absent for the operator's key of the directory. Without
it a key that the directory has removed could go on proving as if it were a device's. A token is immutable: any change
is a new consent.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.crypto import jws
from gateway.crypto.keys import KeyRing, PrivateKey, b64url
from gateway.domain.ids import SLUG, Bound, CityId, OperatorId, ScenarioId
from gateway.domain.scenario import Scenario
from gateway.errors import Reason, TiergateError

TYP = "consent+jwt"
DEVICE = "device"
DETAIL_TYPE = "incentive_check"
MAX_CLOCK_AHEAD_S = 10
MAX_USES = 1000
MAX_DETAILS = 8
_ID = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")  # at least 128 bits in base64url
_HASH = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # 32 bytes in base64url
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")


def token_hash(token: str) -> bytes:
    """SHA-256 of what the token's signature covers (header and payload with their dot): 32 bytes.

    It is the ``ath`` of proofs and attestations. Unlike RFC 9449 it leaves the signature out: an ECDSA signature has a
    second spelling (``n - s``) that anybody can compute, and one consent must have one hash.
    """
    return hashlib.sha256(token.rpartition(".")[0].encode("ascii")).digest()


@dataclass(frozen=True, slots=True, repr=False)
class ConsentToken:
    """Verified claims of one consent token. Times are Unix seconds. It has no ``repr``: a token is a secret.

    ``key_thumbprint`` is of the key that it is bound to: the operator's, or with ``of_device`` the resident's device's.
    """

    hash: bytes
    issuer: CityId
    audience: str
    subject: str
    operator: OperatorId
    scenarios: Mapping[ScenarioId, str]
    issued_at: int
    not_before: int
    expires_at: int
    id: str
    uses: int | None
    notice: str
    key_thumbprint: str | None
    of_device: bool = False

    @property
    def bound(self) -> Bound:
        """Whose key it is bound to."""
        if self.key_thumbprint is None:
            return "none"
        return "device" if self.of_device else "operator"

    def claims(self) -> dict[str, Any]:
        """The claims as they are signed."""
        members: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.subject,
            "azp": self.operator,
            "authorization_details": [
                {"type": DETAIL_TYPE, "scenario": scenario, "purpose": purpose}
                for scenario, purpose in self.scenarios.items()
            ],
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "jti": self.id,
            "notice": self.notice,
        }
        if self.uses is not None:
            members["uses"] = self.uses
        if self.key_thumbprint is not None:
            members["cnf"] = {"jkt": self.key_thumbprint} | ({"holder": DEVICE} if self.of_device else {})
        return members


def _slug(text: str) -> str:
    if not SLUG.match(text):
        raise TiergateError(Reason.TOKEN_MALFORMED, "slug")
    return text


def _details(value: Any) -> dict[ScenarioId, str]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DETAILS:
        raise TiergateError(Reason.TOKEN_MALFORMED, "authorization_details")
    scenarios: dict[ScenarioId, str] = {}
    for item in value:
        if not isinstance(item, dict):
            raise TiergateError(Reason.TOKEN_MALFORMED, "authorization_details item")
        claims = jws.Claims(item, Reason.TOKEN_MALFORMED)
        kind = claims.text("type")
        scenario = ScenarioId(_slug(claims.text("scenario")))
        purpose = _slug(claims.text("purpose"))
        claims.done()
        if kind != DETAIL_TYPE or scenario in scenarios:
            raise TiergateError(Reason.TOKEN_MALFORMED, "authorization_details item")
        scenarios[scenario] = purpose
    return scenarios


def _shape(members: Mapping[str, Any], digest: bytes) -> ConsentToken:
    claims = jws.Claims(members, Reason.TOKEN_MALFORMED)
    jkt: str | None = None
    holder: str | None = None
    if "cnf" in members:
        value = claims.take("cnf")
        if not isinstance(value, dict):
            raise TiergateError(Reason.TOKEN_MALFORMED, "cnf")
        confirmation = jws.Claims(value, Reason.TOKEN_MALFORMED)
        jkt, holder = confirmation.text("jkt"), confirmation.optional_text("holder")
        confirmation.done()
        if not _HASH.match(jkt) or holder not in {None, DEVICE}:
            raise TiergateError(Reason.TOKEN_MALFORMED, "cnf.jkt or cnf.holder")
    token = ConsentToken(
        hash=digest,
        issuer=CityId(_slug(claims.text("iss"))),
        audience=claims.text("aud"),
        subject=claims.text("sub"),
        operator=OperatorId(_slug(claims.text("azp"))),
        scenarios=_details(claims.take("authorization_details")),
        issued_at=claims.integer("iat"),
        not_before=claims.integer("nbf"),
        expires_at=claims.integer("exp"),
        id=claims.text("jti"),
        uses=claims.optional_integer("uses", 1, MAX_USES),
        notice=claims.text("notice"),
        key_thumbprint=jkt,
        of_device=holder is not None,
    )
    claims.done()
    if not (_ID.match(token.id) and _HASH.match(token.subject) and _HEX64.match(token.notice)):
        raise TiergateError(Reason.TOKEN_MALFORMED, "jti, sub or notice")
    if any(moment % 60 for moment in (token.issued_at, token.not_before, token.expires_at)):
        raise TiergateError(Reason.TOKEN_MALFORMED, "times are not on whole minutes")  # a finer time would be a mark
    if not token.issued_at <= token.not_before < token.expires_at:
        raise TiergateError(Reason.TOKEN_MALFORMED, "times are not in order")
    if token.uses != 1 and jkt is None:  # DESIGN, I4: who holds it could use it again
        raise TiergateError(Reason.TOKEN_MALFORMED, "good more than once and bound to nobody")
    return token


def issue_consent(key: PrivateKey, kid: str, token: ConsentToken) -> tuple[str, bytes]:
    """Sign a consent; returns the token and its hash. ``token.hash`` is ignored.

    Raises TOKEN_MALFORMED when the claims are not ones that verification would accept.
    """
    claims = token.claims()
    _shape(claims, b"")
    text = jws.issue(key, kid, TYP, claims)
    return text, token_hash(text)


def read_consent(text: str) -> ConsentToken:
    """The claims of a token, NOT verified: for one whose hash somebody has signed. Raises TOKEN_MALFORMED and such."""
    parsed = jws.parse(text, TYP)
    return _shape(parsed.claims, hashlib.sha256(parsed.signing_input).digest())


def new_id() -> str:
    """128 random bits, base64url (22 characters), never with a leading hyphen: a shell would take it for an option."""
    while True:
        drawn = b64url(secrets.token_bytes(16))
        if not drawn.startswith("-"):
            return drawn


def require_covered(token: ConsentToken, scenario: Scenario) -> None:
    """Return if ``token`` names ``scenario`` for its purpose and keeps within its limits, as they are now.

    The city signed within the limits of its day; a bundle that has become stricter since counts. Raises
    TOKEN_SCENARIO_NOT_COVERED or TOKEN_TOO_LONG_LIVED.
    """
    if token.scenarios.get(scenario.id) != scenario.purpose:
        raise TiergateError(Reason.TOKEN_SCENARIO_NOT_COVERED)
    limits = scenario.consent
    # a lifetime is rounded up to whole minutes, so the limit gives way by one
    if token.expires_at - token.issued_at > limits.max_lifetime_s + 60:
        raise TiergateError(Reason.TOKEN_TOO_LONG_LIVED)
    if limits.max_uses < token.uses if token.uses is not None else not limits.unlimited:
        raise TiergateError(Reason.TOKEN_TOO_LONG_LIVED, "more uses than the scenario allows")


class ConsentVerifier:
    """Verifies consent tokens under one version of the directory.

    ``remember`` > 0 keeps that many tokens whose signature has verified in their read form, by their exact text (about
    3 KiB each). What that saves is reading them again; the signature is verified on every call, unless ``trusting``
    says that once is enough. Times, audience and operator are checked on every call in any case. A new directory makes
    a new verifier, so a removed key takes its remembered tokens with it.
    """

    def __init__(
        self, rings: Mapping[CityId, KeyRing], deployment: str, *, remember: int = 0, trusting: bool = False
    ) -> None:
        self._rings = rings
        self._deployment = deployment
        self._remember = remember
        self._trusting = trusting
        self._seen: dict[str, tuple[ConsentToken, jws.Unverified, KeyRing]] = {}

    def _verified(self, text: str) -> ConsentToken:
        known = self._seen.get(text)
        if known is not None:
            token, parsed, ring = known
            if not self._trusting:
                jws.verify(parsed, ring)
            return token
        parsed = jws.parse(text, TYP)
        issuer = parsed.claims.get("iss")
        found = self._rings.get(CityId(issuer)) if isinstance(issuer, str) else None
        if found is None:
            raise TiergateError(Reason.TOKEN_KEY_UNKNOWN, "issuer")
        token = _shape(jws.verify(parsed, found), hashlib.sha256(parsed.signing_input).digest())
        if self._remember:
            if len(self._seen) >= self._remember:
                del self._seen[next(iter(self._seen))]  # the oldest: insertion order
            self._seen[text] = (token, parsed._replace(claims={}), found)
        return token

    def verify(self, text: str, *, operator: OperatorId, now_s: float) -> ConsentToken:
        """The verified token, good for ``operator`` at ``now_s`` (Unix seconds).

        Raises MESSAGE_TOO_LARGE, TOKEN_MALFORMED, TOKEN_TYPE_WRONG, TOKEN_KEY_UNKNOWN, TOKEN_ALGORITHM_WRONG,
        TOKEN_SIGNATURE_INVALID, TOKEN_AUDIENCE_WRONG, TOKEN_OTHER_OPERATOR, TOKEN_NOT_YET_VALID, TOKEN_EXPIRED.
        """
        token = self._verified(text)
        if token.audience != self._deployment:
            raise TiergateError(Reason.TOKEN_AUDIENCE_WRONG)
        if token.operator != operator:
            raise TiergateError(Reason.TOKEN_OTHER_OPERATOR)
        if token.not_before > now_s + MAX_CLOCK_AHEAD_S:
            raise TiergateError(Reason.TOKEN_NOT_YET_VALID)
        if token.expires_at <= now_s:
            raise TiergateError(Reason.TOKEN_EXPIRED)
        return token
