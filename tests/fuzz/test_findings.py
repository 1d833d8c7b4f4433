"""What fuzzing has found, each as a case that failed once and says by which error it is refused now."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import FrameType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from protovalidate import Validator

from adapters.sources.options import to_score
from gateway.api.operator.v1.operator_pb2 import BatchCheckEligibilityRequest, Decision
from gateway.api.peer.v1.peer_pb2 import BatchAttestTierRequest
from gateway.cli.certs_check import certificate_document
from gateway.cli.installation import of_config
from gateway.cli.messages import decision_document, time_of_ms
from gateway.config import PREFIX, GatewayConfig
from gateway.consentlog import entry
from gateway.consentlog.consent_receipt import TYP, verify_receipt
from gateway.consentlog.note import COSIGNATURE_V1, ED25519, VerifierKey
from gateway.consentlog.trust import TrustPolicy
from gateway.crypto.event import SecurityEvent, issue_event
from gateway.crypto.keys import b64url, load_private_key, sign
from gateway.crypto.root_files import read_root
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy import load, schema
from gateway.policy.directory import read_directory
from gateway.settings import read_settings
from gateway.transport.chain import Decoder
from gateway.transport.errors import MalformedRequestError
from tests.fakes.ca import FakeCa, identity
from tests.fuzz import world
from tests.fuzz.targets_shown import receipt_seeds
from tests.fuzz.targets_signed import directory_bytes


def refused(call: Callable[[], object], reason: Reason) -> TiergateError:
    with pytest.raises(TiergateError) as caught:
        call()
    assert caught.value.reason is reason
    return caught.value


@pytest.mark.parametrize("request_type", [BatchAttestTierRequest, BatchCheckEligibilityRequest])
def test_a_broken_item_of_a_batch_is_named_by_its_place(
    request_type: type[BatchAttestTierRequest | BatchCheckEligibilityRequest],
) -> None:
    """The place was asked for in a way that the engine's own message does not know: INTERNAL."""
    request = request_type()
    request.items.add()
    error = refused(lambda: Decoder(request_type, Validator())(request.SerializeToString()), Reason.MALFORMED_REQUEST)
    assert isinstance(error, MalformedRequestError)
    (violation,) = error.violations
    assert violation.field.startswith("items[0].")


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000], ids=["nested", "number"])
def test_toml_that_python_cannot_hold_is_a_problem_of_the_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    error = refused(lambda: read_settings(GatewayConfig, file, prefix=PREFIX, environment={}), Reason.CONFIG_INVALID)
    assert isinstance(error, ProblemsError)
    problems: list[Problem] = []
    assert load.read_toml(tmp_path, file.name, schema.NoticeFile, problems) is None
    assert "is not TOML" in str(problems[0])
    assert "is not TOML" in str(error)


def test_a_nul_in_a_path_is_a_problem_of_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('log_key = "a\\u0000b"')
    error = refused(lambda: read_settings(GatewayConfig, file, prefix=PREFIX, environment={}), Reason.CONFIG_INVALID)
    assert isinstance(error, ProblemsError)
    assert "NUL" in next(item.message for item in error.problems if item.path == "log_key")


@pytest.mark.parametrize("depth", range(400, 681, 20))
def test_a_nested_log_entry_is_corrupt(depth: int) -> None:
    """What was read at this depth could not be written again for the message."""
    data = b'{"type":"genesis","v":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    refused(lambda: entry.decode(data), Reason.LOG_CORRUPT)


@pytest.mark.parametrize("depth", range(900, 1000))
def test_a_log_entry_at_the_edge_of_the_depth_is_corrupt(depth: int) -> None:
    data = b'{"type":"genesis","v":' + b"[" * depth + b"{}" + b"]" * depth + b"}"
    refused(lambda: entry.decode(data), Reason.LOG_CORRUPT)


def test_the_name_of_a_stray_field_is_told_only_if_it_is_plain() -> None:
    data = b'{"type":"genesis","v":1,"' + b"Z" * 40 + b'":1}'
    assert "Z" not in refused(lambda: entry.decode(data), Reason.LOG_CORRUPT).detail


def test_a_verifier_key_of_no_possible_name_is_invalid() -> None:
    refused(lambda: VerifierKey.parse(f"log\ud800+00000000+{base64.b64encode(bytes(33)).decode()}"), Reason.KEY_INVALID)


def test_a_problem_of_the_root_file_can_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "root.json"
    file.write_bytes(world.ROOT.to_json().replace(b'"thresholds":{', b'"thresholds":{"\\ud800":1,'))
    str(refused(lambda: read_root(file), Reason.CONFIG_INVALID)).encode()


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209")),  # an unknown kind of key
        (bytes.fromhex("034200"), bytes.fromhex("034207")),  # a point that is none
    ],
    ids=["unknown kind", "no point"],
)
def test_a_certificate_for_a_key_that_is_none_is_invalid(part: bytes, other: bytes, tmp_path: Path) -> None:
    files = FakeCa(tmp_path).sound(identity("gateway"))
    der = x509.load_pem_x509_certificate(files.cert.read_bytes()).public_bytes(Encoding.DER)
    assert part in der
    text = base64.encodebytes(der.replace(part, other))
    files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n")
    refused(files.read, Reason.CERTIFICATE_INVALID)


