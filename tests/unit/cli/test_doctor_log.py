"""What `doctor` says of a stopped gateway's log and of the mark that its signer keeps beside it."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from gateway.cli.localnet.provision import Network
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_backup import Gateway
from tests.unit.cli.test_doctor import examined


def told(run: Run, gateway: Gateway) -> list[str]:
    findings = examined(run, "--config", gateway.config)
    return [item["message"] for item in findings if item["check"] == "log" and item["state"] == "problem"]


@pytest.fixture
def gateway(network: Network) -> Gateway:
    made = Gateway(network)
    asyncio.run(made.grow(3))
    return made


def test_a_whole_log_is_well(run: Run, gateway: Gateway) -> None:
    assert told(run, gateway) == []


def test_a_log_behind_its_mark_is_told(run: Run, gateway: Gateway) -> None:
    data = gateway.database.parent
    shutil.copytree(data, data.with_name("kept"))
    size = asyncio.run(gateway.grow(3))
    shutil.rmtree(data)
    data.with_name("kept").rename(data)
    (message,) = told(run, gateway)
    assert f"{size} entries of shard 0 were signed" in message


def test_a_mark_without_its_log_is_told(run: Run, gateway: Gateway) -> None:
    shutil.rmtree(gateway.database.parent)
    (message,) = told(run, gateway)
    assert message.startswith("is missing, and ")


@pytest.mark.parametrize(("content", "message"), [(None, "is missing beside a log"), (b"x" * 512, "cannot be read")])
def test_a_log_without_its_mark_is_told(run: Run, gateway: Gateway, content: bytes | None, message: str) -> None:
    gateway.mark.unlink()
    if content is not None:
        gateway.mark.write_bytes(content)
    (found,) = told(run, gateway)
    assert message in found
