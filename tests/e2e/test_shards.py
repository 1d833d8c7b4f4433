"""A log that is sealed and goes on, with everybody in their own process: operators, cities, a witness, an auditor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.plan import Options
from gateway.consentlog.receipt import prove
from gateway.consentlog.shard import PLACES
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import TiergateError
from tests.e2e.harness import LIBRARY, PATIENCE_S, TestNetwork, library_consent, running, until, withdraw
from tests.e2e.rotation import CITY
from tests.e2e.shards import OneWitness, RefusedError, prepare_seal, tiergate


@pytest.fixture
async def witness() -> OneWitness:
    return OneWitness()


@pytest.fixture
async def network(tmp_path: Path, witness: OneWitness) -> AsyncIterator[TestNetwork]:
    async with running(tmp_path / "network", Options(), prepare=witness.prepare) as started:
        yield started


async def test_a_network_goes_on_across_a_seal(network: TestNetwork, witness: OneWitness, tmp_path: Path) -> None:
    layout, clients = network.layout, network.clients
    kept, withdrawn = await library_consent(network, uses=9), await library_consent(network, uses=9)
    before = await clients.check(kept, receipt=True)
    assert (await clients.check(withdrawn)).outcome == pb.OUTCOME_ENTITLED
    await withdraw(network, withdrawn)

    await prepare_seal(network, witness)
    config = layout.gateway / "gateway.toml"
    await tiergate("audit", "seal", "--config", config, code=3)  # by hand: the gateway holds its database
    await network.stop_async("gateway")
    sealed = await tiergate("audit", "seal", "--config", config)
    assert sealed["sealed"]
    assert not (await tiergate("audit", "seal", "--config", config))["sealed"]  # once more: nothing is left to do
    await network.restart_async("gateway")

    after = await clients.check(kept, receipt=True)
    assert (after.outcome, after.log_index >= PLACES) == (pb.OUTCOME_ENTITLED, True)
    assert (await clients.check(withdrawn)).outcome == pb.OUTCOME_ORDINARY

    trust = tmp_path / "trust"
    root = ("--root", layout.shared / "root.json", "--directory", layout.shared / "directory.json")
    await tiergate("audit", "trust", *root, "--out", trust)
    for decision in (before, after):
        entry, proof = tmp_path / f"{decision.log_index}.entry", tmp_path / f"{decision.log_index}.proof"
        entry.write_bytes(decision.receipt.entry)
        proof.write_text(decision.receipt.proof, "utf-8")
        found = await tiergate("audit", "verify-receipt", "--trust", trust, "--entry", entry, "--proof", proof)
        assert found["entry"]["index"] == decision.log_index

    async def upgraded() -> bool:
        """The old decision's receipt, with the witness's cosignature of the sealed shard's last checkpoint."""
        request = pb.GetReceiptRequest(log_index=before.log_index)
        receipt = (await clients.eligibility(LIBRARY).GetReceipt(request, timeout=PATIENCE_S)).receipt
        try:
            policy = TrustPolicy.parse(witness.trust.read_bytes())
            return prove(receipt.entry, receipt.proof.encode(), policy).size == int(sealed["size"])
        except TiergateError:
            return False

    await until(upgraded, "a cosigned receipt of a decision of the sealed shard")

    profile = ("--profile", layout.auditor / "client.toml")
    export, cosigned = tmp_path / "export", ("--trust", witness.trust)

    async def exported() -> bool:  # once the witness has cosigned the end of the one and the beginning of the other
        try:
            await tiergate("audit", "export", "--out", export, *cosigned, *profile)
        except RefusedError as error:
            if "LOG_UNWITNESSED" in str(error):
                return False
            raise
        found = await tiergate("audit", "verify", export, *cosigned)
        return bool(found["entries"].get("decision") == 4)

    await until(exported, "an export of both shards, cosigned")
    verified = await tiergate("audit", "verify", export, *cosigned)
    assert [shard["sealed"] for shard in verified["shards"]] == [True, False]
    assert (verified["shards"][0]["size"], verified["unchecked"]) == (sealed["size"], {})
    alone = await tiergate("audit", "verify", export / "shards" / "001", *cosigned)
    assert alone["unchecked"] == {"earlier shards": 1, "registrations": 2}
    replayed = await tiergate("audit", "replay", export, *cosigned, "--decision", after.log_index)
    assert (replayed["decisions"], replayed["differences"]) == (4, [])
    sampled = await tiergate("audit", "sample", export, *cosigned, "--count", 9, "--type", "decision")
    assert sampled["population"] == 4

    for index in (before.log_index, after.log_index):
        assert (await tiergate("audit", "show", index, *profile))["entry"]["index"] == index
    listed = await tiergate("audit", "list", "--type", "decision", "--last", 0, *profile)
    assert [item["index"] >= PLACES for item in listed["entries"]] == [False, False, True, True]
    trail = await tiergate("audit", "list", "--receipt", tmp_path / f"{after.log_index}.entry", *profile)
    assert [item["type"] for item in trail["entries"]] == ["consent_registered", "decision", "decision"]
    watched = await tiergate("audit", "watch", "--once", "--state", tmp_path / "state", *profile)
    assert watched["kind"] == "SEEN"

    journal = tmp_path / "journal"
    adapter = layout.city(CITY) / "adapter.toml"

    async def reported() -> bool:
        journal.unlink(missing_ok=True)
        await tiergate("adapter", "journal", "--config", adapter, "--out", journal)
        found = await tiergate("audit", "reconcile", export, *cosigned, "--journal", journal, *root)
        assert found["findings"] == []
        alone = await tiergate("audit", "reconcile", export / "shards" / "001", *cosigned, "--journal", journal, *root)
        assert (alone["findings"], alone["beyond"]) == ([], min(2, found["compared"]))
        compared: int = found["compared"]
        return compared == 4

    await until(reported, "reports of both shards, which the export agrees with")
