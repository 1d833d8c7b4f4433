"""I2 as a property: whatever terms are written, a scenario that is accepted makes nobody worse off."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from hypothesis import find, given
from hypothesis import strategies as st

from gateway.domain.compare import measure
from gateway.domain.ids import TierId
from gateway.domain.scenario import Terms
from gateway.domain.tier import Tier, TierScale
from gateway.policy import schema
from gateway.policy.check import check
from gateway.policy.documents import Documents, Kind, Located, to_scenario

TIERS = ("ordinary", "good", "excellent", "outstanding")
SCALE = TierScale(tuple(Tier(TierId(name), level, name, name) for level, name in enumerate(TIERS)))
SOURCE = schema.SourceDoc(url="https://example.invalid/x", published="2026", confidence="none")

AMOUNT = {"percentage_off": "percent", "pay_later": "days", "free_period": "minutes"}
kinds = st.sampled_from([*AMOUNT, "deposit_waiver", "priority", "papers_later", "a", "b"])
offers = st.lists(st.tuples(kinds, st.integers(1, 3)), max_size=3)


def item(kind: str, amount: int) -> dict[str, str | int]:
    """One term; ``a`` and ``b`` are quotas of those units."""
    if kind in AMOUNT:
        return {"kind": kind, AMOUNT[kind]: amount}
    return {"kind": "extra_quota", "unit": kind, "count": amount} if kind in {"a", "b"} else {"kind": kind}


@st.composite
def scenarios(draw: st.DrawFn) -> schema.ScenarioFile:
    """Half of them grow from rung to rung, so that not nearly all are refused."""
    steps = draw(st.lists(offers, min_size=2, max_size=4))
    if draw(st.booleans()):
        grown: dict[str, int] = {}
        for place, step in enumerate(steps):
            for kind, amount in step:
                grown[kind] = grown.get(kind, 0) + amount
            steps[place] = list(grown.items())
    tiers = draw(st.lists(st.sampled_from(TIERS[1:]), min_size=len(steps) - 1, max_size=len(steps) - 1))
    words = {"text_zh": "文", "text_en": "text"}
    base, *rungs = [{**words, "items": [item(*term) for term in step]} for step in steps]
    return schema.ScenarioFile.model_validate(
        {
            "id": "s",
            "version": 1,
            "host_city": "alpha",
            "sector": "library",
            "purpose": "p",
            "purpose_zh": "文",
            "purpose_en": "text",
            "name_zh": "文",
            "name_en": "text",
            "operators": ["o"],
            "time_grain": "minute",
            "effective_from": date(2026, 1, 1),
            "illustrative": True,
            "base": base,
            "rungs": [{**rung, "tier": tier} for rung, tier in zip(rungs, tiers, strict=True)],
            "consent": {"max_lifetime_days": 1, "max_uses": 1, "unlimited": False},
            "source": SOURCE,
        }
    )


def accepted(scenario: schema.ScenarioFile) -> bool:
    scale = schema.ScaleFile(version=1, tiers=[schema.TierDoc(id=n, name_zh=n, name_en=n) for n in TIERS])
    unread: frozenset[tuple[Kind, str]] = frozenset({("cities", "alpha"), ("operators", "o")})
    documents = Documents(Located("t", scale), [], [Located("s", scenario)], [], [], None, unread)
    return not check(documents).errors


def gives(offer: Terms) -> dict[tuple[str, str], int]:
    return dict(measure(term) for term in offer.items)


def test_some_are_accepted() -> None:
    find(scenarios(), lambda document: len(document.rungs) > 1 and accepted(document))


@given(scenarios())
def test_an_accepted_scenario_makes_nobody_worse_off_on_any_tier(document: schema.ScenarioFile) -> None:
    if not accepted(document):
        return
    scenario = to_scenario(document, SCALE)
    given_out = [gives(scenario.terms_of(scenario.cap(level))) for level in range(len(TIERS))]
    assert given_out[0] == gives(scenario.base)
    for lower, upper in pairwise(given_out):
        assert all(upper.get(kind, 0) >= value for kind, value in lower.items())


@given(scenarios())
def test_a_refused_scenario_has_a_reason_that_can_be_seen(document: schema.ScenarioFile) -> None:
    """The rule refuses no more than I2, needless rungs and doubled terms."""
    if accepted(document):
        return
    steps = [document.base, *document.rungs]
    scenario = to_scenario(document, SCALE)
    given_out = [gives(scenario.base), *(gives(rung.terms) for rung in scenario.rungs)]
    levels = [rung.level for rung in scenario.rungs]
    assert (
        any(len(offer) < len(step.items) for offer, step in zip(given_out, steps, strict=True))
        or any(upper <= lower for lower, upper in pairwise(levels))
        or any(lower == upper for lower, upper in pairwise(given_out))
        or any(upper.get(kind, 0) < value for lower, upper in pairwise(given_out) for kind, value in lower.items())
    )
