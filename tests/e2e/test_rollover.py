"""New policies under a load of checks: installed ahead, in force by the clock, and no check fails."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Processes
from gateway.crypto.envelope import BUNDLE_TYPE, NOTICE_TYPE, sign
from gateway.crypto.keys import load_private_key
from gateway.domain.directory import Maintenance
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import build_bundle, digest_of
from gateway.policy.load import load_policies
from gateway.policy.notices import Notice, build_notice
from tests.e2e.harness import LIBRARY, TOP, TestNetwork, library_consent, running, until, withdraw
from tests.e2e.rotation import CITY, reload, under_load
from tests.fakes.network import POLICIES

EVERYBODY = ("gateway", "fuzhou", "xiamen")
AHEAD_S = 3


def in_a_folder(layout: Layout, _: Processes) -> None:
    """Where the settings name a file they may as well name a folder of several."""
    bundles = layout.shared / "bundle.json"
    first = bundles.read_bytes()
    bundles.unlink()
    bundles.mkdir()
    (bundles / "1.json").write_bytes(first)


@pytest.fixture(scope="module")
async def governed(tmp_path_factory: pytest.TempPathFactory, in_checkout: Path) -> AsyncIterator[TestNetwork]:
    options = Options(gateway_limits={"city_deadline_s": 20.0})
    base = tmp_path_factory.mktemp("rollover") / "network"
    async with running(base, options, prepare=in_a_folder) as network:
        yield network


def install(network: TestNetwork, version: int, effective: int) -> str:
    """The next bundle beside the one in force; its digest."""
    layout = network.layout
    expires = date.today() + timedelta(days=30)  # noqa: DTZ011 - a calendar day of this machine is near enough
    data = build_bundle(load_policies(POLICIES), version, expires, effective=effective, grace_s=3600)
    keys = [load_private_key(key) for key in layout.signing_keys]
    put(layout, version, sign(BUNDLE_TYPE, data, keys))
    reload(network, EVERYBODY)
    return digest_of(data)


def put(layout: Layout, version: int, envelope: bytes) -> None:
    aside = layout.shared / "bundle.json" / ".next"
    aside.write_bytes(envelope)
    aside.rename(layout.shared / "bundle.json" / f"{version}.json")


async def digest_in_force(network: TestNetwork) -> str:
    consent = await network.clients.grant(CITY, TOP, LIBRARY, LIBRARY)
    return (await network.clients.check(consent)).bundle_digest


async def test_no_check_fails_while_the_policies_change(governed: TestNetwork) -> None:
    before = await digest_in_force(governed)
    async with under_load(governed, callers=8) as load:
        following = install(governed, 2, int(time.time()) + AHEAD_S)
        assert following != before

        async def turned() -> bool:
            return await digest_in_force(governed) == following

        await until(turned, "the new bundle to be in force")
        await load.goes_on()


async def test_no_check_fails_for_a_bundle_that_is_none(governed: TestNetwork) -> None:
    before = await digest_in_force(governed)
    async with under_load(governed, callers=4) as load:
        put(governed.layout, 3, b"{}")
        reload(governed, EVERYBODY)

        async def refused() -> bool:
            logs = [governed.layout.log(name).read_text("utf-8") for name in EVERYBODY]
            return all("reload refused" in text or "reload_refused" in text for text in logs)

        await until(refused, "everybody to refuse it")
        await load.goes_on()
    (governed.layout.shared / "bundle.json" / "3.json").unlink()
    assert await digest_in_force(governed) == before


async def test_a_gateway_under_maintenance_says_until_when_and_takes_withdrawals(governed: TestNetwork) -> None:
    network, layout = governed, governed.layout
    consent = await library_consent(network, uses=9)
    before = await network.clients.check(consent)
    now_s = int(time.time())
    notice = build_notice(Notice(now_s, maintenance=(Maintenance("gateway", now_s - 1, now_s + 600),)))
    folder = layout.shared / "notices"
    folder.mkdir(exist_ok=True)
    (folder / "maintenance.json").write_bytes(
        sign(NOTICE_TYPE, notice, [load_private_key(layout.signing_key("xiamen"))])
    )
    reload(network, ["gateway"])
    failures: list[TiergateError] = []

    async def closed() -> bool:
        try:
            await network.clients.check(consent)
        except TiergateError as error:
            failures.append(error)
        return bool(failures)

    await until(closed, "the gateway to be under maintenance")
    assert failures[0].reason is Reason.GATEWAY_MAINTENANCE
    assert failures[0].retry_after_s is not None
    assert 0 < failures[0].retry_after_s <= 600
    assert (await withdraw(network, consent)).log_index > before.log_index

    (folder / "maintenance.json").unlink()
    reload(network, ["gateway"])

    async def opened() -> bool:
        try:
            return bool(await digest_in_force(network))
        except TiergateError as error:
            if error.reason is not Reason.GATEWAY_MAINTENANCE:
                raise
            return False

    await until(opened, "the gateway to be back")
