"""Every surface that shows a tier or terms says so when they rest on figures that no city has published."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import until
from tests.fakes.running import CITY, LOW, OPERATOR, SCENARIO, Ran, Running

MARK = "示意"
"""The home city's concordance is illustrative, the scenario's terms are published."""


@pytest.fixture(scope="module")
async def decided(network: Running) -> int:
    """Log index of a decision, reported back to the home city."""
    _, token = await network.granted("illustrative.jwt", "--uses", 9, resident=LOW)
    index: int = (await network.check(token, "--json")).document["log_index"]

    async def reported() -> bool:
        found = await network.resident("uses", "--resident", LOW, "--json")
        return any(item["log_index"] == index for item in found.document["uses"])

    await until(reported, "the use is reported to the home city")
    return index


def said(people: Ran, programs: Ran, document: Any) -> None:
    """A mark for people, a member for programs."""
    assert (people.code, programs.code) == (0, 0), people.err + programs.err
    assert MARK in people.out
    assert "illustrative" in people.out
    assert document["illustrative"] is True


async def test_what_a_resident_is_shown_before_she_consents(network: Running) -> None:
    terms = ("preview", "--operator", OPERATOR, "--scenario", SCENARIO, "--uses", 3)
    programs = await network.consent(*terms, "--json")
    said(await network.consent(*terms), programs, programs.document)


async def test_what_an_operator_gets_with_its_receipt(network: Running) -> None:
    _, token = await network.granted("illustrative-check.jwt", "--uses", 3)
    programs = await network.check(token, "--receipt", "--json")
    assert programs.document["receipt"]
    said(await network.check(token, "--receipt"), programs, programs.document)


async def test_an_operator_s_catalogue(network: Running) -> None:
    profile = network.layout.operator("quanzhou-library") / "client.toml"
    programs = await network.run("scenarios", "--profile", profile, "--json")
    said(await network.run("scenarios", "--profile", profile), programs, programs.document["scenarios"][0])


async def test_a_resident_s_uses_and_their_explanation(network: Running, decided: int) -> None:
    programs = await network.resident("uses", "--resident", LOW, "--json")
    (use,) = (item for item in programs.document["uses"] if item["log_index"] == decided)
    said(await network.resident("uses", "--resident", LOW), programs, use)
    asked = ("explain", "--resident", LOW, "--decision", decided)
    programs = await network.resident(*asked, "--json")
    said(await network.resident(*asked), programs, programs.document)


async def test_what_an_auditor_recomputes(network: Running, decided: int) -> None:
    export = network.folder / "illustrative-export"
    assert (await network.audit("export", "--out", export)).code == 0
    asked = ("audit", "replay", export, "--trust", network.layout.shared / "trust", "--decision", decided)
    programs = await network.run(*asked, "--json")
    said(await network.run(*asked), programs, programs.document["decision"])
    assert programs.document["decision"]["home_city"]["illustrative"] is True


async def test_what_an_auditor_is_shown(network: Running, decided: int) -> None:
    programs = await network.audit("show", decided, "--json")
    said(await network.audit("show", decided), programs, programs.document["entry"])
    programs = await network.audit("list", "--type", "decision", "--json")
    (one,) = (item for item in programs.document["entries"] if item["index"] == decided)
    said(await network.audit("list", "--type", "decision"), programs, one)
    (row,) = (
        line
        for line in (await network.audit("list", "--type", "decision", "--csv")).out.splitlines()
        if line.startswith(f"{decided},")
    )
    assert row.endswith(",yes")
    export = network.folder / "illustrative-sample"
    assert (await network.audit("export", "--out", export)).code == 0
    asked = ("audit", "sample", export, "--trust", network.layout.shared / "trust", "--count", 1000)
    programs = await network.run(*asked, "--json")
    (one,) = (item for item in programs.document["sample"] if item["index"] == decided)
    said(await network.run(*asked), programs, one)


@pytest.mark.parametrize("command", ["show", "matrix"])
async def test_the_policies_themselves(network: Running, command: str) -> None:
    source = network.layout.shared / "bundle.json"
    programs = await network.run("policy", command, source, "--json")
    found = programs.document["concordances" if command == "show" else "cells"]
    (one, *_) = (item for item in found if item.get("city", item.get("home")) == CITY)
    said(await network.run("policy", command, source), programs, one)
