"""What happens when a part of the network fails: clear answers, nothing half done, nothing lost, no use spent twice."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.clients import Consent
from gateway.consentlog.entry import decode
from gateway.consentlog.export import write_export
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from tests.e2e.broken_platform import BrokenPlatform
from tests.e2e.harness import LIBRARY, PATIENCE_S, TOP, TestNetwork, library_consent, until, until_decided, withdraw

AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
CALLERS = 12
"""How many ask at once while the gateway is killed."""


async def transit_consent(network: TestNetwork) -> Consent:
    return await network.clients.grant("xiamen", "synthetic-xm-0001", "fuzhou-metro", "fuzhou-transit", uses=3)


async def spent(network: TestNetwork, consent: Consent) -> int:
    """Uses that the home city has counted."""
    listed = await network.clients.consents(consent.home_city, consent.resident)
    (found,) = [item for item in listed.consents if item.consent_id == consent.id]
    return found.uses_spent


async def refusal(network: TestNetwork, consent: Consent, request_id: str = "") -> TiergateError:
    with pytest.raises(TiergateError) as raised:
        await network.clients.check(consent, request_id=request_id)
    return raised.value


async def until_answered(network: TestNetwork, consent: Consent, request_id: str) -> pb.Decision:
    """Retry with the same request id, as an operator does, until there is a decision."""
    return await until_decided(lambda: network.clients.check(consent, request_id=request_id, receipt=True), AWAY)


async def test_a_city_that_is_away_is_unavailable_and_answers_again_when_it_is_back(network: TestNetwork) -> None:
    consent, other = await library_consent(network), await transit_consent(network)
    await network.stop_async("fuzhou", signal.SIGKILL)
    request_id = secrets.token_urlsafe(16)
    error = await refusal(network, consent, request_id)
    assert error.reason is Reason.HOME_CITY_UNAVAILABLE
    assert error.retry_after_s
    assert (await until_answered(network, other, secrets.token_urlsafe(16))).outcome == pb.OUTCOME_ENTITLED
    await network.restart_async("fuzhou")
    decision = await until_answered(network, consent, request_id)
    assert decision.outcome == pb.OUTCOME_ENTITLED
    assert await spent(network, consent) == 1
    network.check()


class Caller:
    """An operator's system that asks again and again with a consent of its own, until there is no answer."""

    def __init__(self, network: TestNetwork, consent: Consent) -> None:
        self.network = network
        self.consent = consent
        self.acknowledged: dict[str, pb.Decision] = {}
        self.unanswered = ""

    async def run(self) -> None:
        """Each check has an id of its own; the one without an answer is ``unanswered``."""
        while not self.unanswered:
            request_id = secrets.token_urlsafe(16)
            try:
                decision = await self.network.clients.check(self.consent, request_id=request_id, receipt=True)
            except TiergateError as error:
                if error.status not in AWAY:
                    raise
                self.unanswered = request_id
            else:
                self.acknowledged[request_id] = decision


@pytest.mark.parametrize("killed", ["gateway", "fuzhou"])
async def test_nothing_acknowledged_is_lost_and_no_use_is_doubled_when_a_process_is_killed(
    network: TestNetwork, killed: str
) -> None:
    callers = [Caller(network, await library_consent(network, uses=50)) for _ in range(CALLERS)]

    async def all_acknowledged() -> bool:
        return all(caller.acknowledged for caller in callers)

    load = asyncio.gather(*(caller.run() for caller in callers))
    await until(all_acknowledged, "decisions under load")
    await network.stop_async(killed, signal.SIGKILL)
    await load
    await network.restart_async(killed)

    for caller in callers:
        await until_answered(network, caller.consent, caller.unanswered)
        assert await spent(network, caller.consent) == len(caller.acknowledged) + 1
    decisions = [decision for caller in callers for decision in caller.acknowledged.values()]
    log = await network.clients.download()
    for decision in decisions:
        assert log.items[decision.log_index] == decision.receipt.entry
        assert decode(decision.receipt.entry).text("id") == decision.decision_id
    bundles = {digest: await network.clients.bundle(digest) for digest in {item.bundle_digest for item in decisions}}
    trust = (network.layout.shared / "trust").read_bytes()
    write_export(log, network.layout.base / "export", bundles, trust)
    assert verify_export(network.layout.base / "export", trust).entries["decision"] >= len(decisions) + CALLERS
    # the decision stays the same one for whoever asks again
    (request_id, decision), *_ = callers[0].acknowledged.items()
    again = await network.clients.check(callers[0].consent, request_id=request_id)
    assert (again.decision_id, again.log_index) == (decision.decision_id, decision.log_index)


