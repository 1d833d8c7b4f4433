"""``tiergate policy sign`` and ``verify``: signatures of authorities, one after the other, each at its own place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from cyclopts import Parameter

from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

if TYPE_CHECKING:
    from gateway.crypto.keys import PrivateKey

Kind = Literal["bundle", "directory", "root", "notice"]


def sign(
    file: Annotated[Path, Parameter(help="What is to be signed: canonical, or signed by others already.")],
    *,
    kind: Annotated[
        Kind | None,
        Parameter(name="--type", help="What a canonical file is; it is read and checked before it is signed."),
    ] = None,
    key: Annotated[
        list[Path],
        Parameter(name="--key", negative="", help="Private key of an authority (PEM, mode 600); may be repeated."),
    ],
    out: Annotated[Path, Parameter(name="--out", help="The signed file (DSSE envelope).")],
    json: Json = False,
) -> None:
    """Sign a bundle, directory, root or notice. Its exact bytes are signed and carried along.

    A file that others have signed gets one more signature: authorities hand it on until as many have signed as the
    root asks for. Without --type the file must be a signed one.
    """
    from gateway.cli.client import read_file
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES, countersign
    from gateway.crypto.envelope import sign as sign_envelope
    from gateway.crypto.keys import load_private_key, public_jwk, thumbprint
    from gateway.files import write_whole

    data = read_file(file, MAX_ENVELOPE_BYTES)
    keys = [_load_key(path, load_private_key) for path in key]
    if kind is None:
        try:
            found, payload = unverified_payload(data)
        except TiergateError as error:
            raise UsageError(
                f"{file} is not a signed file", "for a canonical one, say what it is with --type"
            ) from error
        described, envelope = describe(found, payload), countersign(data, keys)
    else:
        described, envelope = describe(kind, data), sign_envelope(payload_type_of(kind), data, keys)
    write_whole(out, envelope)
    document = {"file": str(out), "signed_by": [thumbprint(public_jwk(item)) for item in keys], **described}
    show(document, lambda: [facts("Signed", document)], as_json=json)


def _load_key(path: Path, load_private_key: Any) -> PrivateKey:
    try:
        loaded: PrivateKey = load_private_key(path)
    except TiergateError as error:
        raise ProblemsError(error.reason, [Problem(str(path), "", error.detail, "name a PEM key, mode 600")]) from error
    return loaded


def verify(
    envelope: Annotated[Path, Parameter(help="Signed bundle, directory, root or notice; its own header says which.")],
    *,
    root: Annotated[Path, Parameter(name="--root", help="Root file, handed over by the authorities out of band.")],
    json: Json = False,
) -> None:
    """Verify a signed file: signatures under the root, form, rules, and that it has not expired.

    Exit code 4 when it does not verify; it says then who has signed, and how many must.
    """
    from gateway.cli.client import read_file
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES

    data = read_file(envelope, MAX_ENVELOPE_BYTES)
    kind, payload, signed_by = verified_payload(root, data, str(envelope))
    document = {"verified": True, **describe(kind, payload, in_force=True), "signed_by": signed_by}
    show(document, lambda: [facts("Verified", document)], as_json=json)


def verified_payload(root: Path, envelope: bytes, name: str) -> tuple[Kind, bytes, list[str]]:
    """Kind, payload and the names of the authorities that signed it, under the newest root that ``root`` leads to.

    A root is verified as the one that follows. Raises CONFIG_INVALID or SIGNATURE_INVALID, naming who has signed.
    """
    import time

    from gateway.crypto.envelope import signers, threshold_of
    from gateway.crypto.envelope import verify as verify_envelope
    from gateway.crypto.root_files import check_root, read_root, succeed

    kind, _ = unverified_payload(envelope)
    payload_type = payload_type_of(kind)
    trusted = read_root(root)
    if kind == "root":
        succeed(trusted, envelope, Path(name))
    else:
        check_root(trusted, int(time.time()))
    names = sorted(signers(trusted, payload_type, envelope))
    try:
        return kind, verify_envelope(trusted, payload_type, envelope), names
    except TiergateError as error:
        needed = threshold_of(trusted, payload_type)
        remedy = "have more authorities sign it, one after the other: tiergate policy sign FILE --key KEY --out FILE"
        message = f"is signed by {', '.join(names) or 'no authority of the root'}; {needed} must sign"
        raise ProblemsError(Reason.SIGNATURE_INVALID, [Problem(name, "", message, remedy)]) from error


def payload_type_of(kind: Kind) -> str:
    """The payload type that is signed."""
    return f"application/vnd.tiergate.{kind}+json"


def unverified_payload(data: bytes) -> tuple[Kind, bytes]:
    """Kind and payload of an envelope whose signatures nobody has checked: to be shown, never to be acted on.

    Raises SIGNATURE_INVALID for what is no envelope.
    """
    from gateway.crypto.envelope import read

    payload_type, payload, _ = read(data)
    kinds: tuple[Kind, ...] = get_args(Kind)
    return next(item for item in kinds if payload_type_of(item) == payload_type), payload


def describe(kind: Kind, payload: bytes, *, in_force: bool = False) -> dict[str, Any]:
    """What a payload says of itself. Raises the reason of its kind; ``in_force``: also if it has expired."""
    import time
    from datetime import UTC, datetime

    from gateway.cli.messages import time_of_s
    from gateway.crypto.root_files import check_root, parse_root
    from gateway.policy.bundle import check_in_force, read_bundle
    from gateway.policy.directory import check_fresh, read_directory
    from gateway.policy.notices import read_notice

    match kind:
        case "bundle":
            bundle = read_bundle(payload)
            if in_force:
                check_in_force(bundle, datetime.now(UTC).date())
            return {
                "type": kind,
                "version": bundle.version,
                "effective": time_of_s(bundle.effective) if bundle.effective else "at once",
                "grace_hours": bundle.grace_s // 3600,
                "expires": bundle.expires.isoformat(),
                "digest": bundle.digest,
                "scenarios": len(bundle.scenarios),
            }
        case "root":
            root = parse_root(payload, Path("root"))
            if in_force:
                check_root(root, int(time.time()))
            return {
                "type": kind,
                "version": root.version,
                "expires": time_of_s(root.expires),
                "authorities": sorted({item.name for item in root.authorities}),
                "thresholds": {name.rpartition(".")[2].partition("+")[0]: n for name, n in root.thresholds.items()},
            }
        case "notice":
            notice = read_notice(payload)
            return {
                "type": kind,
                "issued": time_of_s(notice.issued),
                "keys": list(notice.keys),
                "peers": list(notice.peers),
                "maintenance": [
                    f"{item.peer}: {time_of_s(item.starts)} to {time_of_s(item.ends)}" for item in notice.maintenance
                ],
            }
    directory = read_directory(payload)
    if in_force:
        check_fresh(directory, int(time.time()), 0)
    return {
        "type": kind,
        "version": directory.version,
        "expires": time_of_s(directory.expires),
        "deployment": directory.gateway.deployment,
        "cities": sorted(directory.cities),
        "operators": sorted(directory.operators),
    }
