"""``tiergate audit list``: entries as the gateway tells them, by what they say, for people, programs and tables."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

from cyclopts import Parameter

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.audit import entry_document, log_trust
from gateway.cli.audit_export import newest_head
from gateway.cli.audit_leaves import leaves_of
from gateway.cli.audit_marks import NOTE as ILLUSTRATIVE
from gateway.cli.audit_marks import Marks, marked_rung
from gateway.cli.client import STREAM_S, session
from gateway.cli.consent_trail import ConsentTrail
from gateway.cli.downloads import fetch_bundle
from gateway.cli.messages import time_of_ms
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import UsageError, require_known, show, table
from gateway.cli.profile import read_profile
from gateway.consentlog.entry import NOTE, ORIGIN, SCHEMAS, VKEY, Entry, decode
from gateway.consentlog.shard import first_of, located, number_of
from gateway.domain.decision import Outcome

LAST = 1000
"""Entries that are looked at when nothing says how many."""

_SHOWN = ("city", "operator", "scenario", "outcome", "rung", "code", "consent")
_MS_PER_UNIT = {"expires": 1000, "valid_until": 1}
"""Fields that are points in time, with the milliseconds of their unit."""

CSV_FIELDS = tuple(
    dict.fromkeys(
        name.rstrip("?")
        for schema in SCHEMAS.values()
        for name, kind in schema.items()
        if kind not in (ORIGIN, NOTE, VKEY)
    )
)
"""All fields that an entry can have, but origins, keys and checkpoints: they could begin like a spreadsheet's formula.

What is left are slugs, hex digits, words of ours and numbers without a sign, which no spreadsheet takes for one.
"""


def _time_title(name: str) -> str:
    return f"{name} (UTC)"


def csv_header() -> list[str]:
    """The header line of the CSV form."""
    fields = (_time_title(name) if name in _MS_PER_UNIT else name for name in CSV_FIELDS)
    return ["index", _time_title("time"), "type", *fields, "illustrative"]


def csv_row(index: int, entry: Entry, mark: Mapping[str, bool | None]) -> list[str]:
    """One entry in the columns of :func:`csv_header`; what its type does not have, or nobody knows, is empty."""

    def cell(name: str) -> str:
        value = entry.fields.get(name, "")
        return time_of_ms(value * _MS_PER_UNIT[name]) if name in _MS_PER_UNIT and isinstance(value, int) else str(value)

    known = {True: "yes", False: "no"}
    return [
        *(str(index), time_of_ms(entry.time), entry.type),
        *map(cell, CSV_FIELDS),
        known.get(mark.get("illustrative"), ""),  # type: ignore[arg-type]  # None: not known
    ]


def _moment(name: str, text: str | None) -> int | None:
    """Unix milliseconds of a date or time in ISO 8601; without a zone it is UTC. Raises :class:`UsageError`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{name} is not a date or time", "such as 2026-11-01 or 2026-11-01T08:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


