"""The rules that need more than one value or file. Each yields problems; none stops at the first.

That no policy harms anybody (I2), and that no visitor is better off than a local, is ``gateway.policy.harm``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from gateway.domain.acceptance import ANY
from gateway.domain.directory import GATEWAY
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Problem
from gateway.policy import schema
from gateway.policy.documents import Documents, Located
from gateway.policy.harm import doubtful_words, local_threshold, positive_tier, rungs
from gateway.policy.pace import Breathe, at_once, paced

ORDINARY = "ordinary"


@dataclass(frozen=True, slots=True)
class Findings:
    """What the rules found: errors refuse the policies, warnings are shown."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def check(documents: Documents, breathe: Breathe = at_once) -> Findings:
    """Run every rule over every document. ``breathe`` is called between them."""
    levels = _levels(documents.scale)
    errors: list[Problem] = []
    warnings: list[Problem] = []
    if documents.scale is not None:
        errors += _scale(documents.scale)
    errors += _doubles(documents.cities)
    errors += _doubles(documents.scenarios)
    errors += _doubles(documents.operators)
    for city in paced(documents.cities, breathe):
        errors += _city(city, levels)
    errors += _doubles(documents.acceptance)
    hosts = {item.doc.id: item.doc.host_city for item in documents.scenarios}
    for acceptance in paced(documents.acceptance, breathe):
        errors += _acceptance(acceptance, documents, hosts)
    for operator in paced(documents.operators, breathe):
        errors += _reference(operator, "host_city", operator.doc.host_city, "city", documents.known("cities"))
    by_city = {item.doc.id: item.doc for item in documents.cities}
    by_operator = {item.doc.id: item.doc for item in documents.operators}
    for scenario in paced(documents.scenarios, breathe):
        errors += _references(scenario, documents, by_operator)
        errors += _dates(scenario, scenario.doc.effective_from, scenario.doc.effective_until)
        errors += _grain(scenario)
        errors += rungs(scenario, levels)
        warnings += doubtful_words(scenario)
        warnings += _honoured(scenario, documents)
        host = by_city.get(scenario.doc.host_city)
        if host is not None:
            doubtful = host.illustrative or scenario.doc.illustrative
            (warnings if doubtful else errors).extend(local_threshold(scenario, host, levels))
    return Findings(tuple(errors), tuple(warnings))


def _levels(scale: Located[schema.ScaleFile] | None) -> Mapping[str, int] | None:
    """Level by tier id; None when the scale could not be read and tiers cannot be judged."""
    return None if scale is None else {tier.id: level for level, tier in enumerate(scale.doc.tiers)}


def _scale(scale: Located[schema.ScaleFile]) -> Iterator[Problem]:
    tiers = scale.doc.tiers
    if tiers[0].id != ORDINARY:
        yield scale.problem("tiers.0.id", f'the lowest tier must be "{ORDINARY}"', "list the tiers from the lowest on")
    seen: set[str] = set()
    for place, tier in enumerate(tiers):
        if tier.id in seen:
            yield scale.problem(f"tiers.{place}.id", "tier id is used twice", "give each tier an id of its own")
        seen.add(tier.id)


