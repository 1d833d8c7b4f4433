"""All policies read from one place, before and after they become domain objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Generic, Literal, TypeVar

from gateway.domain.acceptance import Acceptance, AcceptanceRule, AcceptanceRules
from gateway.domain.bundle import NoticeTemplate
from gateway.domain.ids import CityId, OperatorId, ScenarioId, TierId
from gateway.domain.scenario import (
    SECONDS_PER_DAY,
    ConsentLimits,
    DepositWaiver,
    ExtraQuota,
    FreePeriod,
    Included,
    Operator,
    PapersLater,
    PayLater,
    PercentageOff,
    Priority,
    Rung,
    Scenario,
    SupersededOffer,
    Term,
    Terms,
)
from gateway.domain.tier import Band, BandTable, Concordance, Cut, Measured, Source, Tier, TierScale
from gateway.errors import Problem
from gateway.policy import schema, terms_schema
from gateway.policy.pace import Breathe, at_once, paced

Kind = Literal["cities", "scenarios", "operators", "acceptance"]
"""The folders under ``policies/`` that hold one file per id."""

Doc_co = TypeVar("Doc_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Located(Generic[Doc_co]):
    """A document and where its problems are reported: the file, and a path in front of its own keys."""

    file: str
    doc: Doc_co
    prefix: str = ""
    own: Mapping[str, str] | None = None
    """For a row of a file: which keys stand in the row, under which name; the others stand at the top of the file."""

    def problem(self, path: str, message: str, remedy: str = "") -> Problem:
        """A problem at a key of this document."""
        return Problem(self.file, self.place_of(path), message, remedy)

    def place_of(self, path: str) -> str:
        """Where a key of this document stands in its file."""
        key, dot, rest = path.partition(".")
        if self.own is not None:
            if key not in self.own:
                return path
            path = self.own[key] + dot + rest
        return ".".join(part for part in (self.prefix, path) if part)


@dataclass(frozen=True)
class Documents:
    """Everything that was read well enough to be a document.

    ``unread`` holds (kind, id) of files that exist but could not be read, so that a reference to one of them is not
    reported as a second fault.
    """

    scale: Located[schema.ScaleFile] | None
    cities: Sequence[Located[schema.CityFile]]
    scenarios: Sequence[Located[schema.ScenarioFile]]
    operators: Sequence[Located[schema.OperatorFile]]
    acceptance: Sequence[Located[schema.AcceptanceFile]]
    notice: Located[schema.NoticeFile] | None
    unread: frozenset[tuple[Kind, str]] = frozenset()

    def known(self, kind: Kind) -> frozenset[str]:
        """Ids of a kind, unreadable ones included."""
        return self._known[kind]

    @cached_property
    def _known(self) -> Mapping[Kind, frozenset[str]]:
        """Made once: every reference of every document asks."""
        read: Mapping[Kind, Sequence[Located[schema.Named]]] = {
            "cities": self.cities,
            "scenarios": self.scenarios,
            "operators": self.operators,
            "acceptance": self.acceptance,
        }
        return {
            kind: frozenset(item.doc.id for item in items) | {name for where, name in self.unread if where == kind}
            for kind, items in read.items()
        }


@dataclass(frozen=True, slots=True)
class Policies:
    """The checked policies as domain objects."""

    scale: TierScale
    concordances: Mapping[CityId, Concordance]
    scenarios: Mapping[ScenarioId, Scenario]
    operators: Mapping[OperatorId, Operator]
    acceptance: Mapping[CityId, Acceptance]
    notice: NoticeTemplate


def to_policies(
    scale: schema.ScaleFile,
    cities: Sequence[schema.CityFile],
    scenarios: Sequence[schema.ScenarioFile],
    operators: Sequence[schema.OperatorFile],
    acceptance: Sequence[schema.AcceptanceFile],
    notice: schema.NoticeFile,
    breathe: Breathe = at_once,
) -> Policies:
    """Turn checked documents into domain objects. Only for those without errors. ``breathe`` is called between."""
    tiers = TierScale(tuple(Tier(TierId(t.id), level, t.name_zh, t.name_en) for level, t in enumerate(scale.tiers)))
    return Policies(
        tiers,
        MappingProxyType({CityId(c.id): to_concordance(c, tiers) for c in paced(cities, breathe)}),
        MappingProxyType({ScenarioId(s.id): to_scenario(s, tiers) for s in paced(scenarios, breathe)}),
        MappingProxyType({OperatorId(o.id): to_operator(o) for o in paced(operators, breathe)}),
        MappingProxyType({CityId(a.id): to_acceptance(a) for a in paced(acceptance, breathe)}),
        NoticeTemplate(notice.id, notice.version, notice.text_zh, notice.text_en),
    )


def to_source(doc: schema.SourceDoc) -> Source:
    """A source."""
    return Source(doc.url or "", doc.published, doc.confidence, doc.note or "")


def to_concordance(doc: schema.CityFile, scale: TierScale) -> Concordance:
    """A concordance. KeyError for a tier that the scale does not have."""
    return Concordance(
        city=CityId(doc.id),
        version=doc.version,
        score_name_zh=doc.score_name_zh,
        score_name_en=doc.score_name_en,
        score_min=doc.score_min,
        score_max=doc.score_max,
        design=doc.design,
        cuts=tuple(
            Cut(
                scale.level_of(TierId(c.tier)),
                c.minimum,
                c.label_zh,
                to_source(c.source or doc.source),
                None if c.measured is None else to_measured(c.measured),
            )
            for c in doc.cuts
        ),
        max_age_days=doc.max_age_days,
        effective_from=doc.effective_from,
        effective_until=doc.effective_until,
        illustrative=doc.illustrative,
        source=to_source(doc.source),
        range_source=to_source(doc.range_source or doc.source),
        name_zh=doc.name_zh or doc.id,
        name_en=doc.name_en or doc.id,
        bands=to_bands(doc.bands or (), doc.source),
        history=tuple(
            BandTable(to_bands(item.bands, item.source), item.since, item.until, to_source(item.source))
            for item in doc.history or ()
        ),
    )


def to_bands(docs: Sequence[schema.BandDoc], source: schema.SourceDoc) -> tuple[Band, ...]:
    """Published levels; ``source`` is that of the table, for those that have none of their own."""
    return tuple(Band(b.label_zh, b.minimum, b.maximum, to_source(b.source or source)) for b in docs)


def to_measured(doc: schema.MeasuredDoc) -> Measured:
    """What a measurement says of a cut."""
    return Measured(doc.standard_error, doc.sample, doc.as_of, to_source(doc.source))


def to_term(doc: schema.TermDoc) -> Term:
    """One typed term."""
    match doc:
        case terms_schema.DepositWaiverDoc():
            return DepositWaiver()
        case terms_schema.PercentageOffDoc():
            return PercentageOff(doc.percent)
        case terms_schema.PayLaterDoc():
            return PayLater(doc.days)
        case terms_schema.ExtraQuotaDoc():
            return ExtraQuota(doc.unit, doc.count)
        case terms_schema.PriorityDoc():
            return Priority()
        case terms_schema.FreePeriodDoc():
            return FreePeriod(doc.minutes)
        case terms_schema.PapersLaterDoc():
            return PapersLater()
        case terms_schema.IncludedDoc():
            return Included(doc.service)


def to_terms(doc: schema.TermsDoc) -> Terms:
    """Terms with their words."""
    return Terms(tuple(to_term(item) for item in doc.items), doc.text_zh, doc.text_en)


def to_scenario(doc: schema.ScenarioFile, scale: TierScale) -> Scenario:
    """A scenario. KeyError for a tier that the scale does not have."""
    return Scenario(
        id=ScenarioId(doc.id),
        version=doc.version,
        host_city=CityId(doc.host_city),
        sector=doc.sector,
        purpose=doc.purpose,
        name_zh=doc.name_zh,
        name_en=doc.name_en,
        operators=tuple(OperatorId(name) for name in doc.operators),
        base=to_terms(doc.base),
        rungs=tuple(Rung(scale.level_of(TierId(r.tier)), to_terms(r)) for r in doc.rungs),
        consent=ConsentLimits(
            doc.consent.max_lifetime_days * SECONDS_PER_DAY, doc.consent.max_uses, doc.consent.unlimited
        ),
        time_grain=doc.time_grain,
        effective_from=doc.effective_from,
        effective_until=doc.effective_until,
        illustrative=doc.illustrative,
        local_threshold=doc.local_threshold,
        source=to_source(doc.source),
        purpose_zh=doc.purpose_zh,
        purpose_en=doc.purpose_en,
        history=tuple(
            SupersededOffer(
                item.local_threshold, item.text_zh, item.text_en, item.since, item.until, to_source(item.source)
            )
            for item in doc.history or ()
        ),
    )


def to_acceptance(doc: schema.AcceptanceFile) -> Acceptance:
    """What a city has decided about others."""
    return Acceptance(
        CityId(doc.id),
        doc.version,
        AcceptanceRules(_rule(item, item.homes) for item in doc.honours),
        AcceptanceRules(_rule(item, item.hosts) for item in doc.vouches),
        doc.illustrative,
        None if doc.source is None else to_source(doc.source),
    )


def _rule(doc: schema.AcceptanceDoc, cities: Sequence[str]) -> AcceptanceRule:
    return AcceptanceRule(frozenset(cities), frozenset(doc.scenarios), doc.effective_from, doc.effective_until)


def to_operator(doc: schema.OperatorFile) -> Operator:
    """A relying party."""
    return Operator(OperatorId(doc.id), CityId(doc.host_city), doc.name_zh, doc.name_en, doc.contact, doc.illustrative)
