"""Whatever is shown comes back as it was, or is refused in words."""

from __future__ import annotations

import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto import shown
from gateway.crypto.consent import ConsentToken, issue_consent
from gateway.crypto.keys import Algorithm, generate_signing_key, public_jwk, thumbprint
from gateway.crypto.proof import issue_device_proof
from gateway.crypto.shown import Shown, encode_shown, read_shown
from gateway.domain.handle import Handle
from tests.property import strategies

KEYS = {"ES256": generate_signing_key("ES256"), "EdDSA": generate_signing_key("EdDSA")}


@given(city=strategies.algorithms, device=strategies.algorithms, token=strategies.consents(), data=st.data())
def test_every_presentation_comes_back(
    city: Algorithm, device: Algorithm, token: ConsentToken, data: st.DataObject
) -> None:
    token = replace(token, key_thumbprint=thumbprint(public_jwk(KEYS[device])), of_device=True)
    text, digest = issue_consent(KEYS[city], "key-1", token)
    proof = issue_device_proof(
        KEYS[device],
        token_hash=digest,
        operator=token.operator,
        scenario=data.draw(st.sampled_from(sorted(token.scenarios))),
        issued_at=token.not_before,
        proof_id=data.draw(strategies.request_ids),
    )
    for presented in (Shown(text, proof), Shown(text, "")):
        assert read_shown(encode_shown(presented)) == presented


def _read(text: str) -> None:
    try:
        found: Handle | Shown | str = read_shown(text)
    except ValueError as error:
        found = str(error)
    assert found


@given(text=st.text() | st.text(shown._BASE45).map(lambda text: f"TG1P:{text}."))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    _read(text)


@given(
    skeleton=st.text('\x00\x01\x02\x03\x04\x05\x06\x07{}":,jwkxy.') | st.text(),
    rest=st.binary(max_size=200),
)
def test_any_skeleton_is_read_or_refused_in_words(skeleton: str, rest: bytes) -> None:
    deflate = zlib.compressobj(wbits=-15, zdict=shown._WORDS)
    packed = deflate.compress(skeleton.encode("utf-8", "replace")) + deflate.flush()
    _read(f"TG1P:{shown._to_base45(len(packed).to_bytes(2, 'big') + packed + rest)}.")
