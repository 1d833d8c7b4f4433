"""A phone and a counter, end to end: a city's app, its adapter, the gateway and an operator as real processes."""

from __future__ import annotations

import asyncio
import io
import secrets
import signal
import time
from collections import Counter
from dataclasses import dataclass, replace

import zxingcpp
from PIL import Image

from gateway.api.consent.v1 import consent_pb2
from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.clients import typed_errors
from gateway.cli.qr import draw_qr
from gateway.consentlog.entry import decode
from gateway.crypto.shown import Shown, encode_handle, encode_shown, read_shown
from gateway.domain.handle import Handle, parse_handle
from gateway.errors import Reason, TiergateError
from tests.e2e.harness import LIBRARY, PATIENCE_S, TOP, TestNetwork, until_decided
from tests.fakes.device import Device

PARKING, PARKING_SCENARIO = "xiamen-parking", "xiamen-roadside-parking"


@dataclass(frozen=True)
class Desk:
    """An operator's desk, and the counter of the resident's city."""

    network: TestNetwork
    operator: str = LIBRARY
    scenario: str = LIBRARY

    def terms(self, **changes: object) -> consent_pb2.ConsentTerms:
        members: dict[str, object] = {
            "operator": self.operator,
            "scenario": self.scenario,
            "lifetime_s": 900,
            "uses": 1,
            "binding": consent_pb2.BINDING_NONE,
        }
        return consent_pb2.ConsentTerms(**{**members, **changes})  # type: ignore[arg-type]  # by name

    async def grant(self, device: Device, *, uses: int = 0) -> str:
        """The token of a consent that is bound to a device."""
        terms = self.terms(uses=uses, binding=consent_pb2.BINDING_DEVICE, device_key=device.message)
        stub = self.network.clients._consents("fuzhou")
        with typed_errors():
            notice = await stub.PreviewConsent(consent_pb2.PreviewConsentRequest(terms=terms), timeout=PATIENCE_S)
            granted = await stub.GrantConsent(
                consent_pb2.GrantConsentRequest(resident_ref=TOP, terms=terms, notice_digest=notice.notice_digest),
                timeout=PATIENCE_S,
            )
        return granted.token

    async def issue(self) -> str:
        """A one-time code."""
        stub, terms = self.network.clients._consents("fuzhou"), self.terms()
        with typed_errors():
            notice = await stub.PreviewConsent(consent_pb2.PreviewConsentRequest(terms=terms), timeout=PATIENCE_S)
            issued = await stub.IssueHandle(
                consent_pb2.IssueHandleRequest(
                    resident_ref=TOP,
                    terms=terms,
                    notice_digest=notice.notice_digest,
                    form=consent_pb2.HANDLE_FORM_QR,
                ),
                timeout=PATIENCE_S,
            )
        return issued.handle

    def request(self, shown: Handle | Shown, request_id: str = "") -> pb.CheckEligibilityRequest:
        """The check of what a resident has shown."""
        if isinstance(shown, Handle):
            presentation = pb.Presentation(handle=shown.text)
        else:
            presentation = pb.Presentation(token=pb.TokenPresentation(token=shown.token, proof=shown.proof))
        return pb.CheckEligibilityRequest(
            request_id=request_id or secrets.token_urlsafe(16), scenario=self.scenario, presentation=presentation
        )

    async def check(self, shown: Handle | Shown, request_id: str = "") -> pb.Decision:
        """One check."""
        stub = self.network.clients.eligibility(self.operator)
        with typed_errors():
            answer = await stub.CheckEligibility(self.request(shown, request_id), timeout=PATIENCE_S)
        return answer.decision

    async def until_answered(self, shown: Handle | Shown, request_id: str) -> pb.Decision:
        """Retry with the same request id, as an operator does, until gateway and city are back."""
        return await until_decided(lambda: self.check(shown, request_id), {"UNAVAILABLE"})

    async def refused(self, shown: Handle | Shown, request_id: str = "") -> TiergateError:
        """The error of a check."""
        try:
            await self.check(shown, request_id)
        except TiergateError as error:
            return error
        raise AssertionError("it was answered")


