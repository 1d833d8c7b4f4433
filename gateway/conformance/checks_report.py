"""Use reports: acknowledged once they are held, refused when they do not lead into the log."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.conformance import residents
from gateway.conformance.check import Check, require
from gateway.conformance.deployment import DEPLOYMENT, ORIGIN
from gateway.conformance.policies import LADDER, LIBRARY
from gateway.conformance.session import REPORT, Kit, claims_of
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import encode
from gateway.consentlog.merkle import inclusion_proof, leaf_hash, root_of
from gateway.consentlog.note import SignerKey, sign_note


class KitLog:
    """The kit's own consent log: one file that grows from run to run."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.entries = [line.encode("ascii") for line in file.read_text("ascii").splitlines()] if file.exists() else []
        if not self.entries:
            self.append(type="genesis", origin=ORIGIN, deployment=DEPLOYMENT)

    def append(self, **fields: str | int) -> int:
        """Append an entry; its index."""
        entry = encode({"v": 1, "time": int(time.time()) * 1000, **fields})
        with self._file.open("ab") as file:
            file.write(entry + b"\n")
        self.entries.append(entry)
        return len(self.entries) - 1

    def checkpoint(self, signer: SignerKey) -> str:
        """A signed checkpoint of the log as it is."""
        root = root_of(map(leaf_hash, self.entries))
        return sign_note(Checkpoint(ORIGIN, len(self.entries), root).body(), [signer]).decode()

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """The proof of an entry, leaf to root."""
        return tuple(inclusion_proof(index, len(self.entries), self._subtree))

    def _subtree(self, level: int, index: int) -> bytes:
        return root_of(map(leaf_hash, self.entries[index << level : (index + 1) << level]))


async def _reported(kit: Kit) -> peer.ReportUsesRequest:
    """A true report of a use that the city has just attested, entitled."""
    token = (await kit.grant(residents.resident("top").ref)).token
    claims = claims_of((await kit.attest(token)).attested().attestation)
    log = KitLog(kit.deployment.log_file)
    now_s = int(time.time())
    consent = log.append(
        type="consent_registered", city=kit.deployment.city, operator=LIBRARY, token=secrets.token_hex(32),
        bound="none", expires=now_s + 86_400,
    )  # fmt: skip
    registered = json.loads(log.entries[consent])
    index = log.append(
        type="decision",
        id=secrets.token_hex(16),
        city=kit.deployment.city,
        operator=LIBRARY,
        scenario=LADDER,
        bundle=kit.deployment.bundle.digest,
        consent=consent,
        token=registered["token"],
        private=secrets.token_hex(32),
        outcome="entitled",
        rung=3,
        valid_until=(now_s + 300) * 1000,
    )
    report = peer.UseReport(
        attestation_id=claims["jti"],
        outcome=peer.USE_OUTCOME_ENTITLED,
        log_index=index,
        entry=log.entries[index],
        inclusion=log.inclusion(index),
    )
    return peer.ReportUsesRequest(reports=[report], checkpoint=log.checkpoint(kit.deployment.log_key))


async def _acknowledged(kit: Kit, request: peer.ReportUsesRequest) -> int:
    reply = await kit.call(REPORT, request)
    require(reply.code == "OK", "an acknowledgement", reply.shown)
    return peer.ReportUsesResponse.FromString(reply.data).acknowledged_index


async def acknowledged(kit: Kit) -> None:
    """One report."""
    request = await _reported(kit)
    index = await _acknowledged(kit, request)
    require(index == request.reports[0].log_index, "the index of the last report", "another")


async def repeated(kit: Kit) -> None:
    """The same report three times."""
    request = await _reported(kit)
    indexes = {await _acknowledged(kit, request) for _ in range(3)}
    require(len(indexes) == 1, "the same acknowledgement each time", f"{len(indexes)} different ones")


async def wrong(kit: Kit, spoil: Callable[[Kit, peer.ReportUsesRequest], None]) -> None:
    """A report that is changed in one way; the true one is taken afterwards."""
    request = await _reported(kit)
    changed = peer.ReportUsesRequest()
    changed.CopyFrom(request)
    spoil(kit, changed)
    (await kit.call(REPORT, changed)).refused("REPORT_INVALID")
    await _acknowledged(kit, request)


def _inclusion(_kit: Kit, request: peer.ReportUsesRequest) -> None:
    request.reports[0].inclusion[0] = bytes(32)


def _signer(kit: Kit, request: peer.ReportUsesRequest) -> None:
    request.checkpoint = KitLog(kit.deployment.log_file).checkpoint(kit.deployment.other_log_key)


def _entry(_kit: Kit, request: peer.ReportUsesRequest) -> None:
    request.reports[0].entry = request.reports[0].entry.replace(b'"rung":3', b'"rung":2')


def _outcome(_kit: Kit, request: peer.ReportUsesRequest) -> None:
    request.reports[0].outcome = peer.USE_OUTCOME_ORDINARY


def _order(_kit: Kit, request: peer.ReportUsesRequest) -> None:
    request.reports.append(request.reports[0])


_WRONG: tuple[tuple[str, str, Callable[[Kit, peer.ReportUsesRequest], None]], ...] = (
    ("inclusion", "A report whose proof does not lead to the checkpoint is refused.", _inclusion),
    ("signer", "A checkpoint that another key signed is refused.", _signer),
    ("entry", "An entry that was changed is refused.", _entry),
    ("outcome", "A report that says another outcome than its entry is refused.", _outcome),
    ("order", "Reports that do not rise are refused.", _order),
)
CHECKS = (
    Check("report.acknowledged", "A true report is acknowledged.", "peer.proto ReportUses", acknowledged),
    Check("report.repeated", "A repeated report is acknowledged as before.", "peer.proto ReportUses", repeated),
    *(
        Check(f"report.{name}", says, "peer.proto ReportUses; RFC 9162", partial(wrong, spoil=spoil))
        for name, says, spoil in _WRONG
    ),
)
