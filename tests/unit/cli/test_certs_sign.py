"""The development authority signs what it was told to sign, and nothing else that a request asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.unit.cli.conftest import Ran, Run

DOMAIN = "spiffe://example.invalid"
CITY, OPERATOR, DNS = f"{DOMAIN}/city/fuzhou", f"{DOMAIN}/operator/xiamen-library", "fuzhou.example.invalid"


@pytest.fixture
def authority(run: Run, tmp_path: Path) -> Path:
    assert run("certs", "dev", "--out", tmp_path, "--identity", f"{DOMAIN}/auditor/province").code == 0
    return tmp_path / "ca"


def requested(run: Run, folder: Path, identity: str, *more: str) -> Path:
    file = folder / "request.csr"
    done = run("certs", "request", "--out", file, "--key-out", folder / "key.pem", "--identity", identity, *more)
    assert done.code == 0, done.err
    return file


def sign(run: Run, request: Path, authority: Path, identity: str, *more: str) -> Ran:
    out = request.with_name("cert.pem")
    place = ("--ca", authority, "--out", out, "--ca-out", request.with_name("ca.pem"))
    return run("certs", "sign", request, *place, "--identity", identity, *more, "--json")


@pytest.mark.parametrize(("identity", "names"), [(CITY, ("--dns", DNS)), (OPERATOR, ())])
def test_a_signed_request_is_a_certificate_of_its_role(
    run: Run, tmp_path: Path, authority: Path, identity: str, names: tuple[str, ...]
) -> None:
    done = sign(run, requested(run, tmp_path, identity, *names), authority, identity, *names)
    assert done.code == 0, done.err
    files = ("--cert", done.document["cert"], "--key", tmp_path / "key.pem", "--ca", done.document["ca"])
    checked = run("certs", "check", *files, "--identity", identity, *names, "--json")
    assert checked.code == 0, checked.out
    assert {item["state"] for item in checked.document["findings"]} == {"ok"}


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ((CITY, "--dns", DNS), (f"{DOMAIN}/city/xiamen", "--dns", DNS)),
        ((CITY, "--dns", DNS), (CITY, "--dns", "gateway.example.invalid")),
        ((CITY, "--dns", DNS), (OPERATOR,)),
        ((OPERATOR,), (f"{DOMAIN}/operator/other",)),
    ],
)
def test_a_request_for_somebody_else_is_refused(
    run: Run, tmp_path: Path, authority: Path, asked: tuple[str, ...], granted: tuple[str, ...]
) -> None:
    done = sign(run, requested(run, tmp_path, *asked), authority, *granted)
    assert done.code == 1
    assert done.document["error"]["reason"] == "REQUEST_MISMATCH"
    assert not (tmp_path / "cert.pem").exists()


def test_what_a_request_asks_for_besides_is_refused(run: Run, tmp_path: Path, authority: Path) -> None:
    names = [x509.UniformResourceIdentifier(OPERATOR), x509.RFC822Name("root@example.invalid")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        ec.generate_private_key(ec.SECP256R1()), SHA256()
    )
    (tmp_path / "request.csr").write_bytes(request.public_bytes(Encoding.PEM))
    assert sign(run, tmp_path / "request.csr", authority, OPERATOR).document["error"]["reason"] == "REQUEST_MISMATCH"


def test_another_kind_of_key_is_refused(run: Run, tmp_path: Path, authority: Path) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(OPERATOR)])
    request = builder.add_extension(names, critical=False).sign(ec.generate_private_key(ec.SECP384R1()), SHA256())
    (tmp_path / "request.csr").write_bytes(request.public_bytes(Encoding.PEM))
    assert sign(run, tmp_path / "request.csr", authority, OPERATOR).code == 2


@pytest.mark.parametrize("content", [b"", b"nothing", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_what_is_no_request_is_told_in_words(run: Run, tmp_path: Path, authority: Path, content: bytes) -> None:
    (tmp_path / "request.csr").write_bytes(content)
    done = sign(run, tmp_path / "request.csr", authority, OPERATOR)
    assert done.code == 2
    assert "tiergate certs request" in done.err


def test_days_are_bounded_and_the_authority_must_be_there(run: Run, tmp_path: Path, authority: Path) -> None:
    request = requested(run, tmp_path, OPERATOR)
    assert sign(run, request, authority, OPERATOR, "--days", "0").code == 2
    assert sign(run, request, tmp_path / "nowhere", OPERATOR).code == 2


def test_a_public_key_is_written_to_be_handed_over(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "key.jwk"
    done = run("certs", "key", "--purpose", "authority", "--out", tmp_path / "key.pem", "--public-out", out, "--json")
    assert out.read_text("ascii").strip().startswith("{")
    assert sorted(done.document["jwk"]) == ["crv", "kty", "x"]
    log = ("--purpose", "log", "--origin", "log.example.invalid", "--out", tmp_path / "log")
    assert run("certs", "key", *log, "--public-out", out).code == 2