def test_a_certificate_with_an_extension_twice_is_invalid(tmp_path: Path) -> None:
    files = FakeCa(tmp_path).sound(identity("gateway"))
    der = x509.load_pem_x509_certificate(files.cert.read_bytes()).public_bytes(Encoding.DER)
    usage, names = bytes.fromhex("0603551d25"), bytes.fromhex("0603551d11")
    assert usage in der
    text = base64.encodebytes(der.replace(usage, names))
    files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n")
    refused(files.facts, Reason.CERTIFICATE_INVALID)


def test_a_trust_file_of_many_keys_is_read_in_steps_that_follow_its_size() -> None:
    """Each key was compared with all before it: three seconds for a file of the largest size."""
    lines = (f"log {VerifierKey('a', ED25519, number.to_bytes(32, 'big'))}" for number in range(2000))
    data = "\n".join((*lines, "quorum none", "")).encode()
    steps = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal steps
        steps += event == "call"

    sys.setprofile(count)
    try:
        assert len(TrustPolicy.parse(data).logs) == 2000
    finally:
        sys.setprofile(None)
    assert steps < 2000 * 50


def test_groups_within_groups_are_counted_at_any_depth() -> None:
    """Counting went as deep as the groups did."""
    names = [f"group g{number} all g{number - 1}" for number in range(1, 3000)]
    key = VerifierKey("w", COSIGNATURE_V1, bytes(32))
    policy = TrustPolicy.parse("\n".join((f"witness w {key}", "group g0 any w", *names, "quorum g2999", "")).encode())
    policy.require_quorum([b"w"])
    refused(lambda: policy.require_quorum([]), Reason.NOTE_INVALID)


@pytest.mark.parametrize("time", [10**15 - 1, 253_402_300_800_000, -(10**17)])
def test_a_time_beyond_the_years_has_a_text(time: int) -> None:
    assert time_of_ms(time) == f"{time} ms after 1970"


def test_an_answer_of_an_unknown_outcome_can_be_shown() -> None:
    assert decision_document(Decision(outcome=17))["outcome"] == "unknown"  # type: ignore[arg-type]  # on purpose


def test_settings_nested_too_deeply_name_no_city(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("a = " + "[" * 5000)
    refused(lambda: of_config(file), Reason.CONFIG_INVALID)


@pytest.mark.parametrize("kind", ["05", "03"], ids=["null", "bits"])  # the library: ValueError, TypeError
def test_a_certificate_of_a_malformed_name_cannot_be_shown(kind: str, tmp_path: Path) -> None:
    files = FakeCa(tmp_path).sound(identity("gateway"))
    der = x509.load_pem_x509_certificate(files.cert.read_bytes()).public_bytes(Encoding.DER)
    name = bytes.fromhex("06035504030c")
    assert name in der
    broken = x509.load_der_x509_certificate(der.replace(name, bytes.fromhex(f"0603550403{kind}")))
    refused(lambda: certificate_document(broken), Reason.CERTIFICATE_INVALID)


def test_a_key_file_of_a_kind_and_another_kinds_length_is_invalid(tmp_path: Path) -> None:
    """X448 with 32 bytes: the library says "internal error"."""
    der = bytes.fromhex("302e020100300506032b656f04220420") + bytes(range(32))
    file = tmp_path / "one.key"
    file.write_bytes(b"-----BEGIN PRIVATE " + b"KEY-----\n" + base64.encodebytes(der) + b"-----END PRIVATE KEY-----\n")
    file.chmod(0o600)
    refused(lambda: load_private_key(file), Reason.KEY_INVALID)


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999", "1e16"])
def test_a_short_decimal_of_endless_digits_is_no_score(text: str) -> None:
    refused(lambda: to_score(Decimal(text)), Reason.SOURCE_INVALID)


def test_a_certificate_of_another_version_is_invalid(tmp_path: Path) -> None:
    files = FakeCa(tmp_path).sound(identity("gateway"))
    der = x509.load_pem_x509_certificate(files.cert.read_bytes()).public_bytes(Encoding.DER)
    version = bytes.fromhex("a003020102")
    assert version in der
    text = base64.encodebytes(der.replace(version, bytes.fromhex("a00302010a")))
    files.cert.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n")
    refused(files.read, Reason.CERTIFICATE_INVALID)


@pytest.mark.parametrize("change", ["surrogate", "year"])
def test_a_receipt_of_values_that_are_none_is_invalid(change: str) -> None:
    """Signed by the city, as all of it is: text that cannot be encoded, and a time beyond the year 9999."""
    claims = json.loads(list(receipt_seeds())[2])
    if change == "surrogate":
        claims["changes"][0]["entry"] = "\ud800"
    else:
        claims["iat"] = 10**14
        told = SecurityEvent("A" * 22, world.CITY, world.DEPLOYMENT, "withdrawal", "A" * 22, 10**14)
        claims["changes"][0] = {"event": issue_event(world.key("event"), world.kid("event"), told)}
    head = b64url(json.dumps({"alg": "EdDSA", "kid": world.kid("consent"), "typ": TYP}).encode())
    body = f"{head}.{b64url(json.dumps(claims).encode())}"
    text = f"{body}.{b64url(sign(world.key('consent'), body.encode()))}"
    directory = read_directory(directory_bytes())
    refused(lambda: verify_receipt(text, directory, world.TRUST), Reason.RECEIPT_INVALID)
