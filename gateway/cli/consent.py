"""``tiergate consent``: what a city's app does for a resident, at the city's own consent authority."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, facts, progress, show, table
from gateway.errors import Reason, TiergateError

app = App(name="consent", help="A city's app: preview, grant, withdraw and list consents.")

_DAY_S, _MINUTE_S = 86_400, 60

Operator = Annotated[str, Parameter(name="--operator", help="Who may ask: one operator, such as xiamen-library.")]
Scenario = Annotated[str, Parameter(name="--scenario", help="For what: one scenario, such as xiamen-library.")]
Resident = Annotated[
    str, Parameter(name="--resident", help="The city's own account identifier of the resident; it never leaves it.")
]
Days = Annotated[int | None, Parameter(name="--days", help="Lifetime in days. Default: 1.")]
Minutes = Annotated[int | None, Parameter(name="--minutes", help="Lifetime in minutes, in place of --days.")]
Uses = Annotated[
    int | None, Parameter(name="--uses", help="How many checks it is good for. Without: any number, operator-bound.")
]
Binding = Annotated[
    Literal["none", "operator"] | None,
    Parameter(
        name="--binding",
        help="none: whoever holds the token can use up its count. operator: only with the operator's key. "
        "Default: none with --uses, else operator.",
    ),
]


def _terms(
    operator: str, scenario: str, days: int | None, minutes: int | None, uses: int | None, binding: str | None
) -> dict[str, Any]:
    """The fields of ``ConsentTerms``. Raises :class:`UsageError`."""
    if days is not None and minutes is not None:
        raise UsageError("--days and --minutes are two lifetimes", "give one of them")
    lifetime = _DAY_S * days if days is not None else _MINUTE_S * minutes if minutes is not None else _DAY_S
    if not 0 < lifetime <= 400 * _DAY_S:
        raise UsageError("the lifetime must be positive and at most 400 days")
    if uses is not None and not 1 <= uses <= 1000:
        raise UsageError("--uses must be 1 to 1000", "leave it out for a consent without a count")
    bound = binding or ("operator" if uses is None else "none")
    if uses is None and bound == "none":
        raise UsageError("a consent without a count must be bound", "give --uses N or --binding operator")
    return {
        "operator": operator,
        "scenario": scenario,
        "lifetime_s": lifetime,
        "uses": uses or 0,
        "binding": f"BINDING_{bound.upper()}",
    }


def _preview_document(preview: Any) -> dict[str, Any]:
    return {
        "notice_zh": preview.notice_zh,
        "notice_en": preview.notice_en,
        "notice_digest": preview.notice_digest,
        "without": {"text_zh": preview.without_zh, "text_en": preview.without_en},
        "at_best": {"text_zh": preview.at_best_zh, "text_en": preview.at_best_en},
        "illustrative": preview.illustrative,
    }


def _preview_lines(document: dict[str, Any]) -> list[str]:
    from gateway.cli.messages import ILLUSTRATIVE

    without, best = document["without"], document["at_best"]
    lines = [document["notice_zh"], "", document["notice_en"], ""]
    lines += [f"不同意 / without consent: {without['text_zh']} / {without['text_en']}"]
    lines += [f"最好 / at best: {best['text_zh']} / {best['text_en']}"]
    return [*lines, f"示意数据 / {ILLUSTRATIVE}"] if document["illustrative"] else lines


@app.command
async def preview(
    *,
    operator: Operator,
    scenario: Scenario,
    days: Days = None,
    minutes: Minutes = None,
    uses: Uses = None,
    binding: Binding = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show what a resident is shown before she decides. Changes nothing."""
    terms = _terms(operator, scenario, days, minutes, uses, binding)
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.PreviewConsentRequest(terms=pb.ConsentTerms(**terms))
        answer = await ConsentServiceStub(opened.channel).PreviewConsent(request, timeout=CALL_S)
    document = _preview_document(answer)
    show(document, lambda: _preview_lines(document), as_json=json)


