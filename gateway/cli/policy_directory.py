"""``tiergate policy directory``: the next version of the peer directory, for the authorities to sign."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.client import read_file
from gateway.cli.options import Json
from gateway.cli.output import RefusedError, UsageError, facts, show
from gateway.cli.passport_file import is_of_this_kit, passport_in
from gateway.cli.policy import seconds_of
from gateway.cli.policy_sign import describe, verified_payload
from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
from gateway.crypto.keys import thumbprint
from gateway.crypto.root_files import read_root
from gateway.domain.directory import Directory, PassportEntry
from gateway.policy.directory import read_directory
from gateway.policy.entries import MAX_ENTRY_BYTES, Entry, next_directory, read_entry
from gateway.policy.installed import read_notices
from gateway.policy.notices import Notice, newest_removals, unlisted, without


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
    remove: Annotated[
        list[str] | None,
        Parameter(
            name="--remove",
            negative="",
            allow_leading_hyphen=True,
            help="Leave out a listed key (its thumbprint) or peer (SPIFFE id).",
        ),
    ] = None,
    relist: Annotated[
        list[str] | None,
        Parameter(
            name="--relist",
            negative="",
            allow_leading_hyphen=True,
            help="List again what a notice has removed: thumbprint or SPIFFE id.",
        ),
    ] = None,
    expires: Annotated[
        str | None, Parameter(name="--expires", help="End of its validity, such as 2028-01-01T00:00Z. Default: as now.")
    ] = None,
    out: Annotated[Path, Parameter(name="--out", help="The canonical directory, still to be signed.")],
    json: Json = False,
) -> None:
    """Make the next version of the peer directory, for the authorities to sign: enter, leave out, or renew.

    What notices beside CURRENT have removed is left out, and that is said, unless --relist names it. An entry of the
    same id is replaced, and that is said: then see that its holder has asked for it. Sign it with
    `tiergate policy sign --type directory`.
    """
    entry = _entry(city, operator)
    admitted = _passport(entry, passport, runner)
    trusted = read_root(root)
    kind, payload, _ = verified_payload(root, read_file(current, MAX_ENVELOPE_BYTES), str(current))
    if kind != "directory":
        raise UsageError(f"{current} is a signed {kind}", "name the signed peer directory")
    signed, now = read_directory(payload), int(time.time())
    noticed = newest_removals(read_notices(trusted, current), {})
    rest = _without(signed, noticed, frozenset(remove or ()), frozenset(relist or ()), now)
    left_out = sorted(rest.removed.difference(unlisted(_notice(rest.removed), signed)))
    if entry is not None:
        _require_clean(entry, rest)
    if entry is None and not left_out and expires is None and not require_passports:
        raise UsageError("nothing is to be changed", "give --city, --operator, --remove or --expires")
    end = signed.expires if expires is None else seconds_of(expires, "--expires")
    data = next_directory(rest, entry, admitted, issued=now, expires=end, require_passports=require_passports)
    out.write_bytes(data)
    document = {"file": str(out), **_entered(signed, entry), "left_out": left_out}
    document |= describe("directory", data)
    show(document, lambda: [facts("Directory", document), "sign it with: tiergate policy sign"], as_json=json)


def _without(
    signed: Directory, noticed: Mapping[str, int], remove: frozenset[str], relist: frozenset[str], now_s: int
) -> Directory:
    """The directory without what notices removed, but for ``relist``, and without what is to be left out."""
    for option, unknown, why in (
        ("--remove", unlisted(_notice(remove), signed), "is not listed in the directory"),
        ("--relist", sorted(relist - noticed.keys()), "was removed by no notice beside the directory"),
    ):
        if unknown:
            raise UsageError(
                f"{option}: {unknown[0]} {why}", "name a thumbprint (RFC 7638) or a SPIFFE id as it stands"
            )
    kept = {name: at for name, at in noticed.items() if name not in relist}
    return without(signed, kept | dict.fromkeys(remove, max(now_s, signed.issued)))


def _notice(names: frozenset[str]) -> Notice:
    """What would remove these keys and peers."""
    peers = tuple(name for name in names if name.startswith("spiffe://"))
    return Notice(0, tuple(names.difference(peers)), peers)


def _require_clean(entry: Entry, rest: Directory) -> None:
    """Return unless the entry brings back what is left out. Raises :class:`RefusedError`."""
    names = {entry.document.identity, *(thumbprint(key.jwk.plain()) for key in entry.document.keys)}
    for name in sorted(names & rest.removed):
        text = f"the entry of {entry.id} lists {name}, which was removed"
        raise RefusedError("REMOVED_BEFORE", text, "have it corrected; or add --relist to trust that again")


def _entered(signed: Directory, entry: Entry | None) -> dict[str, str]:
    if entry is None:
        return {}
    before = signed.cities if entry.kind == "city" else signed.operators
    return {entry.kind: entry.id, "entry": "replaced" if entry.id in before else "added"}


def _entry(city: Path | None, operator: Path | None) -> Entry | None:
    if city is not None and operator is None:
        return read_entry("city", read_file(city, MAX_ENTRY_BYTES, "name the entry.json of the city"), str(city))
    if operator is not None and city is None:
        data = read_file(operator, MAX_ENTRY_BYTES, "name the entry.json of the operator")
        return read_entry("operator", data, str(operator))
    if city is not None:
        raise UsageError("one entry is made at a time", "give --city FILE or --operator FILE")
    return None


def _passport(entry: Entry | None, file: Path | None, runner: Path | None) -> PassportEntry | None:
    if (file is None) != (runner is None):
        raise UsageError("a passport is verified under a runner's key", "give --passport and --runner-key, or neither")
    if file is None or runner is None:
        return None
    found, admitted = passport_in(file, runner)
    if entry is None or entry.kind != "city" or found.city != entry.id:
        raise UsageError(f"{file} is the passport of the city {found.city}", "give the entry of that city with --city")
    if not is_of_this_kit(found):
        text = f"{file} is by version {found.kit} of the kit, or by another list of checks than this one"
        raise RefusedError("PASSPORT_OUTDATED", text, "have the kit run again: tiergate conformance")
    return admitted
