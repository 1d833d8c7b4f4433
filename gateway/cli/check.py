"""``tiergate check`` and ``tiergate scenarios``: what an operator asks."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import (
    EXIT_OK,
    EXIT_UNAVAILABLE,
    UnansweredError,
    UsageError,
    error_document,
    exit_code_of,
    facts,
    progress,
    report,
    show,
    table,
)
from gateway.errors import Reason, TiergateError

if TYPE_CHECKING:
    from gateway.api.operator.v1.operator_pb2 import Presentation
    from gateway.cli.profile import Profile
    from gateway.cli.secret_file import SecretFiles

_REFUSALS = frozenset(
    {"INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "FAILED_PRECONDITION", "ALREADY_EXISTS"}
)


async def check(
    *,
    scenario: Annotated[str, Parameter(name="--scenario", help="Which scenario, such as xiamen-library.")],
    token_file: Annotated[
        Path | None, Parameter(name="--token-file", help="File with the resident's consent token.")
    ] = None,
    code: Annotated[
        str | None,
        Parameter(name="--code", help="A one-time code as typed, or the content of a QR code as a scanner types it."),
    ] = None,
    qr: Annotated[Path | None, Parameter(name="--qr", help="A PNG of the QR code that she shows.")] = None,
    request_id: Annotated[
        str | None,
        Parameter(
            name="--request-id",
            allow_leading_hyphen=True,
            help="16 to 64 of A-Z a-z 0-9 _ -. Repeat it to retry the same check without a further use. Default: new.",
        ),
    ] = None,
    receipt: Annotated[
        bool, Parameter(name="--receipt", negative="", show_default=False, help="Ask for the receipt, and print it.")
    ] = False,
    receipt_out: Annotated[
        Path | None,
        Parameter(
            name="--receipt-out",
            help="Ask for the receipt, and write the new files FILE.entry and FILE.proof, for `audit verify-receipt`.",
        ),
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> int:
    """Ask which terms to apply to the holder of a consent token or of a one-time code.

    Both outcomes, entitled and ordinary, are answers (exit code 0), and both come with the terms to apply. When no
    answer can be had (exit code 3), apply the base offer, which is printed, and retry with the same request id.
    """
    import secrets

    from gateway.cli.presented import presentation
    from gateway.cli.profile import read_profile
    from gateway.cli.secret_file import secret_files

    client = read_profile(profile, {"operator"})
    shown = presentation(client, scenario, token_file=token_file, code=code, qr=qr)
    request = request_id or secrets.token_urlsafe(24)
    places = _receipt_places(receipt_out)
    with secret_files(*places) as files, _recoverable(request):
        try:
            document = await _ask(client, scenario, shown, request, want_receipt=receipt or bool(places))
            if places:
                _write_receipt(files, places, document["receipt"])
                document["receipt_files"] = [str(path) for path in places]
        except TiergateError as error:
            if exit_code_of(error) != EXIT_UNAVAILABLE:
                raise
            return _tell_unavailable(client, scenario, request, error, as_json=json)
        if not receipt:
            del document["receipt"]
        show(document, lambda: _decision_lines(document), as_json=json)
    return EXIT_OK


@contextmanager
def _recoverable(request_id: str) -> Iterator[None]:
    """Within it a use may be spent: whatever keeps the answer from whoever asked, its request id is told.

    Raises :class:`UnansweredError`; a refusal as it is, which is an answer and takes no use.
    """
    try:
        yield
    except TiergateError as error:
        if error.status in _REFUSALS:
            raise
        raise UnansweredError(request_id) from error
    except (Exception, CancelledError, KeyboardInterrupt) as error:
        raise UnansweredError(request_id) from error


async def _ask(
    client: Profile, scenario: str, shown: Presentation, request_id: str, *, want_receipt: bool
) -> dict[str, Any]:
    from gateway.api.operator.v1 import operator_pb2 as pb
    from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import decision_document

    async with session(client) as opened:
        answer = await EligibilityServiceStub(opened.channel).CheckEligibility(
            pb.CheckEligibilityRequest(
                request_id=request_id,
                scenario=scenario,
                presentation=shown,
                want_receipt=want_receipt,
            ),
            timeout=CALL_S,
        )
    decision = answer.decision
    document: dict[str, Any] = {"request_id": request_id, "operator": client.name, "scenario": scenario}
    document |= decision_document(decision)
    held = decision.HasField("receipt")
    entry = decision.receipt.entry.decode("ascii", "backslashreplace") if held else ""
    document["receipt"] = {"entry": entry, "proof": decision.receipt.proof} if held else None
    return document


def _receipt_places(base: Path | None) -> tuple[Path, ...]:
    """Where a receipt goes: its entry and its proof; nowhere without a base. Raises :class:`UsageError`."""
    if base is None:
        return ()
    if not base.name:
        raise UsageError("--receipt-out names no file", "give the files' name without .entry and .proof")
    return base.with_name(base.name + ".entry"), base.with_name(base.name + ".proof")


def _write_receipt(files: SecretFiles, places: tuple[Path, ...], receipt: dict[str, str] | None) -> None:
    if receipt is None:
        raise TiergateError(Reason.LOG_UNAVAILABLE, "the decision came without the receipt that was asked for")
    entry, proof = places
    files.write(entry, receipt["entry"].encode("ascii"))
    files.write(proof, receipt["proof"].encode("utf-8"))


def _decision_lines(document: dict[str, Any]) -> list[Any]:
    from gateway.cli.messages import terms_lines

    named: dict[str, object] = {"outcome": document["outcome"]}
    named |= terms_lines(document["terms"], illustrative=document["illustrative"])
    names = ("scenario", "decided_at", "valid_until", "log_index", "decision_id", "bundle_digest", "request_id")
    named |= {name.replace("_", " "): document[name] for name in names}
    if "receipt_files" in document:
        named["receipt"] = ", ".join(document["receipt_files"])
    lines: list[Any] = [facts("Decision", named)]
    if held := document.get("receipt"):
        lines += ["receipt, entry:", held["entry"], "", "receipt, proof:", held["proof"]]
    return lines


def _tell_unavailable(client: Profile, scenario: str, request_id: str, error: TiergateError, *, as_json: bool) -> int:
    """No answer: what to apply instead, and when to ask again."""
    from gateway.cli.messages import terms_lines

    base, illustrative = _base_offer(client, scenario)
    retry = error.retry_after_s
    if not as_json:
        report(error, EXIT_UNAVAILABLE, as_json=False)
    document = {
        "outcome": None,
        "request_id": request_id,
        "scenario": scenario,
        "apply": base,
        "illustrative": illustrative,
        "retry_after_s": retry,
        "error": error_document(error) | {"exit_code": EXIT_UNAVAILABLE},
    }
    named: dict[str, object] = {"now": "apply the base offer, as to everybody"}
    if base is None:
        named["base offer"] = "not known here: add the signed policy bundle to the profile (bundle = …)"
    else:
        named |= terms_lines(base, illustrative=illustrative)
    when = "later" if retry is None else f"after {retry:g} s"
    named["then"] = f"retry {when} with --request-id {request_id}"
    show(document, lambda: [facts("No answer", named)], as_json=as_json)
    return EXIT_UNAVAILABLE


def _base_offer(client: Profile, scenario: str) -> tuple[dict[str, Any] | None, bool]:
    """The scenario's base offer from the profile's own bundle, if it has a usable one that knows the scenario."""
    from gateway.cli.client import known_bundle
    from gateway.cli.messages import terms_document
    from gateway.domain.ids import ScenarioId

    try:
        bundle = known_bundle(client)
    except TiergateError as error:
        progress(f"tiergate: the profile's bundle cannot be used: {error}")
        return None, False
    found = None if bundle is None else bundle.scenarios.get(ScenarioId(scenario))
    return (None, False) if found is None else (terms_document(found.base), found.illustrative)


async def scenarios(*, profile: ProfileFile = None, json: Json = False) -> None:
    """List the scenarios that are open to the operator today: base offer, and what the rungs add."""
    from gateway.api.operator.v1 import operator_pb2 as pb
    from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import received_terms
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"operator"})) as opened:
        answer = await EligibilityServiceStub(opened.channel).ListScenarios(pb.ListScenariosRequest(), timeout=CALL_S)
    found = [
        {
            "id": item.id,
            "host_city": item.host_city,
            "purpose": item.purpose,
            "name_zh": item.name_zh,
            "name_en": item.name_en,
            "base": received_terms(item.base),
            "rungs": [received_terms(rung) for rung in item.rungs],
            "illustrative": item.illustrative,
        }
        for item in answer.scenarios
    ]
    show(
        {"scenarios": found, "bundle_digest": answer.bundle_digest},
        lambda: [_catalogue(found), f"policy bundle {answer.bundle_digest}"],
        as_json=json,
    )


def _catalogue(found: list[dict[str, Any]]) -> Any:
    rows = []
    for item in found:
        mark = " (示意 illustrative)" if item["illustrative"] else ""
        rows.append((item["id"], f"{item['name_zh']} / {item['name_en']}{mark}", "everybody", _words(item["base"])))
        rows += [("", "", f"rung {place}", _words(rung)) for place, rung in enumerate(item["rungs"], start=1)]
    return table("Scenarios", ("id", "name", "for", "terms"), rows)


def _words(terms: dict[str, Any]) -> str:
    return f"{terms['text_zh']} / {terms['text_en']}"
