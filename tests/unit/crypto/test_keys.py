from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.crypto.jws import decode_segment
from gateway.crypto.keys import (
    Algorithm,
    KeyRing,
    algorithm_of,
    generate_signing_key,
    load_private_key,
    parse_jwk,
    public_jwk,
    sign,
    thumbprint,
    verifier,
    write_private_key,
)
from gateway.domain.directory import DirectoryKey
from gateway.errors import Reason
from tests.unit.crypto.samples import ALGORITHMS, CITY_KEYS, directory_key, refuses

# RFC 8037, appendix A: private key, public key, thumbprint and a signed text
RFC8037_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC8037_JWK = {"crv": "Ed25519", "kty": "OKP", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC8037_JWS = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
# RFC 7515, appendix A.3
RFC7515_JWK = {
    "crv": "P-256",
    "kty": "EC",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC7515_JWS = (
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_thumbprint_of_rfc_8037() -> None:
    assert thumbprint(RFC8037_JWK) == RFC8037_THUMBPRINT


def test_thumbprint_does_not_depend_on_the_order_of_members() -> None:
    assert thumbprint(dict(reversed(RFC8037_JWK.items()))) == RFC8037_THUMBPRINT


def test_ed25519_of_rfc_8037_signs_and_verifies() -> None:
    key = Ed25519PrivateKey.from_private_bytes(decode_segment(RFC8037_D.encode()))
    signing_input, _, signature = RFC8037_JWS.encode().rpartition(b".")
    assert public_jwk(key) == RFC8037_JWK
    assert sign(key, signing_input) == decode_segment(signature)
    verifier(parse_jwk(RFC8037_JWK))(decode_segment(signature), signing_input)


def test_es256_of_rfc_7515_verifies() -> None:
    signing_input, _, signature = RFC7515_JWS.encode().rpartition(b".")
    verifier(parse_jwk(RFC7515_JWK))(decode_segment(signature), signing_input)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_round_trips_through_its_file(alg: Algorithm, tmp_path: Path) -> None:
    key = generate_signing_key(alg)
    path = tmp_path / "signing.pem"
    write_private_key(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_jwk(load_private_key(path)) == public_jwk(key)
    assert algorithm_of(key) == algorithm_of(key.public_key()) == alg


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_round_trips_through_its_jwk(alg: Algorithm) -> None:
    jwk = public_jwk(CITY_KEYS[alg])
    assert public_jwk(parse_jwk(jwk)) == jwk


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_signatures_are_64_bytes_and_verify_over_the_same_data_alone(alg: Algorithm) -> None:
    key = CITY_KEYS[alg]
    check = verifier(key.public_key())
    signature = sign(key, b"data")
    assert len(signature) == 64
    check(signature, b"data")
    with pytest.raises(InvalidSignature):
        check(signature, b"other")


def test_an_existing_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    write_private_key(path, CITY_KEYS["ES256"])
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_private_key(path, CITY_KEYS["EdDSA"])
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_file_that_others_can_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    write_private_key(path, CITY_KEYS["ES256"])
    path.chmod(mode)
    with refuses(Reason.KEY_INVALID):
        load_private_key(path)


def _pem(key: serialization.PrivateFormat, password: bytes | None = None) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return CITY_KEYS["ES256"].private_bytes(serialization.Encoding.PEM, key, encryption)


def _foreign(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem() -> bytes:
    return (
        CITY_KEYS["ES256"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


UNKNOWN_ALGORITHM = b"""-----BEGIN PRIVATE KEY-----
MBYCAQAwCQYHKwYBBAGCNwQGBAQBAgME
-----END PRIVATE KEY-----
"""


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a key", id="garbage"),
        pytest.param(b"\xff\xfe\x00", id="binary"),
        pytest.param(_pem(serialization.PrivateFormat.PKCS8)[:80], id="truncated"),
        pytest.param(_pem(serialization.PrivateFormat.PKCS8, b"secret"), id="encrypted"),
        pytest.param(_public_pem(), id="public key"),
        pytest.param(UNKNOWN_ALGORITHM, id="unknown algorithm"),
        pytest.param(_foreign(rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(_foreign(ec.generate_private_key(ec.SECP384R1())), id="P-384"),
        pytest.param(_foreign(ec.generate_private_key(ec.SECP256K1())), id="secp256k1"),
    ],
)
def test_a_file_that_is_no_usable_key_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with refuses(Reason.KEY_INVALID):
        load_private_key(path)


def test_an_absent_key_file_is_refused(tmp_path: Path) -> None:
    with refuses(Reason.KEY_INVALID):
        load_private_key(tmp_path / "absent.pem")


def test_a_folder_in_place_of_a_key_file_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with refuses(Reason.KEY_INVALID):
        load_private_key(tmp_path)


@pytest.mark.parametrize(
    ("jwk", "changes"),
    [
        pytest.param(RFC8037_JWK, {"kty": "oct"}, id="other kty"),
        pytest.param(RFC8037_JWK, {"crv": "X25519"}, id="key agreement curve"),
        pytest.param(RFC8037_JWK, {"d": RFC8037_D}, id="private member"),
        pytest.param(RFC8037_JWK, {"use": "sig"}, id="optional member"),
        pytest.param(RFC8037_JWK, {"y": RFC8037_JWK["x"]}, id="OKP with y"),
        pytest.param(RFC8037_JWK, {"x": RFC8037_JWK["x"] + "="}, id="padding"),
        pytest.param(RFC8037_JWK, {"x": RFC8037_JWK["x"][:-1]}, id="31 bytes"),
        pytest.param(RFC8037_JWK, {"x": RFC8037_JWK["x"][:-1] + "p"}, id="non-canonical"),
        pytest.param(RFC8037_JWK, {"x": "\u2603" * 43}, id="non-ASCII"),
        pytest.param(RFC8037_JWK, {"x": ""}, id="empty"),
        pytest.param(RFC8037_JWK, {"x": 7}, id="number"),
        pytest.param(RFC7515_JWK, {"crv": "P-384"}, id="other curve"),
        pytest.param(RFC7515_JWK, {"y": RFC7515_JWK["x"]}, id="point off the curve"),
        pytest.param(RFC7515_JWK, {"x": "A" * 43, "y": "A" * 43}, id="point at zero"),
        pytest.param(RFC7515_JWK, {"alg": "ES256"}, id="alg member"),
        pytest.param({}, {}, id="empty object"),
    ],
)
def test_a_jwk_that_is_not_exactly_a_public_key_is_refused(jwk: dict[str, str], changes: dict[str, str]) -> None:
    with refuses(Reason.KEY_INVALID):
        parse_jwk({**jwk, **changes})


def test_a_jwk_without_a_coordinate_is_refused() -> None:
    with refuses(Reason.KEY_INVALID):
        parse_jwk({name: value for name, value in RFC7515_JWK.items() if name != "y"})


@pytest.mark.parametrize(
    ("r", "s"),
    [(0, 0), (0, 1), (1, 0), (ORDER, 1), (1, ORDER), (2**256 - 1, 1), (1, 2**256 - 1)],
)
def test_es256_values_out_of_range_never_verify(r: int, s: int) -> None:
    with pytest.raises(InvalidSignature):
        verifier(CITY_KEYS["ES256"].public_key())(r.to_bytes(32, "big") + s.to_bytes(32, "big"), b"data")


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_a_signature_of_another_length_never_verifies(alg: Algorithm, length: int) -> None:
    signature = (sign(CITY_KEYS[alg], b"data") * 2)[:length]
    with pytest.raises(InvalidSignature):
        verifier(CITY_KEYS[alg].public_key())(signature, b"data")


def test_es256_in_der_never_verifies() -> None:
    key = CITY_KEYS["ES256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        verifier(key.public_key())(der, b"data")


def test_a_ring_holds_its_purpose_alone() -> None:
    keys = [directory_key(CITY_KEYS["ES256"], "consent", "a"), directory_key(CITY_KEYS["EdDSA"], "event", "b")]
    ring = KeyRing("consent", keys)
    assert "a" in ring
    assert "b" not in ring
    assert ring.get("a")[0] == "ES256"
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        ring.get("b")


def test_an_empty_ring_refuses() -> None:
    with refuses(Reason.TOKEN_KEY_UNKNOWN):
        KeyRing("consent", []).get("a")


def test_a_ring_refuses_a_doubled_key_id() -> None:
    keys = [directory_key(CITY_KEYS[alg], "consent", "same") for alg in ALGORITHMS]
    with refuses(Reason.KEY_INVALID):
        KeyRing("consent", keys)


def test_a_ring_refuses_an_algorithm_that_is_not_the_keys() -> None:
    with refuses(Reason.KEY_INVALID):
        KeyRing("consent", [DirectoryKey("a", "consent", "ES256", public_jwk(CITY_KEYS["EdDSA"]))])


def test_a_jwk_is_plain_json_of_the_required_members() -> None:
    assert json.loads(json.dumps(public_jwk(CITY_KEYS["ES256"]))).keys() == RFC7515_JWK.keys()
