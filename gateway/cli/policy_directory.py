"""``tiergate policy directory``: the next version of the peer directory, with a city or an operator entered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.client import read_file
from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.cli.passport_file import passport_in
from gateway.cli.policy import seconds_of
from gateway.cli.policy_sign import describe, verified_payload
from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
from gateway.domain.directory import PassportEntry
from gateway.policy.directory import read_directory
from gateway.policy.entries import MAX_ENTRY_BYTES, Entry, enter, read_entry


def make_directory(
    current: Annotated[Path, Parameter(help="The signed directory that is in force.")],
    *,
    root: Annotated[Path, Parameter(name="--root", help="Root file, handed over by the authorities out of band.")],
    city: Annotated[Path | None, Parameter(name="--city", help="Entry of a city: entry.json of adapter init.")] = None,
    operator: Annotated[
        Path | None, Parameter(name="--operator", help="Entry of an operator: entry.json of operator init.")
    ] = None,
    passport: Annotated[
        Path | None, Parameter(name="--passport", help="Conformance passport that the city is admitted with.")
    ] = None,
    runner: Annotated[
        Path | None, Parameter(name="--runner-key", help="Public key (JWK) of the runner of the kit that you trust.")
    ] = None,
    require_passports: Annotated[
        bool,
        Parameter(
            name="--require-passports", negative="", show_default=False, help="From now on list no city without one."
        ),
    ] = False,
    expires: Annotated[
        str | None, Parameter(name="--expires", help="End of its validity, such as 2028-01-01T00:00Z. Default: as now.")
    ] = None,
    out: Annotated[Path, Parameter(name="--out", help="The canonical directory, still to be signed.")],
    json: Json = False,
) -> None:
    """Enter a city or an operator into the peer directory: its next version, for the authorities to sign.

    An entry of the same id is replaced, and that is said: then see that its holder has asked for it. Sign it with
    `tiergate policy sign --type directory`.
    """
    entry = _entry(city, operator)
    admitted = _passport(entry, passport, runner)
    kind, payload, _ = verified_payload(root, read_file(current, MAX_ENVELOPE_BYTES), str(current))
    if kind != "directory":
        raise UsageError(f"{current} is a signed {kind}", "name the signed peer directory")
    directory = read_directory(payload)
    end = directory.expires if expires is None else seconds_of(expires, "--expires")
    now = int(time.time())
    data, replaced = enter(directory, entry, admitted, issued=now, expires=end, require_passports=require_passports)
    out.write_bytes(data)
    entered = {entry.kind: entry.id, "entry": "replaced" if replaced else "added"}
    document = {"file": str(out), **entered, **describe("directory", data)}
    show(document, lambda: [facts("Directory", document), "sign it with: tiergate policy sign"], as_json=json)


def _entry(city: Path | None, operator: Path | None) -> Entry:
    if city is not None and operator is None:
        return read_entry("city", read_file(city, MAX_ENTRY_BYTES, "name the entry.json of the city"), str(city))
    if operator is not None and city is None:
        data = read_file(operator, MAX_ENTRY_BYTES, "name the entry.json of the operator")
        return read_entry("operator", data, str(operator))
    raise UsageError("one entry is made at a time", "give --city FILE or --operator FILE")


def _passport(entry: Entry, file: Path | None, runner: Path | None) -> PassportEntry | None:
    if (file is None) != (runner is None):
        raise UsageError("a passport is verified under a runner's key", "give --passport and --runner-key, or neither")
    if file is None or runner is None:
        return None
    found, admitted = passport_in(file, runner)
    if entry.kind != "city" or found.city != entry.id:
        raise UsageError(f"{file} is the passport of the city {found.city}", f"it is not for {entry.kind} {entry.id}")
    return admitted
