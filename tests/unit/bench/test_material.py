from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.loadgen import fill, request_ids
from bench.material import PLACEHOLDER, Issuer, Template, batches, read_templates, single, write_templates
from bench.network import prepare_yards
from bench.world import World, world_file
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.crypto.consent import ConsentVerifier
from gateway.crypto.keys import KeyRing
from gateway.crypto.proof import ProofVerifier
from gateway.domain.directory import DirectoryKey
from gateway.domain.ids import CityId, OperatorId, ScenarioId


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    _, world = prepare_yards(tmp_path_factory.mktemp("bench"))
    return world


def test_the_world_is_read_back_as_written(tmp_path: Path) -> None:
    layout, world = prepare_yards(tmp_path)
    assert World.read(world_file(layout)) == world


def test_each_request_has_a_fresh_id_and_the_promised_length(world: World, tmp_path: Path) -> None:
    consents = [Issuer(world).consent(int(time.time()))]
    write_templates(tmp_path / "templates.json", single(world, consents))
    (template,) = read_templates(tmp_path / "templates.json")
    ids = request_ids()
    first, second = (fill(template, ids) for _ in range(2))
    assert len(first) == len(second) == template.size()
    one, two = (api.CheckEligibilityRequest.FromString(text) for text in (first, second))
    assert one.request_id != two.request_id
    assert one.presentation == two.presentation
    assert one.presentation.token.token == consents[0].token


def test_a_batch_gives_every_item_its_own_id(world: World) -> None:
    issuer = Issuer(world)
    templates = batches(world, [issuer.consent(int(time.time())) for _ in range(5)], 2)
    assert len(templates) == 2  # the fifth fills no batch
    items = api.BatchCheckEligibilityRequest.FromString(fill(templates[0], request_ids())).items
    assert len({item.request_id for item in items}) == 2
    assert PLACEHOLDER.decode() not in {item.request_id for item in items}


@pytest.mark.parametrize("uses", [None, 200])
def test_tokens_are_real(world: World, uses: int | None) -> None:
    now = int(time.time())
    key = DirectoryKey(world.kids["consent"], "consent", "ES256", world.jwks["consent"])
    verifier = ConsentVerifier({CityId(world.city_id): KeyRing("consent", [key])}, world.deployment)
    consent = Issuer(world).consent(now, uses=uses)
    token = verifier.verify(consent.token, operator=OperatorId(world.operator), now_s=now)
    assert token.uses == uses
    listed = DirectoryKey(world.kids["proof"], "proof", "ES256", world.jwks["proof"])
    proofs = ProofVerifier({OperatorId(world.operator): KeyRing("proof", [listed])})
    proofs.verify(consent.proof, token, scenario=ScenarioId(world.scenario), now_s=now)


def test_a_template_without_placeholder_is_one_piece() -> None:
    assert Template.of(b"abc").pieces == (b"abc",)
