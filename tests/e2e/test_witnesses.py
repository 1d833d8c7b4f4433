"""A gateway with three witnesses, of which two must cosign: what is published while they come and go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.audit.v1 import audit_pb2
from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Processes
from gateway.consentlog.note import SignerKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError
from gateway.witness.client import WitnessClient
from tests.e2e.harness import PATIENCE_S, TestNetwork, library_consent, running, until
from tests.fakes.witness_process import WitnessProcess
from tests.fakes.witnessed import LogOfLeaves

NAMES = ("fuzhou", "xiamen", "auditor")
OPERATOR = "xiamen-library"


class Witnesses:
    """The witnesses' processes, and the files that make a gateway ask them."""

    def __init__(self) -> None:
        self.all: dict[str, WitnessProcess] = {}
        self.trust = Path()
        self.signer: SignerKey

    def prepare(self, layout: Layout, processes: Processes) -> None:
        self.signer = SignerKey.parse((layout.gateway / "log.key").read_text("ascii").strip())
        log = self.signer.verifier
        lines = [f"log {log}"]
        tables = ""
        for name in NAMES:
            made = WitnessProcess(layout.base / "witnesses" / name, processes, f"{name}.example", {log.name: str(log)})
            made.init()
            made.start()
            self.all[name] = made
            lines.append(f"witness {name} {made.vkey} {made.url}")
            tables += f'\n[[witnessing.witnesses]]\nname = "{name}"\nurl = "{made.url}"\n'
        self.trust = layout.gateway / "trust"
        self.trust.write_text("\n".join([*lines, f"group g 2 {' '.join(NAMES)}", "quorum g", ""]), "utf-8")
        settings = '\n[witnessing]\ntrust = "trust"\ninterval_s = 0.1\nrefresh_s = 0.5\nalarm_after_s = 2\n'
        with (layout.gateway / "gateway.toml").open("a", encoding="utf-8") as file:
            file.write(settings + tables)


@pytest.fixture
async def witnesses() -> Witnesses:
    return Witnesses()


@pytest.fixture
async def network(tmp_path: Path, witnesses: Witnesses) -> AsyncIterator[TestNetwork]:
    async with running(tmp_path / "network", Options(), prepare=witnesses.prepare) as started:
        yield started


async def gauge(network: TestNetwork, name: str) -> float:
    lines = (await network.scrape("gateway")).decode().splitlines()
    (value,) = [line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")]
    return float(value)


async def proved(network: TestNetwork, index: int, trust: TrustPolicy) -> bool:
    """Whether the receipt of a decision satisfies the quorum by now."""
    request = pb.GetReceiptRequest(log_index=index)
    answer = await network.clients.eligibility(OPERATOR).GetReceipt(request, timeout=PATIENCE_S)
    try:
        LogProof.parse(answer.receipt.proof.encode()).verify(answer.receipt.entry, trust)
    except TiergateError as error:
        if error.reason is not Reason.NOTE_INVALID:
            raise
        return False
    return True


async def published(network: TestNetwork, trust: TrustPolicy) -> int:
    answer = await network.clients.audit().GetCheckpoint(audit_pb2.GetCheckpointRequest(), timeout=PATIENCE_S)
    return trust.verify(answer.checkpoint.encode()).checkpoint.size  # never one that the quorum has not seen


async def test_what_is_published_follows_the_quorum_and_decisions_go_on_without(
    network: TestNetwork, witnesses: Witnesses
) -> None:
    trust = TrustPolicy.parse(witnesses.trust.read_bytes())
    consent = await library_consent(network, uses=9)

    async def decide() -> int:
        decision = await network.clients.check(consent)
        assert decision.outcome == pb.OUTCOME_ENTITLED
        return decision.log_index

    first = await decide()
    await until(lambda: proved(network, first, trust), "a cosigned receipt")

    await asyncio.to_thread(witnesses.all["fuzhou"].stop, signal.SIGKILL)
    second = await decide()
    await until(lambda: proved(network, second, trust), "a cosigned receipt with one witness away")

    await asyncio.to_thread(witnesses.all["xiamen"].stop, signal.SIGKILL)
    size = await published(network, trust)
    third = await decide()

    async def alarmed() -> bool:
        return await gauge(network, "tiergate_quorum_failing") == 1

    await until(alarmed, "the alarm")
    assert '"quorum_failed"' in network.layout.log("gateway").read_text("utf-8")
    assert await published(network, trust) == size <= third
    assert not await proved(network, third, trust)
    assert await decide() > third  # without a quorum, and with the alarm

    await asyncio.to_thread(witnesses.all["xiamen"].start)
    await until(lambda: proved(network, third, trust), "a cosigned receipt when a witness is back")

    async def calm() -> bool:
        return await gauge(network, "tiergate_quorum_failing") == 0

    await until(calm, "the end of the alarm")
    assert await published(network, trust) > size


async def test_a_gateway_whose_witness_has_seen_more_does_not_start(network: TestNetwork, witnesses: Witnesses) -> None:
    await network.stop_async("gateway")
    witness = witnesses.all["auditor"]
    await asyncio.to_thread(witness.stop)
    shown = WitnessProcess(witness.folder.with_name("other"), witness.processes, "other.example", witness.logs)
    await asyncio.to_thread(shown.init)
    await asyncio.to_thread(shown.start)
    other = LogOfLeaves(witnesses.signer)
    client = WitnessClient(shown.url, deadline_s=PATIENCE_S)
    assert (await client.add_checkpoint(other.request(0, 500))).status == 200
    await client.close()
    for file in (network.layout.gateway / "gateway.toml", witnesses.trust):
        text = file.read_text("utf-8").replace(witness.url, shown.url).replace(witness.vkey, shown.vkey)
        file.write_text(text, "utf-8")
    with pytest.raises(TiergateError) as caught:
        await network.restart_async("gateway")
    assert "LOG_BEHIND" in caught.value.detail
