"""The doctor's findings about a gateway's witnesses; the witnesses are processes as the product runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.cli.localnet.plan import ReservedPort
from gateway.cli.localnet.processes import Processes
from gateway.cli.localnet.provision import Network
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from tests.fakes.witness_process import WitnessProcess
from tests.fakes.witnessed import LogOfLeaves
from tests.unit.cli.conftest import Run

W1, W2 = "witness.example/w1", "witness.example/w2"


@pytest.fixture
def log(network: Network) -> LogOfLeaves:
    """The gateway's log, as witnesses see it."""
    return LogOfLeaves(SignerKey.parse((network.layout.gateway / "log.key").read_text("ascii").strip()))


@pytest.fixture
def witness(tmp_path: Path, log: LogOfLeaves) -> Iterator[WitnessProcess]:
    """One that has cosigned five entries of it."""
    with Processes() as processes:
        logs = {log.signer.name: str(log.signer.verifier)}
        made = WitnessProcess(tmp_path / "w1", processes, W1, logs)
        made.init()
        made.start()
        assert httpx2.post(f"{made.url}/add-checkpoint", content=log.request(0, 5), trust_env=False).status_code == 200
        yield made


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can begin to."""
    port = ReservedPort()
    yield f"http://{port.address}"
    port.release()


def settle(network: Network, log: LogOfLeaves, witnesses: dict[str, tuple[str, str]], quorum: str) -> Path:
    """Give the gateway witnesses: url and the key that its trust file names, by name."""
    gateway = network.layout.gateway
    lines = [f"witness {name} {key}" for name, (_, key) in witnesses.items()]
    group = f"group all {quorum} {' '.join(witnesses)}"
    trust = [f"log {log.signer.verifier}", *lines, group, "quorum all"]
    (gateway / "witnessed.trust").write_text("\n".join(trust) + "\n", "utf-8")
    tables = "".join(
        f'[[witnessing.witnesses]]\nname = "{name}"\nurl = "{at}"\n' for name, (at, _) in witnesses.items()
    )
    settings = gateway / "gateway.toml"
    text = settings.read_text("utf-8")
    settings.write_text(f'{text}\n[witnessing]\ntrust = "witnessed.trust"\n{tables}', "utf-8")
    return settings


def findings(run: Run, settings: Path) -> dict[str, tuple[str, str, str]]:
    """State, message and remedy of what was found, by witness, and of the quorum."""
    found = run("doctor", "--config", settings, "--json").document["findings"]
    mine = [item for item in found if item["check"] in {"witness", "quorum"}]
    assert all(item["remedy"] for item in mine if item["state"] != "ok")
    return {
        "quorum" if item["check"] == "quorum" else item["subject"].split(" at ")[0]: (
            item["state"], item["message"], item["remedy"],
        )
        for item in mine
    }  # fmt: skip


def test_a_witness_that_cosigns_and_one_that_is_away(
    run: Run, network: Network, log: LogOfLeaves, witness: WitnessProcess, nobody: str
) -> None:
    other = SignerKey.generate(W2, kind=COSIGNATURE_V1).verifier
    settings = settle(network, log, {W1: (witness.url, witness.vkey), W2: (nobody, str(other))}, "any")
    found = findings(run, settings)
    assert found[W1][0] == "ok"
    assert "has cosigned 5 entries" in found[W1][1]
    assert found[W2][0] == "problem"
    assert "PEER_UNREACHABLE" in found[W2][1]
    assert "is `tiergate witness serve` running there" in found[W2][2]
    assert found["quorum"][:2] == ("ok", "1 of 2 witnesses cosign, which is a quorum")


def test_a_quorum_that_is_not_met(
    run: Run, network: Network, log: LogOfLeaves, witness: WitnessProcess, nobody: str
) -> None:
    other = SignerKey.generate(W2, kind=COSIGNATURE_V1).verifier
    settings = settle(network, log, {W1: (witness.url, witness.vkey), W2: (nobody, str(other))}, "all")
    state, message, remedy = findings(run, settings)["quorum"]
    assert (state, "no quorum" in message, "another quorum" in remedy) == ("problem", True, True)


def test_a_witness_with_another_key(run: Run, network: Network, log: LogOfLeaves, witness: WitnessProcess) -> None:
    other = SignerKey.generate(W1, kind=COSIGNATURE_V1).verifier
    found = findings(run, settle(network, log, {W1: (witness.url, str(other))}, "any"))
    assert found[W1][:2] == ("problem", "has not cosigned with the key that the trust file names")
    assert "witness status" in found[W1][2]
    assert found["quorum"][0] == "problem"


def test_a_witness_that_does_not_know_the_log(run: Run, network: Network, log: LogOfLeaves, tmp_path: Path) -> None:
    with Processes() as processes:
        made = WitnessProcess(
            tmp_path / "w2", processes, W1, {"other/log": str(SignerKey.generate("other/log").verifier)}
        )
        made.init()
        made.start()
        found = findings(run, settle(network, log, {W1: (made.url, made.vkey)}, "any"))
    assert found[W1][:2] == ("warning", "answers, but shows no checkpoint of this log")
    assert "[[logs]]" in found[W1][2]


def test_a_trust_file_of_another_log(run: Run, network: Network, witness: WitnessProcess) -> None:
    settings = settle(network, LogOfLeaves(), {W1: (witness.url, witness.vkey)}, "any")
    ((state, message, _),) = findings(run, settings).values()
    assert (state, "does not name this log's key" in message) == ("problem", True)
