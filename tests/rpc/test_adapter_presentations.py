"""Presentations at a real adapter, over mutual TLS: tokens bound to a device, and one-time codes."""

from __future__ import annotations

import time
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.errors import Reason
from gateway.transport.errors import error_from_rpc
from tests.fakes.device import Device
from tests.fakes.network import LIBRARY_LOAN, XIAMEN_LIBRARY
from tests.rpc.test_adapter_rpc import TIMEOUT_S, TOP, Running, _refused, city

__all__ = ["city"]  # a fixture


async def test_a_consent_is_bound_to_a_device(city: Running) -> None:
    device = Device()
    terms = consent.ConsentTerms(
        operator=XIAMEN_LIBRARY,
        scenario=LIBRARY_LOAN,
        lifetime_s=86_400,
        uses=2,
        binding=consent.BINDING_DEVICE,
        device_key=device.message,
    )
    granted = await city.grant(TOP, terms)
    request = city.request(granted.token, proof=device.proof(granted.token, now_s=int(time.time())))
    assert city.rung(request, await city.attest(request)) == 1
    again = city.request(granted.token, proof=request.proof)
    assert await _refused(city.attest(again)) is Reason.PROOF_REPLAYED
    listed = await city.app.ListConsents(consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    assert [record.binding for record in listed.consents] == [consent.BINDING_DEVICE]
    elsewhere = consent.ConsentTerms()
    elsewhere.CopyFrom(terms)
    elsewhere.operator, elsewhere.scenario = "xiamen-parking", "xiamen-roadside-parking"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await city.grant(TOP, elsewhere)
    assert error_from_rpc(caught.value).reason is Reason.DEVICE_KEY_REUSED


@pytest.mark.parametrize(
    ("binding", "key"),
    [
        (consent.BINDING_DEVICE, None),
        (consent.BINDING_NONE, Device().message),
        (consent.BINDING_DEVICE, consent.DeviceKey(type=consent.KEY_TYPE_P256, x=bytes(32), y=bytes(32))),
        (consent.BINDING_DEVICE, consent.DeviceKey(type=consent.KEY_TYPE_ED25519, x=bytes(32), y=bytes(32))),
        (consent.BINDING_DEVICE, consent.DeviceKey(type=consent.KEY_TYPE_P256, x=bytes(32))),
    ],
    ids=["no key", "a key for nothing", "no point", "two coordinates of Ed25519", "half a point"],
)
async def test_a_device_key_that_does_not_fit_is_refused(
    city: Running, binding: Any, key: consent.DeviceKey | None
) -> None:
    terms = consent.ConsentTerms(
        operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=3600, uses=2, binding=binding, device_key=key
    )
    asked = city.app.PreviewConsent(consent.PreviewConsentRequest(terms=terms), timeout=TIMEOUT_S)
    assert await _refused(asked) is Reason.DEVICE_KEY_INVALID


CODE_TERMS = consent.ConsentTerms(
    operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=900, uses=1, binding=consent.BINDING_NONE
)


async def _issue(city: Running, form: Any, terms: consent.ConsentTerms = CODE_TERMS) -> consent.IssueHandleResponse:
    shown = await city.app.PreviewConsent(consent.PreviewConsentRequest(terms=terms), timeout=TIMEOUT_S)
    issued: consent.IssueHandleResponse = await city.app.IssueHandle(
        consent.IssueHandleRequest(resident_ref=TOP, terms=terms, notice_digest=shown.notice_digest, form=form),
        timeout=TIMEOUT_S,
    )
    return issued


def _of_handle(city: Running, handle: str) -> peer.AttestTierRequest:
    request = city.request("")
    request.handle = handle
    return request


@pytest.mark.parametrize("form", [consent.HANDLE_FORM_TYPED, consent.HANDLE_FORM_QR])
async def test_a_code_is_issued_and_redeemed_once(city: Running, form: Any) -> None:
    before = time.time()
    issued = await _issue(city, form)
    assert before < issued.handle_expires_at.seconds <= time.time() + 600
    assert issued.handle_expires_at.seconds <= issued.expires_at.seconds
    request = _of_handle(city, issued.handle)
    response = await city.attest(request)
    assert city.rung(peer.AttestTierRequest(request_id=request.request_id, token=response.redeemed_token), response)
    assert await city.attest(request) == response
    assert await _refused(city.attest(_of_handle(city, issued.handle))) is Reason.HANDLE_INVALID
    listed = await city.app.ListConsents(consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    assert [(record.consent_id, record.uses_spent) for record in listed.consents] == [(issued.consent_id, 1)]


async def test_a_batch_says_for_which_token_each_code_was_redeemed(city: Running) -> None:
    codes = [(await _issue(city, consent.HANDLE_FORM_TYPED)).handle for _ in range(2)]
    granted = await city.grant(TOP)
    items = [_of_handle(city, codes[0]), city.request(granted.token), _of_handle(city, codes[1])]
    response = await city.attestations.BatchAttestTier(peer.BatchAttestTierRequest(items=items), timeout=TIMEOUT_S)
    tokens = [item.attested.redeemed_token for item in response.results]
    assert [bool(token) for token in tokens] == [True, False, True]
    assert len(set(tokens)) == 3


async def test_an_operator_that_guesses_is_told_to_wait(city: Running) -> None:
    items = [_of_handle(city, f"fuzhou-guess{number:0>8}") for number in range(100)]
    response = await city.attestations.BatchAttestTier(peer.BatchAttestTierRequest(items=items), timeout=TIMEOUT_S)
    reasons = [item.error.reason for item in response.results]
    assert set(reasons) == {"HANDLE_INVALID", "RATE_LIMITED"}
    assert all((item.error.retry_after_ms > 0) == (item.error.reason == "RATE_LIMITED") for item in response.results)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await city.attest(_of_handle(city, "fuzhou-guess"))
    error = error_from_rpc(caught.value)
    assert error.reason is Reason.RATE_LIMITED
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.retry_after_s is not None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"form": consent.HANDLE_FORM_UNSPECIFIED}, Reason.MALFORMED_REQUEST),
        ({"notice_digest": "00" * 32}, Reason.CONSENT_STATE),
        ({"terms": {"uses": 2, "binding": consent.BINDING_OPERATOR}}, Reason.CONSENT_LIMITS),
        ({"terms": {"uses": 0, "binding": consent.BINDING_OPERATOR}}, Reason.CONSENT_LIMITS),
    ],
    ids=str,
)
async def test_a_code_that_cannot_be_issued(city: Running, changes: dict[str, Any], reason: Reason) -> None:
    terms = consent.ConsentTerms()
    terms.CopyFrom(CODE_TERMS)
    for name, value in changes.pop("terms", {}).items():
        setattr(terms, name, value)
    shown = await city.app.PreviewConsent(consent.PreviewConsentRequest(terms=terms), timeout=TIMEOUT_S)
    members: dict[str, Any] = {
        "resident_ref": TOP,
        "terms": terms,
        "notice_digest": shown.notice_digest,
        "form": consent.HANDLE_FORM_QR,
    }
    request = consent.IssueHandleRequest(**{**members, **changes})
    assert await _refused(city.app.IssueHandle(request, timeout=TIMEOUT_S)) is reason