@app.command
async def grant(
    *,
    resident: Resident,
    operator: Operator,
    scenario: Scenario,
    days: Days = None,
    minutes: Minutes = None,
    uses: Uses = None,
    binding: Binding = None,
    out: Annotated[
        Path | None, Parameter(name="--out", help="Write the token to this new file, readable by its owner alone.")
    ] = None,
    print_token: Annotated[
        bool, Parameter(name="--print-token", negative="", help="Print the token. It is a secret of its holder.")
    ] = False,
    yes: Annotated[bool, Parameter(name="--yes", negative="", help="She has agreed; do not ask.")] = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show the notice, record a resident's consent, and hand over its token.

    One consent names one operator and one scenario. Nothing is granted before the notice was confirmed (or --yes).
    """
    terms = _terms(operator, scenario, days, minutes, uses, binding)
    if out is None and not json and not print_token:
        raise UsageError("where is the token to go?", "give --out FILE, --print-token or --json")
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import time_of
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        stub = ConsentServiceStub(opened.channel)
        asked = pb.ConsentTerms(**terms)
        notice = await stub.PreviewConsent(pb.PreviewConsentRequest(terms=asked), timeout=CALL_S)
        for line in _preview_lines(_preview_document(notice)):
            progress(line)
        if not yes:
            _confirm()
        file = None if out is None else _new_secret_file(out)  # before the grant: a token must not get lost
        try:
            granted = await stub.GrantConsent(
                pb.GrantConsentRequest(resident_ref=resident, terms=asked, notice_digest=notice.notice_digest),
                timeout=CALL_S,
            )
        except BaseException:
            if file is not None and out is not None:
                os.close(file)
                out.unlink()
            raise
    if file is not None:
        with os.fdopen(file, "w", encoding="ascii") as token_file:
            token_file.write(f"{granted.token}\n")
    document = {
        "consent_id": granted.consent_id,
        "expires_at": time_of(granted.expires_at),
        "token": granted.token if json or print_token else None,
        "token_file": None if out is None else str(out),
    }
    named = {"consent": granted.consent_id, "expires": document["expires_at"]}
    named |= {"token file": str(out)} if out else {}
    show(document, lambda: [facts("", named), *([granted.token] if print_token else [])], as_json=json)


def _confirm() -> None:
    progress("Does the resident agree? [y/N] ")
    if sys.stdin.readline().strip().lower() not in {"y", "yes", "是", "同意"}:
        raise UsageError("not confirmed; nothing was granted", "answer y, or give --yes")


def _new_secret_file(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; a token file is never overwritten", "name another file") from error


@app.command
async def withdraw(
    consent: Annotated[
        str, Parameter(name="--consent", help="The consent, as `consent grant` and `consent list` name it.")
    ],
    *,
    resident: Resident,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Withdraw a consent. It ends in the city at once, and the gateway is told.

    Benefits that were already taken stay valid.
    """
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import time_of
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.WithdrawConsentRequest(resident_ref=resident, consent_id=consent)
        answer = await ConsentServiceStub(opened.channel).WithdrawConsent(request, timeout=CALL_S)
    known = answer.acknowledged
    document = {
        "consent_id": consent,
        "effective_at": time_of(answer.effective_at),
        "acknowledged": known,
        "log_index": answer.log_index if known else None,
        "exposed_until": None if known else time_of(answer.exposed_until),
    }
    state = (
        f"acknowledged by the gateway, log index {answer.log_index}"
        if known
        else f"on its way to the gateway; an earlier answer may stand until {document['exposed_until']}"
    )
    show(
        document,
        lambda: [facts("Withdrawn", {"consent": consent, "effective": document["effective_at"], "gateway": state})],
        as_json=json,
    )


@app.command(name="list")
async def list_consents(
    *,
    resident: Resident,
    limit: Annotated[int, Parameter(name="--limit", help="At most this many, 1 to 200.")] = 50,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """List a resident's consents, newest first, with the uses that the gateway has reported."""
    if not 1 <= limit <= 200:
        raise UsageError("--limit must be 1 to 200")
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import time_of
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.ListConsentsRequest(resident_ref=resident, limit=limit)
        answer = await ConsentServiceStub(opened.channel).ListConsents(request, timeout=CALL_S)
    consents = [
        {
            "consent_id": item.consent_id,
            "operator": item.operator,
            "scenario": item.scenario,
            "purpose": item.purpose,
            "state": _word(pb.ConsentState.Name(item.state), "CONSENT_STATE_"),
            "granted_at": time_of(item.granted_at),
            "expires_at": time_of(item.expires_at),
            "uses": item.uses or None,
            "uses_spent": item.uses_spent,
            "reported_uses": item.reported_uses,
            "binding": _word(pb.Binding.Name(item.binding), "BINDING_"),
        }
        for item in answer.consents
    ]
    columns = ("consent_id", "operator", "scenario", "state", "expires_at", "uses_spent", "uses", "binding")
    show(
        {"consents": consents, "reported_index": answer.reported_index},
        lambda: [
            table("Consents", columns, ([item[name] for name in columns] for item in consents)),
            f"uses are complete up to log index {answer.reported_index}",
        ],
        as_json=json,
    )


def _word(name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        raise TiergateError(Reason.INTERNAL, "unknown enum value")
    return name.removeprefix(prefix).lower()
