"""I2 over whole policies: bundles are generated that try to treat somebody worse, and each is tried out on everybody.

The brute force knows nothing of the check: it asks, for every home city, score and operator, what the product's own
evaluation gives, and holds it against the base offer and against every lower score.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from gateway.domain.bundle import Bundle
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import evaluate, scenario_in_force
from gateway.domain.ids import CityId
from gateway.domain.scenario import ExtraQuota, FreePeriod, Included, PayLater, PercentageOff, Term
from gateway.errors import ProblemsError
from gateway.policy import bundle as bundles
from gateway.policy.check import Findings
from tests.unit.policy.files import DAY, valid

TIERS = ("ordinary", "good", "excellent", "outstanding")
HOMES = ("alpha", "beta")

amounts = st.integers(1, 3)
terms = st.one_of(
    st.sampled_from([{"kind": kind} for kind in ("deposit_waiver", "priority", "papers_later")]),
    st.builds(lambda percent: {"kind": "percentage_off", "percent": percent}, amounts),
    st.builds(lambda days: {"kind": "pay_later", "days": days}, amounts),
    st.builds(lambda minutes: {"kind": "free_period", "minutes": minutes}, amounts),
    st.builds(lambda service: {"kind": "included", "service": service}, st.sampled_from("ab")),
    st.builds(
        lambda unit, count: {"kind": "extra_quota", "unit": unit, "count": count}, st.sampled_from("ab"), amounts
    ),
)


def grown(steps: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Each step with all that the one before it has, unless it says more of it."""
    made: list[list[dict[str, Any]]] = []
    for step in steps:
        items = {
            (term["kind"], term.get("unit"), term.get("service")): term for term in (*(made[-1] if made else ()), *step)
        }
        made.append(list(items.values()))
    return made


@st.composite
def offers(draw: st.DrawFn) -> dict[str, Any]:
    """A base offer and rungs; many of them grow, so that not nearly all are refused, and then one may be spoilt."""
    steps = draw(st.lists(st.lists(terms, max_size=3), min_size=2, max_size=4))
    if draw(st.integers(0, 3)):
        steps = grown(steps)
    tiers: list[str] = draw(st.permutations(TIERS[1:])) if draw(st.booleans()) else list(TIERS[1:])
    base, *rungs = (
        {"text_zh": f"文{place}", "text_en": f"t{place}", "items": step} for place, step in enumerate(steps)
    )
    return {"base": base, "rungs": [{**rung, "tier": tier} for rung, tier in zip(rungs, tiers, strict=False)]}


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    """A bundle's document: the small set with cuts, rungs and terms as somebody might write them."""
    files = {name: tomllib.loads(text) for name, text in valid().items()}
    cities = [files[f"cities/{name}.toml"] for name in HOMES]
    for city in cities:
        minimums = draw(st.lists(st.integers(1, 100), min_size=1, max_size=3, unique=True))
        if draw(st.integers(0, 3)):
            minimums.sort()
        tiers = draw(st.permutations(TIERS[1:])) if draw(st.booleans()) else TIERS[1:]
        city["cuts"] = [
            {"tier": tier, "minimum": minimum, "label_zh": "级"} for tier, minimum in zip(tiers, minimums, strict=False)
        ]
    scenario = {**files["scenarios/loans.toml"], **draw(offers()), "illustrative": True}
    document = {
        "format": bundles.FORMAT, "version": 1, "expires": date(2027, 1, 1), "effective": 0, "grace_s": 0,
        "directory_from": 1, "scale": files["tier-scale.toml"], "cities": cities, "scenarios": [scenario],
        "operators": [files["operators/desk.toml"]],
        "acceptance": [files[f"acceptance/{name}.toml"] for name in HOMES], "notice": files["notice.toml"],
    }  # fmt: skip
    return {key: plain(value) for key, value in document.items()}


def plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def accepted(document: Mapping[str, Any]) -> Bundle | None:
    """The bundle as the network reads it; None if it is refused, with a place and a remedy for each problem."""
    try:
        return bundles.read_bundle(rfc8785.dumps(document))
    except ProblemsError as error:
        problems = error.problems
    assert all(item.path and item.remedy for item in problems)
    return None


def unchecked(document: Mapping[str, Any]) -> Bundle:
    """The bundle as it would be read without the rules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "check", lambda _documents, _breathe: Findings((), ()))
        return bundles.read_bundle(rfc8785.dumps(document))


def worth(items: tuple[Term, ...]) -> dict[object, int]:
    """What somebody gets, by what it is; written anew here, so that the product's table is not judged by itself."""
    found: dict[object, int] = {}
    for term in items:
        key: object = type(term)
        amount = 1
        match term:
            case PercentageOff(amount) | PayLater(amount) | FreePeriod(amount):
                pass
            case ExtraQuota(unit, amount):
                key = (ExtraQuota, unit)
            case Included(service):
                key = (Included, service)
        found[key] = min(found.get(key, amount), amount)
    return found


def less(some: Mapping[object, int], than: Mapping[object, int]) -> bool:
    return any(some.get(key, 0) < amount for key, amount in than.items())


def harms(rules: Bundle) -> Iterator[str]:
    """Everybody who gets less than the base offer, or than somebody with a lower score of the same city."""
    for home in map(CityId, HOMES):
        for name, known in rules.scenarios.items():
            for operator in known.operators:
                scenario = scenario_in_force(rules, name, operator, home, DAY)
                lower = base = worth(scenario.base.items)
                for points in range(101):
                    rung = scenario.cap(rules.concordances[home].level_of(points))
                    given_out = worth(evaluate(rules, scenario, home, rung).terms.items)
                    if less(given_out, base) or less(given_out, lower):
                        yield f"{home} {name} {points}"
                    if Outcome.of(rung) is Outcome.ORDINARY and given_out != base:
                        yield f"{home} {name} {points}: ordinary, and not the base offer"
                    lower = given_out


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(policies())
def test_what_is_accepted_harms_nobody(document: dict[str, Any]) -> None:
    found = accepted(document)
    if found is not None:
        assert not list(harms(found))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(policies())
def test_what_would_harm_is_refused(document: dict[str, Any]) -> None:
    if any(harms(unchecked(document))):
        assert accepted(document) is None


def test_policies_are_generated_that_harm_and_that_do_not() -> None:
    any_will_do = settings(max_examples=2000, phases=[Phase.generate])
    find(policies(), lambda document: any(harms(unchecked(document))), settings=any_will_do)
    find(
        policies(),
        lambda document: accepted(document) is not None and len(document["scenarios"][0]["rungs"]) > 1,
        settings=any_will_do,
    )
