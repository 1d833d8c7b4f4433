"""``tiergate policy``: from files that people write to the signed bundle that the network runs under."""

from __future__ import annotations

import json as json_module
from base64 import b64decode
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.options import Json
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, UsageError, facts, show, table
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

if TYPE_CHECKING:
    from gateway.policy.load import LoadedPolicies

app = App(name="policy", help="Check, test, build, sign, verify and show policies.")
app.command("gateway.cli.policy_show:show_policies", name="show", help="Show tiers, concordances and scenarios.")

Folder = Annotated[Path, Parameter(help="Folder of policy files.")]
Kind = Literal["bundle", "directory"]


def load(folder: Path) -> LoadedPolicies:
    """The checked policies of a folder. Raises :class:`UsageError` for what is no folder, and POLICY_INVALID."""
    from gateway.policy.load import load_policies

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name the folder that holds tier-scale.toml")
    return load_policies(folder)


def _counts(loaded: LoadedPolicies) -> dict[str, int]:
    return {
        "cities": len(loaded.cities),
        "scenarios": len(loaded.scenarios),
        "operators": len(loaded.operators),
    }


@app.command
def check(folder: Folder = Path("policies"), *, json: Json = False) -> None:
    """Check all policy files, and report every problem at once, with file and key."""
    loaded = load(folder)
    warnings = [str(item) for item in loaded.warnings]
    counts = _counts(loaded)
    line = ", ".join(f"{count} {name}" for name, count in counts.items())
    show(
        {"valid": True, **counts, "warnings": warnings},
        lambda: [*(f"warning: {item}" for item in warnings), f"valid: {line}"],
        as_json=json,
    )


@app.command(name="test")
def run_cases_of(folder: Folder = Path("policies"), *, json: Json = False) -> int:
    """Check all policy files and run the cases beside them. Exit code 1 when a case fails."""
    from gateway.policy.cases import run_cases

    results = run_cases(folder, load(folder))
    failed = [item for item in results if not item.passed]
    document = {
        "passed": len(results) - len(failed),
        "failed": len(failed),
        "cases": [
            {
                "file": item.file,
                "name": item.name,
                "passed": item.passed,
                "expected": item.expected,
                "actual": item.actual,
            }
            for item in results
        ],
    }
    rows = [(item.file, item.name, item.expected, item.actual) for item in failed]
    show(
        document,
        lambda: [
            *([table("Failed cases", ("file", "case", "expected", "actual"), rows)] if rows else []),
            f"{len(results) - len(failed)} of {len(results)} cases passed",
        ],
        as_json=json,
    )
    return EXIT_REFUSED if failed else EXIT_OK


@app.command(version_flags=[])
def build(
    folder: Folder,
    *,
    version: Annotated[int, Parameter(name="--version", help="Version of the bundle; higher than the one in force.")],
    expires: Annotated[str, Parameter(name="--expires", help="Last day of use (UTC), such as 2027-12-31.")],
    out: Annotated[Path, Parameter(name="--out", help="The canonical bundle, still to be signed.")],
    json: Json = False,
) -> None:
    """Build the canonical policy bundle from the files. The same files, version and day give the same digest."""
    from gateway.policy.bundle import build_bundle, digest_of

    try:
        last = date.fromisoformat(expires)
    except ValueError as error:
        raise UsageError("--expires is not a day", "such as 2027-12-31") from error
    data = build_bundle(load(folder), version, last)
    out.write_bytes(data)
    document = {"file": str(out), "digest": digest_of(data), "version": version, "expires": last.isoformat()}
    show(document, lambda: [facts("Bundle", document), "sign it with: tiergate policy sign"], as_json=json)


@app.command
def sign(
    file: Annotated[Path, Parameter(help="The canonical bundle or directory.")],
    *,
    kind: Annotated[Kind, Parameter(name="--type", help="What it is; it is read and checked before it is signed.")],
    key: Annotated[
        list[Path],
        Parameter(name="--key", negative="", help="Private key of an authority (PEM, mode 600); may be repeated."),
    ],
    out: Annotated[Path, Parameter(name="--out", help="The signed file (DSSE envelope).")],
    json: Json = False,
) -> None:
    """Sign a bundle or a peer directory. Its exact bytes are signed and carried along."""
    from gateway.cli.client import read_file
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
    from gateway.crypto.envelope import sign as sign_envelope
    from gateway.crypto.keys import load_private_key, public_jwk, thumbprint

    payload = read_file(file, MAX_ENVELOPE_BYTES)
    described = describe(kind, payload)
    keys = [_load_key(path, load_private_key) for path in key]
    out.write_bytes(sign_envelope(payload_type_of(kind), payload, keys))
    document = {"file": str(out), "signed_by": [thumbprint(public_jwk(item)) for item in keys], **described}
    show(document, lambda: [facts("Signed", document)], as_json=json)


def _load_key(path: Path, load_private_key: Any) -> Any:
    try:
        return load_private_key(path)
    except TiergateError as error:
        raise ProblemsError(error.reason, [Problem(str(path), "", error.detail, "name a PEM key, mode 600")]) from error


@app.command
def verify(
    envelope: Annotated[Path, Parameter(help="Signed bundle or directory; its own header says which.")],
    *,
    root: Annotated[Path, Parameter(name="--root", help="Root file, handed over by the authorities out of band.")],
    json: Json = False,
) -> None:
    """Verify a signed bundle or directory: signatures under the root, form, rules, and that it has not expired.

    Exit code 4 when it does not verify.
    """
    from gateway.cli.client import read_file
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES, read_root
    from gateway.crypto.envelope import verify as verify_envelope

    data = read_file(envelope, MAX_ENVELOPE_BYTES)
    kind, _ = unverified_payload(data)
    payload = verify_envelope(read_root(root), payload_type_of(kind), data)
    document = {"verified": True, **describe(kind, payload, in_force=True)}
    show(document, lambda: [facts("Verified", document)], as_json=json)


def payload_type_of(kind: Kind) -> str:
    """The payload type that is signed."""
    from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE

    return BUNDLE_TYPE if kind == "bundle" else DIRECTORY_TYPE


def unverified_payload(data: bytes) -> tuple[Kind, bytes]:
    """Kind and payload of an envelope whose signatures nobody has checked: to be shown, never to be acted on.

    Raises SIGNATURE_INVALID for what is no envelope.
    """
    try:
        document = json_module.loads(data)
        kinds: Sequence[Kind] = ("bundle", "directory")
        kind = next(item for item in kinds if payload_type_of(item) == document["payloadType"])
        return kind, b64decode(document["payload"], validate=True)
    except (ValueError, KeyError, TypeError, StopIteration, RecursionError) as error:
        raise TiergateError(Reason.SIGNATURE_INVALID, "not a signed bundle or directory") from error


def describe(kind: Kind, payload: bytes, *, in_force: bool = False) -> dict[str, Any]:
    """What a payload says of itself. Raises BUNDLE_INVALID or DIRECTORY_INVALID; ``in_force``: also if expired."""
    import time
    from datetime import UTC, datetime

    from gateway.cli.messages import time_of_s
    from gateway.policy.bundle import check_in_force, read_bundle
    from gateway.policy.directory import check_fresh, read_directory

    if kind == "bundle":
        bundle = read_bundle(payload)
        if in_force:
            check_in_force(bundle, datetime.now(UTC).date())
        return {
            "type": kind,
            "version": bundle.version,
            "expires": bundle.expires.isoformat(),
            "digest": bundle.digest,
            "scenarios": len(bundle.scenarios),
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
