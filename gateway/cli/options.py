"""Options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

PROFILE_VARIABLE = "TIERGATE_PROFILE"

LOG_INDEX = validators.Number(gte=0, lt=2**63)
"""Of an option that is a position in the log."""

Json = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print one JSON document and nothing else on standard output.",
    ),
]
ProfileFile = Annotated[
    Path | None,
    Parameter(
        name="--profile",
        help=f"TOML file that says who you are: role, name, certificate, signed files. Default: ${PROFILE_VARIABLE}.",
    ),
]
ConfigFile = Annotated[Path, Parameter(name="--config", help="Settings of the process (TOML).")]
TrustFile = Annotated[
    Path,
    Parameter(
        name="--trust",
        help="Trust file (C2SP tlog-policy): the log's key and who must have witnessed. Get it out of band.",
    ),
]
AuthoritiesRoot = Annotated[
    Path | None,
    Parameter(
        name="--root",
        help="Root file, handed over by the authorities out of band: check that they signed every bundle that the "
        "log has published. With --signed.",
    ),
]
SignedBundles = Annotated[
    list[Path] | None,
    Parameter(
        name="--signed",
        negative="",
        help="Signed bundle as the authorities publish it, or a folder of such files (*.json); may be repeated.",
    ),
]
LifelineFd = Annotated[
    int | None,
    Parameter(name="--lifeline-fd", help="Stop when this inherited pipe ends: its other end is our parent's."),
]
ReadyFile = Annotated[
    Path | None, Parameter(name="--ready-file", help="Write this file (JSON) once the process serves.")
]
