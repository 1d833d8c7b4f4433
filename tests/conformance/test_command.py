"""The command: a deployment is made, a city is asked, a passport is written and verified."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.conformance.check import FailedError, Result
from gateway.conformance.passport import issue_passport, read_passport
from gateway.conformance.table import CHECKS
from gateway.crypto.keys import generate_signing_key, public_jwk, write_private_key
from gateway.domain.directory import PassportEntry
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.policy.directory import build_directory, read_directory
from tests.conformance.city import CITY, make, serving
from tests.conformance.faults import FAULTS


def printed(out: str) -> Any:
    """The command's document, among what the city under test, in this same process, writes of itself."""
    return json.JSONDecoder().raw_decode(out[out.index("{\n") :])[0]


async def command(*arguments: object) -> int:
    """The command in a thread, so that the city's loop goes on."""
    return await asyncio.to_thread(main, [str(item) for item in arguments])


async def test_a_city_that_conforms_gets_a_passport(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = make(tmp_path)
    key = generate_signing_key("EdDSA")
    write_private_key(tmp_path / "runner.pem", key)
    (tmp_path / "runner.jwk").write_text(json.dumps(public_jwk(key)), "ascii")
    file = tmp_path / "passport.jwt"
    async with serving(deployment) as address:
        more = ("--passport", file, "--key", tmp_path / "runner.pem", "--implementation", "ours", "--days", 30)
        code = await command("conformance", address, "--deployment", deployment.folder, *more, "--json")
    document = printed(capsys.readouterr().out)
    assert code == 0, [item for item in document["checks"] if item["verdict"] == "failed"]
    assert document["conforms"] is True
    assert document["counts"]["failed"] == 0
    assert len(document["checks"]) == len(CHECKS)
    assert await command("conformance", "verify-passport", file, "--key", tmp_path / "runner.jwk", "--json") == 0
    passport = printed(capsys.readouterr().out)
    assert (passport["city"], passport["implementation"], passport["passed"]) == (
        CITY,
        "ours",
        document["counts"]["passed"],
    )
    assert passport["checks_digest"] == document["checks_digest"]
    assert passport["directory_entry"]["digest"] == hashlib.sha256(file.read_bytes().strip()).hexdigest()
    entry = PassportEntry(**passport["directory_entry"])
    city = replace(deployment.directory.cities[CityId(CITY)], passport=entry)
    listed = replace(deployment.directory, expires=entry.expires, cities={city.id: city}, require_passports=True)
    assert read_directory(build_directory(listed)) == listed
    (tmp_path / "other.jwk").write_text(json.dumps(public_jwk(generate_signing_key("EdDSA"))), "ascii")
    assert await command("conformance", "verify-passport", file, "--key", tmp_path / "other.jwk") == 4


async def test_a_city_that_does_not_gets_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = make(tmp_path)
    write_private_key(tmp_path / "runner.pem", generate_signing_key("EdDSA"))
    file = tmp_path / "passport.jwt"
    next(fault for fault in FAULTS if fault.check == "tier.cut-1").plant(monkeypatch)
    async with serving(deployment) as address:
        more = ("--passport", file, "--key", tmp_path / "runner.pem")
        assert await command("conformance", address, "--deployment", deployment.folder, *more) == 1
    said = capsys.readouterr()
    assert "failed: tier.cut-1" in said.err
    assert "rung 1 at the first cut" in said.out
    assert not file.exists()


async def test_init_makes_what_a_run_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "kit"
    arguments = ("conformance", "init", folder, "--city", "twelfth", "--address", "127.0.0.1:7443", "--json")
    assert await command(*arguments) == 0
    assert printed(capsys.readouterr().out)["city"] == "twelfth"
    assert await command(*arguments) == 2  # never overwritten
    shutil.rmtree(folder)
    assert await command("conformance", "127.0.0.1:7443", "--deployment", folder) == 2


async def test_the_list_of_checks_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert await command("conformance", "checks", "--json") == 0
    assert [item["id"] for item in printed(capsys.readouterr().out)["checks"]] == [item.id for item in CHECKS]


def _results(verdict: str = "passed") -> list[Result]:
    results = [Result(item.id, item.says, item.source, "passed") for item in CHECKS]
    results[3] = Result(CHECKS[3].id, "", "", verdict)  # type: ignore[arg-type]
    return results


@pytest.mark.parametrize("results", [_results("failed"), _results()[:-1], []])
def test_no_passport_without_a_whole_run_that_did_not_fail(results: list[Result]) -> None:
    with pytest.raises(ValueError, match="check"):
        issue_passport(
            generate_signing_key("ES256"), runner="r", city=CITY, implementation="i", checks=CHECKS, results=results,
            days=1,
        )  # fmt: skip


@pytest.mark.parametrize("shift_s", [-60, 86_400])
def test_a_passport_is_good_for_its_time(shift_s: int) -> None:
    key = generate_signing_key("ES256")
    text = issue_passport(
        key, runner="r", city=CITY, implementation="i", checks=CHECKS, results=_results("not applicable"), days=1
    )
    now = time.time()
    found = read_passport(text, key.public_key(), now_s=now)
    assert found.not_applicable == (CHECKS[3].id,)
    with pytest.raises(TiergateError) as caught:
        read_passport(text, key.public_key(), now_s=now + shift_s)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_failure_says_what_was_expected_and_what_came() -> None:
    error = FailedError("a rung", "none")
    assert (error.expected, error.came) == ("a rung", "none")
