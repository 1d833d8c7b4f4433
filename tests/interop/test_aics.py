"""Others' log and client against our witness, and our gateway's collector against others' witness (aics-witness)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.cli.localnet.plan import ReservedPort
from gateway.cli.localnet.processes import Processes
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError
from gateway.services.collect_cosignatures import CollectCosignatures, Pace
from gateway.storage.cosigned import CosignedCheckpoints
from gateway.storage.sqlite_store import SqliteStore
from gateway.witness.client import WitnessClient
from tests.contract.store_samples import SIGNER, clock, draft, open_store, record, store
from tests.fakes.clock import FakeClock
from tests.fakes.witness_process import WitnessProcess
from tests.fakes.witnessed import LogOfLeaves
from tests.interop.verifier import Verifier, refused

__all__ = ["clock", "open_store", "store"]  # fixtures

SEED, ORIGIN, NAME = "07" * 32, "log.example/aics", "witness.example/aics"
PACE = Pace(interval_s=1, refresh_s=30, alarm_after_s=120)


@pytest.fixture(scope="module")
def aics_python(checkout: Path) -> Path:
    python = checkout / ".state/interop/aics/bin/python"
    assert python.exists(), "aics-witness is missing; ./dev interop installs it"
    return python


@pytest.fixture(scope="module")
def aics(aics_python: Path, checkout: Path) -> Verifier:
    return Verifier((aics_python, "-I", checkout / "tests/interop/aics/feed.py"))


@pytest.fixture
def ours(aics: Verifier, tmp_path: Path) -> Iterator[WitnessProcess]:
    """Our witness, which knows their log."""
    with Processes() as processes:
        made = WitnessProcess(
            tmp_path / "witness", processes, "witness.example/w1", {ORIGIN: aics("vkey", SEED, ORIGIN).said}
        )
        made.init()
        made.start()
        yield made


def test_our_witness_cosigns_their_log_for_their_client(aics: Verifier, ours: WitnessProcess) -> None:
    sizes = ("1", "2", "255", "256", "257", "600", "600")
    assert aics("feed", SEED, ORIGIN, ours.url, ours.vkey, "a", *sizes) == (
        True,
        f"feed: cosigned at {' '.join(sizes)}",
    )
    # a client that knows nothing of it yet is told the size, and goes on from there
    assert aics("feed", SEED, ORIGIN, ours.url, ours.vkey, "a", "700").accepted


def test_our_witness_refuses_their_fork_in_words_that_they_understand(aics: Verifier, ours: WitnessProcess) -> None:
    assert aics("feed", SEED, ORIGIN, ours.url, ours.vkey, "a", "5").accepted
    for sizes in (("5",), ("9",)):
        refused(aics("feed", SEED, ORIGIN, ours.url, ours.vkey, "fork", *sizes), "WitnessRejected")
    refused(aics("feed", SEED, ORIGIN, ours.url, ours.vkey, "a", "3"), "WitnessAhead")
    refused(aics("feed", SEED, "log.example/unknown", ours.url, ours.vkey, "a", "1"), "404")
    refused(aics("feed", "08" * 32, ORIGIN, ours.url, ours.vkey, "a", "9"), "403")
    assert {item["kind"] for item in ours.run("status", code=1)["evidence"]} == {"split", "inconsistent"}


@pytest.fixture
async def theirs(aics_python: Path, tmp_path: Path) -> AsyncIterator[tuple[WitnessClient, str]]:
    """Their witness, which knows our log: our client of it, and its key."""
    port = ReservedPort()
    program = [str(aics_python), "-I", "-m", "aics_witness"]
    config = ["--config", str(tmp_path / "witness.json")]

    def run(*words: str) -> str:
        done = subprocess.run([*program, *words], capture_output=True, check=True, text=True, timeout=60)
        return done.stdout

    run("init", *config, "--name", NAME, "--listen", port.address)
    run("add-log", *config, "--origin", SIGNER.name, "--vkey", str(SIGNER.verifier))
    (vkey,) = [word for word in run("status", *config).split() if word.startswith(f"{NAME}+")]
    port.release()
    serving = await asyncio.create_subprocess_exec(*program, "serve", *config, stderr=asyncio.subprocess.DEVNULL)
    client = WitnessClient(f"http://{port.address}", deadline_s=30)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.cosigned("0" * 64)
                    break
                except TiergateError:
                    await asyncio.sleep(0.05)
        yield client, vkey
    finally:
        await client.close()
        serving.terminate()
        await serving.wait()


async def test_their_witness_cosigns_our_log_for_our_collector(
    theirs: tuple[WitnessClient, str], store: SqliteStore, clock: FakeClock, tmp_path: Path
) -> None:
    client, vkey = theirs
    trust = TrustPolicy.parse(f"log {SIGNER.verifier}\nwitness aics {vkey}\nquorum aics\n".encode())
    kept = CosignedCheckpoints(tmp_path / "gateway.db", store.aside, trust.verify)

    def collector() -> CollectCosignatures:
        return CollectCosignatures(
            clock=clock, log=store, signer=SIGNER, trust=trust, witnesses={"aics": client}, store=kept, pace=PACE
        )

    collecting = collector()
    await collecting.compare()
    for number in range(5):
        await record(store, draft(clock, number))
        assert await collecting.collect_once()
        found = kept.newest()
        assert found is not None
        assert trust.verify(found.checkpoint.encode()).checkpoint.size == store.size()
    await collector().compare()  # a restart: the witness tells where it is
    ahead = LogOfLeaves(SIGNER, "other").request(store.size(), store.size() + 1)
    assert (await client.add_checkpoint(ahead)).status == 422
    await client.add_checkpoint(LogOfLeaves(SIGNER, "other").request(0, store.size()))
    await record(store, draft(clock, 9))
    assert await collector().collect_once()


async def test_their_witness_of_another_history_keeps_our_gateway_from_signing(
    theirs: tuple[WitnessClient, str], store: SqliteStore, clock: FakeClock, tmp_path: Path
) -> None:
    client, vkey = theirs
    trust = TrustPolicy.parse(f"log {SIGNER.verifier}\nwitness aics {vkey}\nquorum aics\n".encode())
    kept = CosignedCheckpoints(tmp_path / "gateway.db", store.aside, trust.verify)
    assert (await client.add_checkpoint(LogOfLeaves(SIGNER, "other").request(0, 1))).status == 200
    for _ in range(2):
        with pytest.raises(TiergateError) as caught:
            await CollectCosignatures(
                clock=clock, log=store, signer=SIGNER, trust=trust, witnesses={"aics": client}, store=kept, pace=PACE
            ).compare()
        assert caught.value.reason is Reason.LOG_BEHIND
        await record(store, draft(clock, 1))
