"""The policy bundle as the services see it: tier scale, concordances, scenarios, operators, notice template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from gateway.domain.ids import BundleDigest, CityId, OperatorId, ScenarioId
from gateway.domain.scenario import Operator, Scenario
from gateway.domain.tier import Concordance, TierScale
from gateway.errors import Reason, TiergateError


@dataclass(frozen=True, slots=True)
class NoticeTemplate:
    """The registered consent notice in both languages.

    Placeholders in braces: ``operator_name``, ``operator_contact``, ``scenario_name``, ``purpose``, ``city_name``,
    ``valid_days``, ``uses``. Never anything about a person.
    """

    id: str
    version: int
    text_zh: str
    text_en: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """One content-addressed set of policies. ``digest`` is the SHA-256 of the canonical bytes it was read from."""

    digest: BundleDigest
    version: int
    expires: date
    scale: TierScale
    concordances: Mapping[CityId, Concordance]
    scenarios: Mapping[ScenarioId, Scenario]
    operators: Mapping[OperatorId, Operator]
    notice: NoticeTemplate

    def scenario_for(self, scenario: str, operator: OperatorId, day: date) -> Scenario:
        """The scenario, if it is in force and open to the operator.

        Raises SCENARIO_UNKNOWN or SCENARIO_NOT_OPEN.
        """
        found = self.scenarios.get(ScenarioId(scenario))
        if found is None:
            raise TiergateError(Reason.SCENARIO_UNKNOWN)
        if not found.is_open(operator, day):
            raise TiergateError(Reason.SCENARIO_NOT_OPEN)
        return found
