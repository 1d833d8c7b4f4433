"""Where policies that are shown come from: a folder of files, or a bundle, signed or still to be signed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.client import read_file
from gateway.cli.output import UsageError
from gateway.cli.policy import load
from gateway.cli.policy_sign import payload_type_of, unverified_payload
from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
from gateway.crypto.envelope import verify as verify_envelope
from gateway.crypto.root_files import read_root
from gateway.domain.bundle import Bundle
from gateway.policy.bundle import FORMAT, read_bundle
from gateway.policy.documents import Policies

Source = Annotated[Path, Parameter(help="Folder of policy files, or a bundle.")]
RootFile = Annotated[
    Path | None, Parameter(name="--root", help="Verify the signed bundle under this root before showing it.")
]
MARK = "示意 illustrative"
"""How a table says that a figure is nobody's publication."""
_DAY_HELP = "such as 2026-12-31"


def read_source(source: Path, root: Path | None) -> tuple[Policies | Bundle, str]:
    """The policies, and where they come from in words.

    Raises :class:`UsageError`, POLICY_INVALID, BUNDLE_INVALID or SIGNATURE_INVALID.
    """
    if source.is_dir():
        if root is not None:
            raise UsageError("--root is for signed bundles; files in a folder have no signature")
        return load(source).policies, f"files in {source}, not signed"
    data = read_file(source, MAX_ENVELOPE_BYTES, "name a folder or a bundle")
    if _is_plain(data):
        if root is not None:
            raise UsageError(f"--root is for signed bundles; {source} is still to be signed")
        bundle = read_bundle(data)
        return bundle, _described(bundle, "not signed")
    kind, payload = unverified_payload(data)
    if kind != "bundle":
        raise UsageError(f"{source} is a signed {kind}", "name a signed bundle; `policy verify` describes both")
    if root is not None:
        payload = verify_envelope(read_root(root), payload_type_of(kind), data)
    bundle = read_bundle(payload)
    state = "signatures not checked, give --root to check them" if root is None else "signatures verified"
    return bundle, _described(bundle, state)


def _is_plain(data: bytes) -> bool:
    """Whether the bytes mean to be a bundle without an envelope; a canonical envelope has its payload in base64."""
    return f'"format":"{FORMAT}"'.encode() in data


def _described(bundle: Bundle, state: str) -> str:
    return f"bundle {bundle.digest}, version {bundle.version}, to {bundle.expires}; {state}"


def day_of(text: str | None, *bundles: Policies | Bundle) -> date:
    """The day (UTC) that ``--on`` names; without it today, or the first day of a bundle that is still to come.

    Raises :class:`UsageError`.
    """
    if text is None:
        starts = [datetime.fromtimestamp(item.effective, UTC).date() for item in bundles if isinstance(item, Bundle)]
        return max([datetime.now(UTC).date(), *starts])
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError("--on is not a day", _DAY_HELP) from error
