"""Policies as large as a country's: the shipped ones, and as many made-up cities and scenarios as are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.acceptance import ANY
from gateway.policy.load import LoadedPolicies
from gateway.policy.schema import AcceptanceFile, ScenarioFile

LISTED = 300
"""Up to so many cities each lists every other by its name; beyond, the lists alone would outgrow a bundle."""


def enlarged(loaded: LoadedPolicies, scenarios: int, cities: int) -> LoadedPolicies:
    """Exactly as many of both (at least the shipped cities, and a scenario); each city accepts every other.

    All of it is synthetic: copies of shipped files under other ids, each made-up scenario with an operator of its own.
    """
    kept_cities = loaded.cities
    kept = loaded.scenarios[:scenarios]
    names = [item.id for item in kept_cities] + [f"synthetic-city-{n:05d}" for n in range(cities - len(kept_cities))]
    added = range(scenarios - len(kept))
    hosts = [names[number % len(names)] for number in added]
    operators = [
        loaded.operators[0].model_copy(update={"id": f"synthetic-operator-{number:05d}", "host_city": host})
        for number, host in enumerate(hosts)
    ]
    copied = [item for item in loaded.scenarios if item.local_threshold is None]
    more = [
        _scenario(copied[number % len(copied)], number, host, operators[number].id) for number, host in enumerate(hosts)
    ]
    listed = names if cities <= LISTED else [ANY]
    return replace(
        loaded,
        cities=(
            *kept_cities,
            *(kept_cities[number % len(kept_cities)].model_copy(update={"id": name})
              for number, name in enumerate(names[len(kept_cities) :])),
        ),
        scenarios=(*kept, *more),
        operators=(*loaded.operators, *operators),
        acceptance=tuple(_acceptance(loaded.acceptance[0], name, listed) for name in names),
    )  # fmt: skip


def _scenario(shipped: ScenarioFile, number: int, host: str, operator: str) -> ScenarioFile:
    changes = {"id": f"synthetic-scenario-{number:05d}", "host_city": host, "operators": [operator]}
    return shipped.model_copy(update={**changes, "illustrative": True})


def _acceptance(shipped: AcceptanceFile, city: str, names: Sequence[str]) -> AcceptanceFile:
    everywhere = {"scenarios": [ANY]}
    return shipped.model_copy(
        update={
            "id": city,
            "honours": [shipped.honours[0].model_copy(update={**everywhere, "homes": list(names)})],
            "vouches": [shipped.vouches[0].model_copy(update={**everywhere, "hosts": list(names)})],
        }
    )
