from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.domain.ids import ROLES, PeerIdentity, Role, parse_digest, parse_request_id, parse_slug
from gateway.errors import Reason, TiergateError

DOMAIN = "tiergate.example"


def _slug(text: str) -> str:
    return parse_slug(text, "city")


@pytest.mark.parametrize("text", ["a", "0", "fuzhou", "xiamen-library", "a--b", "a1", "x" * 48])
def test_a_slug_is_itself(text: str) -> None:
    assert parse_slug(text, "city") == text


@pytest.mark.parametrize("text", ["r" * 16, "r" * 64, "AZaz09_-AZaz09_-"])
def test_a_request_id_is_itself(text: str) -> None:
    assert parse_request_id(text) == text


def test_a_digest_is_itself() -> None:
    assert parse_digest("0a" * 32) == "0a" * 32


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (_slug, ""),
        (_slug, "-a"),
        (_slug, "a-"),
        (_slug, "-"),
        (_slug, "x" * 49),
        (_slug, "Fuzhou"),
        (_slug, "fu_zhou"),
        (_slug, "fu zhou"),
        (_slug, "fuzhou\n"),
        (_slug, "fuzhou/xiamen"),
        (_slug, "福州"),
        (_slug, "fuzhοu"),  # a Greek letter
        (_slug, "٣"),  # a digit, but not of ASCII
        (_slug, "fuzhou\0"),
        (parse_request_id, ""),
        (parse_request_id, "r" * 15),
        (parse_request_id, "r" * 65),
        (parse_request_id, "r" * 16 + "\n"),
        (parse_request_id, "r" * 15 + " "),
        (parse_request_id, "r" * 15 + "é"),
        (parse_request_id, "r" * 15 + "="),
        (parse_digest, ""),
        (parse_digest, "0a" * 31),
        (parse_digest, "0a" * 33),
        (parse_digest, "0A" * 32),
        (parse_digest, "0a" * 32 + "\n"),
        (parse_digest, "0g" * 32),
        (parse_digest, "sha256:" + "0a" * 32),
    ],
)
def test_a_text_of_another_form_is_refused(parse: Callable[[str], str], text: str) -> None:
    with pytest.raises(TiergateError) as caught:
        parse(text)
    assert caught.value.reason is Reason.MALFORMED_REQUEST
    assert not text or text not in caught.value.detail


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", ["a", "xiamen-library", "app", "gateway", "city"])
def test_an_identity_round_trips(role: Role, name: str) -> None:
    identity = PeerIdentity(DOMAIN, role, "" if role == "gateway" else name)
    assert PeerIdentity.parse(identity.uri) == identity


@pytest.mark.parametrize(
    ("uri", "identity"),
    [
        (f"spiffe://{DOMAIN}/city/fuzhou", PeerIdentity(DOMAIN, "city", "fuzhou")),
        (f"spiffe://{DOMAIN}/city/fuzhou/app", PeerIdentity(DOMAIN, "city-app", "fuzhou")),
        (f"spiffe://{DOMAIN}/operator/xiamen-library", PeerIdentity(DOMAIN, "operator", "xiamen-library")),
        (f"spiffe://{DOMAIN}/auditor/province", PeerIdentity(DOMAIN, "auditor", "province")),
        (f"spiffe://{DOMAIN}/witness/putian", PeerIdentity(DOMAIN, "witness", "putian")),
        (f"spiffe://{DOMAIN}/gateway", PeerIdentity(DOMAIN, "gateway", "")),
    ],
)
def test_the_six_shapes(uri: str, identity: PeerIdentity) -> None:
    assert PeerIdentity.parse(uri) == identity
    assert identity.uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "spiffe://",
        "spiffe:///city/fuzhou",
        DOMAIN,
        f"https://{DOMAIN}/city/fuzhou",
        f"SPIFFE://{DOMAIN}/city/fuzhou",
        f"spiffe:/{DOMAIN}/city/fuzhou",
        f"spiffe://{DOMAIN}",
        f"spiffe://{DOMAIN}/",
        f"spiffe://{DOMAIN.upper()}/gateway",
        f"spiffe://{DOMAIN}:8443/gateway",
        f"spiffe://user@{DOMAIN}/gateway",
        f"spiffe://{'x' * 254}/gateway",
        f"spiffe://{DOMAIN}\n/gateway",
        f"spiffe://{DOMAIN}/gateway/",
        f"spiffe://{DOMAIN}//gateway",
        f"spiffe://{DOMAIN}/gateway/one",
        f"spiffe://{DOMAIN}/gateway?x=y",
        f"spiffe://{DOMAIN}/gateway#x",
        f"spiffe://{DOMAIN}/gateway\n",
        f"spiffe://{DOMAIN}/Gateway",
        f"spiffe://{DOMAIN}/city",
        f"spiffe://{DOMAIN}/city/",
        f"spiffe://{DOMAIN}/city/Fuzhou",
        f"spiffe://{DOMAIN}/city/福州",
        f"spiffe://{DOMAIN}/city/fuzhou/",
        f"spiffe://{DOMAIN}/city/fuzhou/App",
        f"spiffe://{DOMAIN}/city/fuzhou/app/",
        f"spiffe://{DOMAIN}/city/fuzhou/admin",
        f"spiffe://{DOMAIN}/city//app",
        f"spiffe://{DOMAIN}/city/../gateway",
        f"spiffe://{DOMAIN}/city/%66uzhou",
        f"spiffe://{DOMAIN}/city-app/fuzhou",
        f"spiffe://{DOMAIN}/operator/xiamen-library/app",
        f"spiffe://{DOMAIN}/operator/{'x' * 49}",
        f"spiffe://{DOMAIN}/admin/root",
    ],
)
def test_an_identity_of_another_shape_is_unknown(uri: str) -> None:
    with pytest.raises(TiergateError) as caught:
        PeerIdentity.parse(uri)
    assert caught.value.reason is Reason.CALLER_UNKNOWN
