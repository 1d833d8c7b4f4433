"""Who may call: each method of the city that the kit knows, called by each who may not."""

from __future__ import annotations

from functools import partial

from google.protobuf.message import Message

from gateway.api.consent.v1 import consent_pb2 as consent
from gateway.api.consent.v1 import resident_pb2
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance import residents, tokens
from gateway.conformance.check import Check, require
from gateway.conformance.session import ATTEST, BATCH, CONSENT, GRANT, PREVIEW, REPORT, WITHDRAW, Kit, terms_of
from gateway.crypto.consent import new_id

_Request = tuple[str, Message]


def _for_the_gateway(kit: Kit) -> tuple[_Request, ...]:
    """Nothing is wrong with them, but for the report, which is of no log, and the code, which nobody issued."""
    question = kit.question(tokens.sound(kit.deployment))
    code = kit.question("", handle=f"{kit.deployment.city}-abcdefghjkmn")
    report = peer.UseReport(attestation_id=new_id(), outcome=peer.USE_OUTCOME_ENTITLED, entry=b"{}")
    return (
        (ATTEST, question),
        (ATTEST, code),
        (BATCH, peer.BatchAttestTierRequest(items=[question])),
        (REPORT, peer.ReportUsesRequest(reports=[report], checkpoint="x" * 16)),
    )


def _for_the_app() -> tuple[_Request, ...]:
    who, terms, digest = residents.resident("top").ref, terms_of(uses=1, binding=consent.BINDING_NONE), "00" * 32
    service, hers = f"{CONSENT}ConsentService", {"resident_ref": who, "consent_id": new_id()}
    code = consent.IssueHandleRequest(
        resident_ref=who, terms=terms, notice_digest=digest, form=consent.HANDLE_FORM_TYPED
    )
    return (
        (PREVIEW, consent.PreviewConsentRequest(terms=terms)),
        (GRANT, consent.GrantConsentRequest(resident_ref=who, terms=terms, notice_digest=digest)),
        (WITHDRAW, consent.WithdrawConsentRequest(**hers)),
        (f"{service}/PauseConsent", consent.PauseConsentRequest(**hers)),
        (f"{service}/ResumeConsent", consent.ResumeConsentRequest(**hers)),
        (f"{service}/IssueHandle", code),
        (f"{service}/ListConsents", consent.ListConsentsRequest(resident_ref=who)),
        (
            f"{CONSENT}ResidentService/FreezeResident",
            resident_pb2.FreezeResidentRequest(resident_ref=residents.FROZEN.ref),
        ),
    )


async def _refused(kit: Kit, requests: tuple[_Request, ...], client: str, reasons: tuple[str, ...]) -> None:
    for method, request in requests:
        reply = await kit.call(method, request, client=client)
        refused = reply.reason in reasons or reply.code == "UNIMPLEMENTED"  # what nobody can call is for another check
        name = method.rpartition("/")[2]
        require(refused, f"{name} refused with {' or '.join(reasons)} to {client}", reply.shown)


async def not_the_gateway(kit: Kit, client: str, reasons: tuple[str, ...]) -> None:
    """The peer services, called by one who is not the gateway."""
    await _refused(kit, _for_the_gateway(kit), client, reasons)


async def not_the_app(kit: Kit) -> None:
    """The consent API, called by everybody but the city's own app."""
    for client in ("gateway", "operator", "foreign-city", "foreign-app", "stranger"):
        await _refused(kit, _for_the_app(), client, ("CALLER_NOT_PERMITTED", "CALLER_UNKNOWN"))


async def other_authority(kit: Kit) -> None:
    """The gateway's name, certified by somebody else."""
    reply = await kit.call(ATTEST, kit.question(tokens.sound(kit.deployment)), client="rogue", timeout_s=5.0)
    require(reply.code != "OK" and not reply.reason, "a handshake that fails", reply.shown)


_CALLERS = (
    ("operator", "An operator may call nothing that is for the gateway.", "operator", ("CALLER_NOT_PERMITTED",)),
    ("app", "The city's own app may call nothing that is for the gateway.", "app", ("CALLER_NOT_PERMITTED",)),
    ("other-city", "Another city may call nothing that is for the gateway.", "foreign-city",
     ("CALLER_NOT_PERMITTED",)),
    ("other-app", "Another city's app may call nothing that is for the gateway.", "foreign-app",
     ("CALLER_NOT_PERMITTED", "CALLER_UNKNOWN")),
    ("stranger", "Who is not in the directory is unknown.", "stranger", ("CALLER_UNKNOWN",)),
)  # fmt: skip
CHECKS = (
    *(
        Check(f"caller.{name}", says, "DESIGN 2, 5 step 1", partial(not_the_gateway, client=client, reasons=reasons))
        for name, says, client, reasons in _CALLERS
    ),
    Check("caller.consent-api", "The consent API is for the city's own app alone.", "consent.proto", not_the_app),
    Check("caller.other-authority", "A certificate of another authority is refused in the handshake.", "DESIGN 2",
          other_authority),
)  # fmt: skip
