"""adapters/README.md, followed to the letter for a made-up eleventh city: to a passport, and into the network."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from gateway.conformance.passport import passport_digest, read_passport
from gateway.conformance.table import CHECKS
from gateway.crypto.keys import parse_jwk
from gateway.domain.ids import CityId
from gateway.policy.installed import installed_directory
from tests.joining.steps import Follower, steps_of

SECTION = "Join in an afternoon"


@pytest.mark.parametrize("way", ["csv", "sql", "http"])
def test_the_steps_lead_to_a_passport_and_into_the_network(way: str, tmp_path: Path, checkout: Path) -> None:
    steps = steps_of(checkout / "adapters" / "README.md", SECTION)
    assert {name for step in steps for name in step.ways} == {"csv", "sql", "http"}
    with Follower(tmp_path, checkout, (7443, 7444, 8080, 8081)) as follower:
        follower.follow(steps, way)
        answer = json.loads((tmp_path / "first-check.json").read_text("utf-8"))
        follower.require_taken_while_running(answer)

    runner = parse_jwk(json.loads((tmp_path / "runner.jwk").read_text("ascii")))
    text = (tmp_path / "passport.jwt").read_text("ascii").strip()
    passport = read_passport(text, runner, now_s=time.time())
    assert (passport.city, passport.runner) == ("eleventh", "Test house")
    assert passport.passed + len(passport.not_applicable) == len(CHECKS)
    assert set(passport.not_applicable) <= {"error.retry"}, "only what the kit cannot bring about may be left out"

    settings = (tmp_path / "kit/city/own.toml").read_text("utf-8")
    assert f'kind = "{way}"' in settings, "the kit asked the city by its own source"
    listed = installed_directory(tmp_path / "eleventh/root.json", tmp_path / "eleventh/directory.json")
    city = listed.cities[CityId("eleventh")]
    assert listed.version == 2
    assert city.passport is not None
    assert (city.passport.digest, city.passport.expires) == (passport_digest(text), passport.expires_at)

    assert answer["outcome"] == "entitled"
    assert answer["terms"]["items"][0] == {"kind": "deposit_waiver"}
    assert answer["illustrative"] is True, "the eleventh city's cuts are nobody's publication"
