"""``tiergate audit``: read the consent log, and verify what was exported or received, offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.options import LOG_INDEX, AuthoritiesRoot, Json, ProfileFile, SignedBundles, TrustFile
from gateway.cli.output import EXIT_OK, EXIT_UNVERIFIED, UsageError, facts, show
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.consentlog.checkpoint import Checkpoint
    from gateway.consentlog.entry import Entry
    from gateway.consentlog.trust import TrustPolicy
    from gateway.consentlog.verify import VerifiedExport
    from gateway.domain.audit_scope import AuditScope
    from gateway.domain.directory import GatewayPeer

app = App(name="audit", help="An auditor: read, export and verify the consent log.")
app.command("gateway.cli.audit_export:export", name="export", help="Copy the log into a folder that verifies offline.")
app.command("gateway.cli.audit_list:list_entries", name="list", help="List entries, as the gateway tells them.")
app.command("gateway.cli.audit_reconcile:reconcile", name="reconcile", help="Hold an export against a city's journal.")
app.command("gateway.cli.audit_replay:replay", name="replay", help="Recompute every decision of an export.")
app.command("gateway.cli.audit_sample:sample_export", name="sample", help="Draw entries of an export at random.")
app.command(
    "gateway.cli.audit_seal:seal_shard", name="seal", help="The gateway: end a shard of the log, begin the next."
)
app.command("gateway.cli.audit_seal:trust_file", name="trust", help="Write the trust file for a signed directory.")
app.command("gateway.cli.audit_watch:watch", name="watch", help="Watch the log, until stopped: a monitor with alarms.")

app.command("gateway.cli.audit_open:open_entry", name="open", help="The gateway: show one private field of an entry.")
app.command("gateway.cli.audit_open:verify_opening", name="verify-opening", help="Verify a private field shown.")


def entry_document(index: int, entry: Entry) -> dict[str, Any]:
    """A log entry as JSON: its index, type, time (UTC) and fields."""
    from gateway.cli.messages import time_of_ms

    return {"index": index, "type": entry.type, "time": time_of_ms(entry.time)} | dict(entry.fields)


def head_document(head: Checkpoint | VerifiedExport) -> dict[str, Any]:
    """A tree head as JSON."""
    return {"origin": head.origin, "size": head.size, "root": head.root.hex()}


def unchecked_of(verified: VerifiedExport) -> dict[str, int]:
    """What an export's verification could not check for want of earlier shards, over all of its own."""
    found: dict[str, int] = {}
    for shard in verified.shards:
        for what, count in shard.unchecked.items():
            found[what] = found.get(what, 0) + count
    return found


def scope_document(scope: AuditScope) -> list[str] | str:
    """A scope as JSON, as the directory has it."""
    return "all" if scope.cities is None else list(scope.cities)


def require_export(directory: Path) -> None:
    """Return if an export can be there: if anything of one is, its verification says what is missing.

    Raises :class:`UsageError`.
    """
    from gateway.consentlog.export import PARTS

    remedy = "name the folder that `audit export` wrote"
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a folder", remedy)
    if not any(os.path.lexists(directory / name) for name in PARTS):
        raise UsageError(f"{directory}: there is no export here", remedy)


def verified_export(
    directory: Path, trust: bytes, each: Callable[[int, Entry], object]
) -> tuple[VerifiedExport, AuditScope]:
    """An export of either form, verified, and the scope of what is in it; ``each`` as for ``verify_export``.

    Raises what ``verify_export`` and ``verify_scoped`` raise.
    """
    from gateway.consentlog.scoped import is_scoped, scope_of, verify_scoped
    from gateway.consentlog.verify import verify_export
    from gateway.domain.audit_scope import WHOLE_LOG

    if not is_scoped(directory):
        return verify_export(directory, trust, each), WHOLE_LOG
    return verify_scoped(directory, trust, each), scope_of(directory)


def hashes_alone(verified: VerifiedExport) -> int:
    """How many entries a verified export has the hashes of, and nothing else: those out of its scope."""
    return sum(shard.size for shard in verified.shards) - sum(verified.all_entries.values())


