"""``tiergate audit sample``: entries of an export for a closer look, chosen by its checkpoint and not by anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.audit import entry_document, head_document, read_trust, require_export
from gateway.cli.audit_marks import NOTE, Marks, marked_rung
from gateway.cli.client import read_file
from gateway.cli.options import Json, TrustFile
from gateway.cli.output import UsageError, facts, require_known, show, table
from gateway.consentlog.entry import SCHEMAS, Entry
from gateway.consentlog.export import policy_path
from gateway.consentlog.export_lock import reading
from gateway.consentlog.sample import sample, seed_of
from gateway.consentlog.verify import verify_export
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import MAX_BUNDLE_BYTES

_SHOWN = ("index", "time", "type", "id", "city", "operator", "scenario", "outcome", "rung")


class _Picker:
    """Keeps the entries of a type that stand at these places among all of that type."""

    def __init__(self, kind: str | None, places: set[int]) -> None:
        self._kind = kind
        self._places = places
        self._place = 0
        self.picked: dict[int, tuple[int, Entry]] = {}

    def take(self, index: int, entry: Entry) -> None:
        """Take the next entry of the log."""
        if self._kind in (None, entry.type):
            if self._place in self._places:
                self.picked[self._place] = (index, entry)
            self._place += 1


async def sample_export(
    directory: Annotated[Path, Parameter(help="Folder that `audit export` wrote.")],
    *,
    trust: TrustFile,
    count: Annotated[int, Parameter(name="--count", help="How many entries; all if there are not that many.")],
    kind: Annotated[str | None, Parameter(name="--type", help="Only among entries of this type, as decision.")] = None,
    nonce: Annotated[
        str,
        Parameter(
            name="--nonce",
            allow_leading_hyphen=True,
            show_default=False,
            help="Words of your own, new each time, chosen once you have the export: no log can have foreseen them.",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Verify an export, then draw entries at random, as its checkpoint (and your nonce) have it.

    Whoever has the checkpoint and the nonce draws the same entries in the same order; the README of the consent log
    says how. Exit code 4 when anything does not verify; nothing is drawn then.
    """
    if count < 1:
        raise UsageError("--count must be at least 1")
    require_known("--type", kind, SCHEMAS)
    require_export(directory)
    data = read_trust(trust)
    with reading(directory):
        verified = verify_export(directory, data)
        seed = seed_of(verified.size, verified.root, nonce)
        counts = verified.all_entries
        population = sum(counts.values()) if kind is None else counts.get(kind, 0)
        places = sample(seed, population, count)
        picker = _Picker(kind, set(places))
        # read again, and verified again: only what is drawn is kept; a folder that changes all the same gives no sample
        if verify_export(directory, data, picker.take) != verified:
            raise TiergateError(Reason.LOG_CORRUPT, "the export has changed while it was read")
    marks = Marks(lambda digest: _bundle(directory, digest))
    drawn = []
    for index, entry in (picker.picked[place] for place in places):
        drawn.append(entry_document(index, entry) | await marks.of(entry))
    rows = [item | {"rung": marked_rung(item)} for item in drawn]
    note = [NOTE] if any("illustrative" in item and item["illustrative"] is not False for item in drawn) else []
    head = head_document(verified)
    how = {"type": kind, "population": population, "nonce": nonce, "seed": seed.hex()}
    witnesses = {"witnesses": verified.witnesses}
    show(
        {"verified": head | witnesses, **how, "sample": drawn},
        lambda: [
            facts("Drawn from", head | witnesses | how),
            table("", ("index", "time (UTC)", *_SHOWN[2:]), ([item.get(name) for name in _SHOWN] for item in rows)),
            f"{len(drawn)} of {population} entries, in the order drawn",
            *note,
        ],
        as_json=json,
    )


async def _bundle(directory: Path, digest: str) -> bytes:
    return read_file(directory / policy_path(digest), MAX_BUNDLE_BYTES)
