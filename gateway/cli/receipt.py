"""``tiergate consent receipt``: get a consent's receipt from the city, or verify a kept one without any network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, facts, show

if TYPE_CHECKING:
    from gateway.consentlog.consent_receipt import ConsentReceipt
    from gateway.consentlog.receipt import ProvedEntry
    from gateway.consentlog.trust import TrustPolicy
    from gateway.domain.directory import Directory

MAX_TOKEN_FILE_BYTES = 16 * 1024


async def receipt(
    consent: Annotated[
        str | None, Parameter(name="--consent", help="The consent, as `consent grant` and `consent list` name it.")
    ] = None,
    *,
    resident: Annotated[
        str | None, Parameter(name="--resident", help="The city's own account identifier of the resident.")
    ] = None,
    out: Annotated[
        Path | None, Parameter(name="--out", help="Keep the receipt in this new file, readable by its owner alone.")
    ] = None,
    verify: Annotated[
        Path | None, Parameter(name="--verify", help="Verify this kept receipt instead; needs no network.")
    ] = None,
    token_file: Annotated[
        Path | None,
        Parameter(
            name="--token-file",
            help="Also hold the receipt against each claim of the token in this file.",
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        Parameter(name="--trust", help="Trust file (C2SP tlog-policy). Default: the directory's log key alone."),
    ] = None,
    root: Annotated[
        Path | None, Parameter(name="--root", help="With --verify, in place of a profile: the root file.")
    ] = None,
    directory: Annotated[
        Path | None,
        Parameter(name="--directory", help="With --root: the signed directory, of now or of the receipt's time."),
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Get the receipt of a resident's consent and verify it, or verify one that was kept (--verify FILE).

    Everything is verified offline: the city's signature, by its key in the signed directory, and every log entry, by
    its proof, under the trust file. Exit code 4, with the reason, when anything does not verify.
    """
    if (verify is None) != (consent is not None and resident is not None) or (verify and (consent or resident or out)):
        raise UsageError("which receipt?", "give CONSENT and --resident, or --verify FILE alone")
    if (root is None) != (directory is None) or (root is not None and verify is None):
        raise UsageError("--root and --directory go together, with --verify", "give both, or name a profile")
    from gateway.consentlog.consent_receipt import verify_receipt

    if verify is not None:
        known = _directory(root, directory, profile)
        text = _kept(verify)
    else:
        known, text = await _fetched(consent or "", resident or "", profile)
    found = verify_receipt(text, known, _trust(trust, known))
    linked = None if token_file is None else _link(token_file, found)
    if out is not None:
        _keep(out, text)
    document = _document(found) | {"token_checked": linked, "receipt": text}
    show(document, lambda: [*_lines(document), *([] if out is None else [f"kept in {out}"])], as_json=json)


async def _fetched(consent: str, resident: str, profile: Path | None) -> tuple[Directory, str]:
    from gateway.api.consent.v1 import consent_pb2 as pb
    from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
    from gateway.cli.client import CALL_S, session
    from gateway.cli.profile import read_profile

    async with session(read_profile(profile, {"city-app"})) as opened:
        request = pb.GetConsentReceiptRequest(resident_ref=resident, consent_id=consent)
        answer = await ConsentServiceStub(opened.channel).GetConsentReceipt(request, timeout=CALL_S)
        return opened.directory, answer.receipt


def _directory(root: Path | None, directory: Path | None, profile: Path | None) -> Directory:
    """The directory, signed under the root. It may have expired: a receipt is of its own time."""
    from gateway.cli.profile import read_profile
    from gateway.policy.installed import installed_directory

    if root is None or directory is None:
        named = read_profile(profile, {"city-app", "operator", "auditor"})
        root, directory = named.root, named.directory
    return installed_directory(root, directory)


def _trust(path: Path | None, directory: Directory) -> TrustPolicy:
    from gateway.cli.audit import log_trust, read_trust
    from gateway.consentlog.trust import TrustPolicy

    return log_trust(directory.gateway) if path is None else TrustPolicy.parse(read_trust(path))


def _kept(path: Path) -> str:
    """A kept receipt: its characters and one newline. What is no ASCII is no receipt."""
    from gateway.cli.client import read_file
    from gateway.consentlog.consent_receipt import MAX_CHARS

    data = read_file(path, MAX_CHARS + 1, "a receipt is smaller")
    return data.removesuffix(b"\n").decode("ascii", "replace")


def _keep(path: Path, text: str) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} exists; a receipt is never overwritten", "name another file") from error
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(f"{text}\n")


def _link(path: Path, found: ConsentReceipt) -> bool:
    """True if the receipt is of the token in the file, and says what the token says. Raises RECEIPT_INVALID."""
    from gateway.cli.client import read_file
    from gateway.consentlog.consent_receipt import match_token

    match_token(found, read_file(path, MAX_TOKEN_FILE_BYTES).decode("ascii", "ignore").strip())
    return True


def _document(found: ConsentReceipt) -> dict[str, Any]:
    from gateway.cli.messages import time_of_s

    said = found.said
    (purpose,) = said.pii_processing.purposes
    return {
        "verified": True,
        "consent_id": said.record_id,
        "city": found.city,
        "recipient": purpose.recipient_third_parties[0].removeprefix("operator/"),
        "purpose": purpose.purpose,
        "state": _state(found.state),
        "given_at": said.given.event_time,
        "valid_until": said.given.valid_until,
        "notice_sha256": said.pii_processing.privacy_notice.sha256,
        "token_sha256": found.token_hash.hex(),
        "made_at": time_of_s(found.issued_at),
        "reported_index": found.reported,
        "registration": _place(found.registration),
        "changes": [
            {"state": _state(change.state), "time": event.event_time, "log": _place(change.proved)}
            for change, event in zip(found.changes, said.later, strict=True)
        ],
        "record": found.record,
    }


def _state(term: str) -> str:
    """``dpv:ConsentWithdrawn`` is withdrawn."""
    return term.rpartition(":Consent")[2].lower()


def _place(found: ProvedEntry | None) -> dict[str, Any] | None:
    return None if found is None else {"log_index": found.log_index, "checkpoint_size": found.size}


def _lines(document: dict[str, Any]) -> list[Any]:
    names = (
        "consent_id",
        "city",
        "recipient",
        "purpose",
        "state",
        "given_at",
        "valid_until",
        "notice_sha256",
        "made_at",
    )
    named: dict[str, object] = {name.replace("_", " "): document[name] for name in names}
    upto = document["reported_index"]
    absent = "no use reported yet" if upto is None else f"not among the uses reported up to log index {upto}"
    named["registered"] = _words(document["registration"]) or f"{absent}: a consent enters the log with its first check"
    for change in document["changes"]:
        place = _words(change["log"]) or "on its way to the log when this was made"
        named[f"{change['state']} {change['time']}"] = place
    checked = "; it is of the token given, claim for claim" if document["token_checked"] else ""
    return [facts("Consent receipt", named), f"verified: the city's signature and every proof{checked}"]


def _words(place: dict[str, Any] | None) -> str:
    return "" if place is None else f"log index {place['log_index']}, checkpoint of size {place['checkpoint_size']}"
