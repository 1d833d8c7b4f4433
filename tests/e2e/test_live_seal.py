"""The log's key changes while the gateway runs and checks go on: nothing fails, and everything is proved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.plan import Options
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.shard import PLACES
from tests.e2e.harness import UNHURRIED, TestNetwork, library_consent, running, until, withdraw
from tests.e2e.rotation import CITY, reload, under_load
from tests.e2e.shards import NEXT, OneWitness, RefusedError, prepare_seal, tiergate

CALLERS = 6


@pytest.fixture
async def witness() -> OneWitness:
    return OneWitness()


@pytest.fixture
async def network(tmp_path: Path, witness: OneWitness) -> AsyncIterator[TestNetwork]:
    options = Options(gateway_limits=dict(UNHURRIED))
    async with running(tmp_path / "network", options, prepare=witness.prepare) as started:
        yield started


async def test_no_check_fails_while_the_log_goes_on_in_the_next_shard(
    network: TestNetwork, witness: OneWitness, tmp_path: Path
) -> None:
    layout, clients = network.layout, network.clients
    log_key, gone = layout.gateway / "log.key", layout.gateway / "log.key.next"
    withdrawn = await library_consent(network, uses=9)
    assert (await clients.check(withdrawn)).outcome == pb.OUTCOME_ENTITLED
    await withdraw(network, withdrawn)
    kept = await library_consent(network, uses=9)
    before = await clients.check(kept, receipt=True)

    async with under_load(network, CALLERS) as load:
        await prepare_seal(network, witness)
        await load.goes_on()
        assert read_signer(log_key).name != NEXT  # the directory lists the next key, and the one in use goes on
        reload(network, ["gateway"])

        async def sealed() -> bool:
            return not gone.exists()

        await until(sealed, "the key of the next shard in its place")
        await load.goes_on()
        await load.renew()
        after = await clients.check(kept, receipt=True)
        assert (after.outcome, after.log_index >= PLACES) == (pb.OUTCOME_ENTITLED, True)
        assert (await clients.check(withdrawn)).outcome == pb.OUTCOME_ORDINARY
        reload(network, ["gateway"])  # once more: there is nothing to seal
        await load.goes_on()
    assert read_signer(log_key).name == NEXT
    network.check()

    trust = tmp_path / "trust"
    root = ("--root", layout.shared / "root.json", "--directory", layout.shared / "directory.json")
    await tiergate("audit", "trust", *root, "--out", trust)
    for decision in (before, after):
        entry, proof = tmp_path / f"{decision.log_index}.entry", tmp_path / f"{decision.log_index}.proof"
        entry.write_bytes(decision.receipt.entry)
        proof.write_text(decision.receipt.proof, "utf-8")
        found = await tiergate("audit", "verify-receipt", "--trust", trust, "--entry", entry, "--proof", proof)
        assert found["entry"]["index"] == decision.log_index

    profile, cosigned = ("--profile", layout.auditor / "client.toml"), ("--trust", witness.trust)
    export, journal = tmp_path / "export", tmp_path / "journal"

    async def proved() -> bool:
        """Once the witness has cosigned the end of the one shard, and in the other whatever was decided."""
        try:
            await tiergate("audit", "export", "--out", export, *cosigned, *profile)
        except RefusedError as error:
            if "LOG_UNWITNESSED" in str(error):
                return False
            raise
        found = await tiergate("audit", "verify", export, *cosigned)
        assert ([shard["sealed"] for shard in found["shards"]], found["unchecked"]) == ([True, False], {})
        return bool(found["entries"]["decision"] >= load.done + 4)

    await until(proved, "an export of both shards, cosigned")

    async def reported() -> bool:
        journal.unlink(missing_ok=True)
        await tiergate("adapter", "journal", "--config", layout.city(CITY) / "adapter.toml", "--out", journal)
        found = await tiergate("audit", "reconcile", export, *cosigned, "--journal", journal, *root)
        assert found["findings"] == []
        return bool(found["compared"] >= load.done + 4)

    await until(reported, "reports of both shards, which the export agrees with")
    await network.stop_async("gateway")
    await network.restart_async("gateway")  # with the key that is in place now
    assert (await clients.check(kept)).outcome == pb.OUTCOME_ENTITLED
