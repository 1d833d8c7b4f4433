from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.notice import PLACEHOLDERS
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy.bundle import MAX_BUNDLE_BYTES, build_bundle, check_in_force, digest_of, read_bundle
from gateway.policy.load import LoadedPolicies, load_policies
from tests.unit.policy.files import operator, places, scenario, valid, write

EXPIRES = date(2027, 1, 31)


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return build_bundle(load_policies(write(tmp_path, valid())), 7, EXPIRES)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedPolicies:
    return load_policies(write(tmp_path_factory.mktemp("policies"), valid()))


@given(st.text(), st.integers(-(2**53) + 1, 2**53 - 1))
@example("".join(map(chr, range(0x100))) + "\u2028\u2029\ufeff\U0001f600", 0)
def test_any_value_is_written_as_the_rfc_says(loaded: LoadedPolicies, text: str, number: int) -> None:
    city, *others = loaded.cities
    changed = replace(loaded, cities=(city.model_copy(update={"name_zh": text, "max_age_days": number}), *others))
    data = build_bundle(changed, 1, EXPIRES)
    assert rfc8785.dumps(json.loads(data)) == data


def changed(data: bytes, change: Callable[[Any], object]) -> bytes:
    document = json.loads(data)
    change(document)
    return rfc8785.dumps(document)


def problems_in(data: bytes) -> list[Problem]:
    with pytest.raises(ProblemsError) as caught:
        read_bundle(data)
    assert caught.value.reason is Reason.BUNDLE_INVALID
    return caught.value.problems


def refused(data: bytes) -> str:
    with pytest.raises(TiergateError) as caught:
        read_bundle(data)
    assert caught.value.reason is Reason.BUNDLE_INVALID
    return caught.value.detail


def test_what_is_built_is_read_back_as_the_same_policies(tmp_path: Path) -> None:
    loaded = load_policies(write(tmp_path, valid()))
    data = build_bundle(loaded, 7, EXPIRES)
    bundle = read_bundle(data)
    assert (bundle.version, bundle.expires) == (7, EXPIRES)
    assert bundle.digest == hashlib.sha256(data).hexdigest() == digest_of(data)
    assert bundle.scale == loaded.policies.scale
    assert bundle.concordances == loaded.policies.concordances
    assert bundle.scenarios == loaded.policies.scenarios
    assert bundle.operators == loaded.policies.operators
    assert bundle.notice == loaded.policies.notice
    assert bundle.scenario_for("loans", OperatorId("desk"), CityId("beta"), date(2026, 6, 1)).id == "loans"


def test_the_same_policies_give_the_same_bytes_whatever_the_order_of_files(tmp_path: Path) -> None:
    files = {**valid(), "scenarios/a-loans.toml": scenario("a-loans", "alpha", "desk")}
    one = build_bundle(load_policies(write(tmp_path / "one", files)), 7, EXPIRES)
    other = build_bundle(load_policies(write(tmp_path / "two", dict(reversed(files.items())))), 7, EXPIRES)
    assert one == other


def test_version_and_expiry_are_part_of_the_digest(tmp_path: Path) -> None:
    loaded = load_policies(write(tmp_path, valid()))
    digests = {
        digest_of(build_bundle(loaded, version, day)) for version, day in ((7, EXPIRES), (8, EXPIRES), (7, date.max))
    }
    assert len(digests) == 3


def test_chinese_text_is_carried_as_utf_8(data: bytes) -> None:
    assert "八折，免押金".encode() in data
    assert read_bundle(data).scenarios[ScenarioId("loans")].rungs[1].terms.text_zh == "八折，免押金"


def test_a_version_out_of_range_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as caught:
        build_bundle(load_policies(write(tmp_path, valid())), 0, EXPIRES)
    assert places(caught.value.problems) == [("bundle", "version")]


def test_the_rules_of_the_files_hold_in_the_bundle(data: bytes) -> None:
    def change(document: Any) -> None:
        document["cities"][0]["cuts"][1]["minimum"] = 10
        document["scenarios"][0]["base"]["items"][0]["percent"] = 90
        document["scenarios"][0]["operators"] = ["nobody"]

    assert places(problems_in(changed(data, change)))[:3] == [
        ("bundle", "cities.0.cuts.1.minimum"),
        ("bundle", "scenarios.0.operators.0"),
        ("bundle", "scenarios.0.rungs.0.items"),
    ]


@pytest.mark.parametrize("left_out", sorted(PLACEHOLDERS))
def test_a_bundle_whose_notice_leaves_something_out_is_not_read(data: bytes, left_out: str) -> None:
    def change(document: Any) -> None:
        document["notice"]["text_en"] = document["notice"]["text_en"].replace(f"{{{left_out}}}", "")

    assert places(problems_in(changed(data, change))) == [("bundle", "notice.text_en")]


def test_an_unknown_key_at_any_depth(data: bytes) -> None:
    problems = problems_in(changed(data, lambda d: d["scenarios"][0]["base"]["items"][0].update(colour=1)))
    assert places(problems) == [("bundle", "scenarios.0.base.items.0.colour")]


def test_a_missing_part(data: bytes) -> None:
    assert places(problems_in(changed(data, lambda d: d.pop("notice")))) == [("bundle", "notice")]


def test_another_format(data: bytes) -> None:
    assert places(problems_in(changed(data, lambda d: d.update(format="tiergate-bundle/2")))) == [("bundle", "format")]


def test_an_id_listed_twice(data: bytes) -> None:
    problems = problems_in(changed(data, lambda d: d["operators"].append(d["operators"][0])))
    assert places(problems) == [("bundle", "operators.1.id")]


def test_members_out_of_order(tmp_path: Path) -> None:
    files = {**valid(), "operators/zeta.toml": operator("zeta", "alpha")}
    data = build_bundle(load_policies(write(tmp_path, files)), 7, EXPIRES)
    assert places(problems_in(changed(data, lambda d: d["operators"].reverse()))) == [("bundle", "operators")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"version":7}', b'"version": 7}'),
        (b'"version":7}', b'"version":7,"version":7}'),
        (b'"version":7}', b'"version":7}\n'),
        (b'"illustrative":false', b'"effective_until":null,"illustrative":false'),
        ("免".encode(), b"\\u514d"),
    ],
    ids=["space", "doubled member", "trailing line", "null for absent", "escaped text"],
)
def test_another_spelling_of_the_same_policies(data: bytes, old: bytes, new: bytes) -> None:
    assert old in data
    assert "canonical" in refused(data.replace(old, new, 1))


def test_a_value_of_another_type(data: bytes) -> None:
    assert places(problems_in(data.replace(b'"version":7}', b'"version":7.0}'))) == [("bundle", "version")]
    assert places(problems_in(data.replace(b'"version":7}', b'"version":"7"}'))) == [("bundle", "version")]


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 10_000], ids=range(7)
)
def test_garbage(garbage: bytes) -> None:
    assert problems_in(garbage)


def test_a_truncated_bundle(data: bytes) -> None:
    assert problems_in(data[:-1])


def test_an_oversized_bundle() -> None:
    assert "larger" in refused(b" " * (MAX_BUNDLE_BYTES + 1))


def test_a_bundle_is_in_force_up_to_its_last_day(data: bytes) -> None:
    bundle = read_bundle(data)
    assert check_in_force(bundle, EXPIRES) is bundle
    with pytest.raises(TiergateError) as caught:
        check_in_force(bundle, date(2027, 2, 1))
    assert caught.value.reason is Reason.BUNDLE_INVALID
