"""Nothing that processes log can be written: they start, answer, refuse, report and take withdrawals all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.plan import Layout, Options
from gateway.errors import Reason, TiergateError
from tests.e2e.harness import TestNetwork, library_consent, running, until, withdraw

PROCESSES = ("gateway", "fuzhou", "xiamen")


def _on_a_full_device(layout: Layout, _processes: object) -> None:
    for name in PROCESSES:
        layout.log(name).parent.mkdir(parents=True, exist_ok=True)
        layout.log(name).symlink_to("/dev/full")


@pytest.fixture(scope="module")
async def silent(tmp_path_factory: pytest.TempPathFactory, in_checkout: Path) -> AsyncIterator[TestNetwork]:
    """A network whose processes' standard error is a device that is always full."""
    base = tmp_path_factory.mktemp("full") / "network"
    async with running(base, Options(), prepare=_on_a_full_device) as network:
        yield network


async def _lost(network: TestNetwork, name: str) -> float:
    page = (await network.scrape(name)).decode()
    return float(page.partition("\ntiergate_log_writes_failed ")[2].partition("\n")[0])


async def test_what_is_refused_is_told_and_what_is_due_is_done(silent: TestNetwork) -> None:
    consent = await library_consent(silent, uses=0)
    assert (await silent.clients.check(consent)).outcome == pb.OUTCOME_ENTITLED
    lost = await _lost(silent, "gateway")
    forged = replace(consent, token=f"{consent.token[:-8]}AAAAAAAA")
    for _ in range(5):
        with pytest.raises(TiergateError) as caught:
            await silent.clients.check(forged)
        assert caught.value.reason is Reason.TOKEN_SIGNATURE_INVALID
    assert await _lost(silent, "gateway") > lost

    await silent.stop_async("gateway")  # withdrawals and reports fail meanwhile, and cannot say so
    assert not (await silent.clients.withdraw(consent)).acknowledged
    await silent.restart_async("gateway")
    await withdraw(silent, await library_consent(silent))

    async def logged() -> bool:
        log = await silent.clients.download()
        return sum(b'"type":"consent_withdrawn"' in entry for entry in log.items) == 2

    await until(logged, "both withdrawals in the log")