def _doubles(items: Sequence[Located[schema.Named]]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for item in items:
        if item.doc.id in first:
            yield item.problem("id", f"id is used twice (first in {first[item.doc.id]})", "choose another id")
        first.setdefault(item.doc.id, item.file)


def _dates(item: Located[object], start: date, end: date | None) -> Iterator[Problem]:
    if end is not None and end < start:
        yield item.problem("effective_until", "is before effective_from", "correct one of the two days")


def _city(city: Located[schema.CityFile], levels: Mapping[str, int] | None) -> Iterator[Problem]:
    doc = city.doc
    if doc.id == GATEWAY:
        yield city.problem("id", f'"{GATEWAY}" is what notices call the gateway', "give the city another id")
    yield from _dates(city, doc.effective_from, doc.effective_until)
    if doc.score_max <= doc.score_min:
        yield city.problem("score_max", "is not above score_min", "state the ends of the score as published")
    for place, cut in enumerate(doc.cuts):
        if not doc.score_min < cut.minimum <= doc.score_max:
            yield city.problem(
                f"cuts.{place}.minimum", "lies outside the score's range", "a cut is above score_min, up to score_max"
            )
        yield from positive_tier(city, f"cuts.{place}.tier", cut.tier, levels)
    for place, (lower, upper) in enumerate(pairwise(doc.cuts), start=1):
        if upper.minimum <= lower.minimum:
            yield city.problem(
                f"cuts.{place}.minimum", "overlaps the cut before it; cuts must rise", "list cuts from the lowest on"
            )
        if levels is not None and levels.get(upper.tier, MAX_LEVEL + 1) <= levels.get(lower.tier, -1):
            yield city.problem(
                f"cuts.{place}.tier", "is not above the tier of the cut before it", "list cuts from the lowest tier on"
            )


def _reference(item: Located[object], path: str, name: str, what: str, known: frozenset[str]) -> Iterator[Problem]:
    if name not in known:
        yield item.problem(path, f'unknown {what} "{name}"', f"correct the name, or add the file of the {what}")


def _references(
    scenario: Located[schema.ScenarioFile], documents: Documents, operators: Mapping[str, schema.OperatorFile]
) -> Iterator[Problem]:
    doc = scenario.doc
    yield from _reference(scenario, "host_city", doc.host_city, "city", documents.known("cities"))
    for place, name in enumerate(doc.operators):
        path = f"operators.{place}"
        yield from _reference(scenario, path, name, "operator", documents.known("operators"))
        if name in doc.operators[:place]:
            yield scenario.problem(path, f'operator "{name}" is named twice', "name it once")
        if name in operators and operators[name].host_city != doc.host_city:
            yield scenario.problem(
                path, f'operator "{name}" is of another city than the scenario', "name one of the host city's"
            )


def _acceptance(
    item: Located[schema.AcceptanceFile], documents: Documents, hosts: Mapping[str, str]
) -> Iterator[Problem]:
    """Whoever is named exists, and each rule names scenarios of the hosts that it is about."""
    doc = item.doc
    cities = documents.known("cities")
    yield from _reference(item, "id", doc.id, "city", cities)
    for place, honour in enumerate(doc.honours):
        yield from _accepts(item, f"honours.{place}", honour, {doc.id}, hosts, documents)
        yield from _cities(item, f"honours.{place}.homes", honour.homes, cities)
    for place, vouch in enumerate(doc.vouches):
        yield from _accepts(item, f"vouches.{place}", vouch, set(vouch.hosts), hosts, documents)
        yield from _cities(item, f"vouches.{place}.hosts", vouch.hosts, cities)


def _honoured(scenario: Located[schema.ScenarioFile], documents: Documents) -> Iterator[Problem]:
    """Whether the host, if it has decided at all, lets anybody in: a forgotten line looks like a refusal."""
    name, host = scenario.doc.id, scenario.doc.host_city
    decided = next((item for item in documents.acceptance if item.doc.id == host), None)
    if decided is not None and not any({name, ANY} & set(rule.scenarios) for rule in decided.doc.honours):
        yield scenario.problem(
            "host_city", "is honoured for no home city: everybody gets the base offer", f"name it in {decided.file}"
        )


def _cities(item: Located[object], path: str, names: Sequence[str], cities: frozenset[str]) -> Iterator[Problem]:
    for number, name in enumerate(names):
        if name != ANY:
            yield from _reference(item, f"{path}.{number}", name, "city", cities)


def _accepts(
    item: Located[object],
    path: str,
    rule: schema.AcceptanceDoc,
    about: set[str],
    hosts: Mapping[str, str],
    documents: Documents,
) -> Iterator[Problem]:
    if rule.effective_until is not None and rule.effective_until < rule.effective_from:
        yield item.problem(f"{path}.effective_until", "is before effective_from", "correct one of the two days")
    for number, name in enumerate(rule.scenarios):
        where = f"{path}.scenarios.{number}"
        if name == ANY:
            continue
        yield from _reference(item, where, name, "scenario", documents.known("scenarios"))
        if name in hosts and ANY not in about and hosts[name] not in about:
            yield item.problem(
                where,
                f'"{name}" is a scenario of {hosts[name]}, which this rule is not about',
                "move it to another rule",
            )


def _grain(scenario: Located[schema.ScenarioFile]) -> Iterator[Problem]:
    if scenario.doc.sector in schema.MOVEMENT_SECTORS and scenario.doc.time_grain != "day":
        yield scenario.problem(
            "time_grain", f'must be "day" in sector {scenario.doc.sector}', "finer times would be a movement profile"
        )
