"""``tiergate doctor``: what is wrong with an installation, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError


async def doctor(
    *,
    config: Annotated[
        Path | None, Parameter(name="--config", help="Settings of a gateway or an adapter (TOML).")
    ] = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> int:
    """Examine an installation, and say what is wrong and how to mend it. Changes nothing. Exit code 1 for a problem.

    Looks at: signed files (signature, expiry), certificate (expiry, key, authority, identity, usages, file modes),
    signing keys against the directory, clock, disk space, and each peer: reachable, the right one, of a known
    authority, accepting our certificate, going by the same directory, policy bundle and time. Of a gateway also its
    log's witnesses: each reachable and cosigning with the key that the trust file names, together a quorum. Of an
    adapter also whether it knows the holidays of the years that its deadlines reach into.
    """
    if config is not None and profile is not None:
        raise UsageError("either --config or --profile", "examine one installation at a time")
    from gateway.cli.findings import tell
    from gateway.cli.installation import of_config, of_profile
    from gateway.cli.local_checks import examine_files
    from gateway.cli.peer_checks import examine_peers
    from gateway.cli.profile import read_profile
    from gateway.cli.witness_checks import examine_witnesses

    if config is not None:
        installation = of_config(config)
    else:
        installation = of_profile(read_profile(profile, {"operator", "city-app", "auditor"}))
    files = examine_files(installation)
    findings = list(files.findings)
    if files.directory is not None:
        findings += await examine_peers(installation, files.directory, files.bundle)
        findings += await examine_witnesses(installation, files.directory)
    return tell(findings, as_json=json)
