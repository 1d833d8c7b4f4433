"""A real adapter over mutual TLS: consents, attestations, reports, and who may ask for what."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import rfc8785
import structlog

from adapters.app import Adapter
from adapters.casework import Deadlines
from adapters.sandbox import quanzhou
from adapters.sandbox.residents import residents_of
from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub, UseReportServiceStub
from gateway.crypto import jws
from gateway.crypto.attestation import request_binding
from gateway.crypto.consent import new_id
from gateway.domain.ids import PeerIdentity, RequestId
from gateway.errors import Reason
from gateway.policy.load import load_policies
from gateway.transport.errors import error_from_rpc
from tests.fakes.adapter import CSV, AdapterFiles
from tests.fakes.log import FakeLog
from tests.fakes.network import DOMAIN, LIBRARY_LOAN, POLICIES, XIAMEN_LIBRARY

PEOPLE = residents_of("fuzhou")
TOP, LOW, CORRUPT = PEOPLE[0].ref, PEOPLE[8].ref, PEOPLE[11].ref
TIMEOUT_S = 30
TERMS = consent.ConsentTerms(
    operator=XIAMEN_LIBRARY, scenario=LIBRARY_LOAN, lifetime_s=86_400, uses=2, binding=consent.BINDING_OPERATOR
)


class Running:
    """The adapter under test with its stubs."""

    def __init__(self, files: AdapterFiles, adapter: Adapter) -> None:
        self.files = files
        self.adapter = adapter
        self.channels = [files.app(adapter), files.gateway(adapter)]
        self.app = ConsentServiceStub(self.channels[0])
        self.residents = ResidentServiceStub(self.channels[0])
        self.attestations = AttestationServiceStub(self.channels[1])
        self.reports = UseReportServiceStub(self.channels[1])

    async def grant(self, who: str, terms: consent.ConsentTerms = TERMS) -> consent.GrantConsentResponse:
        shown = await self.app.PreviewConsent(consent.PreviewConsentRequest(terms=terms), timeout=TIMEOUT_S)
        granted: consent.GrantConsentResponse = await self.app.GrantConsent(
            consent.GrantConsentRequest(resident_ref=who, terms=terms, notice_digest=shown.notice_digest),
            timeout=TIMEOUT_S,
        )
        return granted

    def request(self, token: str, **changes: Any) -> peer.AttestTierRequest:
        members: dict[str, Any] = {
            "request_id": new_id(),
            "operator": XIAMEN_LIBRARY,
            "scenario": LIBRARY_LOAN,
            "bundle_digest": self.files.network.bundle.digest,
            "token": token,
            "proof": self.files.network.proof_if_bound(token, now_s=int(time.time())),
        }
        return peer.AttestTierRequest(**{**members, **changes})

    async def attest(self, request: peer.AttestTierRequest) -> peer.AttestTierResponse:
        response: peer.AttestTierResponse = await self.attestations.AttestTier(request, timeout=TIMEOUT_S)
        return response

    def rung(self, request: peer.AttestTierRequest, response: peer.AttestTierResponse) -> int:
        """The rung, verified as the gateway does."""
        trusted = self.files.network.trusted()
        now_s = time.time()
        return trusted.attestations.verify(
            response.attestation,
            trusted.consents.verify(request.token, operator=XIAMEN_LIBRARY, now_s=now_s),
            scenario=LIBRARY_LOAN,
            bundle=self.files.network.bundle.digest,
            rungs=1,
            request=request_binding(XIAMEN_LIBRARY, RequestId(request.request_id)),
            now_s=now_s,
        ).rung


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[Running]:
    quanzhou.export(PEOPLE, tmp_path / "scores.csv")
    files = AdapterFiles(tmp_path, CSV)
    adapter = Adapter(files.settings())
    await adapter.start()
    running = Running(files, adapter)
    yield running
    for channel in running.channels:
        await channel.close()
    await adapter.stop()


async def _refused(call: Any) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_from_rpc(caught.value).reason


async def test_a_residents_consent_is_honoured(city: Running) -> None:
    granted = await city.grant(TOP)
    request = city.request(granted.token)
    assert city.rung(request, await city.attest(request)) == 1


async def test_a_resident_below_the_tier_gets_the_uniform_no(city: Running) -> None:
    for resident in (LOW, CORRUPT, "unknown-to-everybody"):
        granted = await city.grant(resident)
        request = city.request(granted.token)
        assert city.rung(request, await city.attest(request)) == 0


async def test_a_preview_says_all_that_the_app_must_show(city: Running) -> None:
    shown = await city.app.PreviewConsent(consent.PreviewConsentRequest(terms=TERMS), timeout=TIMEOUT_S)
    assert all(
        [shown.notice_zh, shown.notice_en, shown.without_zh, shown.without_en, shown.at_best_zh, shown.at_best_en]
    )
    zh, en = shown.notice_zh, shown.notice_en
    assert all(text in zh for text in (shown.without_zh, shown.at_best_zh))
    assert all(text in en for text in (shown.without_en, shown.at_best_en))
    notice = load_policies(POLICIES).notice
    texts = rfc8785.dumps({"en": en, "id": notice.id, "version": notice.version, "zh": zh})
    assert shown.notice_digest == hashlib.sha256(texts).hexdigest()
    assert not shown.illustrative


async def test_a_withdrawal_is_in_force_at_once(city: Running) -> None:
    granted = await city.grant(TOP)
    withdrawal = consent.WithdrawConsentRequest(resident_ref=TOP, consent_id=granted.consent_id)
    first = await city.app.WithdrawConsent(withdrawal, timeout=TIMEOUT_S)
    assert not first.acknowledged  # nobody listens at the gateway's address
    assert first.exposed_until.seconds - first.effective_at.seconds == 300
    again = await city.app.WithdrawConsent(withdrawal, timeout=TIMEOUT_S)
    assert again.effective_at == first.effective_at
    request = city.request(granted.token)
    assert city.rung(request, await city.attest(request)) == 0


async def test_a_list_shows_her_consents_and_their_uses(city: Running) -> None:
    granted = await city.grant(TOP)
    await city.attest(city.request(granted.token))
    listed = await city.app.ListConsents(consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    (record,) = listed.consents
    assert (record.consent_id, record.state) == (granted.consent_id, consent.CONSENT_STATE_ACTIVE)
    assert (record.uses, record.uses_spent, record.reported_uses) == (2, 1, 0)
    assert (record.purpose, record.binding) == ("library-loan", consent.BINDING_OPERATOR)
    assert record.expires_at == granted.expires_at


async def test_use_reports_reach_the_residents_view(city: Running) -> None:
    granted = await city.grant(TOP)
    response = await city.attest(city.request(granted.token))
    log = FakeLog(city.files.network.log)
    index = log.decide(1, bundle=city.files.network.bundle.digest)
    report = peer.UseReport(
        attestation_id=jws.parse(response.attestation, "tier-attestation+jwt").claims["jti"],
        outcome=peer.USE_OUTCOME_ENTITLED,
        log_index=index,
        entry=log.entries[index],
        inclusion=log.inclusion(index),
    )
    request = peer.ReportUsesRequest(reports=[report], checkpoint=log.checkpoint())
    assert (await city.reports.ReportUses(request, timeout=TIMEOUT_S)).acknowledged_index == index
    listed = await city.app.ListConsents(consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    assert listed.consents[0].reported_uses == 1
    assert (listed.reported_index, listed.reported) == (index, True)


async def test_a_batch_keeps_its_order_and_its_errors_apart(city: Running) -> None:
    granted = await city.grant(TOP)
    handle = city.request("")
    handle.handle = "fuzhou-abcdefghij"
    items = [
        city.request(granted.token),
        handle,
        city.request(granted.token, scenario="fuzhou-transit"),
        city.request(granted.token),
        city.request(granted.token),
    ]
    response = await city.attestations.BatchAttestTier(peer.BatchAttestTierRequest(items=items), timeout=TIMEOUT_S)
    said = [item.error.reason or city.rung(items[n], item.attested) for n, item in enumerate(response.results)]
    assert said == [1, "HANDLE_INVALID", "SCENARIO_NOT_OPEN", 1, "USES_EXHAUSTED"]


async def test_an_unknown_handle_cannot_be_redeemed(city: Running) -> None:
    request = city.request("")
    request.handle = "fuzhou-abcdefghij"
    assert await _refused(city.attest(request)) is Reason.HANDLE_INVALID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"request_id": "short"}, Reason.MALFORMED_REQUEST),
        ({"operator": "Not A Slug"}, Reason.MALFORMED_REQUEST),
        ({"bundle_digest": "00"}, Reason.MALFORMED_REQUEST),
        ({"token": ""}, Reason.MALFORMED_REQUEST),
        ({"token": "x" * 5000}, Reason.MALFORMED_REQUEST),
        ({"token": "x" * 50_000}, Reason.MESSAGE_TOO_LARGE),
        ({"token": "x" * 100}, Reason.TOKEN_MALFORMED),
        ({"bundle_digest": "00" * 32}, Reason.BUNDLE_MISMATCH),
        ({"scenario": "nowhere"}, Reason.SCENARIO_UNKNOWN),
        ({"proof": "x" * 100}, Reason.PROOF_MALFORMED),
    ],
)
async def test_bad_input_gets_a_typed_error(city: Running, changes: dict[str, Any], reason: Reason) -> None:
    granted = await city.grant(TOP)
    assert await _refused(city.attest(city.request(**{"token": granted.token, **changes}))) is reason


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"lifetime_s": 59}, Reason.MALFORMED_REQUEST),
        ({"binding": consent.BINDING_UNSPECIFIED}, Reason.MALFORMED_REQUEST),
        ({"uses": 51}, Reason.CONSENT_LIMITS),
        ({"uses": 0, "binding": consent.BINDING_NONE}, Reason.CONSENT_LIMITS),
        ({"uses": 2, "binding": consent.BINDING_NONE}, Reason.CONSENT_LIMITS),
        ({"operator": "fuzhou-metro"}, Reason.SCENARIO_NOT_OPEN),
    ],
)
async def test_terms_that_cannot_be_agreed_are_refused(city: Running, terms: dict[str, Any], reason: Reason) -> None:
    changed = consent.ConsentTerms()
    changed.CopyFrom(TERMS)
    for name, value in terms.items():
        setattr(changed, name, value)
    asked = city.app.PreviewConsent(consent.PreviewConsentRequest(terms=changed), timeout=TIMEOUT_S)
    assert await _refused(asked) is reason


async def test_a_stale_notice_is_refused(city: Running) -> None:
    asked = consent.GrantConsentRequest(resident_ref=TOP, terms=TERMS, notice_digest="00" * 32)
    assert await _refused(city.app.GrantConsent(asked, timeout=TIMEOUT_S)) is Reason.CONSENT_STATE


async def test_nobody_ends_a_consent_that_is_not_hers(city: Running) -> None:
    granted = await city.grant(TOP)
    asked = consent.WithdrawConsentRequest(resident_ref=LOW, consent_id=granted.consent_id)
    assert await _refused(city.app.WithdrawConsent(asked, timeout=TIMEOUT_S)) is Reason.CONSENT_UNKNOWN


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (PeerIdentity(DOMAIN, "gateway", ""), Reason.CALLER_NOT_PERMITTED),
        (PeerIdentity(DOMAIN, "operator", "xiamen-library"), Reason.CALLER_NOT_PERMITTED),
        (PeerIdentity(DOMAIN, "city", "fuzhou"), Reason.CALLER_NOT_PERMITTED),
        (PeerIdentity(DOMAIN, "auditor", "provincial-audit"), Reason.CALLER_NOT_PERMITTED),
        (PeerIdentity(DOMAIN, "city-app", "xiamen"), Reason.CALLER_UNKNOWN),
        (PeerIdentity("elsewhere.test", "city-app", "fuzhou"), Reason.CALLER_UNKNOWN),
    ],
)
async def test_only_the_citys_own_app_sees_consents(city: Running, identity: PeerIdentity, reason: Reason) -> None:
    async with city.files.channel(city.adapter.address, identity) as channel:
        asked = ConsentServiceStub(channel).ListConsents(
            consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S
        )
        assert await _refused(asked) is reason


@pytest.mark.parametrize(
    "identity",
    [
        PeerIdentity(DOMAIN, "city-app", "fuzhou"),
        PeerIdentity(DOMAIN, "city", "xiamen"),
        PeerIdentity(DOMAIN, "operator", "xiamen-library"),
    ],
)
async def test_only_the_gateway_asks_for_tiers(city: Running, identity: PeerIdentity) -> None:
    granted = await city.grant(TOP)
    async with city.files.channel(city.adapter.address, identity) as channel:
        asked = AttestationServiceStub(channel).AttestTier(city.request(granted.token), timeout=TIMEOUT_S)
        assert await _refused(asked) is Reason.CALLER_NOT_PERMITTED


async def test_an_adapter_says_at_its_start_of_which_years_it_knows_no_holidays(city: Running) -> None:
    with structlog.testing.capture_logs() as logged:
        city.adapter.announce()
    years = list(Deadlines().uncovered(int(time.time())))
    assert years
    assert [line["years"] for line in logged if line["event"] == "calendar_missing"] == [years]
