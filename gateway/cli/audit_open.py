"""``tiergate audit open`` and ``verify-opening``: show one private field of a decision, and verify one shown."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gateway.cli.audit import read_trust, require_export
from gateway.cli.options import LOG_INDEX, ConfigFile, Json, TrustFile
from gateway.cli.output import UsageError, facts, require_known, show

if TYPE_CHECKING:
    from gateway.consentlog.entry import Entry


def open_entry(
    index: Annotated[int, Parameter(validator=LOG_INDEX, help="Position of the decision in the log.")],
    *,
    config: ConfigFile,
    field: Annotated[str, Parameter(name="--field", help="attestation, decided_at, request, token or valid_until.")],
    out: Annotated[Path, Parameter(name="--out", help="File for the auditor (mode 600); never overwritten.")],
    json: Json = False,
) -> None:
    """On the gateway's data: show one private field of a decision to an auditor, and nothing else of it."""
    from gateway.cli.backup import DATABASE, require_file, settings_of
    from gateway.cli.secret_file import secret_files
    from gateway.consentlog.private import FIELDS, encode_opening
    from gateway.sqlite.connect import connect_reader
    from gateway.storage.openings import stored_opening

    require_known("--field", field, FIELDS)
    database = settings_of(config).data_dir / DATABASE
    require_file(database, "data_dir", "is there a gateway with these settings?")
    with secret_files(out) as files, closing(connect_reader(database)) as connection:
        files.write(out, encode_opening(stored_opening(connection, index, field)))
    document = {"index": index, "field": field, "file": str(out)}
    show(document, lambda: [facts("Opening", document)], as_json=json)


def verify_opening(
    opening: Annotated[Path, Parameter(help="File that `audit open` wrote.")],
    *,
    trust: TrustFile,
    entry: Annotated[Path | None, Parameter(name="--entry", help="Of a receipt: the entry.")] = None,
    proof: Annotated[Path | None, Parameter(name="--proof", help="Of a receipt: its proof.")] = None,
    export: Annotated[Path | None, Parameter(name="--export", help="Or the folder that `audit export` wrote.")] = None,
    index: Annotated[
        int | None, Parameter(name="--index", validator=LOG_INDEX, help="With --export: the decision's log index.")
    ] = None,
    json: Json = False,
) -> None:
    """Verify one private field offline: that a logged decision commits to exactly this value. Exit code 4 if not."""
    from gateway.cli.client import read_file
    from gateway.consentlog.private import MAX_OPENING_BYTES, decode_opening
    from gateway.consentlog.private import verify_opening as verify
    from gateway.errors import Reason, TiergateError

    policy = read_trust(trust)
    if entry is not None and proof is not None and export is None:
        found = _received(entry, proof, policy)
    elif export is not None and index is not None and entry is None and proof is None:
        found = _exported(export, index, policy)
    else:
        raise UsageError("name the decision", "--entry FILE --proof FILE, or --export FOLDER --index NUMBER")
    shown = decode_opening(read_file(opening, MAX_OPENING_BYTES, "name the file that you were given"))
    if found.type != "decision":
        raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the entry is no decision")
    value = verify(shown, found.text("private"))
    document = {"verified": True, "field": shown.field, "value": value, "decision": found.text("id")}
    show(document, lambda: [facts("Verified", document)], as_json=json)


def _received(entry: Path, proof: Path, trust: bytes) -> Entry:
    from gateway.cli.client import read_file
    from gateway.consentlog.entry import MAX_ENTRY_BYTES
    from gateway.consentlog.note import MAX_NOTE_BYTES
    from gateway.consentlog.receipt import prove
    from gateway.consentlog.trust import TrustPolicy

    raw = read_file(entry, MAX_ENTRY_BYTES, "name FILE.entry")
    return prove(raw, read_file(proof, 2 * MAX_NOTE_BYTES, "name FILE.proof"), TrustPolicy.parse(trust)).entry


def _exported(directory: Path, index: int, trust: bytes) -> Entry:
    from gateway.consentlog.verify import verify_export

    require_export(directory)
    found = dict[int, "Entry"]()

    def take(place: int, entry: Entry) -> None:
        if place == index:
            found[place] = entry

    verify_export(directory, trust, take)
    if index not in found:
        raise UsageError("--index is beyond the export")
    return found[index]
