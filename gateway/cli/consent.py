"""``tiergate consent``: what a city's app does for a resident, at the city's own consent authority."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.consent_device import read_device_key
from gateway.cli.handover import (
    Out,
    PrintToken,
    Qr,
    Yes,
    hand_over,
    preview_document,
    preview_lines,
    require_place,
    show_granted,
)
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, show, table
from gateway.errors import Reason, TiergateError

if TYPE_CHECKING:  # the wire's modules are loaded by the command that needs them
    pass

app = App(name="consent", help="A city's app: preview, grant, pause, narrow, renew, withdraw and list consents.")
for _name, _line in (
    ("pause", "Let a consent rest until it is resumed."),
    ("resume", "End a consent's pause."),
    ("narrow", "Replace a consent by one that allows less."),
    ("renew", "Replace a consent by a new one of the same operator and scenario."),
    ("decline", "Record that a resident refused."),
):
    app.command(f"gateway.cli.consent_life:{_name}", name=_name, help=_line)
app.command("gateway.cli.receipt:receipt", name="receipt", help="Get a consent's receipt, or verify a kept one.")
app.command("gateway.cli.consent_code:app", name="code", help="A city's counter: one-time codes.")
app.command("gateway.cli.consent_device:present", name="present", help="What her device does: a QR code to be checked.")

_DAY_S, _MINUTE_S = 86_400, 60

Operator = Annotated[str, Parameter(name="--operator", help="Who may ask: one operator, such as xiamen-library.")]
Scenario = Annotated[str, Parameter(name="--scenario", help="For what: one scenario, such as xiamen-library.")]
Resident = Annotated[
    str, Parameter(name="--resident", help="The city's own account identifier of the resident; it never leaves it.")
]
Days = Annotated[int | None, Parameter(name="--days", help="Lifetime in days. Default: 1.")]
Minutes = Annotated[int | None, Parameter(name="--minutes", help="Lifetime in minutes, in place of --days.")]
Uses = Annotated[
    int | None,
    Parameter(
        name="--uses", help="How many checks it is good for; without, any number. More than one: bound to a key."
    ),
]
Binding = Annotated[
    Literal["none", "operator", "device"] | None,
    Parameter(
        name="--binding",
        help="none: whoever holds the token can use it, once. operator: only with the operator's key. device: only "
        "with the resident's device. Default: device with --device-key, none with --uses 1, else operator.",
    ),
]
DeviceKeyFile = Annotated[
    Path | None,
    Parameter(
        name="--device-key", help="File with the public key (JWK) that her device has made for this operator alone."
    ),
]


def read_terms(
    operator: str,
    scenario: str,
    days: int | None,
    minutes: int | None,
    uses: int | None,
    binding: str | None,
    device_key: Path | None = None,
) -> dict[str, Any]:
    """The fields of ``ConsentTerms``. Raises :class:`UsageError`."""
    if days is not None and minutes is not None:
        raise UsageError("--days and --minutes are two lifetimes", "give one of them")
    lifetime = _DAY_S * days if days is not None else _MINUTE_S * minutes if minutes is not None else _DAY_S
    if not 0 < lifetime <= 400 * _DAY_S:
        raise UsageError("the lifetime must be positive and at most 400 days")
    if uses is not None and not 1 <= uses <= 1000:
        raise UsageError("--uses must be 1 to 1000", "leave it out for a consent without a count")
    bound = binding or ("device" if device_key else "none" if uses == 1 else "operator")
    if uses != 1 and bound == "none":  # DESIGN, I4
        raise UsageError("what is good more than once must be bound", "give --uses 1, or bind it to a key")
    if (bound == "device") != (device_key is not None):
        raise UsageError("a device's key and binding to a device go together", "give --device-key for such a consent")
    of_device = {} if device_key is None else {"device_key": read_device_key(device_key)}
    return {
        "operator": operator,
        "scenario": scenario,
        "lifetime_s": lifetime,
        "uses": uses or 0,
        "binding": f"BINDING_{bound.upper()}",
        **of_device,
    }


@app.command
async def preview(
    *,
    operator: Operator,
    scenario: Scenario,
    days: Days = None,
    minutes: Minutes = None,
    uses: Uses = None,
    binding: Binding = None,
    device_key: DeviceKeyFile = None,
    asked_of: Annotated[
        str,
        Parameter(
            name="--asked-of", help="The resident whom the operator wants to ask: refused while she has declined this."
        ),
    ] = "",
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show what a resident is shown before she decides. Changes nothing."""
    terms = read_terms(operator, scenario, days, minutes, uses, binding, device_key)
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.PreviewConsentRequest(terms=pb.ConsentTerms(**terms), asked_of=asked_of)
        answer = await ConsentServiceStub(opened.channel).PreviewConsent(request, timeout=CALL_S)
    document = preview_document(answer)
    show(document, lambda: preview_lines(document), as_json=json)


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
    device_key: DeviceKeyFile = None,
    out: Out = None,
    qr: Qr = None,
    print_token: PrintToken = False,
    yes: Yes = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show the notice, record a resident's consent, and hand over its token.

    One consent names one operator and one scenario. Nothing is granted before the notice was confirmed (or --yes).
    """
    terms = read_terms(operator, scenario, days, minutes, uses, binding, device_key)
    require_place(out, qr, json=json, print_token=print_token)
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        stub = ConsentServiceStub(opened.channel)
        asked = pb.ConsentTerms(**terms)

        async def give(digest: str) -> pb.GrantConsentResponse:
            request = pb.GrantConsentRequest(resident_ref=resident, terms=asked, notice_digest=digest)
            granted: pb.GrantConsentResponse = await stub.GrantConsent(request, timeout=CALL_S)
            return granted

        granted = await hand_over(stub, asked, give, out=out, qr=qr, yes=yes)
    show_granted(granted, {}, out=out, qr=qr, print_token=print_token, json=json)


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
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.WithdrawConsentRequest(resident_ref=resident, consent_id=consent)
        answer = await ConsentServiceStub(opened.channel).WithdrawConsent(request, timeout=CALL_S)
    from gateway.cli.changes import change_document, show_change

    show_change("Withdrawn", {"consent_id": consent, **change_document(answer)}, json=json)


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
    known = answer.reported_index if answer.reported else None
    complete = "no use has been reported yet" if known is None else f"uses are complete up to log index {known}"
    show(
        {"consents": consents, "reported_index": known},
        lambda: [table("Consents", columns, ([item[name] for name in columns] for item in consents)), complete],
        as_json=json,
    )


def _word(name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        raise TiergateError(Reason.INTERNAL, "unknown enum value")
    return name.removeprefix(prefix).lower()
