"""Cases: what officials expect of a policy file, written beside it; the suite and ``tiergate policy test`` run them.

Scores in cases are synthetic: no person has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.domain.decision import Outcome
from gateway.domain.ids import CityId, TierId
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Concordance, TierScale
from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy import schema
from gateway.policy.documents import Kind, Policies, to_term
from gateway.policy.load import CASES_SUFFIX, LoadedPolicies, policy_names, read_toml

OUT_OF_RANGE = "out-of-range"


class CityCase(schema.Strict):
    """A synthetic score and the tier that it must reach, or ``out-of-range``."""

    name: schema.Line
    score: Annotated[int, Field(ge=-schema.SAFE_INTEGER, le=schema.SAFE_INTEGER)]
    expect: schema.Slug


class CityCases(schema.Strict):
    """``cities/<id>.cases.toml``."""

    cases: Annotated[list[CityCase], Field(min_length=1, max_length=1000)]


class ScenarioCase(schema.Strict):
    """The tier of a visitor, and the outcome and terms that the operator must be told.

    ``hosts``: the host cities that the case is about. A host that any case names has its own cases; the cases without
    ``hosts`` are for all others.
    """

    name: schema.Line
    hosts: Annotated[list[schema.Slug], Field(max_length=1000)] = []  # noqa: RUF012 - pydantic copies it
    tier: schema.Slug
    outcome: Literal["entitled", "ordinary"]
    terms: schema.TermDocs


class ScenarioCases(schema.Strict):
    """``scenarios/<id>.cases.toml``."""

    cases: Annotated[list[ScenarioCase], Field(min_length=1, max_length=1000)]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, run: it passed if ``actual`` is ``expected``."""

    file: str
    name: str
    expected: str
    actual: str

    @property
    def passed(self) -> bool:
        """Whether the policy does what the case says."""
        return self.expected == self.actual


def run_cases(root: Path, loaded: LoadedPolicies) -> list[CaseResult]:
    """Run the cases under ``root`` against its loaded policies.

    Raises :class:`ProblemsError` (POLICY_INVALID) for a city or scenario without cases, a case file without a policy,
    malformed cases, and cases that leave out what must be tried: both sides of each cut and both ends of the range;
    an entitled and an ordinary visitor.
    """
    problems: list[Problem] = []
    results: list[CaseResult] = []
    policies = loaded.policies
    for name in _case_files(root, "cities", problems):
        cities = read_toml(root, name, CityCases, problems)
        if cities is not None:
            concordance = policies.concordances[CityId(_stem(name))]
            problems += _tiers_known(name, [case.expect for case in cities.cases], policies, "expect")
            problems += _untried_scores(name, cities, concordance)
            results += [_run_city(name, case, concordance, policies.scale) for case in cities.cases]
    for name in _case_files(root, "scenarios", problems):
        scenarios = read_toml(root, name, ScenarioCases, problems)
        if scenarios is not None:
            unknown = list(_tiers_known(name, [case.tier for case in scenarios.cases], policies, "tier"))
            problems += unknown
            offers = [policies.scenarios[item] for item in loaded.scenarios_in[_policy_of(name)]]
            problems += _unknown_hosts(name, scenarios, offers)
            for offer in offers:
                cases = _cases_of(scenarios, offer)
                whose = f"{offer.host_city}: " if len(offers) > 1 else ""
                problems += _untried_outcomes(name, cases, whose)
                if not unknown:
                    results += [_run_scenario(name, case, offer, policies.scale, whose) for case in cases]
    if problems:
        raise ProblemsError(Reason.POLICY_INVALID, problems)
    return results


def _stem(name: str) -> str:
    return Path(name).name.removesuffix(CASES_SUFFIX)


def _policy_of(name: str) -> str:
    return name.removesuffix(CASES_SUFFIX) + ".toml"


def _cases_of(cases: ScenarioCases, scenario: Scenario) -> list[ScenarioCase]:
    """What a host's offer is held to: the cases that name the host, else those that name none."""
    own = [case for case in cases.cases if scenario.host_city in case.hosts]
    return own or [case for case in cases.cases if not case.hosts]


def _unknown_hosts(name: str, cases: ScenarioCases, scenarios: Sequence[Scenario]) -> Iterator[Problem]:
    known = {scenario.host_city for scenario in scenarios}
    for place, case in enumerate(cases.cases):
        for host in case.hosts:
            if host not in known:
                yield Problem(
                    name, f"cases.{place}.hosts", f'"{host}" has no such scenario', "name a host that has a row"
                )


def _case_files(root: Path, kind: Kind, problems: list[Problem]) -> Iterator[str]:
    """Case files that belong to a policy and exist; what is missing or left over becomes a problem."""
    wanted = {name.removesuffix(".toml") + CASES_SUFFIX for name in policy_names(root, kind)}
    found = {f"{kind}/{path.name}" for path in (root / kind).glob(f"*{CASES_SUFFIX}")}
    problems += [
        Problem(name, "", "cases are missing", "write cases beside the file") for name in sorted(wanted - found)
    ]
    problems += [Problem(name, "", "no policy file of that id", "remove it") for name in sorted(found - wanted)]
    yield from sorted(wanted & found)


def _tiers_known(name: str, tiers: list[str], policies: Policies, key: str) -> Iterator[Problem]:
    known = {tier.id for tier in policies.scale.tiers}
    for place, tier in enumerate(tiers):
        if tier not in known and not (key == "expect" and tier == OUT_OF_RANGE):
            yield Problem(name, f"cases.{place}.{key}", f'unknown tier "{tier}"', "tiers are in tier-scale.toml")


def _untried_scores(name: str, cases: CityCases, concordance: Concordance) -> Iterator[Problem]:
    low, high = concordance.score_min, concordance.score_max
    wanted = {low - 1, low, high, high + 1}
    for cut in concordance.cuts:
        wanted |= {cut.minimum - 1, cut.minimum}
    for score in sorted(wanted - {case.score for case in cases.cases}):
        yield Problem(name, "cases", f"no case with score {score}", "try both sides of each cut and of each range end")


def _untried_outcomes(name: str, cases: Sequence[ScenarioCase], whose: str) -> Iterator[Problem]:
    for outcome in Outcome:
        if outcome.value not in {case.outcome for case in cases}:
            yield Problem(name, "cases", f"{whose}no case with outcome {outcome.value}", "add one")


def _run_city(name: str, case: CityCase, concordance: Concordance, scale: TierScale) -> CaseResult:
    try:
        actual = str(scale.tiers[concordance.level_of(case.score)].id)
    except ValueError:
        actual = OUT_OF_RANGE
    return CaseResult(name, case.name, case.expect, actual)


def _run_scenario(name: str, case: ScenarioCase, scenario: Scenario, scale: TierScale, whose: str) -> CaseResult:
    rung = scenario.cap(scale.level_of(TierId(case.tier)))
    expected = (case.outcome, tuple(to_term(item) for item in case.terms))
    actual = (Outcome.of(rung).value, scenario.terms_of(rung).items)
    return CaseResult(name, whose + case.name, _shown(*expected), _shown(*actual))


def _shown(outcome: str, terms: tuple[object, ...]) -> str:
    """Outcome and terms as text; the order in which terms are written does not matter."""
    return f"{outcome}: {', '.join(sorted(repr(term) for term in terms)) or 'no terms beyond the ordinary service'}"
