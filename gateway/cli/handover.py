"""How a new consent is handed over: notice shown, agreement asked for, token put where only its owner can read it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.output import UsageError, facts, progress, show

if TYPE_CHECKING:  # the wire's modules are loaded by the command that needs them
    from gateway.api.consent.v1.consent_pb2 import ConsentTerms, GrantConsentResponse
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub

Out = Annotated[
    Path | None, Parameter(name="--out", help="Write the token to this new file, readable by its owner alone.")
]
Qr = Annotated[Path | None, Parameter(name="--qr", help="Write the token as a QR code to this new PNG, likewise.")]
PrintToken = Annotated[
    bool, Parameter(name="--print-token", negative="", help="Print the token. It is a secret of its holder.")
]
Yes = Annotated[bool, Parameter(name="--yes", negative="", help="She has agreed; do not ask.")]


def preview_document(preview: Any) -> dict[str, Any]:
    """A preview as JSON."""
    return {
        "notice_zh": preview.notice_zh,
        "notice_en": preview.notice_en,
        "notice_digest": preview.notice_digest,
        "without": {"text_zh": preview.without_zh, "text_en": preview.without_en},
        "at_best": {"text_zh": preview.at_best_zh, "text_en": preview.at_best_en},
        "illustrative": preview.illustrative,
    }


def preview_lines(document: dict[str, Any]) -> list[str]:
    """A preview to be read: the notice, which says it all, and nothing beside it that its digest would not cover."""
    return [document["notice_zh"], "", document["notice_en"]]


def require_place(out: Path | None, qr: Path | None, *, json: bool, print_token: bool) -> None:
    """Return if the token has somewhere to go. Raises UsageError."""
    if out is None and qr is None and not json and not print_token:
        raise UsageError("where is the token to go?", "give --out FILE, --qr FILE, --print-token or --json")


async def agree(stub: ConsentServiceStub, asked: ConsentTerms, *, yes: bool) -> str:
    """Show the notice and have it confirmed (or ``yes``); its digest. Raises UsageError for everything but a yes."""
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.cli.client import CALL_S

    notice = await stub.PreviewConsent(pb.PreviewConsentRequest(terms=asked), timeout=CALL_S)
    for line in preview_lines(preview_document(notice)):
        progress(line)
    if not yes:
        _confirm()
    return notice.notice_digest


async def hand_over(
    stub: ConsentServiceStub,
    asked: ConsentTerms,
    give: Callable[[str], Awaitable[GrantConsentResponse]],
    *,
    out: Path | None,
    qr: Path | None,
    yes: bool,
) -> GrantConsentResponse:
    """Show the notice, have it confirmed (or ``yes``), then ``give`` with its digest; ``out``, ``qr``: where to.

    The files are made before anything is given, and removed when that fails: a token must not get lost.
    """
    from gateway.cli.qr import draw_qr
    from gateway.cli.secret_file import secret_files
    from gateway.crypto.shown import Shown, encode_shown

    digest = await agree(stub, asked, yes=yes)
    with secret_files(out, qr) as files:
        granted = await give(digest)
        if out is not None:
            files.write(out, f"{granted.token}\n".encode("ascii"))
        if qr is not None:
            files.write(qr, draw_qr(encode_shown(Shown(granted.token, ""))))
    return granted


def show_granted(
    granted: GrantConsentResponse,
    more: dict[str, Any],
    *,
    out: Path | None,
    qr: Path | None,
    print_token: bool,
    json: bool,
) -> None:
    """Print a new consent, and ``more`` about it."""
    from gateway.cli.messages import time_of

    document = {
        "consent_id": granted.consent_id,
        "expires_at": time_of(granted.expires_at),
        "token": granted.token if json or print_token else None,
        "token_file": None if out is None else str(out),
        "qr_file": None if qr is None else str(qr),
        **more,
    }
    named = {"consent": granted.consent_id, "expires": document["expires_at"]}
    named |= {"token file": str(out)} if out else {}
    named |= {"QR code": str(qr)} if qr else {}
    named |= {name: item["gateway"] for name, item in more.items()}
    show(document, lambda: [facts("", named), *([granted.token] if print_token else [])], as_json=json)


def _confirm() -> None:
    progress("Does the resident agree? [y/N] ")
    if sys.stdin.readline().strip().lower() not in {"y", "yes", "是", "同意"}:
        raise UsageError("not confirmed; nothing was granted", "answer y, or give --yes")
