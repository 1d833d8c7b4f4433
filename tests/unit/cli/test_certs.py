from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from gateway.consentlog.note import SignerKey
from gateway.crypto.keys import algorithm_of, load_private_key, public_jwk, thumbprint
from tests.unit.cli.conftest import Run

DOMAIN = "spiffe://example.invalid"
CITY, OPERATOR = f"{DOMAIN}/city/fuzhou", f"{DOMAIN}/operator/xiamen-library"


def dev(run: Run, out: Path, identity: str, *more: object) -> dict[str, str]:
    done = run("certs", "dev", "--out", out, "--identity", identity, *more, "--json")
    assert done.code == 0, done.err
    document: dict[str, str] = done.document
    return document


def check(run: Run, files: dict[str, str], *more: object) -> tuple[int, list[dict[str, str]]]:
    done = run("certs", "check", "--cert", files["cert"], "--key", files["key"], "--ca", files["ca"], *more, "--json")
    return done.code, done.document["findings"]


def problems(findings: list[dict[str, str]]) -> list[str]:
    assert all(item["remedy"] for item in findings if item["state"] != "ok")
    return [item["message"] for item in findings if item["state"] == "problem"]


def test_development_certificates_of_one_authority(run: Run, tmp_path: Path) -> None:
    city = dev(run, tmp_path, CITY, "--dns", "fuzhou.example.invalid", "--ip", "127.0.0.1")
    operator = dev(run, tmp_path, OPERATOR)
    assert Path(city["ca"]).read_bytes() == Path(operator["ca"]).read_bytes()
    assert Path(city["key"]).stat().st_mode & 0o077 == 0
    code, findings = check(run, city, "--identity", CITY, "--dns", "fuzhou.example.invalid")
    assert (code, problems(findings)) == (0, [])
    assert check(run, operator, "--identity", OPERATOR)[0] == 0


