"""What tests of a log that goes on in the next shard share: a witness, the command, the steps before a seal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway.cli.localnet.plan import TRUST_DOMAIN, Layout
from gateway.cli.localnet.processes import Processes
from gateway.consentlog.key_file import read_signer
from tests.e2e.harness import PATIENCE_S, TestNetwork
from tests.e2e.rotation import reload
from tests.fakes.next_key import enter_next_key
from tests.fakes.witness_process import WitnessProcess

NEXT = f"{TRUST_DOMAIN}/log/2027q1/shard1"


class OneWitness:
    """A witness whose cosignature everything that is published must have."""

    process: WitnessProcess
    trust: Path

    def prepare(self, layout: Layout, processes: Processes) -> None:
        log = read_signer(layout.gateway / "log.key").verifier
        self.process = WitnessProcess(layout.base / "witness", processes, "witness.example", {log.name: str(log)})
        self.process.init()
        self.process.start()
        self.trust = layout.gateway / "trust"
        named = f"log {log}\nwitness w {self.process.vkey} {self.process.url}\nquorum w\n"
        self.trust.write_text(named, "utf-8")
        with (layout.gateway / "gateway.toml").open("a", encoding="utf-8") as file:
            file.write('\n[witnessing]\ntrust = "trust"\ninterval_s = 0.1\nrefresh_s = 0.5\nalarm_after_s = 60\n')
            file.write(f'\n[[witnessing.witnesses]]\nname = "w"\nurl = "{self.process.url}"\n')


class RefusedError(Exception):
    """A command ended otherwise than it should have."""


async def tiergate(*arguments: object, code: int = 0) -> Any:
    """Run the command; its document."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *map(str, arguments), "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    out, said = await asyncio.wait_for(process.communicate(), 3 * PATIENCE_S)
    if process.returncode != code:
        raise RefusedError(f"{arguments}: {process.returncode}: {said.decode()}")
    return json.loads(out) if out else None


async def prepare_seal(network: TestNetwork, witness: OneWitness) -> None:
    """The next key beside the log key, in the directory, at every city, at the witness and in the trust file."""
    layout = network.layout
    made = await tiergate(
        "certs", "key", "--purpose", "log", "--origin", NEXT, "--out", layout.gateway / "log.key.next"
    )
    enter_next_key(layout, made["vkey"])
    cities = network.network.options.cities
    reload(network, cities)
    waited = [text for city in cities for text in ("--wait-for", city)]
    await tiergate("policy", "status", "--config", layout.gateway / "gateway.toml", *waited, "--wait", PATIENCE_S)
    witness.process.logs[NEXT] = made["vkey"]
    await asyncio.to_thread(witness.process.stop)
    witness.process.write()
    await asyncio.to_thread(witness.process.start)
    witness.trust.write_text(f"log {made['vkey']}\n{witness.trust.read_text('utf-8')}", "utf-8")
