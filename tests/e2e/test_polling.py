"""One consent cannot be polled, and what is not given cannot be asked: over the real network, with default limits."""

from __future__ import annotations

import json

import grpc.aio
import pytest

from gateway.api.operator.v1 import operator_pb2 as api
from gateway.cli.localnet.clients import Consent
from gateway.config import Limits
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import error_from_rpc
from tests.e2e.harness import LIBRARY, PATIENCE_S, TestNetwork, library_consent

BURST = Limits().consent_burst


async def _refusals(network: TestNetwork) -> list[tuple[str, str, str]]:
    entries = [json.loads(entry) for entry in (await network.clients.download()).items]
    return [(entry["operator"], entry["scenario"], entry["code"]) for entry in entries if entry["type"] == "refusal"]


@pytest.mark.parametrize("uses", [0, 50], ids=["cached", "round-trip"])
async def test_one_consent_is_asked_about_so_often_and_no_more(network: TestNetwork, uses: int) -> None:
    consent = await library_consent(network, uses=uses)
    items = [network.clients.request(consent) for _ in range(BURST + 1)]
    stub = network.clients.eligibility(LIBRARY)
    batch = await stub.BatchCheckEligibility(api.BatchCheckEligibilityRequest(items=items), timeout=PATIENCE_S)
    assert [result.WhichOneof("result") for result in batch.results] == ["decision"] * BURST + ["error"]
    last = batch.results[-1].error
    assert last.reason == "RATE_LIMITED"
    assert last.retry_after_ms > 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.CheckEligibility(network.clients.request(consent), timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    told = error_from_rpc(caught.value)
    assert told.reason is Reason.RATE_LIMITED
    assert told.retry_after_s is not None
    assert told.retry_after_s > 0
    again = await stub.CheckEligibility(items[0], timeout=PATIENCE_S)  # a retry is free
    assert again.decision == batch.results[0].decision
    await network.clients.check(await library_consent(network, uses=uses))  # and another consent is another matter


async def test_asking_for_more_than_was_given_leaves_a_trace_a_minute(network: TestNetwork) -> None:
    consent = await library_consent(network)
    before = len(await _refusals(network))
    for scenario, reason in (
        ("fuzhou-scooter", Reason.SCENARIO_NOT_OPEN),  # another operator's
        ("no-such-scenario", Reason.SCENARIO_UNKNOWN),  # a mistake, and no over-asking
    ):
        asked = Consent(
            consent.home_city, consent.resident, consent.operator, scenario, consent.id, consent.token, consent.bound
        )
        for _ in range(3):
            with pytest.raises(TiergateError) as caught:
                await network.clients.check(asked)
            assert caught.value.reason is reason
    assert (await _refusals(network))[before:] == [(LIBRARY, "fuzhou-scooter", "SCENARIO_NOT_OPEN")]