def seen(text: str) -> Handle | Shown:
    """What a scanner makes of the QR code of a text."""
    with Image.open(io.BytesIO(draw_qr(text))) as image:
        # of all the kinds it knows, the reader sees another one in about 4 of 1,000 codes of this size
        (code,) = zxingcpp.read_barcodes(
            image.convert("L"), formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode])
        )
    assert code.text == text
    return read_shown(code.text)


def show(device: Device, token: str, **changes: object) -> Shown:
    """What a phone shows."""
    shown = seen(encode_shown(Shown(token, device.proof(token, now_s=int(time.time()), **changes))))
    assert isinstance(shown, Shown)
    return shown


async def test_a_phone_is_shown_at_the_desk_and_each_proof_is_good_once(network: TestNetwork) -> None:
    device, desk = Device(), Desk(network)
    token = await desk.grant(device)
    shown = [show(device, token) for _ in range(3)]
    decisions = [await desk.check(item) for item in shown]  # one round trip, two answers from the cache
    assert {decision.outcome for decision in decisions} == {pb.OUTCOME_ENTITLED}
    for item in shown:
        assert (await desk.refused(item)).reason is Reason.PROOF_REPLAYED
    log = await network.clients.download()
    registered = [entry for entry in map(decode, log.items) if entry.type == "consent_registered"]
    assert [entry.text("bound") for entry in registered].count("device") >= 1


async def test_of_many_desks_at_once_with_one_proof_one_is_answered(network: TestNetwork) -> None:
    device, desk = Device(), Desk(network)
    for uses in (0, 20):
        token = await desk.grant(device, uses=uses)
        item = show(device, token)
        results = await asyncio.gather(*(desk.check(item) for _ in range(20)), return_exceptions=True)
        told = Counter(result.reason if isinstance(result, TiergateError) else "answered" for result in results)
        assert told == {"answered": 1, Reason.PROOF_REPLAYED: 19}


async def test_a_lost_answer_is_asked_for_again_with_the_same_proof(network: TestNetwork) -> None:
    device, desk = Device(), Desk(network)
    item = show(device, await desk.grant(device, uses=1))
    request_id = secrets.token_urlsafe(16)
    first = await desk.check(item, request_id)
    for name in ("gateway", "fuzhou"):
        await network.stop_async(name, signal.SIGKILL)
        await network.restart_async(name)
    again = await desk.until_answered(item, request_id)
    assert again.decision_id == first.decision_id
    assert (await desk.refused(item)).reason is Reason.PROOF_REPLAYED
    # the stored decision says nothing of the city, which the gateway may not have reached again
    fresh = Device()
    await desk.until_answered(show(fresh, await desk.grant(fresh, uses=1)), secrets.token_urlsafe(16))


async def test_a_stolen_token_is_of_no_use(network: TestNetwork) -> None:
    device, desk = Device(), Desk(network)
    token = await desk.grant(device, uses=3)
    thief = Device()
    assert (await desk.refused(Shown(token, ""))).reason is Reason.PROOF_REQUIRED
    assert (await desk.refused(show(thief, token))).reason is Reason.PROOF_INVALID
    other = await desk.grant(Device(), uses=1)
    assert (await desk.refused(replace(show(device, token), token=other))).reason is Reason.PROOF_INVALID
    for changes in ({"scenario": PARKING_SCENARIO}, {"operator": PARKING}):
        assert (await desk.refused(show(device, token, **changes))).reason is Reason.PROOF_INVALID
    elsewhere = Desk(network, PARKING, PARKING_SCENARIO)
    assert (await elsewhere.refused(show(device, token))).reason is Reason.TOKEN_OTHER_OPERATOR
    late = show(device, token, issued_at=int(time.time()) - 120)
    assert (await desk.refused(late)).reason is Reason.PROOF_STALE
    assert (await desk.check(show(device, token))).outcome == pb.OUTCOME_ENTITLED


