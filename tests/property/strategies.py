"""All Hypothesis strategies of the test suite: what well-formed values of each kind look like."""

from __future__ import annotations

import string
from typing import Any, get_args

from hypothesis import strategies as st

from gateway.crypto.attestation import MAX_LIFETIME_S, Attestation, request_binding
from gateway.crypto.consent import MAX_DETAILS, MAX_USES, ConsentToken
from gateway.crypto.event import MAX_INDEX, SecurityEvent
from gateway.crypto.keys import Algorithm, b64url
from gateway.domain.consent import STEPS, Contested, EventKind
from gateway.domain.ids import ROLES, BundleDigest, CityId, OperatorId, PeerIdentity, RequestId, ScenarioId
from gateway.domain.tier import MAX_LEVEL

BASE64URL = string.ascii_letters + string.digits + "-_"
LAST_MINUTE = 2**33 // 60  # the year 2242

algorithms: st.SearchStrategy[Algorithm] = st.sampled_from(("ES256", "EdDSA"))
slugs = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?", fullmatch=True)
hashes = st.binary(min_size=32, max_size=32)
hex_digests = hashes.map(bytes.hex)
token_ids = st.text(BASE64URL, min_size=22, max_size=64)
request_ids = st.text(BASE64URL, min_size=16, max_size=64).map(RequestId)
audiences = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)

json_scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
json_values: st.SearchStrategy[Any] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def identities(draw: st.DrawFn) -> PeerIdentity:
    """A peer of any role."""
    role = draw(st.sampled_from(ROLES))
    domain = draw(st.text(string.ascii_lowercase + string.digits + ".-", min_size=1, max_size=253))
    return PeerIdentity(domain, role, "" if role == "gateway" else draw(slugs))


@st.composite
def consents(draw: st.DrawFn) -> ConsentToken:
    """A consent that may be issued: bound, or good for one use, or both."""
    start, end = sorted(draw(st.lists(st.integers(0, LAST_MINUTE), min_size=2, max_size=2, unique=True)))
    uses = draw(st.none() | st.integers(1, MAX_USES))
    mark = hashes.map(b64url)
    bound_to = draw(st.none() | mark if uses == 1 else mark)
    return ConsentToken(
        hash=b"",
        issuer=CityId(draw(slugs)),
        audience=draw(audiences),
        subject=b64url(draw(hashes)),
        operator=OperatorId(draw(slugs)),
        scenarios=draw(st.dictionaries(slugs.map(ScenarioId), slugs, min_size=1, max_size=MAX_DETAILS)),
        issued_at=draw(st.integers(0, start)) * 60,
        not_before=start * 60,
        expires_at=end * 60,
        id=draw(token_ids),
        uses=uses,
        notice=draw(hex_digests),
        key_thumbprint=bound_to,
        of_device=bound_to is not None and draw(st.booleans()),
    )


@st.composite
def attestations(draw: st.DrawFn, token: ConsentToken) -> Attestation:
    """An attestation that answers a question about the token, within the token's life."""
    lifetime = draw(st.integers(1, min(MAX_LIFETIME_S, token.expires_at)))  # no earlier than the epoch
    return Attestation(
        id=draw(token_ids),
        issuer=token.issuer,
        audience=token.audience,
        subject=token.subject,
        operator=token.operator,
        token_hash=token.hash,
        scenario=draw(st.sampled_from(sorted(token.scenarios))),
        bundle=BundleDigest(draw(hex_digests)),
        rung=draw(st.integers(0, MAX_LEVEL)),
        issued_at=token.expires_at - lifetime,
        expires_at=token.expires_at,
        request=None if token.uses is None else request_binding(token.operator, draw(request_ids)),
    )


@st.composite
def events(draw: st.DrawFn) -> SecurityEvent:
    """An event of any kind, with a subject of its kind."""
    kind = draw(st.sampled_from(get_args(EventKind)))
    subjects: dict[EventKind, st.SearchStrategy[str | Contested | None]] = {
        "correction": st.none(),
        "contest": st.builds(Contested, st.integers(0, MAX_INDEX), st.sampled_from(STEPS)),
    }
    return SecurityEvent(
        id=draw(token_ids),
        issuer=CityId(draw(slugs)),
        audience=draw(audiences),
        kind=kind,
        subject=draw(subjects.get(kind, token_ids)),
        issued_at=draw(st.integers(0, LAST_MINUTE)),
    )


@st.composite
def one_character_changed(draw: st.DrawFn, text: str) -> str:
    """The text with one character replaced, inserted or removed."""
    place = draw(st.integers(0, len(text) - 1))
    new = draw(st.sampled_from(BASE64URL + "+/=. \n") | st.characters())
    changed = draw(
        st.sampled_from(
            (
                text[:place] + new + text[place + 1 :],
                text[:place] + new + text[place:],
                text[:place] + text[place + 1 :],
            )
        )
    )
    return changed if changed != text else text + new