async def _withdrawals(network: TestNetwork) -> int:
    log = await network.clients.download()
    return sum(b'"type":"consent_withdrawn"' in entry for entry in log.items)


async def test_a_withdrawal_while_the_gateway_is_down_reaches_it_when_it_is_back(network: TestNetwork) -> None:
    consent = await network.clients.grant("fuzhou", TOP, LIBRARY, LIBRARY)
    assert (await until_answered(network, consent, secrets.token_urlsafe(16))).outcome == pb.OUTCOME_ENTITLED
    before = await _withdrawals(network)
    await network.stop_async("gateway")
    answer = await network.clients.withdraw(consent)
    assert not answer.acknowledged
    assert answer.exposed_until.ToMilliseconds() > answer.effective_at.ToMilliseconds()
    await network.restart_async("gateway")
    await withdraw(network, consent)
    decision = await until_answered(network, consent, secrets.token_urlsafe(16))
    assert decision.outcome == pb.OUTCOME_ORDINARY
    assert await _withdrawals(network) == before + 1


@pytest.fixture
async def platform(network: TestNetwork) -> AsyncIterator[BrokenPlatform]:
    """Fuzhou's adapter on another platform for a while."""
    found = BrokenPlatform()
    port = await found.start()
    settings = network.layout.city("fuzhou") / "adapter.toml"
    text = settings.read_text("utf-8")
    lines = [
        f'base_url = "http://127.0.0.1:{port}"' if line.startswith("base_url") else line for line in text.splitlines()
    ]
    settings.write_text("\n".join(lines) + "\n", "utf-8")
    await network.stop_async("fuzhou")
    await network.restart_async("fuzhou")
    yield found
    settings.write_text(text, "utf-8")
    await network.stop_async("fuzhou")
    await network.restart_async("fuzhou")
    await found.stop()


@pytest.mark.parametrize("mode", ["garbage", "hangs"])
async def test_a_platform_that_does_not_answer_is_unavailable_and_costs_no_use(
    network: TestNetwork, platform: BrokenPlatform, mode: str
) -> None:
    consent = await library_consent(network)
    request_id = secrets.token_urlsafe(16)
    platform.mode = mode
    error = await refusal(network, consent, request_id)
    assert error.reason is Reason.HOME_CITY_UNAVAILABLE
    assert error.retry_after_s
    assert await spent(network, consent) == 0
    platform.mode = "good"
    assert (await until_answered(network, consent, request_id)).outcome == pb.OUTCOME_ENTITLED
    assert await spent(network, consent) == 1


async def test_a_second_gateway_on_the_same_data_is_refused_in_plain_words(network: TestNetwork) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *network.command("gateway"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "TIERGATE_GATEWAY_LISTEN": "127.0.0.1:0",
            "TIERGATE_GATEWAY_METRICS_LISTEN": "127.0.0.1:0",
        },
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 3
    assert out == b""
    first, cause = err.decode().splitlines()
    assert first == "tiergate: STORE_BUSY: Another process holds the database or the export."
    assert cause.strip() == "cause: gateway.db is held by another process"
    consent = await library_consent(network)
    assert (await until_answered(network, consent, secrets.token_urlsafe(16))).outcome == pb.OUTCOME_ENTITLED
