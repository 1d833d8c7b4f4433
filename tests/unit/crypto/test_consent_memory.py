"""What a verifier remembers saves reading, and a signature check if that is wished; never another check."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.crypto import jws
from gateway.crypto.consent import ConsentToken, ConsentVerifier, new_id
from gateway.crypto.keys import KeyRing
from gateway.errors import Reason, TiergateError
from tests.unit.crypto.samples import (
    LIBRARY,
    NOW,
    TRANSIT,
    changed,
    compact,
    consent_verifier,
    counted,
    header,
    refuses,
)


def _signed(**changes: Any) -> str:
    return compact(header(), changed(counted().claims(), **changes))


def _verify(text: str, now_s: float = NOW, *, verifier: ConsentVerifier) -> ConsentToken:
    return verifier.verify(text, operator=LIBRARY, now_s=now_s)


@pytest.fixture(params=[False, True], ids=["verifying", "trusting"])
def remembering(request: pytest.FixtureRequest) -> tuple[ConsentVerifier, str]:
    verifier = consent_verifier(remember=2, trusting=request.param)
    text = _signed()
    _verify(text, verifier=verifier)
    assert text in verifier._seen
    return verifier, text


def test_a_remembered_token_is_the_same_value(remembering: tuple[ConsentVerifier, str]) -> None:
    verifier, text = remembering
    assert _verify(text, verifier=verifier) == _verify(text, verifier=consent_verifier())


def test_a_remembered_token_still_expires(remembering: tuple[ConsentVerifier, str]) -> None:
    verifier, text = remembering
    with refuses(Reason.TOKEN_EXPIRED):
        _verify(text, NOW + 3600, verifier=verifier)


def test_a_remembered_token_is_still_not_valid_before_its_time(remembering: tuple[ConsentVerifier, str]) -> None:
    verifier, text = remembering
    with refuses(Reason.TOKEN_NOT_YET_VALID):
        _verify(text, NOW - 600, verifier=verifier)


def test_a_remembered_token_is_still_of_its_operator(remembering: tuple[ConsentVerifier, str]) -> None:
    verifier, text = remembering
    with refuses(Reason.TOKEN_OTHER_OPERATOR):
        verifier.verify(text, operator=TRANSIT, now_s=NOW)


def test_a_remembered_token_is_still_of_its_audience() -> None:
    verifier = consent_verifier(remember=2)
    text = _signed(aud="gateway-of-zhejiang")
    for _ in range(2):
        with refuses(Reason.TOKEN_AUDIENCE_WRONG):
            _verify(text, verifier=verifier)


def test_what_does_not_verify_is_not_remembered() -> None:
    verifier = consent_verifier(remember=2)
    for text in (_signed(uses=0), _signed()[:-4] + "AAAA"):
        with pytest.raises(TiergateError):
            _verify(text, verifier=verifier)
    assert not verifier._seen


def test_the_oldest_remembered_token_makes_room() -> None:
    verifier = consent_verifier(remember=2)
    texts = [_signed(jti=new_id()) for _ in range(3)]
    for text in texts:
        _verify(text, verifier=verifier)
    assert list(verifier._seen) == texts[1:]
    _verify(texts[0], verifier=verifier)
    assert len(verifier._seen) == 2


def test_nothing_is_remembered_unless_asked() -> None:
    verifier = consent_verifier()
    _verify(_signed(), verifier=verifier)
    assert not verifier._seen


@pytest.mark.parametrize(("trusting", "checks"), [(False, 3), (True, 1)])
def test_the_signature_is_verified_on_every_call_unless_trusted(
    trusting: bool, checks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[bytes] = []
    genuine = jws.verify

    def counting(parsed: jws.Unverified, ring: KeyRing) -> dict[str, Any]:
        verified.append(parsed.signature)
        return genuine(parsed, ring)

    monkeypatch.setattr(jws, "verify", counting)
    verifier, text = consent_verifier(remember=2, trusting=trusting), _signed()
    for _ in range(3):
        _verify(text, verifier=verifier)
    assert len(verified) == checks


def test_a_remembered_token_whose_signature_no_longer_verifies_is_refused() -> None:
    verifier, text = consent_verifier(remember=2), _signed()
    _verify(text, verifier=verifier)
    token, parsed, ring = verifier._seen[text]
    verifier._seen[text] = (token, parsed._replace(signature=bytes(64)), ring)
    with refuses(Reason.TOKEN_SIGNATURE_INVALID):
        _verify(text, verifier=verifier)
