"""Identifiers. Different facts have different types, so that mixing them is a type error.

All are lower-case ASCII slugs unless said otherwise. ``parse_*`` raises :class:`TiergateError` (MALFORMED_REQUEST).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal, NewType, get_args

from gateway.errors import Reason, TiergateError

CityId = NewType("CityId", str)
OperatorId = NewType("OperatorId", str)
ScenarioId = NewType("ScenarioId", str)
TierId = NewType("TierId", str)
BundleDigest = NewType("BundleDigest", str)
"""64 lower-case hex digits: SHA-256 of the bundle's canonical bytes."""
RequestId = NewType("RequestId", str)
"""Chosen by the operator: 16 to 64 characters of ``A-Z a-z 0-9 _ -``; unique per operator for 24 hours."""
ResidentRef = NewType("ResidentRef", str)
"""A city's own account identifier of a resident. It never leaves the city's trust domain (I6)."""

Bound = Literal["none", "operator", "device"]
"""Whose key a consent token is bound to."""

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?\Z")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")

Role = Literal["city", "city-app", "operator", "auditor", "witness", "gateway"]
ROLES: tuple[Role, ...] = get_args(Role)


def parse_slug(text: str, what: str) -> str:
    """Return ``text`` if it is a slug of 1 to 48 characters (``a-z 0-9 -``, no hyphen at either end)."""
    if not SLUG.match(text):
        raise TiergateError(Reason.MALFORMED_REQUEST, f"{what} is not a slug")
    return text


def parse_request_id(text: str) -> RequestId:
    """Return ``text`` as a request id."""
    if not _REQUEST_ID.match(text):
        raise TiergateError(Reason.MALFORMED_REQUEST, "request id")
    return RequestId(text)


REQUEST_KEPT_S: Final = 86_400
"""A request id is kept for so long after its first answer, whatever is asked under it meanwhile."""
EVALUATED_S: Final = 600
"""A request whose answer has ended is answered anew, without another use, for so long after its first answer.

It is what a lost reply needs; for longer, one use of a consent would be a look at the person every five minutes.
"""


def require_open(first_s: float, until_s: float, now_s: float) -> None:
    """Return while a known request is answered, as before or anew (Unix seconds).

    ``first_s``: its first answer. ``until_s``: the end of its newest. Raises REQUEST_ENDED, whoever it is about.
    """
    if until_s <= now_s and now_s - first_s >= EVALUATED_S:
        raise TiergateError(Reason.REQUEST_ENDED)


def request_key(operator: OperatorId, request_id: RequestId) -> bytes:
    """What a request is known by, at the gateway and in a city: SHA-256 over (operator, request id), 32 bytes."""
    return hashlib.sha256(f"{operator}\0{request_id}".encode()).digest()


def request_body(token_hash: bytes, scenario: ScenarioId) -> bytes:
    """What a request id is bound to: SHA-256 of token and scenario, 32 bytes."""
    return hashlib.sha256(token_hash + scenario.encode()).digest()


def parse_digest(text: str) -> BundleDigest:
    """Return ``text`` as a bundle digest."""
    if not _DIGEST.match(text):
        raise TiergateError(Reason.MALFORMED_REQUEST, "bundle digest")
    return BundleDigest(text)


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """Who is at the other end of a mutually authenticated connection (SPIFFE ID, URI SAN of the certificate).

    ``spiffe://<trust-domain>/city/<id>``, ``/city/<id>/app``, ``/operator/<id>``, ``/auditor/<id>``, ``/witness/<id>``
    or ``/gateway`` (whose ``name`` is empty).
    """

    trust_domain: str
    role: Role
    name: str

    @property
    def uri(self) -> str:
        """The SPIFFE ID."""
        base = f"spiffe://{self.trust_domain}"
        match self.role:
            case "gateway":
                return f"{base}/gateway"
            case "city-app":
                return f"{base}/city/{self.name}/app"
            case _:
                return f"{base}/{self.role}/{self.name}"

    @property
    def app(self) -> PeerIdentity:
        """A city's own app, which its city alone knows."""
        return PeerIdentity(self.trust_domain, "city-app", self.name)

    @classmethod
    def parse(cls, uri: str) -> PeerIdentity:
        """Parse a SPIFFE ID; anything but the six shapes above raises CALLER_UNKNOWN."""
        scheme, _, rest = uri.partition("://")
        domain, _, path = rest.partition("/")
        if scheme != "spiffe" or not domain or not re.fullmatch(r"[a-z0-9.-]{1,253}", domain):
            raise TiergateError(Reason.CALLER_UNKNOWN, "not a SPIFFE id")
        parts = path.split("/")
        if parts == ["gateway"]:
            return cls(domain, "gateway", "")
        if len(parts) == 3 and parts[0] == "city" and parts[2] == "app" and SLUG.match(parts[1]):
            return cls(domain, "city-app", parts[1])
        for role in ("city", "operator", "auditor", "witness"):
            if len(parts) == 2 and parts[0] == role and SLUG.match(parts[1]):
                return cls(domain, role, parts[1])
        raise TiergateError(Reason.CALLER_UNKNOWN, "SPIFFE path of no known role")
