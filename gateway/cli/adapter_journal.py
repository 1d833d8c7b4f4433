"""``tiergate adapter journal``: a city's journal for an auditor, signed, with nobody in it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from adapters.config import load_settings
from adapters.journal import export_journal
from gateway.cli.messages import time_of_s
from gateway.cli.options import LOG_INDEX, ConfigFile, Json
from gateway.cli.output import UsageError, show
from gateway.files import move_in


def journal(
    *,
    config: ConfigFile,
    out: Annotated[Path, Parameter(name="--out", help="File to write (JSON lines); one that is there is replaced.")],
    first: Annotated[int, Parameter(name="--from", validator=LOG_INDEX, help="First log index.")] = 0,
    end: Annotated[
        int | None,
        Parameter(name="--to", validator=LOG_INDEX, help="Log index after the last. Default: everything."),
    ] = None,
    json: Json = False,
) -> None:
    """Write what the gateway reported to this city, and what the city attested and no report names, for an auditor.

    It names no person and no consent. It is signed with the city's event key; `audit reconcile` holds it against the
    log. The adapter may run meanwhile.
    """
    if end is not None and end < first:
        raise UsageError("--to must not be less than --from")
    settings = load_settings(config, os.environ)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with partial.open("xb") as file:
            written = export_journal(file, settings, now_s=int(time.time()), first=first, end=end)
        move_in(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    header = written.header
    document = {
        "file": str(out),
        "city": header.city,
        "made_at": time_of_s(header.made_at),
        "from": header.first,
        "to": header.end,
        "reported": header.reported,
        "uses": written.uses,
        "unreported": written.unreported,
    }
    lines = [
        f"{written.uses} reported use(s), {written.unreported} attestation(s) without a report, in {out}",
        "held against the log by: tiergate audit reconcile EXPORT --journal FILE",
    ]
    show(document, lambda: lines, as_json=json)
