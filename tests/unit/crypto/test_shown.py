"""What a QR code carries: without loss, small enough, and in words what is wrong with what is none."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
import segno

from gateway.crypto import shown
from gateway.crypto.consent import ConsentToken, issue_consent, new_id
from gateway.crypto.keys import Algorithm, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_device_proof
from gateway.crypto.shown import MAX_QR_VERSION, QR_ERROR_LEVEL, Shown, encode_handle, encode_shown, read_shown
from gateway.domain.handle import HandleForm, new_handle
from gateway.domain.ids import CityId, OperatorId, ScenarioId
from tests.unit.crypto.samples import ALGORITHMS, CITY_KEYS, KID, NOW, bound, compact, counted

ALPHANUMERIC = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def _shown(alg: Algorithm = "ES256", **changes: Any) -> Shown:
    key = generate_signing_key(alg)
    token = counted(**{
        "subject": secrets.token_urlsafe(32), "id": new_id(), "notice": secrets.token_hex(32),
        "operator": OperatorId("xiamen-library"), "scenarios": {ScenarioId("xiamen-library"): "library-loan"},
        "key_thumbprint": thumbprint(public_jwk(key)), "of_device": True, **changes,
    })  # fmt: skip
    text, digest = issue_consent(CITY_KEYS["ES256"], KID, token)
    scenario = next(iter(token.scenarios))
    return Shown(
        text,
        issue_device_proof(
            key, token_hash=digest, operator=token.operator, scenario=scenario, issued_at=NOW, proof_id=new_id()
        ),
    )


def _alone(token: ConsentToken) -> Shown:
    return Shown(issue_consent(CITY_KEYS["ES256"], KID, token)[0], "")


def _version(text: str) -> int:
    version = segno.make(text, error=QR_ERROR_LEVEL, micro=False, boost_error=False).version
    assert isinstance(version, int)
    return version


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("uses", [1, None])
def test_a_devices_presentation_fits_a_cheap_screen(alg: Algorithm, uses: int | None) -> None:
    presented = _shown(alg, uses=uses)
    text = encode_shown(presented)
    assert read_shown(text) == presented
    assert set(text) <= ALPHANUMERIC
    assert len(presented.token) + len(presented.proof) > 2 * len(text)
    assert len(text) <= 585
    assert _version(text) <= 15


def test_a_token_alone_is_smaller() -> None:
    for token in (counted(), bound()):
        presented = _alone(token)
        text = encode_shown(presented)
        assert read_shown(text) == presented
        assert _version(text) <= 13


@pytest.mark.parametrize(("form", "version"), [("typed", 2), ("qr", 3)])
def test_a_handle_is_smallest(form: HandleForm, version: int) -> None:
    handle = new_handle(CityId("fuzhou"), form, secrets.choice)
    text = encode_handle(handle)
    assert read_shown(text) == handle
    assert set(text) <= ALPHANUMERIC
    assert _version(text) == version


def test_the_largest_token_of_one_scenario_fits_too() -> None:
    long = "c" + "".join(secrets.choice("abcdefgh01234567") for _ in range(46)) + "x"
    presented = _shown(operator=OperatorId(long), scenarios={ScenarioId(long[::-1].replace("x", "y")): long + ""})
    assert _version(encode_shown(presented)) <= MAX_QR_VERSION


def test_the_text_survives_a_scanner_that_types_an_end_of_line() -> None:
    for _ in range(50):  # one in 45 ends with a space before its stop
        presented = _shown()
        assert read_shown(f"  {encode_shown(presented)}\r\n") == presented


def test_a_code_that_was_typed_is_read_as_such() -> None:
    handle = new_handle(CityId("fuzhou"), "typed", secrets.choice)
    assert read_shown(handle.spoken()) == handle


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"token": "not a token"}, id="no token"),
        pytest.param({"token": "a.b"}, id="two segments"),
        pytest.param({"proof": "a.b.c"}, id="no proof"),
        pytest.param({"token": "bäd"}, id="not ASCII"),
    ],
)
def test_what_is_no_presentation_is_not_encoded(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        encode_shown(replace(_shown(), **changes))


def test_odd_but_sound_spellings_are_kept_as_they_are() -> None:
    """What is signed is the exact text: another city's software may write it otherwise."""
    head = b'{ "typ":"consent+jwt",\n\t"alg":"ES256", "kid":"%s"}' % (b"A" * 43)
    claims = b'{"jti":"AAAAAAAAAAAAAAAAAAAAAB","name":"%s","text":"\xe5\xb8\x82 \\u0001"}' % (b"f" * 64)
    token = compact(head, claims)
    keyed = b'{"jwk":{"y":"%s","x":"%s","kty":"EC","crv":"P-256"},"alg":"ES256"}' % (b"B" * 42 + b"A", b"C" * 42 + b"A")
    for presented in (Shown(token, ""), Shown(token, compact(keyed, claims)), Shown(token, compact(b"{}", b"{}"))):
        assert read_shown(encode_shown(presented)) == presented


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:-1], "damaged"),
        (lambda text: text[:-5] + ".", "damaged"),
        (lambda text: text[:40] + text[43:], "damaged"),
        (lambda text: text[:-1] + "AAA.", "damaged"),
        (lambda text: text[:5] + ":::" + text[8:], "damaged"),
        (lambda text: text.lower(), "city"),
        (lambda text: "TG2P:" + text[5:], "city|characters"),
        (lambda text: "TG1P:.", "damaged"),
        (lambda text: "TG1P:", "damaged"),
        (lambda text: "TG1P:ü.", "damaged"),
        (lambda text: "TG1H:FUZHOU", "city"),
        (lambda text: "https://example.invalid/", "city"),
        (lambda text: "", "city"),
    ],
)
def test_what_is_damaged_says_so(change: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_shown(change(encode_shown(_shown())))


def test_a_small_code_cannot_unpack_to_a_large_text() -> None:
    bomb = shown._pack(Shown(compact({"a": "b" * 100_000}, {}), ""))
    with pytest.raises(ValueError, match="damaged"):
        read_shown(f"TG1P:{shown._to_base45(bomb)}.")


def test_base45_is_that_of_its_rfc() -> None:
    """RFC 9285, section 4.3 and 4.4."""
    for data, text in (
        (b"AB", "BB8"),
        (b"Hello!!", "%69 VD92EX0"),
        (b"base-45", "UJCLQE7W581"),
        (b"ietf!", "QED8WEX0"),
    ):
        assert shown._to_base45(data) == text
        assert shown._from_base45(text) == data
    for text in ("GGW", ":::", "A", "AAAA", ":A"):
        with pytest.raises(ValueError):
            shown._from_base45(text)


def test_a_presentation_shows_itself_to_nobody() -> None:
    assert _shown().token not in repr(_shown())
