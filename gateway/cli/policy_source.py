"""Where policies that are shown come from: a folder of files, or a signed bundle."""

from __future__ import annotations

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
from gateway.policy.bundle import read_bundle
from gateway.policy.documents import Policies

Source = Annotated[Path, Parameter(help="Folder of policy files, or a signed bundle.")]
RootFile = Annotated[
    Path | None, Parameter(name="--root", help="Verify the signed bundle under this root before showing it.")
]
MARK = "示意 illustrative"
"""How a table says that a figure is nobody's publication."""


def read_source(source: Path, root: Path | None) -> tuple[Policies | Bundle, str]:
    """The policies, and where they come from in words.

    Raises :class:`UsageError`, POLICY_INVALID, BUNDLE_INVALID or SIGNATURE_INVALID.
    """
    if source.is_dir():
        if root is not None:
            raise UsageError("--root is for signed bundles; files in a folder have no signature")
        return load(source).policies, f"files in {source}, not signed"
    data = read_file(source, MAX_ENVELOPE_BYTES, "name a folder or a signed bundle")
    kind, payload = unverified_payload(data)
    if kind != "bundle":
        raise UsageError(f"{source} is a signed {kind}", "name a signed bundle; `policy verify` describes both")
    if root is not None:
        payload = verify_envelope(read_root(root), payload_type_of(kind), data)
    bundle = read_bundle(payload)
    state = "signatures not checked, give --root to check them" if root is None else "signatures verified"
    return bundle, f"bundle {bundle.digest}, version {bundle.version}, to {bundle.expires}; {state}"