@app.command(name="show")
async def show_entry(
    index: Annotated[int, Parameter(validator=LOG_INDEX, help="Position in the log.")],
    *,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Show one entry, with its proof checked against the newest signed checkpoint."""
    from gateway.api.audit.v1 import audit_pb2 as pb
    from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
    from gateway.cli.audit_marks import NOTE, Marks, marked_rung
    from gateway.cli.client import CALL_S, session
    from gateway.cli.downloads import fetch_bundle
    from gateway.cli.profile import read_profile
    from gateway.consentlog.proof import LogProof
    from gateway.consentlog.receipt import prove
    from gateway.consentlog.shard import located

    async with session(read_profile(profile, {"auditor"})) as opened:
        request = pb.GetInclusionProofRequest(index=index)
        stub = AuditServiceStub(opened.channel)
        answer = await stub.GetInclusionProof(request, timeout=CALL_S)
        trust = log_trust(opened.directory.gateway)
        if not answer.entry:
            raise TiergateError(Reason.AUDIT_SCOPE, f"entry {index}")
        proof = LogProof(located(index)[1], tuple(answer.hashes), answer.checkpoint.encode())
        found = prove(answer.entry, proof.to_bytes(), trust)
        if found.log_index != index:
            raise TiergateError(Reason.PROOF_OF_LOG_INVALID, "the checkpoint is of another shard than the entry")
        head = trust.verify(answer.checkpoint.encode()).checkpoint
        mark = await Marks(lambda digest: fetch_bundle(stub, digest)).of(found.entry)
    entry = entry_document(index, found.entry) | mark
    verified = head_document(head)
    note = [NOTE] if mark and mark["illustrative"] is not False else []
    show(
        {"entry": entry, "verified": verified},
        lambda: [
            facts("Entry", {**entry, "rung": marked_rung(entry)} if mark else entry),
            f"proved in the log {head.origin} of {head.size} entries",
            *note,
        ],
        as_json=json,
    )


@app.command
def verify(
    directory: Annotated[Path, Parameter(help="Folder that `audit export` wrote.")],
    *,
    trust: TrustFile,
    root: AuthoritiesRoot = None,
    signed: SignedBundles = None,
    json: Json = False,
) -> int:
    """Verify an export offline: every byte, from the raw entries to a checkpoint that the trust file accepts.

    Of a scoped export the entries in scope, and the hashes of all others. With --root and --signed also that the
    authorities signed the policy bundles: the log has their bytes from the gateway. Exit code 4 when anything does not
    verify, 3 while the export is being written: verify it again when that is done.
    """
    from gateway.cli.audit_signed import Publications, read_authorities

    data = read_trust(trust)
    require_export(directory)
    published = Publications(read_authorities(root, signed))
    verified, scope = verified_export(directory, data, published.take)
    total, hidden = sum(shard.size for shard in verified.shards), hashes_alone(verified)
    unchecked = unchecked_of(verified)
    bundles = sorted(frozenset[str]().union(*(shard.bundles for shard in verified.shards)))
    good = not published.unsigned
    document = {
        "verified": good,
        **head_document(verified),
        "shards": [head_document(shard) | {"sealed": shard.next is not None} for shard in verified.shards],
        "goes_on": verified.next,
        "unchecked": unchecked,
        "entries": dict(verified.all_entries),
        "bundles": bundles,
        "bundle_signatures": published.document(),
        "witnesses": verified.witnesses,
        "scope": scope_document(scope),
        "hashes_alone": hidden,
    }
    line = (
        f"{'verified' if good else 'the log itself verifies'}: {total} entries and {len(bundles)} policy bundle(s) of"
        f" {verified.origin}, {verified.witnesses} witness(es), root {verified.root.hex()}"
    )
    if scope.cities is not None:
        line += f"; entries of {', '.join(scope.cities)}, of {hidden} others the hashes alone"
    if verified.earlier:
        line += f"; {len(verified.shards)} shards, each going on where the one before it was sealed"
    if unchecked:
        line += "; NOT CHECKED, for want of earlier shards: "
        line += ", ".join(f"{what} ({count})" for what, count in sorted(unchecked.items()))
    beyond = f"the last shard is sealed: the log goes on under {verified.next}, which is NOT in this export"
    told = [line, *([] if verified.next is None else [beyond]), *published.words()]
    show(document, lambda: [facts("Entries by type", verified.all_entries), *told], as_json=json)
    return EXIT_OK if good else EXIT_UNVERIFIED


@app.command
def verify_receipt(
    *,
    trust: TrustFile,
    entry: Annotated[
        Path, Parameter(name="--entry", help="The entry, as `check --receipt-out` wrote it (FILE.entry).")
    ],
    proof: Annotated[Path, Parameter(name="--proof", help="The proof (FILE.proof).")],
    json: Json = False,
) -> None:
    """Verify a receipt offline: that its entry, of whatever type, is in a log that the trust file accepts.

    It says what it is a receipt of: a decision, or what else. Exit code 4 when it does not verify.
    """
    from gateway.cli.client import read_file
    from gateway.consentlog.entry import MAX_ENTRY_BYTES
    from gateway.consentlog.note import MAX_NOTE_BYTES
    from gateway.consentlog.proof import LogProof
    from gateway.consentlog.receipt import prove
    from gateway.consentlog.trust import TrustPolicy

    policy = TrustPolicy.parse(read_trust(trust))
    raw = read_file(entry, MAX_ENTRY_BYTES, "name FILE.entry")
    text = read_file(proof, 2 * MAX_NOTE_BYTES, "name FILE.proof")
    found = prove(raw, text, policy)
    verified = LogProof.parse(text).verify(raw, policy)
    head = verified.checkpoint
    # names are octets: what is no text is shown escaped
    witnesses = sorted(name.decode("utf-8", "backslashreplace") for name in verified.witnessed)
    shown = entry_document(found.log_index, found.entry)
    kind = found.entry.type
    what = "of a decision" if kind == "decision" else f"of an entry of type {kind}, NOT of a decision"
    last = (
        f"verified: the receipt {what}, in the log {head.origin} of {head.size} entries, {len(witnesses)} witness(es)"
    )
    show(
        {"verified": True, "receipt_of": kind, "entry": shown, "log": head_document(head), "witnesses": witnesses},
        lambda: [facts("Entry", shown), last],
        as_json=json,
    )


def log_trust(gateway: GatewayPeer) -> TrustPolicy:
    """Trust in the log's keys that the directory names, of all shards, without witnesses."""
    from gateway.consentlog.trust import TrustPolicy, directory_trust

    return TrustPolicy.parse(directory_trust(gateway))


def read_trust(path: Path) -> bytes:
    """A trust file that can be read; CONFIG_INVALID when it cannot, which is no verdict on any log."""
    from gateway.cli.client import read_file
    from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy

    data = read_file(path, MAX_TRUST_BYTES, "name the trust file that you were given")
    try:
        TrustPolicy.parse(data)
    except TiergateError as error:
        problem = Problem(str(path), "", error.detail, "a trust file has log and quorum lines (C2SP tlog-policy)")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    return data
