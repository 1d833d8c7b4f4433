"""What ``./dev demo --all`` runs: the policy matrix, cell by cell: a resident of every city at every offer of all.

What has to come out is computed from the bundle alone, before anybody is asked; then the processes are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from gateway.cli.localnet.clients import Clients, Consent
from gateway.cli.localnet.demo import OUTCOMES, verify_log
from gateway.cli.localnet.plan import Layout
from gateway.cli.localnet.settings_files import synthetic
from gateway.consentlog.verify import VerifiedExport
from gateway.crypto.envelope import BUNDLE_TYPE, verify
from gateway.crypto.root_files import read_root
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Outcome
from gateway.domain.ids import CityId
from gateway.domain.matrix import Cell, matrix
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import read_bundle

NUMBERS = {3: 2, 2: 4, 1: 6}
"""Of the synthetic resident of each city who stands exactly at the cut of a tier level."""
AT_ONCE = 3
"""Home cities that are asked about at the same time."""
REFUSALS = {
    "not-honoured": Reason.HOME_NOT_HONOURED.value,
    "closed": Reason.HOME_NOT_HONOURED.value,
    "not-vouched": Reason.HOST_NOT_VOUCHED.value,
    "not-in-force": Reason.SCENARIO_NOT_OPEN.value,
}


@dataclass(frozen=True)
class Answer:
    """What one check comes to: an outcome with its terms, or the reason why nobody is asked."""

    outcome: str
    text_zh: str = ""
    text_en: str = ""
    illustrative: bool = False

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "outcome": self.outcome,
            "text_zh": self.text_zh,
            "text_en": self.text_en,
            "illustrative": self.illustrative,
        }


@dataclass(frozen=True)
class Trial:
    """One check that is to be made. ``lent``: an open scenario of the same operator, for a scenario that is closed."""

    cell: Cell
    level: int
    expected: Answer
    lent: Cell | None = None


@dataclass(frozen=True)
class Tried:
    """What came out; ``at`` says who answered: the gateway, or the home city when it was asked for a consent."""

    trial: Trial
    at: str
    actual: Answer

    @property
    def differs(self) -> bool:
        """Whether it is not what the policies say."""
        return self.actual != self.trial.expected

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        cell = self.trial.cell
        return {
            "home_city": cell.home,
            "host_city": cell.scenario.host_city,
            "operator": cell.scenario.operators[0],
            "scenario": cell.scenario.id,
            "answered_by": self.at,
            "expected": self.trial.expected.document(),
            **self.actual.document(),
            "differs": self.differs,
        }


@dataclass(frozen=True)
class Everywhere:
    """Everything that was tried. ``levels``: the tier level at which each city's resident stands."""

    levels: dict[str, int]
    tried: list[Tried]
    verified: VerifiedExport

    @property
    def differences(self) -> list[Tried]:
        """What is not as the policies say."""
        return [item for item in self.tried if item.differs]

    @property
    def exit_code(self) -> int:
        """0 if all is as the policies say, 1 otherwise."""
        return 1 if self.differences else 0


def level_of(place: int) -> int:
    """The tier level of the resident of the city in that place: the levels take turns."""
    return 3 - place % len(NUMBERS)


def trials(bundle: Bundle, cities: Sequence[str], day: date) -> Iterator[Trial]:
    """One per cell of the matrix of these cities, open or closed, by home city."""
    for place, home in enumerate(cities):
        level = level_of(place)
        cells = list(matrix(bundle, day, lambda city, item: city == home and item.host_city in cities))  # noqa: B023
        lent = {operator: cell for cell in cells if cell.state == "open" for operator in cell.scenario.operators}
        for cell in cells:
            if cell.state == "open":
                yield Trial(cell, level, expected_of(cell, level))
            else:
                yield Trial(cell, level, Answer(REFUSALS[cell.state]), lent.get(cell.scenario.operators[0]))


def expected_of(cell: Cell, level: int) -> Answer:
    """What a resident who stands at a tier level gets in an open cell."""
    rung = cell.scenario.cap(level)
    terms = cell.scenario.terms_of(rung)
    return Answer(Outcome.of(rung).value.upper(), terms.text_zh, terms.text_en, cell.illustrative)


async def ask_everywhere(layout: Layout, cities: Sequence[str], say: Callable[[str], None]) -> Everywhere:
    """Try everything against a running network. Raises TiergateError for what is no answer at all."""
    root = read_root(layout.shared / "root.json")
    bundle = read_bundle(verify(root, BUNDLE_TYPE, (layout.shared / "bundle.json").read_bytes()))
    planned = list(trials(bundle, cities, datetime.now(UTC).date()))
    clients = Clients(layout)
    turns = asyncio.Semaphore(AT_ONCE)

    async def of(home: str) -> list[Tried]:
        async with turns:
            found = [item for trial in planned if trial.cell.home == home for item in await _try(clients, trial)]
        say(f"residents of {home}: {len(found)} answers")
        return found

    try:
        say(f"asking in every cell of the matrix: {len(planned)} pairs of home city and offer")
        tried = [item for run in await asyncio.gather(*map(of, cities)) for item in run]
        say("exporting the consent log and verifying it offline")
        verified = await verify_log(clients, layout)
    finally:
        await clients.close()
    return Everywhere({city: level_of(place) for place, city in enumerate(cities)}, tried, verified)


async def _try(clients: Clients, trial: Trial) -> list[Tried]:
    """A consent for the offer, and the check; where it is closed, also the check with a consent for another offer."""
    cell = trial.cell
    try:
        consent = await _grant(clients, cell, trial.level)
    except TiergateError as error:
        refused = [Tried(trial, "home city", Answer(_reason(error)))]
        if trial.lent is None:
            return refused
        lent = replace(
            await _grant(clients, trial.lent, trial.level, cell.scenario.operators[0]), scenario=cell.scenario.id
        )
        return [*refused, Tried(trial, "gateway", await _check(clients, lent))]
    return [Tried(trial, "gateway", await _check(clients, consent))]


async def _grant(clients: Clients, cell: Cell, level: int, operator: str = "") -> Consent:
    resident = synthetic(cell.home, NUMBERS[level])
    return await clients.grant(
        CityId(cell.home), resident, operator or cell.scenario.operators[0], cell.scenario.id, uses=1
    )


async def _check(clients: Clients, consent: Consent) -> Answer:
    try:
        decision = await clients.check(consent)
    except TiergateError as error:
        return Answer(_reason(error))
    terms = decision.terms
    return Answer(OUTCOMES[decision.outcome], terms.text_zh, terms.text_en, decision.illustrative)


def _reason(error: TiergateError) -> str:
    return error.reason.value