async def list_entries(
    *,
    kind: Annotated[
        str | None, Parameter(name="--type", help="Entries of a type, such as decision or consent_withdrawn.")
    ] = None,
    operator: Annotated[str | None, Parameter(name="--operator", help="Of this operator.")] = None,
    scenario: Annotated[str | None, Parameter(name="--scenario", help="On this scenario.")] = None,
    city: Annotated[str | None, Parameter(name="--city", help="Of this home city.")] = None,
    outcome: Annotated[str | None, Parameter(name="--outcome", help="entitled or ordinary.")] = None,
    token: Annotated[
        str | None, Parameter(name="--token", help="With this token commitment, as entries carry it (64 hex digits).")
    ] = None,
    receipt: Annotated[
        Path | None,
        Parameter(
            name="--receipt",
            help="A decision's entry (FILE.entry of its receipt): it, and all that hangs on the same consent.",
        ),
    ] = None,
    since: Annotated[
        str | None, Parameter(name="--from", help="Not earlier than this date or time (ISO 8601; UTC without a zone).")
    ] = None,
    until: Annotated[str | None, Parameter(name="--to", help="Earlier than this date or time.")] = None,
    last: Annotated[
        int | None,
        Parameter(
            name="--last",
            help=f"Look at so many entries of the newest shard; 0 = all of all. Default: {LAST}; not with --receipt.",
        ),
    ] = None,
    as_csv: Annotated[
        bool,
        Parameter(
            name="--csv",
            negative="",
            show_default=False,
            help="Print CSV (RFC 4180), a line for each entry as it comes, with a header line.",
        ),
    ] = False,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """List entries, as the gateway tells them; `audit export` and `audit verify` prove them.

    Entries hold codes, rungs and keyed commitments; nothing in them names a person. Filters narrow each other.
    """
    if last is not None and last < 0:
        raise UsageError("--last must not be negative")
    if as_csv and json:
        raise UsageError("--csv and --json exclude each other", "ask for one of them")
    if receipt is not None and last is not None:
        raise UsageError("--receipt looks at everything since the consent", "leave out --last")
    if token is not None and not re.fullmatch("[0-9a-f]{64}", token):
        raise UsageError("--token is not a token commitment", "it has 64 digits 0-9 a-f, as entries carry it")
    require_known("--type", kind, SCHEMAS)
    require_known("--outcome", outcome, [item.value for item in Outcome])
    named = {"operator": operator, "scenario": scenario, "city": city, "outcome": outcome, "token": token}
    fields = {name: value for name, value in named.items() if value is not None}
    wanted = _Wanted(kind, _moment("--from", since), _moment("--to", until), fields)
    trail = None if receipt is None else ConsentTrail.read(receipt)
    listing = _Listing(profile, wanted, trail, LAST if last is None else last)
    await (print_csv(listing) if as_csv else _show(listing, as_json=json))


class Arriving(Protocol):
    """Entries with their indices, as they come."""

    def entries(self) -> AsyncIterator[tuple[int, Entry, Mapping[str, bool | None]]]:
        """In the order of the log, each with its mark (see ``Marks``)."""
        ...


async def print_csv(listing: Arriving) -> None:
    """Print the header line, and each entry's line when it has come; nothing is collected."""
    lines = csv.writer(sys.stdout, lineterminator="\r\n")
    lines.writerow(csv_header())
    async for index, entry, mark in listing.entries():
        lines.writerow(csv_row(index, entry, mark))
        sys.stdout.flush()  # standard output into a file or pipe is not sent line by line


async def _show(listing: _Listing, *, as_json: bool) -> None:
    found = [{**entry_document(index, entry), **mark} async for index, entry, mark in listing.entries()]
    document = {
        "entries": found,
        "looked_at": {"start": listing.start, "end": listing.size},
        "size": listing.size,
        "outside_scope": listing.hidden,
    }
    lines = [f"{len(found)} of the entries {listing.start} to {listing.size - 1}; the log has {listing.size}"]
    if listing.hidden:
        lines.append(f"{listing.hidden} of those looked at are outside the auditor's scope")
    if listing.trail is not None:
        document["receipt"] = listing.trail.found
        lines.append(f"the receipt's entry is {listing.trail.found}")
    if any("illustrative" in item and item["illustrative"] is not False for item in found):
        lines.append(ILLUSTRATIVE)
    show(
        document,
        lambda: [table("", ("index", _time_title("time"), "type", *_SHOWN), map(_shown_row, found)), *lines],
        as_json=as_json,
    )


def _shown_row(item: Mapping[str, Any]) -> list[object]:
    row = {**item, "rung": marked_rung(item)}
    return [row.get(name) for name in ("index", "time", "type", *_SHOWN)]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an entry must say of itself; None: anything. Times are Unix milliseconds, the end excluded."""

    kind: str | None
    first_ms: int | None
    end_ms: int | None
    fields: Mapping[str, str]

    def matches(self, entry: Entry) -> bool:
        """Whether the entry says all of it."""
        if self.kind is not None and entry.type != self.kind:
            return False
        if self.first_ms is not None and entry.time < self.first_ms:
            return False
        if self.end_ms is not None and entry.time >= self.end_ms:
            return False
        return all(entry.fields.get(name) == value for name, value in self.fields.items())


@dataclass
class _Listing:
    """The wanted entries; once they have come: where they ``start``, the log's end, how many were out of scope."""

    profile: Path | None
    wanted: _Wanted
    trail: ConsentTrail | None
    last: int
    start: int = 0
    size: int = 0
    hidden: int = 0

    async def entries(self) -> AsyncIterator[tuple[int, Entry, Mapping[str, bool | None]]]:
        """Index, entry and its mark, in the order of the log, each as it comes.

        Raises PROOF_OF_LOG_INVALID at the end, when there is a receipt whose entry has not come.
        """
        async with session(read_profile(self.profile, {"auditor"})) as opened:
            stub = AuditServiceStub(opened.channel)
            marks = Marks(lambda digest: fetch_bundle(stub, digest))
            policy = log_trust(opened.directory.gateway)
            _, head = await newest_head(stub, policy)
            newest = number_of(head.origin)
            self.size = first_of(newest) + head.size
            self.start = self._first(newest, head.size)
            for shard in range(located(self.start)[0], newest + 1):
                size = head.size if shard == newest else (await newest_head(stub, policy, shard))[1].size
                start = max(self.start, first_of(shard))
                async for index, raw in self._shown(stub, start, first_of(shard) + size):
                    entry = decode(raw)
                    # the trail first: it has to see every entry, also those that are not wanted
                    if (self.trail is None or self.trail.take(index, raw, entry)) and self.wanted.matches(entry):
                        yield index, entry, await marks.of(entry)
        if self.trail is not None:
            self.trail.require_found()

    async def _shown(self, stub: AuditServiceStub, index: int, end: int) -> AsyncIterator[tuple[int, bytes]]:
        """The entries of a range of one shard that are in the auditor's scope."""
        async for run in stub.ListEntries(pb.ListEntriesRequest(start=index, end=end), timeout=STREAM_S):
            for leaf in leaves_of(run):
                if leaf.entry is None:
                    self.hidden += 1
                else:
                    yield index, leaf.entry
                index += 1

    def _first(self, newest: int, size: int) -> int:
        """Where to begin: with the consent, with the first shard, or with the last entries of the newest one."""
        if self.trail is not None:
            return min(self.size, self.trail.registration)
        return first_of(newest) + max(0, size - self.last) if self.last else 0
