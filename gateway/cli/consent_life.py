"""``tiergate consent pause | resume | narrow | renew | decline``: a resident about a consent that she gave."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from gateway.cli.consent import Days, DeviceKeyFile, Minutes, Operator, Resident, Scenario, Uses, read_terms
from gateway.cli.handover import Out, PrintToken, Qr, Yes, hand_over, require_place, show_granted
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, facts, show
from gateway.errors import Reason, TiergateError

if TYPE_CHECKING:  # the wire's modules are loaded by the command that needs them
    from gateway.api.consent.v1.consent_pb2 import ConsentRecord
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub

Consent = Annotated[
    str, Parameter(name="--consent", help="The consent, as `consent grant` and `consent list` name it.")
]


async def pause(consent: Consent, *, resident: Resident, profile: ProfileFile = None, json: Json = False) -> None:
    """Let a consent rest. Until it is resumed, answers under it are what everybody gets."""
    await _change("Pause", "Paused", consent, resident, profile, json=json)


async def resume(consent: Consent, *, resident: Resident, profile: ProfileFile = None, json: Json = False) -> None:
    """End a consent's pause."""
    await _change("Resume", "Resumed", consent, resident, profile, json=json)


async def _change(act: str, done: str, consent: str, resident: str, profile: Path | None, *, json: bool) -> None:
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.changes import change_document, show_change
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = getattr(pb, f"{act}ConsentRequest")(resident_ref=resident, consent_id=consent)
        answer = await getattr(ConsentServiceStub(opened.channel), f"{act}Consent")(request, timeout=CALL_S)
    show_change(done, {"consent_id": consent, **change_document(answer.change)}, json=json)


async def narrow(
    consent: Consent,
    *,
    resident: Resident,
    days: Days = None,
    minutes: Minutes = None,
    uses: Uses = None,
    device_key: DeviceKeyFile = None,
    out: Out = None,
    qr: Qr = None,
    print_token: PrintToken = False,
    yes: Yes = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Replace a consent by one that allows less: sooner over, or fewer uses. What is not named stays as it is.

    The old token ends at once; the new one is handed over like that of a grant.
    """
    require_place(out, qr, json=json, print_token=print_token)
    _require_count(uses)
    if days is None and minutes is None and uses is None:
        raise UsageError("narrower in what?", "give --days, --minutes or --uses")
    from gateway.api.consent.v1 import consent_pb2 as pb

    def terms(old: ConsentRecord) -> dict[str, Any]:
        lifetime = minutes
        if days is None and minutes is None:
            lifetime = (old.expires_at.seconds - int(time.time())) // 60  # rounded down: no longer than before
        left = old.uses - old.uses_spent or None
        binding = pb.Binding.Name(old.binding).removeprefix("BINDING_").lower()
        return read_terms(old.operator, old.scenario, days, lifetime, uses or left, binding, device_key)

    handing = Handing(out=out, qr=qr, print_token=print_token, yes=yes, json=json)
    await _replace("Narrow", consent, resident, terms, profile, handing)


async def renew(
    consent: Consent,
    *,
    resident: Resident,
    days: Days = None,
    minutes: Minutes = None,
    uses: Uses = None,
    device_key: DeviceKeyFile = None,
    out: Out = None,
    qr: Qr = None,
    print_token: PrintToken = False,
    yes: Yes = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Replace a consent by a new one of the same operator and scenario, with as many uses unless --uses says else.

    The old token ends at once; the new one is handed over like that of a grant.
    """
    require_place(out, qr, json=json, print_token=print_token)
    _require_count(uses)
    from gateway.api.consent.v1 import consent_pb2 as pb

    def terms(old: ConsentRecord) -> dict[str, Any]:
        binding = "device" if old.binding == pb.BINDING_DEVICE else None  # what was bound to a device stays so
        count = uses or old.uses or None
        return read_terms(old.operator, old.scenario, days, minutes, count, binding, device_key)

    handing = Handing(out=out, qr=qr, print_token=print_token, yes=yes, json=json)
    await _replace("Renew", consent, resident, terms, profile, handing)


class Handing(NamedTuple):
    """Where a new token goes, and whether she has agreed already."""

    out: Path | None
    qr: Path | None
    print_token: bool
    yes: bool
    json: bool


async def _replace(
    act: str,
    consent: str,
    resident: str,
    terms: Callable[[ConsentRecord], dict[str, Any]],
    profile: Path | None,
    handing: Handing,
) -> None:
    """End a consent and hand over the one that takes its place; ``terms`` of it follow from the old one's record."""
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.changes import change_document, told
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    out, qr, print_token, yes, json = handing
    async with session(read_profile(profile, {"city-app"})) as opened:
        stub = ConsentServiceStub(opened.channel)
        asked = pb.ConsentTerms(**terms(await _record(stub, resident, consent)))
        ended: dict[str, Any] = {}

        async def give(digest: str) -> pb.GrantConsentResponse:
            request = getattr(pb, f"{act}ConsentRequest")(
                resident_ref=resident, consent_id=consent, terms=asked, notice_digest=digest
            )
            answer = await getattr(stub, f"{act}Consent")(request, timeout=CALL_S)
            ended.update(change_document(answer.replaced))
            granted: pb.GrantConsentResponse = answer.granted
            return granted

        granted = await hand_over(stub, asked, give, out=out, qr=qr, yes=yes)
    more = {"replaced": {"consent_id": consent, **ended, "gateway": told(ended)}}
    show_granted(granted, more, out=out, qr=qr, print_token=print_token, json=json)


async def decline(
    *, resident: Resident, operator: Operator, scenario: Scenario, profile: ProfileFile = None, json: Json = False
) -> None:
    """Record that a resident refused, so that this operator does not ask her for the same again for a while."""
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import time_of
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.DeclineConsentRequest(resident_ref=resident, operator=operator, scenario=scenario)
        answer = await ConsentServiceStub(opened.channel).DeclineConsent(request, timeout=CALL_S)
    document = {"operator": operator, "scenario": scenario, "quiet_until": time_of(answer.quiet_until)}
    show(document, lambda: [facts("Declined", document)], as_json=json)


def _require_count(uses: int | None) -> None:
    """Return if ``--uses`` is absent or a number of uses: 0 is none, and must not pass for what was left unsaid."""
    if uses is not None and uses < 1:
        raise UsageError("--uses must be 1 to 1000", "leave it out to keep the number as it is")


async def _record(stub: ConsentServiceStub, resident: str, consent: str) -> ConsentRecord:
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.cli.client import CALL_S

    asked = pb.ListConsentsRequest(resident_ref=resident, consent_id=consent)
    found = (await stub.ListConsents(asked, timeout=CALL_S)).consents
    if len(found) != 1:
        raise TiergateError(Reason.CONSENT_UNKNOWN)
    record: ConsentRecord = found[0]
    return record