async def test_a_key_is_not_taken_to_a_second_operator(network: TestNetwork) -> None:
    device = Device()
    await Desk(network).grant(device)
    try:
        await Desk(network, PARKING, PARKING_SCENARIO).grant(device, uses=1)
    except TiergateError as error:
        assert error.reason is Reason.DEVICE_KEY_REUSED  # noqa: PT017 - the other end is told below
    else:
        raise AssertionError("it was granted")


async def test_a_code_from_the_counter_is_good_once_at_its_desk(network: TestNetwork) -> None:
    desk = Desk(network)
    handle = seen(encode_handle(parse_handle(await desk.issue())))
    elsewhere = Desk(network, PARKING, PARKING_SCENARIO)
    assert isinstance(handle, Handle)
    foreign = [
        await elsewhere.refused(handle),
        await desk.refused(replace(handle, city=type(handle.city)("xiamen"))),
        await desk.refused(replace(handle, city=type(handle.city)("nowhere"))),
        await desk.refused(replace(handle, code="abcdefghjkmn")),
    ]
    request_id = secrets.token_urlsafe(16)
    first = await desk.check(handle, request_id)
    assert first.outcome == pb.OUTCOME_ENTITLED
    assert (await desk.check(handle, request_id)).decision_id == first.decision_id
    errors = [*foreign, await desk.refused(handle)]
    assert {(error.reason, error.retry_after_s) for error in errors} == {(Reason.HANDLE_INVALID, None)}


async def test_of_many_desks_at_once_with_one_code_one_is_answered(network: TestNetwork) -> None:
    desk = Desk(network)
    handle = parse_handle(await desk.issue())
    results = await asyncio.gather(*(desk.check(handle) for _ in range(20)), return_exceptions=True)
    told = Counter(result.reason if isinstance(result, TiergateError) else "answered" for result in results)
    assert told == {"answered": 1, Reason.HANDLE_INVALID: 19}


async def test_a_batch_holds_codes_and_phones(network: TestNetwork) -> None:
    device, desk = Device(), Desk(network)
    token = await desk.grant(device, uses=2)
    shown = show(device, token)
    handle = parse_handle(await desk.issue())
    items = [desk.request(item) for item in (handle, shown, handle, shown)]
    answer = await network.clients.eligibility(LIBRARY).BatchCheckEligibility(
        pb.BatchCheckEligibilityRequest(items=items), timeout=PATIENCE_S
    )
    told = Counter(item.error.reason or pb.Outcome.Name(item.decision.outcome) for item in answer.results)
    assert told == {"OUTCOME_ENTITLED": 2, "HANDLE_INVALID": 1, "PROOF_REPLAYED": 1}


async def test_guessing_is_stopped_and_stops_nobody_else(network: TestNetwork) -> None:
    """Last in this file: the desk that has guessed is locked out for a while."""
    parking = Desk(network, PARKING, PARKING_SCENARIO)
    guesses = [parking.request(Handle(parse_handle("fuzhou-x").city, f"guess{number:0>7}")) for number in range(200)]
    answer = await network.clients.eligibility(PARKING).BatchCheckEligibility(
        pb.BatchCheckEligibilityRequest(items=guesses), timeout=PATIENCE_S
    )
    told = Counter(item.error.reason for item in answer.results)
    assert set(told) == {"HANDLE_INVALID", "RATE_LIMITED"}
    assert told["HANDLE_INVALID"] <= 61
    assert (await parking.refused(parse_handle(await parking.issue()))).reason is Reason.RATE_LIMITED
    assert (await Desk(network).check(parse_handle(await Desk(network).issue()))).outcome == pb.OUTCOME_ENTITLED
