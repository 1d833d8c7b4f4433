"""``tiergate resident``: her uses, explanations and contests, and what the city's officials do about her record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.options import LOG_INDEX, Json, ProfileFile
from gateway.cli.output import UsageError, facts, show, table

if TYPE_CHECKING:  # the wire's modules are loaded by the command that needs them
    from gateway.api.consent.v1.resident_pb2 import CaseRecord

app = App(name="resident", help="A city: what became of a resident's consents, why, contests, and corrections.")

Ref = Annotated[
    str, Parameter(name="--resident", help="The city's own account identifier of the resident; it never leaves it.")
]
Index = Annotated[
    int,
    Parameter(
        name="--decision", validator=LOG_INDEX, help="The decision, by its log index, as `resident uses` lists it."
    ),
]


@app.command
async def uses(
    *,
    resident: Ref,
    consent: Annotated[str, Parameter(name="--consent", help="Of this consent alone.")] = "",
    limit: Annotated[int, Parameter(name="--limit", help="At most this many, 1 to 200.")] = 50,
    before: Annotated[
        int, Parameter(name="--before", validator=LOG_INDEX, help="Only before this log index: the next page.")
    ] = 0,
    out: Annotated[
        Path | None, Parameter(name="--out", help="Write each use's log entry and proof into this folder.")
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """List who asked about a resident, when, for what, and what was answered, newest first.

    Complete up to the last report that the city holds; the last line says which. What the city answered and got no
    report for, although it is time, is listed too.
    """
    if not 1 <= limit <= 200:
        raise UsageError("--limit must be 1 to 200")
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.ListUsesRequest(resident_ref=resident, consent_id=consent, limit=limit, before_index=before)
        answer = await ResidentServiceStub(opened.channel).ListUses(request, timeout=CALL_S)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for item in answer.uses:
            (out / f"{item.log_index}.entry.json").write_bytes(item.entry)
            (out / f"{item.log_index}.tlog-proof").write_text(item.proof, encoding="utf-8")
    from gateway.cli.messages import ILLUSTRATIVE
    from gateway.cli.resident_uses import unreported_document, unreported_lines, use_document, use_row

    found = [use_document(item) for item in answer.uses]
    columns = ("log_index", "decided_at", "operator", "scenario", "purpose", "outcome", "terms_zh", "consent_id")
    unreported = [unreported_document(item) for item in answer.unreported]
    marked = [f"~ 示意数据 / {ILLUSTRATIVE}"] if any(item["illustrative"] for item in found) else []
    complete = (
        f"complete up to log index {answer.reported_index}; later uses may be on their way"
        if answer.reported
        else "the gateway has not reported anything yet"
    )
    older = [f"there are older ones: --before {found[-1]['log_index']}"] if answer.more else []
    document = {
        "uses": found,
        "reported_index": answer.reported_index if answer.reported else None,
        "more": answer.more,
        "unreported": unreported,
    }
    show(
        document,
        lambda: [
            table("Uses", columns, (use_row(item, columns) for item in found)),
            *marked,
            *unreported_lines(unreported),
            *older,
            complete,
        ],
        as_json=json,
    )


@app.command
async def explain(*, resident: Ref, decision: Index, profile: ProfileFile = None, json: Json = False) -> None:
    """Say why one decision was what it was, in words, and how to contest it. For the resident alone."""
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.ExplainDecisionRequest(resident_ref=resident, log_index=decision)
        answer = await ResidentServiceStub(opened.channel).ExplainDecision(request, timeout=CALL_S)
    names = ("reason", "text_zh", "text_en", "distance_zh", "distance_en", "contest_zh", "contest_en")
    document = {"log_index": decision} | {name: getattr(answer, name) for name in names}
    document["illustrative"] = answer.illustrative
    from gateway.cli.messages import ILLUSTRATIVE

    lines = [document[name] for name in names[1:] if document[name]]
    lines += [f"示意数据 / {ILLUSTRATIVE}"] if answer.illustrative else []
    show(document, lambda: lines, as_json=json)


@app.command
async def contest(*, resident: Ref, decision: Index, profile: ProfileFile = None, json: Json = False) -> None:
    """Contest a decision: opens a case with deadlines. The outcome stays as it is until the case is decided."""
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.ContestDecisionRequest(resident_ref=resident, log_index=decision)
        answer = await ResidentServiceStub(opened.channel).ContestDecision(request, timeout=CALL_S)
    document = _case_document(answer.case)
    show(document, lambda: [facts("Case", document)], as_json=json)


@app.command
async def advance(
    case: Annotated[str, Parameter(name="--case", help="The case, as `resident cases` lists it.")],
    step: Annotated[
        Literal["flagged", "forwarded", "upheld", "corrected"],
        Parameter(name="--step", help="The step it has come to."),
    ],
    *,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Note the next step of a case. "corrected" also ends everything that the city attested before."""
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.AdvanceCaseRequest(case_id=case, step=pb.CaseStep.Value(f"CASE_STEP_{step.upper()}"))
        answer = await ResidentServiceStub(opened.channel).AdvanceCase(request, timeout=CALL_S)
    document = _case_document(answer.case)
    show(document, lambda: [facts("Case", document)], as_json=json)


