"""What a city's app is told of consents and uses over the wire: pages, and up to where they are complete."""

from __future__ import annotations

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.consent.v1 import resident_pb2
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.crypto import jws
from tests.fakes.log import FakeLog
from tests.rpc.test_adapter_rpc import LOW, TIMEOUT_S, TOP, Running, city

__all__ = ["city"]  # a fixture


async def test_before_the_first_report_no_list_claims_to_be_complete(city: Running) -> None:
    granted = await city.grant(TOP)
    await city.attest(city.request(granted.token))
    listed = await city.app.ListConsents(consent.ListConsentsRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    assert (listed.reported, listed.consents[0].uses_spent) == (False, 1)
    uses = await city.residents.ListUses(resident_pb2.ListUsesRequest(resident_ref=TOP), timeout=TIMEOUT_S)
    assert (uses.reported, uses.more, list(uses.uses)) == (False, False, [])


async def test_one_consent_is_found_however_many_newer_ones_there_are(city: Running) -> None:
    first, second = await city.grant(TOP), await city.grant(TOP)
    asked = consent.ListConsentsRequest(resident_ref=TOP, limit=1, consent_id=first.consent_id)
    assert [item.consent_id for item in (await city.app.ListConsents(asked, timeout=TIMEOUT_S)).consents] == [
        first.consent_id
    ]
    asked = consent.ListConsentsRequest(resident_ref=LOW, consent_id=second.consent_id)
    assert not (await city.app.ListConsents(asked, timeout=TIMEOUT_S)).consents


async def test_a_page_of_uses_says_when_there_are_older_ones(city: Running) -> None:
    token = (await city.grant(TOP)).token
    log = FakeLog(city.files.network.log)
    index = 0
    for _ in range(2):
        response = await city.attest(city.request(token))
        index = log.decide(1, bundle=city.files.network.bundle.digest)
        report = peer.UseReport(
            attestation_id=jws.parse(response.attestation, "tier-attestation+jwt").claims["jti"],
            outcome=peer.USE_OUTCOME_ENTITLED,
            log_index=index,
            entry=log.entries[index],
            inclusion=log.inclusion(index),
        )
        request = peer.ReportUsesRequest(reports=[report], checkpoint=log.checkpoint())
        await city.reports.ReportUses(request, timeout=TIMEOUT_S)
    page = await city.residents.ListUses(resident_pb2.ListUsesRequest(resident_ref=TOP, limit=1), timeout=TIMEOUT_S)
    assert ([use.log_index for use in page.uses], page.more) == ([index], True)
    asked = resident_pb2.ListUsesRequest(resident_ref=TOP, limit=1, before_index=index)
    page = await city.residents.ListUses(asked, timeout=TIMEOUT_S)
    assert ([use.log_index for use in page.uses], page.more) == ([index - 1], False)
