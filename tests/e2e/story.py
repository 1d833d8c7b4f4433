"""What residents, operators and auditors do in a network of canary cities; every word that they are told is kept."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import grpc.aio

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.clients import Consent
from gateway.errors import TiergateError
from tests.e2e.canary_cities import CanaryResident
from tests.e2e.harness import PATIENCE_S, TestNetwork, until, withdraw
from tests.e2e.search import error_text

ABROAD = {"fuzhou": ("xiamen-library", "xiamen-library", 1), "xiamen": ("fuzhou-metro", "fuzhou-transit", 2)}
"""Where a city's residents ask, and from which level on they are entitled there."""


class Story:
    """One run. ``said`` holds what was answered, by channel; ``decisions`` every decision that was given."""

    def __init__(self, network: TestNetwork, people: list[CanaryResident]) -> None:
        self.network = network
        self.people = people
        self.clients = network.clients
        self.said: dict[str, bytes] = {}
        self.decisions: list[pb.Decision] = []
        self._last: dict[str, int] = {}

    async def everybody_asks(self) -> None:
        """Each resident once; the outcome is what her level gives."""
        for person in self.people:
            operator, scenario, least = ABROAD[person.city]
            consent = await self.clients.grant(person.city, person.ref, operator, scenario, uses=3)
            decision = await self._check(consent)
            wanted = pb.OUTCOME_ENTITLED if person.level >= least else pb.OUTCOME_ORDINARY
            assert decision.outcome == wanted, f"{person.city}: {person.about}"

    async def an_account_is_linked_then_withdrawn(self) -> None:
        """An unlimited consent: attested, answered from the cache, with a receipt, listed, withdrawn, ordinary."""
        for city, (operator, scenario, _) in ABROAD.items():
            top = self._who(city, "top of the scale")
            consent = await self.clients.grant(city, top.ref, operator, scenario)
            await self._check(consent)
            decision = await self._check(consent, receipt=True)
            assert decision.outcome == pb.OUTCOME_ENTITLED
            stub = self.clients.eligibility(operator)
            await stub.GetReceipt(pb.GetReceiptRequest(log_index=decision.log_index), timeout=PATIENCE_S)
            await stub.ListScenarios(pb.ListScenariosRequest(), timeout=PATIENCE_S)
            await withdraw(self.network, consent)
            assert (await self._check(consent)).outcome == pb.OUTCOME_ORDINARY
            self.said[f"app:{city}"] = (await self.clients.consents(city, top.ref)).SerializeToString()

    async def a_batch_is_sent(self) -> None:
        """Entitled, ordinary, conflict, malformed and spent, each for itself."""
        operator, scenario, _ = ABROAD["fuzhou"]
        top, bottom = self._who("fuzhou", "top of the scale"), self._who("fuzhou", "bottom of the scale")
        one, none, spent, other = [
            await self.clients.grant("fuzhou", person.ref, operator, scenario, uses=1)
            for person in (top, bottom, top, top)
        ]
        before = secrets.token_urlsafe(16)
        await self._check(spent, request_id=before)
        items = [self.clients.request(one, receipt=True), self.clients.request(none), self.clients.request(spent)]
        items.append(self.clients.request(other, request_id=before))
        items.append(self.clients.request(replace(one, token=one.token[:-9] + "tampered.")))
        answer = await self.clients.eligibility(operator).BatchCheckEligibility(
            pb.BatchCheckEligibilityRequest(items=items), timeout=PATIENCE_S
        )
        self.decisions += [item.decision for item in answer.results if item.HasField("decision")]
        told = [item.error.reason or pb.Outcome.Name(item.decision.outcome) for item in answer.results]
        assert told[:4] == ["OUTCOME_ENTITLED", "OUTCOME_ORDINARY", "USES_EXHAUSTED", "REQUEST_CONFLICT"]
        assert told[4].startswith("TOKEN_")
        self.said["batch"] = answer.SerializeToString()

    async def mistakes_are_made(self) -> None:
        """Errors of every origin: the gateway's, the city's, gRPC's."""
        operator, scenario, _ = ABROAD["xiamen"]
        person = self._who("xiamen", "top of the scale")
        consent = await self.clients.grant("xiamen", person.ref, operator, scenario, uses=1)
        once = secrets.token_urlsafe(16)
        await self._check(consent, request_id=once)
        other = await self.clients.grant("xiamen", person.ref, operator, scenario, uses=1)
        wrong = [
            (consent, ""),  # no use is left
            (other, once),  # the id was another request's
            (replace(other, token=other.token[:40]), ""),
            (replace(other, token="a.b.c" * 20), ""),
            (replace(other, scenario="no-such-scenario"), ""),
            (replace(other, scenario="xiamen-library"), ""),
            (replace(other, operator="xiamen-library"), ""),
        ]
        for number, (presented, request_id) in enumerate(wrong):
            await self._refused(f"error:{number}", self.clients.check(presented, request_id=request_id))
        await self._refused("error:grant", self.clients.grant("xiamen", person.ref, operator, "no-such-scenario"))
        request = pb.CheckEligibilityRequest(request_id="short", scenario="NOT A SLUG")
        await self._refused(
            "error:shape", self.clients.eligibility(operator).CheckEligibility(request, timeout=PATIENCE_S)
        )

    async def the_cities_are_told(self) -> None:
        """Use reports have arrived for every decision."""
        for city, last in self._last.items():
            person = self._who(city, "top of the scale")

            async def told(city: str = city, last: int = last, person: CanaryResident = person) -> bool:
                return (await self.clients.consents(city, person.ref)).reported_index >= last

            await until(told, f"{city} has every report")

    async def commands_are_run(self, consent_file: Path) -> None:
        """The command line, as an operator, an app, an auditor and an engineer use it."""
        layout = self.network.layout
        operator, scenario, _ = ABROAD["fuzhou"]
        top = self._who("fuzhou", "above the cut of level 3")
        consent = await self.clients.grant("fuzhou", top.ref, operator, scenario, uses=2)
        await asyncio.to_thread(consent_file.write_text, consent.token, "ascii")
        desk, app, auditor = (
            str(folder / "client.toml") for folder in (layout.operator(operator), layout.app("fuzhou"), layout.auditor)
        )
        export = str(layout.base / "export")
        check = ("check", "--profile", desk, "--scenario", scenario, "--token-file", str(consent_file))
        await asyncio.gather(
            self._command("check", *check, "--receipt"),
            self._command("list", "consent", "list", "--profile", app, "--resident", top.ref, "--json"),
            self._command("export", "audit", "export", "--profile", auditor, "--out", export),
            self._command("doctor gateway", "doctor", "--config", str(layout.gateway / "gateway.toml")),
            self._command("doctor city", "doctor", "--config", str(layout.city("fuzhou") / "adapter.toml")),
        )

    async def metrics_are_read(self) -> None:
        """Every process's page."""
        for name in ("gateway", *ABROAD):
            self.said[f"metrics:{name}"] = await self.network.scrape(name)

    def _who(self, city: str, about: str) -> CanaryResident:
        return next(person for person in self.people if (person.city, person.about) == (city, about))

    async def _check(self, consent: Consent, *, request_id: str = "", receipt: bool = False) -> pb.Decision:
        decision = await self.clients.check(consent, request_id=request_id, receipt=receipt)
        self.decisions.append(decision)
        self._last[consent.home_city] = max(decision.log_index, self._last.get(consent.home_city, 0))
        return decision

    async def _refused(self, channel: str, call: Awaitable[object]) -> None:
        try:
            await call
        except (TiergateError, grpc.aio.AioRpcError) as error:
            self.said[channel] = error_text(error)
        else:
            raise AssertionError(f"{channel} was not refused")

    async def _command(self, name: str, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
        self.said[f"command:{name}"] = out + err
        assert process.returncode == 0, f"{name}: {err.decode()}{out.decode()}"


async def tell(network: TestNetwork, people: list[CanaryResident], scratch: Path) -> Story:
    """The whole story."""
    story = Story(network, people)
    await story.everybody_asks()
    await story.an_account_is_linked_then_withdrawn()
    await story.a_batch_is_sent()
    await story.mistakes_are_made()
    await story.commands_are_run(scratch / "consent.jwt")
    await story.the_cities_are_told()
    await story.metrics_are_read()
    return story
