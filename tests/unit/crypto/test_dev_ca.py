from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from gateway.crypto.dev_ca import DevCa, IssuedFiles
from gateway.domain.ids import PeerIdentity, Role
from gateway.errors import Reason, TiergateError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def peer(role: Role) -> PeerIdentity:
    return PeerIdentity("test.example", role, "" if role == "gateway" else "fuzhou")


def certificate(files: IssuedFiles) -> x509.Certificate:
    return x509.load_pem_x509_certificate(files.cert.read_bytes())


@pytest.fixture
def ca(tmp_path: Path) -> DevCa:
    return DevCa.create(tmp_path / "authority", now=NOW)


@pytest.mark.parametrize(
    ("role", "names", "usages"),
    [
        ("gateway", ["g.internal"], [SERVER, CLIENT]),
        ("city", ["c.internal"], [SERVER, CLIENT]),
        ("city-app", [], [CLIENT]),
        ("operator", [], [CLIENT]),
        ("auditor", [], [CLIENT]),
        ("witness", [], [CLIENT]),
    ],
)
def test_a_certificate_holds_what_its_role_needs(
    ca: DevCa, tmp_path: Path, role: Role, names: list[str], usages: list[x509.ObjectIdentifier]
) -> None:
    ips = ["127.0.0.1"] if names else []
    found = certificate(ca.issue(peer(role), tmp_path / "holder", now=NOW, names=names, ips=ips))
    sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.UniformResourceIdentifier) == [peer(role).uri]
    assert sans.get_values_for_type(x509.DNSName) == names
    assert [str(ip) for ip in sans.get_values_for_type(x509.IPAddress)] == ips
    assert list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


@pytest.mark.parametrize(
    ("role", "names", "ips"), [("gateway", [], []), ("operator", ["o.internal"], []), ("operator", [], ["127.0.0.1"])]
)
def test_names_that_do_not_fit_the_role_are_refused(
    ca: DevCa, tmp_path: Path, role: Role, names: list[str], ips: list[str]
) -> None:
    with pytest.raises(ValueError, match="DNS name"):
        ca.issue(peer(role), tmp_path / "holder", now=NOW, names=names, ips=ips)


def test_certificates_begin_early_end_soon_and_have_serials_of_their_own(ca: DevCa, tmp_path: Path) -> None:
    one, two = (certificate(ca.issue(peer("operator"), tmp_path / name, now=NOW, days=7)) for name in ("one", "two"))
    assert one.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert one.not_valid_after_utc == NOW + timedelta(days=7)
    assert one.serial_number != two.serial_number
    assert one.serial_number.bit_length() > 64


def test_the_chain_stands_up_to_a_strict_verifier(ca: DevCa, tmp_path: Path) -> None:
    """``cryptography``'s own path validation follows the CA/Browser Forum's rules where they are stricter."""
    files = ca.issue(peer("gateway"), tmp_path / "g", now=NOW, names=["g.internal"])
    store = Store([x509.load_pem_x509_certificate(files.ca.read_bytes())])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("g.internal"))
    assert len(verifier.verify(certificate(files), [])) == 2


def test_private_files_are_the_owner_s_alone(ca: DevCa, tmp_path: Path) -> None:
    files = ca.issue(peer("operator"), tmp_path / "holder", now=NOW)
    for path in (files.key, tmp_path / "authority" / "ca.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    for folder in (files.key.parent, tmp_path / "authority"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in files.key.parent.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


def test_a_renewal_replaces_key_and_certificate(ca: DevCa, tmp_path: Path) -> None:
    old = ca.issue(peer("operator"), tmp_path / "holder", now=NOW)
    before = (old.cert.read_bytes(), old.key.read_bytes())
    new = ca.issue(peer("operator"), tmp_path / "holder", now=NOW)
    assert new == old
    assert {new.cert.read_bytes(), new.key.read_bytes()}.isdisjoint(before)


def test_a_loaded_authority_issues_for_the_same_trust(ca: DevCa, tmp_path: Path) -> None:
    loaded = DevCa.load(tmp_path / "authority")
    assert loaded.certificate == ca.certificate
    loaded.issue(peer("operator"), tmp_path / "holder", now=NOW)


def test_an_authority_is_never_overwritten(ca: DevCa, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        DevCa.create(tmp_path / "authority", now=NOW)
    assert DevCa.load(tmp_path / "authority").certificate == ca.certificate


def test_a_broken_authority_is_refused(ca: DevCa, tmp_path: Path) -> None:
    DevCa.create(tmp_path / "other", now=NOW)
    cert = tmp_path / "authority" / "ca.pem"
    for broken in ((tmp_path / "other" / "ca.pem").read_bytes(), b"no certificate"):
        cert.write_bytes(broken)
        with pytest.raises(TiergateError) as caught:
            DevCa.load(tmp_path / "authority")
        assert caught.value.reason is Reason.CERTIFICATE_INVALID
    cert.unlink()
    with pytest.raises(TiergateError) as caught:
        DevCa.load(tmp_path / "authority")
    assert caught.value.reason is Reason.CERTIFICATE_INVALID