def test_show(run: Run, tmp_path: Path) -> None:
    files = dev(run, tmp_path, CITY, "--dns", "fuzhou.example.invalid")
    assert "fuzhou.example.invalid" in run("certs", "show", files["cert"]).out
    (shown,) = run("certs", "show", files["cert"], "--json").document["certificates"]
    assert shown["identity"] == CITY
    assert shown["usages"] == "serverAuth, clientAuth"
    assert shown["key"] == "secp256r1"
    assert shown["not_after"].endswith("Z")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--identity", "https://example.invalid"),
        ("--identity", f"{DOMAIN}/king/x"),
        ("--identity", CITY),
        ("--identity", OPERATOR, "--dns", "x.invalid"),
        ("--identity", OPERATOR, "--ip", "127.0.0.1"),
        ("--identity", CITY, "--dns", "x.invalid", "--ip", "localhost"),
        ("--identity", OPERATOR, "--days", "0"),
    ],
    ids=" ".join,
)
def test_certificates_that_no_role_has(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run("certs", "dev", "--out", tmp_path / "out", *arguments)
    assert done.code == 2
    assert not (tmp_path / "out").exists()


def test_a_certificate_of_another_identity(run: Run, tmp_path: Path) -> None:
    code, findings = check(run, dev(run, tmp_path, OPERATOR), "--identity", f"{DOMAIN}/operator/other")
    assert code == 1
    assert any("URI SAN" in text for text in problems(findings))


def test_a_client_certificate_for_a_serving_role(run: Run, tmp_path: Path) -> None:
    files = dev(run, tmp_path, OPERATOR)
    code, findings = check(run, files, "--identity", CITY, "--dns", "fuzhou.example.invalid")
    assert code == 1
    texts = " ".join(problems(findings))
    assert "does not name fuzhou.example.invalid" in texts
    assert "extended key usage is clientAuth" in texts


def test_a_key_of_another_certificate(run: Run, tmp_path: Path) -> None:
    one, two = dev(run, tmp_path, OPERATOR), dev(run, tmp_path, f"{DOMAIN}/auditor/province")
    code, findings = check(run, {**one, "key": two["key"]})
    assert code == 1
    assert "is not the key of" in problems(findings)[0]


def test_a_key_that_others_can_read(run: Run, tmp_path: Path) -> None:
    files = dev(run, tmp_path, OPERATOR)
    Path(files["key"]).chmod(0o640)
    code, findings = check(run, files)
    assert code == 1
    assert "chmod 600" in problems(findings)[0]


def test_another_authority_and_a_near_expiry_are_warnings(run: Run, tmp_path: Path) -> None:
    files = dev(run, tmp_path / "one", OPERATOR, "--days", "3")
    other = dev(run, tmp_path / "two", OPERATOR)
    code, findings = check(run, {**files, "ca": other["ca"]})
    assert code == 0
    assert [item["state"] for item in findings] == ["warning", "warning"]


@pytest.mark.parametrize("part", ["cert", "key", "ca"])
def test_a_file_that_is_missing(run: Run, tmp_path: Path, part: str) -> None:
    files = dev(run, tmp_path, OPERATOR) | {part: str(tmp_path / "nowhere")}
    code, findings = check(run, files)
    assert code == 1
    assert problems(findings)


def test_what_is_no_certificate_is_not_shown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("nothing", "utf-8")
    assert run("certs", "show", tmp_path / "file").code == 2
    assert run("certs", "show", tmp_path / "nowhere").code == 2


@pytest.mark.parametrize(
    ("purpose", "alg"),
    [("authority", "EdDSA"), ("consent", "ES256"), ("attestation", "ES256"), ("event", "ES256"), ("proof", "ES256")],
)
def test_a_signing_key(run: Run, tmp_path: Path, purpose: str, alg: str) -> None:
    document = run("certs", "key", "--purpose", purpose, "--out", tmp_path / "key", "--json").document
    jwk = public_jwk(load_private_key(tmp_path / "key"))
    assert (document["jwk"], document["kid"], document["alg"]) == (jwk, thumbprint(jwk), alg)


@pytest.mark.parametrize("purpose", ["authority", "consent", "attestation", "event", "proof"])
@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_signing_key_of_a_chosen_algorithm(run: Run, tmp_path: Path, purpose: str, alg: str) -> None:
    done = run("certs", "key", "--purpose", purpose, "--alg", alg, "--out", tmp_path / "key", "--json")
    assert done.document["alg"] == alg
    assert algorithm_of(load_private_key(tmp_path / "key")) == alg


def test_a_log_key(run: Run, tmp_path: Path) -> None:
    done = run("certs", "key", "--purpose", "log", "--origin", "log.example/2026", "--out", tmp_path / "key", "--json")
    signer = SignerKey.parse((tmp_path / "key").read_text("ascii").strip())
    assert done.document["vkey"] == str(signer.verifier)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in done.out + done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--purpose", "log"),
        ("--purpose", "proof", "--origin", "x"),
        ("--purpose", "log", "--origin", "a b"),
        ("--purpose", "log", "--origin", "a", "--alg", "ES256"),
    ],
    ids=" ".join,
)
def test_an_origin_is_for_log_keys(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("certs", "key", *arguments, "--out", tmp_path / "key").code == 2
    assert not (tmp_path / "key").exists()


@pytest.mark.parametrize("arguments", [("--purpose", "proof"), ("--purpose", "log", "--origin", "x")], ids=" ".join)
def test_a_key_is_never_overwritten(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "key").write_text("precious", "utf-8")
    assert run("certs", "key", *arguments, "--out", tmp_path / "key").code == 2
    assert (tmp_path / "key").read_text("utf-8") == "precious"


def test_a_request_carries_identity_and_name(run: Run, tmp_path: Path) -> None:
    out, key = tmp_path / "request.pem", tmp_path / "key.pem"
    arguments = ("--out", out, "--key-out", key, "--identity", CITY, "--dns", "fuzhou.example.invalid")
    assert run("certs", "request", *arguments).code == 0
    made = x509.load_pem_x509_csr(out.read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [CITY]
    assert names.get_values_for_type(x509.DNSName) == ["fuzhou.example.invalid"]
    assert made.is_signature_valid
    assert load_private_key(key).public_key() == made.public_key()
    assert run("certs", "request", *arguments).code == 2
