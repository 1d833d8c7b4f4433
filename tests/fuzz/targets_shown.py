"""What residents and their devices hand over: proofs by a device's key, codes, QR codes, keys, receipts of consents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from gateway.cli.consent_device import read_device_key
from gateway.cli.output import UsageError
from gateway.cli.qr import draw_qr, read_qr
from gateway.consentlog import consent_receipt
from gateway.consentlog.consent_receipt import Change, LogEvidence, ReceiptContent
from gateway.crypto import consent, event, jws, proof, shown
from gateway.crypto.keys import b64url, public_jwk, sign
from gateway.domain import handle
from gateway.domain.consent_record import STATES, Grant, record_of, with_change
from gateway.domain.directory import Directory
from gateway.policy.directory import read_directory
from tests.fuzz import world
from tests.fuzz.harness import Harness, documented, file_of, text_of
from tests.fuzz.log_world import entries, log_proof
from tests.fuzz.targets_signed import directory_bytes
from tests.unit.domain import samples

DEVICE = "device"


@cache
def _token() -> consent.ConsentToken:
    return replace(world.consent(bound=True), key_thumbprint=world.kid(DEVICE), of_device=True)


def _device_proof() -> str:
    return proof.issue_device_proof(
        world.key(DEVICE), token_hash=_token().hash, operator=world.OPERATOR, scenario=world.SCENARIO,
        issued_at=world.NOW, proof_id=b64url(bytes(16)),
    )  # fmt: skip


def _judge_proof(text: str) -> bool:
    mark = world.PROOFS.verify(text, _token(), scenario=world.SCENARIO, now_s=world.NOW)
    assert mark is not None
    assert len(mark) == 32
    return True


def _proof_header(data: bytes) -> bool:
    """Any header over the claims of a good proof, signed by the device."""
    signing_input = f"{b64url(data)}.{_device_proof().split('.')[1]}"
    return _judge_proof(f"{signing_input}.{b64url(sign(world.key(DEVICE), signing_input.encode()))}")


def _handle(data: bytes) -> bool:
    text = text_of(data)
    found = handle.parse_handle(text)
    assert f"{found.city}-{found.code}" == text
    return True


def _typed(data: bytes) -> bool:
    with documented(ValueError):
        found = handle.read_typed(text_of(data))
    assert handle.read_typed(f" {found.text.upper()} ") == found
    return True


def _shown(data: bytes) -> bool:
    with documented(ValueError):
        shown.read_shown(text_of(data))
    return True


def _image(data: bytes) -> bool:
    with documented(UsageError):
        read_qr(file_of("code.png", data))
    return True


def _device_key(data: bytes) -> bool:
    with documented(UsageError):
        found = read_device_key(file_of("device.json", data))
    assert len(found["x"]) == 32
    return True


@cache
def _directory() -> Directory:
    return read_directory(directory_bytes())


def _receipt(data: bytes) -> bool:
    """Any claims of a receipt, signed by the city."""
    head = json.dumps({"alg": "EdDSA", "kid": world.kid("consent"), "typ": consent_receipt.TYP}).encode()
    signing_input = f"{b64url(head)}.{b64url(data)}"
    text = f"{signing_input}.{b64url(sign(world.key('consent'), signing_input.encode()))}"
    found = consent_receipt.verify_receipt(text, _directory(), world.TRUST)
    assert found.city == world.CITY
    return True


def _record(*later: str) -> dict[str, object]:
    """The record of a consent, and of the states that it came to later."""
    person = b64url(bytes(32))
    given = Grant(
        b64url(bytes(16)), person, samples.scenario(), replace(samples.operator(), id=world.OPERATOR), 3, "none",
        world.NOW, world.NOW + 86_400, samples.template(), "0" * 64,
    )  # fmt: skip
    record = record_of(given, _directory().cities[world.CITY], world.DEPLOYMENT)
    for state in later:
        record = with_change(record, state, world.NOW)
    return record


def receipt_seeds() -> Iterator[bytes]:
    """Claims of receipts: of a grant alone, with a change that the log has not, with evidence of another thing."""
    known = event.SecurityEvent(
        b64url(bytes(16)), world.CITY, world.DEPLOYMENT, "withdrawal", b64url(bytes(16)), world.NOW
    )
    told = event.issue_event(world.key("event"), world.kid("event"), known)
    later = STATES["withdrawal"][0]
    plain = ReceiptContent(world.CITY, b64url(bytes(16)), world.NOW, _record(), bytes(32), 7)
    evidence = LogEvidence(entries()[3], log_proof())
    for content in (
        plain,
        replace(plain, record=_record(later), changes=(Change(told, None),)),
        replace(plain, record=_record(later), changes=(Change(told, evidence),)),
        replace(plain, registration=evidence, opening=bytes(32)),
    ):
        yield jws.decode_segment(
            consent_receipt.issue_receipt(world.key("consent"), "k", content).split(".")[1].encode()
        )


def _shown_seeds() -> Iterator[bytes]:
    token, _ = consent.issue_consent(world.key("consent"), world.kid("consent"), _token())
    for pair in (shown.Shown(token, _device_proof()), shown.Shown(token, "")):
        yield shown.encode_shown(pair).encode()


def _codes() -> Iterator[bytes]:
    for form in handle.RANDOM_CHARS:
        yield handle.new_handle(world.CITY, form, lambda alphabet: alphabet[7]).text.encode()


HARNESSES = (
    Harness(
        "device-proof",
        (jws.parse_keyed, jws.verify_with),
        lambda data: _judge_proof(text_of(data)),
        lambda: (_device_proof().encode(),),
    ),
    Harness(
        "device-proof-header",
        (jws.parse_keyed,),
        _proof_header,
        lambda: (jws.decode_segment(_device_proof().split(".")[0].encode()),),
        1024,
    ),
    Harness("handle", (handle.parse_handle,), _handle, _codes, 256),
    Harness("typed-handle", (handle.read_typed,), _typed, _codes, 256),
    Harness("shown", (shown.read_shown,), _shown, _shown_seeds),
    Harness("qr-image", (read_qr,), _image, lambda: (draw_qr(next(_codes()).decode().upper()),)),
    Harness(
        "device-key", (read_device_key,), _device_key, lambda: (json.dumps(public_jwk(world.key(DEVICE))).encode(),)
    ),
    Harness("consent-receipt", (consent_receipt.verify_receipt,), _receipt, receipt_seeds, 16_384),
)
