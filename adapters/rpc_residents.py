"""``ResidentService`` on the wire: decode, call, encode. For this city's own app alone: it names residents."""

from __future__ import annotations

from adapters.desk import CaseView, ResidentDesk, UseView
from adapters.erasure import Erasures
from adapters.rpc_consents import change_of, moment, require_own_app
from adapters.store.erasing import Order
from adapters.store.residents import ResidentAct
from adapters.store.unreported import UnreportedRow
from gateway.api.consent.v1 import consent_pb2, resident_pb2
from gateway.domain.consent import Step
from gateway.domain.ids import CityId, ResidentRef
from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller

_STEPS: dict[Step, resident_pb2.CaseStep.ValueType] = {
    "opened": resident_pb2.CASE_STEP_OPENED,
    "flagged": resident_pb2.CASE_STEP_FLAGGED,
    "forwarded": resident_pb2.CASE_STEP_FORWARDED,
    "upheld": resident_pb2.CASE_STEP_UPHELD,
    "corrected": resident_pb2.CASE_STEP_CORRECTED,
    "lapsed": resident_pb2.CASE_STEP_LAPSED,
}
_WORDS = {number: step for step, number in _STEPS.items()}


class ResidentServicer:
    """Answers the city's app; the city is compared here once more."""

    def __init__(self, desk: ResidentDesk, erasures: Erasures, city: CityId) -> None:
        self._desk = desk
        self._erasures = erasures
        self._city = city

    def _admit(self, caller: Caller) -> None:
        require_own_app(caller, self._city)

    async def ListUses(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.ListUsesRequest, caller: Caller
    ) -> resident_pb2.ListUsesResponse:
        """Newest first."""
        self._admit(caller)
        resident, consent = ResidentRef(request.resident_ref), request.consent_id or None
        found = self._desk.uses(resident, consent, request.before_index or None, request.limit)
        reported = self._desk.reported_index()
        return resident_pb2.ListUsesResponse(
            uses=[_use(item) for item in found],
            reported_index=reported or 0,
            reported=reported is not None,
            more=bool(found) and self._desk.has_uses(resident, consent, found[-1].held.log_index),
            unreported=[_unreported(item) for item in self._desk.unreported(resident, consent)],
        )

    async def ExplainDecision(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.ExplainDecisionRequest, caller: Caller
    ) -> resident_pb2.ExplainDecisionResponse:
        """In words."""
        self._admit(caller)
        found = await self._desk.explain(ResidentRef(request.resident_ref), request.log_index)
        response = resident_pb2.ExplainDecisionResponse(
            reason=found.code,
            text_zh=found.reason.zh,
            text_en=found.reason.en,
            contest_zh=found.contest.zh,
            contest_en=found.contest.en,
            illustrative=found.illustrative,
        )
        if found.distance is not None:
            response.distance_zh, response.distance_en = found.distance
        return response

    async def ContestDecision(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.ContestDecisionRequest, caller: Caller
    ) -> resident_pb2.ContestDecisionResponse:
        """The case is on record before the reply."""
        self._admit(caller)
        found = await self._desk.contest(ResidentRef(request.resident_ref), request.log_index)
        return resident_pb2.ContestDecisionResponse(case=_case(found))

    async def AdvanceCase(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.AdvanceCaseRequest, caller: Caller
    ) -> resident_pb2.AdvanceCaseResponse:
        """The step is on record before the reply."""
        self._admit(caller)
        found = await self._desk.advance(request.case_id, _WORDS[request.step])
        return resident_pb2.AdvanceCaseResponse(case=_case(found))

    async def ListCases(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.ListCasesRequest, caller: Caller
    ) -> resident_pb2.ListCasesResponse:
        """Newest first."""
        self._admit(caller)
        found = self._desk.cases(ResidentRef(request.resident_ref) if request.resident_ref else None)
        return resident_pb2.ListCasesResponse(cases=[_case(item) for item in found])

    async def FreezeResident(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.FreezeResidentRequest, caller: Caller
    ) -> resident_pb2.FreezeResidentResponse:
        """In force before the reply."""
        return resident_pb2.FreezeResidentResponse(change=await self._correct(request.resident_ref, "freeze", caller))

    async def UnfreezeResident(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.UnfreezeResidentRequest, caller: Caller
    ) -> resident_pb2.UnfreezeResidentResponse:
        """In force before the reply."""
        change = await self._correct(request.resident_ref, "unfreeze", caller)
        return resident_pb2.UnfreezeResidentResponse(change=change)

    async def CorrectResident(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.CorrectResidentRequest, caller: Caller
    ) -> resident_pb2.CorrectResidentResponse:
        """In force before the reply."""
        return resident_pb2.CorrectResidentResponse(change=await self._correct(request.resident_ref, "correct", caller))

    async def EraseResident(  # noqa: N802  # the RPC's name
        self, request: resident_pb2.EraseResidentRequest, caller: Caller
    ) -> resident_pb2.EraseResidentResponse:
        """Locked before the reply; deleted, if it is ordered."""
        self._admit(caller)
        if bool(request.order) != bool(request.ordered_by):
            raise TiergateError(Reason.MALFORMED_REQUEST, "an order names its authority and its digest")
        order = Order(request.ordered_by, request.order) if request.order else None
        found = await self._erasures.erase(ResidentRef(request.resident_ref), order)
        return resident_pb2.EraseResidentResponse(
            change=change_of(found.lock), deleted=found.deleted is not None, consents=found.deleted or 0
        )

    async def _correct(self, resident: str, act: ResidentAct, caller: Caller) -> consent_pb2.Change:
        self._admit(caller)
        return change_of(await self._desk.correct(ResidentRef(resident), act))


def _use(view: UseView) -> resident_pb2.UseRecord:
    entry, held, evaluated = view.entry, view.held, view.evaluated
    return resident_pb2.UseRecord(
        log_index=held.log_index,
        consent_id=held.consent_id,
        operator=entry.text("operator"),
        scenario=entry.text("scenario"),
        purpose=held.purpose,
        decided_at=moment(entry.time // 1000),
        entitled=entry.number("rung") > 0,
        terms_zh="" if evaluated is None else evaluated.terms.text_zh,
        terms_en="" if evaluated is None else evaluated.terms.text_en,
        illustrative=evaluated is not None and evaluated.illustrative,
        entry=held.entry,
        proof=view.proof.decode("utf-8"),
    )


def _unreported(row: UnreportedRow) -> resident_pb2.UnreportedAnswer:
    return resident_pb2.UnreportedAnswer(
        consent_id=row.consent_id, operator=row.operator, scenario=row.scenario, answered_at=moment(row.at)
    )


def _case(view: CaseView) -> resident_pb2.CaseRecord:
    row, due = view.row, view.due
    return resident_pb2.CaseRecord(
        case_id=row.id,
        log_index=row.decision,
        step=_STEPS[row.step],
        opened_at=moment(row.opened_at),
        flag_by=moment(due.flag_by),
        forward_by=moment(due.forward_by),
        decide_by=moment(due.decide_by),
        lapses_at=moment(due.lapses_at),
        overdue=view.late,
    )