@app.command
async def cases(
    *,
    resident: Annotated[str, Parameter(name="--resident", help="Hers alone. Without: every open case.")] = "",
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """List cases with their deadlines, newest first."""
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.ListCasesRequest(resident_ref=resident)
        answer = await ResidentServiceStub(opened.channel).ListCases(request, timeout=CALL_S)
    found = [_case_document(item) for item in answer.cases]
    columns = ("case_id", "log_index", "step", "opened_at", "flag_by", "decide_by", "lapses_at", "overdue")
    show(
        {"cases": found},
        lambda: [table("Cases", columns, ([item[name] for name in columns] for item in found))],
        as_json=json,
    )


def _case_document(case: CaseRecord) -> dict[str, Any]:
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.cli.messages import time_of

    return {
        "case_id": case.case_id,
        "log_index": case.log_index,
        "step": pb.CaseStep.Name(case.step).removeprefix("CASE_STEP_").lower(),
        "opened_at": time_of(case.opened_at),
        "flag_by": time_of(case.flag_by),
        "forward_by": time_of(case.forward_by),
        "decide_by": time_of(case.decide_by),
        "lapses_at": time_of(case.lapses_at),
        "overdue": case.overdue,
    }


@app.command
async def freeze(*, resident: Ref, profile: ProfileFile = None, json: Json = False) -> None:
    """Answer for a resident as for one that the city does not know, until `resident unfreeze`."""
    await _correct("Freeze", resident, profile, json=json)


@app.command
async def unfreeze(*, resident: Ref, profile: ProfileFile = None, json: Json = False) -> None:
    """End a freeze."""
    await _correct("Unfreeze", resident, profile, json=json)


@app.command
async def correct(*, resident: Ref, profile: ProfileFile = None, json: Json = False) -> None:
    """A resident's record was corrected at the platform: end everything that the city attested before.

    The gateway is told that something was corrected, never about whom.
    """
    await _correct("Correct", resident, profile, json=json)


@app.command
async def erase(
    *,
    resident: Ref,
    authority: Annotated[str, Parameter(name="--authority", help="Who orders the deletion now, a slug.")] = "",
    order: Annotated[str, Parameter(name="--order", help="SHA-256 of the order, 64 hex digits.")] = "",
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """A resident asks for erasure: lock everything of hers at once. It is deleted when retention ends.

    All her consents end, nothing of hers is shown or added any more, and the gateway is told of each consent. With
    --authority and --order everything is deleted now; the gateway's part is deleted there, by `tiergate erase`.
    """
    if bool(authority) != bool(order):
        raise UsageError("an order names its authority and its digest", "--authority NAME (a slug) --order SHA256")
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.changes import change_document, told
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.EraseResidentRequest(resident_ref=resident, ordered_by=authority, order=order)
        answer = await ResidentServiceStub(opened.channel).EraseResident(request, timeout=CALL_S)
    change = change_document(answer.change)
    document = change | {"deleted": answer.deleted, "consents": answer.consents}
    stored = f"deleted, {answer.consents} consent(s)" if answer.deleted else "locked until retention ends"
    named = {"effective": change["effective_at"], "gateway": told(change), "here": stored}
    show(document, lambda: [facts("Erasure", named)], as_json=json)


async def _correct(act: str, resident: str, profile: Path | None, *, json: bool) -> None:
    from gateway.api.consent.v1 import resident_pb2 as pb
    from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
    from gateway.cli.changes import change_document, show_change
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = getattr(pb, f"{act}ResidentRequest")(resident_ref=resident)
        answer = await getattr(ResidentServiceStub(opened.channel), f"{act}Resident")(request, timeout=CALL_S)
    show_change(act, change_document(answer.change), json=json)
