"""``tiergate consent code``: one-time codes from a city's counter, for people without a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from gateway.cli.consent import Operator, Resident, Scenario, read_terms
from gateway.cli.handover import Yes, agree
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, facts, show

app = App(name="code", help="A city's counter: one-time codes for people without a phone.")

_ATTESTED_MINUTES = 5  # an answer may stand for as long, and never outlives its consent
_MAX_MINUTES = 10


@app.command
async def issue(
    *,
    resident: Resident,
    operator: Operator,
    scenario: Scenario,
    minutes: Annotated[int, Parameter(name="--minutes", help="How long the code is good, 1 to 10.")] = _MAX_MINUTES,
    qr: Annotated[
        Path | None,
        Parameter(name="--qr", help="Write a longer code as a QR code to this new PNG, in place of printing one."),
    ] = None,
    yes: Yes = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show the notice, record a consent for one use, and hand over its code.

    The code is shown this once. The operator presents it; it is good once, for this operator and scenario alone.
    """
    if not 1 <= minutes <= _MAX_MINUTES:
        raise UsageError(f"--minutes must be 1 to {_MAX_MINUTES}")
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.messages import time_of
    from gateway.cli.profile import read_profile
    from gateway.cli.qr import draw_qr
    from gateway.cli.secret_file import secret_files
    from gateway.crypto.shown import encode_handle
    from gateway.domain.handle import parse_handle

    # the code lives as long as its consent, but ten minutes at most
    lifetime = minutes if minutes < _MAX_MINUTES else _MAX_MINUTES + _ATTESTED_MINUTES
    terms = read_terms(operator, scenario, None, lifetime, 1, "none")
    async with session(read_profile(profile, {"city-app"})) as opened:
        stub = ConsentServiceStub(opened.channel)
        asked = pb.ConsentTerms(**terms)
        digest = await agree(stub, asked, yes=yes)
        with secret_files(qr) as files:
            issued = await stub.IssueHandle(
                pb.IssueHandleRequest(
                    resident_ref=resident,
                    terms=asked,
                    notice_digest=digest,
                    form=pb.HANDLE_FORM_QR if qr is not None else pb.HANDLE_FORM_TYPED,
                ),
                timeout=CALL_S,
            )
            handle = parse_handle(issued.handle)
            if qr is not None:
                files.write(qr, draw_qr(encode_handle(handle)))
    document = {
        "consent_id": issued.consent_id,
        "handle": handle.text,
        "handle_expires_at": time_of(issued.handle_expires_at),
        "expires_at": time_of(issued.expires_at),
        "qr_file": None if qr is None else str(qr),
    }
    named = {"consent": issued.consent_id, "good until": document["handle_expires_at"]}
    named |= {"code": handle.spoken()} if qr is None else {"QR code": str(qr)}
    show(document, lambda: [facts("Code", named)], as_json=json)
