"""A withdrawal over real processes: with the push cut, and with both sides killed while it is under way (I7)."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.consent.v1.consent_pb2 import GetConsentReceiptRequest
from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.audit import log_trust
from gateway.cli.localnet.plan import TRUST_DOMAIN, Options
from gateway.consentlog.consent_receipt import ConsentReceipt, verify_receipt
from gateway.errors import TiergateError
from tests.e2e.harness import LIBRARY, TOP, TestNetwork, library_consent, running, until, withdraw

LIFETIME_S = 2
CITY = f"spiffe://{TRUST_DOMAIN}/city/fuzhou"


@pytest.fixture(scope="module")
async def parted(tmp_path_factory: pytest.TempPathFactory, in_checkout: Path) -> AsyncIterator[TestNetwork]:
    """A network whose attestations live for two seconds, with a relay before each server."""
    # one consent is asked about more often than anybody may
    limits: dict[str, int | float] = {"per_consent_per_h": 1e9, "consent_burst": 1_000_000}
    options = Options(attestation_lifetime_s=LIFETIME_S, gateway_limits=dict(limits), adapter_limits=limits)
    async with running(tmp_path_factory.mktemp("withdrawals") / "network", options, relayed=True) as network:
        yield network


async def _receipt(network: TestNetwork, consent_id: str) -> ConsentReceipt:
    """Her receipt, verified as on another machine."""
    request = GetConsentReceiptRequest(resident_ref=TOP, consent_id=consent_id)
    answer = await network.clients._consents("fuzhou").GetConsentReceipt(request, timeout=10)
    directory = network.clients.directory
    return verify_receipt(answer.receipt, directory, log_trust(directory.gateway))


async def _withdrawals_in_the_log(network: TestNetwork) -> int:
    log = await network.clients.download()
    return sum(b'"type":"consent_withdrawn"' in entry for entry in log.items)


async def test_with_the_push_cut_exposure_ends_with_the_attestation(parted: TestNetwork) -> None:
    """Only the way from city to gateway is cut: the gateway still asks the city, and operators still ask it."""
    consent = await parted.clients.grant("fuzhou", TOP, LIBRARY, LIBRARY)  # unlimited: its attestation is kept
    decisions: list[pb.Decision] = []

    async def answered(entitled: bool) -> bool:
        try:
            decisions.append(await parted.clients.check(consent))
        except TiergateError as error:
            if error.status != "UNAVAILABLE":  # an attestation that lives for seconds can end on the way
                raise
            return False
        return (decisions[-1].outcome == pb.OUTCOME_ENTITLED) == entitled

    await until(lambda: answered(entitled=True), "an entitled decision")
    relay = parted.relay("gateway")
    relay.cut(CITY)
    try:
        told, _ = await asyncio.gather(
            parted.clients.withdraw(consent), until(lambda: answered(entitled=False), "the uniform no")
        )
        assert not told.acknowledged
        assert await _withdrawals_in_the_log(parted) == 0
        end_ms = told.effective_at.ToMilliseconds() + LIFETIME_S * 1000
        assert told.exposed_until.ToMilliseconds() == end_ms
        for decision in decisions:
            if decision.outcome == pb.OUTCOME_ENTITLED:
                assert decision.decided_at.ToMilliseconds() < decision.valid_until.ToMilliseconds() <= end_ms
        assert (await parted.clients.check(consent)).outcome == pb.OUTCOME_ORDINARY
        pending = await _receipt(parted, consent.id)
        assert [(change.state, change.proved) for change in pending.changes] == [("dpv:ConsentWithdrawn", None)]
    finally:
        relay.mend()
    await withdraw(parted, consent)
    assert await _withdrawals_in_the_log(parted) == 1
    acknowledged = await parted.clients.withdraw(consent)
    receipt = await _receipt(parted, consent.id)
    (change,) = receipt.changes
    assert change.proved is not None
    assert (change.proved.log_index, change.proved.size) == (
        acknowledged.log_index,
        acknowledged.checkpoint_size,
    )


@pytest.mark.parametrize("first", ["gateway", "fuzhou"])
async def test_a_withdrawal_survives_the_death_of_both_sides(network: TestNetwork, first: str) -> None:
    consent = await library_consent(network)
    assert (await network.clients.check(consent)).outcome == pb.OUTCOME_ENTITLED
    before = await _withdrawals_in_the_log(network)
    await network.stop_async("gateway", signal.SIGKILL)
    told = await network.clients.withdraw(consent)
    assert not told.acknowledged
    await network.stop_async("fuzhou", signal.SIGKILL)
    for name in (first, *({"gateway", "fuzhou"} - {first})):
        await network.restart_async(name)
    assert (await withdraw(network, consent)).effective_at == told.effective_at
    assert await _withdrawals_in_the_log(network) == before + 1
    request_id = secrets.token_urlsafe(16)
    decisions: list[pb.Decision] = []

    async def answered() -> bool:
        try:
            decisions.append(await network.clients.check(consent, request_id=request_id))
        except TiergateError as error:
            if error.status not in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}:
                raise
        return bool(decisions)

    await until(answered, "an answer")
    assert decisions[0].outcome == pb.OUTCOME_ORDINARY


async def test_a_gateway_that_is_killed_while_it_takes_withdrawals_takes_each_once(network: TestNetwork) -> None:
    consents = [await library_consent(network) for _ in range(40)]
    before = await _withdrawals_in_the_log(network)
    calls = [asyncio.ensure_future(network.clients.withdraw(consent)) for consent in consents]
    await next(asyncio.as_completed(calls))  # some are taken, others under way
    await network.stop_async("gateway", signal.SIGKILL)
    await asyncio.gather(*calls)
    await network.restart_async("gateway")
    for consent in consents:
        await withdraw(network, consent)
    indices = {(await network.clients.withdraw(consent)).log_index for consent in consents}
    assert len(indices) == len(consents)
    assert await _withdrawals_in_the_log(network) == before + len(consents)
