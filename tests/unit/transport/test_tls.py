from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from structlog.testing import capture_logs

from gateway.crypto.keys import write_private_key
from gateway.errors import Reason, TiergateError
from gateway.transport.tls import LOOK_EVERY_S, MAX_FILE_BYTES, CertificateFiles, WatchedCertificate
from tests.fakes.ca import FakeCa, identity

GATEWAY = identity("gateway")


@pytest.fixture
def ca(tmp_path: Path) -> FakeCa:
    return FakeCa(tmp_path)


def refused(files: CertificateFiles) -> tuple[Reason, str]:
    with pytest.raises(TiergateError) as caught:
        files.read()
    return caught.value.reason, caught.value.detail


def test_sound_files_are_read(ca: FakeCa) -> None:
    pem = ca.sound(GATEWAY).read()
    assert pem.chain.startswith(b"-----BEGIN CERTIFICATE")
    assert pem.authorities != pem.chain


def test_each_missing_or_broken_file_is_named(ca: FakeCa) -> None:
    for which in ("cert", "ca"):
        files = ca.sound(GATEWAY)
        path: Path = getattr(files, which)
        path.write_text("no certificate")
        assert refused(files) == (Reason.CERTIFICATE_INVALID, f"{path.name} holds no PEM certificate")
        path.write_bytes(bytes(MAX_FILE_BYTES + 1))
        assert "larger" in refused(files)[1]
        path.unlink()
        assert refused(files) == (Reason.CERTIFICATE_INVALID, f"{path.name} cannot be read")


def test_a_key_that_others_can_read_is_refused(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    files.key.chmod(0o640)
    assert refused(files)[0] is Reason.KEY_INVALID


def test_the_key_of_another_certificate_is_refused(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    ca.sound(GATEWAY).key.replace(files.key)
    reason, detail = refused(files)
    assert reason is Reason.CERTIFICATE_INVALID
    assert "is not the key of" in detail


def test_an_ed25519_key_is_refused(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    files.key.unlink()
    write_private_key(files.key, ed25519.Ed25519PrivateKey.generate())
    assert refused(files)[0] is Reason.KEY_INVALID


def test_facts_of_a_certificate(ca: FakeCa) -> None:
    assert ca.sound(GATEWAY).facts().uris == (GATEWAY.uri,)
    assert ca.unsound(names=["a.internal"]).facts().names == ("a.internal",)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += LOOK_EVERY_S
        return self.now


def test_a_renewal_is_seen_and_logged_once(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    watched = WatchedCertificate(files, monotonic=Clock())
    first = watched.current()
    assert watched.current() is first
    ca.sound(GATEWAY, folder=files.cert.parent)
    with capture_logs() as lines:
        second = watched.current()
        assert watched.current() is second
    assert second.chain != first.chain
    assert [line["event"] for line in lines] == ["certificate_renewed"]


def test_files_are_looked_at_once_a_second_at_most(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    watched = WatchedCertificate(files, monotonic=lambda: 5.0)
    first = watched.current()
    ca.sound(GATEWAY, folder=files.cert.parent)
    assert watched.current() is first


def test_files_that_do_not_fit_leave_the_old_in_use_and_are_complained_of_once(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    watched = WatchedCertificate(files, monotonic=Clock())
    first = watched.current()
    other = ca.sound(GATEWAY)
    other.cert.replace(files.cert)
    with capture_logs() as lines:
        assert [watched.current() for _ in range(3)] == [first] * 3
    assert [line["event"] for line in lines] == ["certificate_not_renewed"]
    other.key.replace(files.key)
    assert watched.current() == (files.cert.read_bytes(), watched.current().key, first.authorities)
    assert watched.current() != first


def test_a_file_that_disappears_leaves_the_old_in_use(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    watched = WatchedCertificate(files, monotonic=Clock())
    first = watched.current()
    files.cert.unlink()
    with capture_logs() as lines:
        assert [watched.current() for _ in range(3)] == [first] * 3
    assert len(lines) == 1


def test_a_process_does_not_start_on_broken_files(ca: FakeCa) -> None:
    files = ca.sound(GATEWAY)
    files.cert.unlink()
    with pytest.raises(TiergateError):
        WatchedCertificate(files)
