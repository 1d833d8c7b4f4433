"""The resident's desk: her uses and their explanation, contests, and what the city's officials do about her record.

Articles: PIPL 24 and 44 to 50 (explanation, access, correction, complaint); 信用修复管理办法 (repair).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapters.alarms import Alarms
from adapters.announce import Announced, Announcer
from adapters.casework import Deadlines, Due
from adapters.clock import Clock
from adapters.consult import Platform
from adapters.explain import CONTEST, DISTANCES, REASONS, Words, reason_of
from adapters.reference import Reference
from adapters.store.cases import CaseRow, OpenCase, StepCase
from adapters.store.city_store import CityStore
from adapters.store.reports import HeldUse
from adapters.store.residents import CorrectResident, ResidentAct
from adapters.store.unreported import UnreportedRow
from gateway.consentlog.entry import Entry, decode
from gateway.consentlog.proof import LogProof, hashes_of
from gateway.consentlog.shard import located
from gateway.crypto.consent import new_id
from gateway.domain.bundle import Bundle
from gateway.domain.consent import Contested, Step
from gateway.domain.evaluate import Evaluated, evaluate
from gateway.domain.ids import BundleDigest, ResidentRef, ScenarioId
from gateway.errors import Reason, TiergateError

DEFAULT_USES = 50
MAX_USES = 200


@dataclass(frozen=True, slots=True, repr=False)
class UseView:
    """One use as she sees it. ``evaluated``: None when its bundle is no longer held; ``proof``: C2SP tlog-proof."""

    held: HeldUse
    entry: Entry
    evaluated: Evaluated | None
    proof: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """Why, how far from it today (None: that is not the reason), how to contest; whether figures are illustrative."""

    code: str
    reason: Words
    distance: Words | None
    contest: Words
    illustrative: bool


@dataclass(frozen=True, slots=True, repr=False)
class CaseView:
    """A case with its deadlines."""

    row: CaseRow
    due: Due
    late: bool


class ResidentDesk:
    """What the city's app asks for a resident, and what the city's officials do."""

    def __init__(
        self,
        *,
        reference: Callable[[], Reference],
        store: CityStore,
        platform: Platform,
        announcer: Announcer,
        clock: Clock,
        alarms: Alarms,
        deadlines: Deadlines,
    ) -> None:
        self._reference = reference
        self._store = store
        self._platform = platform
        self._announcer = announcer
        self._clock = clock
        self._alarms = alarms
        self._deadlines = deadlines

    async def correct(self, resident: ResidentRef, act: ResidentAct) -> Announced:
        """Freeze, unfreeze, or note a corrected record: nothing attested before is used after it, here at once."""
        change = CorrectResident(resident, act, self._clock.now_ms(), self._announcer.event("correction"))
        return await self._announcer.settled(await self._store.submit(change))

    def uses(self, resident: ResidentRef, consent_id: str | None, before: int | None, limit: int) -> list[UseView]:
        """Every reported use, newest first; ``limit`` 0 means 50, and no more than 200 are given.

        Complete up to ``reported_index``, with the pages before it: what the gateway has not reported yet is not in it.
        """
        found = self._store.uses_of(resident, consent_id, before, min(limit or DEFAULT_USES, MAX_USES))
        return [self._view(item) for item in found]

    def has_uses(self, resident: ResidentRef, consent_id: str | None, before: int) -> bool:
        """Whether there are uses before a log index: another page."""
        return bool(self._store.uses_of(resident, consent_id, before, 1))

    def unreported(self, resident: ResidentRef, consent_id: str | None) -> list[UnreportedRow]:
        """What was answered about her and got no decision reported for in time; newest first, at most 200."""
        return self._store.unreported_of(resident, consent_id, MAX_USES)

    def reported_index(self) -> int | None:
        """Log index up to which the gateway has reported uses; None before the first report."""
        return self._store.reported_index()

    async def explain(self, resident: ResidentRef, log_index: int) -> Explanation:
        """Why one decision about her was what it was. Raises DECISION_UNKNOWN or PLATFORM_UNAVAILABLE."""
        found = self._store.uses_of(resident, None, log_index + 1, 1)
        if not found or found[0].log_index != log_index:
            raise TiergateError(Reason.DECISION_UNKNOWN)
        (held,) = found
        entry = decode(held.entry)
        silence = self._store.silenced(held.consent_id, log_index)
        code = reason_of(entry.number("rung"), held.attested, held.reason, silence)
        distance = await self._distance(resident, ScenarioId(entry.text("scenario"))) if code == "score" else None
        judged = self._evaluated(self._reference().bundle, entry.text("scenario"), 0)
        return Explanation(code, REASONS[code], distance, CONTEST, judged is not None and judged.illustrative)

    async def contest(self, resident: ResidentRef, log_index: int) -> CaseView:
        """Open a case about a decision. Raises DECISION_UNKNOWN."""
        row = CaseRow(new_id(), resident, log_index, self._clock.now_ms() // 1000, "opened")
        event = self._announcer.event("contest", Contested(log_index, "opened"))
        case = await self._store.submit(OpenCase(row, event))
        self._announcer.wake()
        return self._case(case)

    async def advance(self, case_id: str, step: Step) -> CaseView:
        """Note the next step of a case. Raises CASE_UNKNOWN or CASE_STATE."""
        row = self._store.case_of(case_id)
        if row is None:
            raise TiergateError(Reason.CASE_UNKNOWN)
        event = self._announcer.event("contest", Contested(row.decision, step))
        correction = self._announcer.event("correction") if step == "corrected" else None
        change = StepCase(row, step, self._clock.now_ms() // 1000, event, correction)
        case = await self._store.submit(change)
        self._announcer.wake()
        return self._case(case)

    def cases(self, resident: ResidentRef | None) -> list[CaseView]:
        """Her cases, or those that are open; newest first, at most 200."""
        return [self._case(row) for row in self._store.cases_of(resident)]

    async def look_after_cases(self) -> None:
        """Alarm for each open case that is late, or reckoned without a calendar; end those past their last deadline."""
        page = self._store.unfinished_cases(None)
        while page:
            for case in map(self._case, page):
                if self._deadlines.uncovered(case.row.opened_at):
                    self._alarms.alarm("calendar_missing")
                if self._clock.now_ms() / 1000 >= case.due.lapses_at:
                    self._alarms.alarm("case_lapsed")
                    await self.advance(case.row.id, "lapsed")
                elif case.late:
                    self._alarms.alarm("case_late")
            page = self._store.unfinished_cases(page[-1])

    def _case(self, row: CaseRow) -> CaseView:
        due = self._deadlines.of(row.opened_at)
        return CaseView(row, due, due.is_late(row.step, self._clock.now_ms() / 1000))

    def _view(self, held: HeldUse) -> UseView:
        entry = decode(held.entry)
        rules = self._reference().timeline.held(BundleDigest(entry.text("bundle")))
        evaluated = self._evaluated(rules, entry.text("scenario"), entry.number("rung"))
        proof = LogProof(located(held.log_index)[1], hashes_of(held.inclusion), held.checkpoint.encode())
        return UseView(held, entry, evaluated, proof.to_bytes())

    def _evaluated(self, rules: Bundle | None, name: str, rung: int) -> Evaluated | None:
        """What a rung of a scenario comes to under a bundle; None without one, or if it has no such scenario."""
        scenario = None if rules is None else rules.scenarios.get(ScenarioId(name))
        return None if rules is None or scenario is None else evaluate(rules, scenario, self._reference().city.id, rung)

    async def _distance(self, resident: ResidentRef, scenario: ScenarioId) -> Words | None:
        reference = self._reference()
        found = reference.bundle.scenarios.get(scenario)
        if found is None or not found.rungs or self._store.is_frozen(resident):
            return None
        now_s = self._clock.now_ms() / 1000
        gap = await self._platform.gap(resident, reference.concordance(now_s), found.rungs[0].level)
        return None if gap is None else DISTANCES[gap]
