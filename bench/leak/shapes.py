"""What an operator and the log see of each reason but for the time: bytes, metadata, status, entries, receipts.

What is masked is what differs between any two answers: ids, times, indices and proofs. Of ids and digests the length
stays, of times the span for which an answer holds.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from google.protobuf.timestamp_pb2 import Timestamp

from bench.leak.classes import Reason
from bench.leak.stage import CHECK, Reply, Stage
from bench.material import Consent, check_request
from gateway.api.operator.v1 import operator_pb2 as api
from gateway.transport.errors import REQUEST_ID_KEY

_SERVICE = CHECK.rpartition("/")[0]
BATCH, RECEIPT = f"{_SERVICE}/BatchCheckEligibility", f"{_SERVICE}/GetReceipt"
USES = 4
_SPAN_S = 60
_BEFORE = "before: "
"""Begins the name of a question that is asked of some reasons alone, and not compared."""
_EPOCH = Timestamp(seconds=1)
_READ = b'"type":"audit_read"'
"""In the entries that reading the log itself has made."""
_NUMBERS, _DIGESTS = {"time", "valid_until", "expires", "consent"}, {"id", "token", "private"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One answer. ``jump``: how far the log's index moved; ``entries``: (type, masked entry) of what was added."""

    status: str
    text: str
    initial: tuple[tuple[str, str], ...]
    trailing: tuple[tuple[str, str], ...]
    payload: bytes
    jump: int
    entries: tuple[str, ...]


def _masked_entry(raw: bytes) -> bytes:
    entry: dict[str, str | int] = json.loads(raw)
    for name, value in entry.items():
        if name in _NUMBERS:
            entry[name] = 0
        elif name in _DIGESTS and isinstance(value, str):
            entry[name] = "#" * len(value)
    return json.dumps(entry, separators=(",", ":")).encode()


def _mask_receipt(receipt: api.Receipt) -> None:
    if receipt.entry:
        receipt.entry = _masked_entry(receipt.entry)
        receipt.proof = receipt.proof.split("\n", 1)[0]  # the kind of proof; its hashes are those of its place


def _mask_decision(decision: api.Decision) -> int:
    """Mask; the log's index as it was."""
    index = decision.log_index
    span = decision.valid_until.seconds - decision.decided_at.seconds
    decision.decision_id = "#" * len(decision.decision_id)
    decision.decided_at.CopyFrom(_EPOCH)
    decision.valid_until.CopyFrom(Timestamp(seconds=2 + (span + _SPAN_S // 2) // _SPAN_S))
    decision.log_index = 1
    if decision.HasField("receipt"):
        _mask_receipt(decision.receipt)
    return index


def _masked(method: str, payload: bytes) -> tuple[bytes, int | None]:
    """The reply without what always differs, and the last index that it names."""
    index: int | None = None
    message: api.CheckEligibilityResponse | api.BatchCheckEligibilityResponse | api.GetReceiptResponse
    if method == CHECK:
        message = api.CheckEligibilityResponse.FromString(payload)
        index = _mask_decision(message.decision)
    elif method == BATCH:
        message = api.BatchCheckEligibilityResponse.FromString(payload)
        for item in message.results:
            item.request_id = "#" * len(item.request_id)
            if item.HasField("decision"):
                index = _mask_decision(item.decision)
    else:
        message = api.GetReceiptResponse.FromString(payload)
        _mask_receipt(message.receipt)
    return message.SerializeToString(deterministic=True), index


def _metadata(pairs: Sequence[tuple[str, str | bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((key, f"{len(value)} characters" if key == REQUEST_ID_KEY else repr(value)) for key, value in pairs)


class _Interview:
    """Asks about one reason's consents everything that can be asked, one question after the other."""

    def __init__(
        self, stage: Stage, reason: Reason, unlimited: Consent, counted: Consent, single: Consent | None
    ) -> None:
        self._stage = stage
        self._reason = reason
        self._unlimited = unlimited
        self._counted = counted
        self._single = single
        self.replies: dict[str, tuple[str, Reply]] = {}

    async def hold(self) -> None:
        """Ask."""
        for name, consent in (("unlimited", self._unlimited), ("counted", self._counted)):
            # the first check of a consent that has been used is behind it; one more brings the log to the same point
            first = f"{_BEFORE}{name}" if self._reason.used else f"{name}: first"
            await self._ask(first, self._stage.request(consent, receipt=True))
            request_id = secrets.token_urlsafe(16)
            await self._ask(f"{name}: next", self._stage.request(consent, request_id))
            await self._ask(f"{name}: a retry", self._stage.request(consent, request_id))
            await self._ask(f"{name}: with receipt", self._stage.request(consent, receipt=True))
        index = api.CheckEligibilityResponse.FromString(self.replies["counted: next"][1].payload).decision.log_index
        await self._ask("a receipt later", api.GetReceiptRequest(log_index=index).SerializeToString(), RECEIPT)
        await self._ask("a batch of both", self._batch(), BATCH)
        await self._ask("no use is left", self._stage.request(self._counted))
        await self._ask("no proof", self._stage.request(Consent(self._unlimited.token, "")))
        foreign = self._unlimited.proof
        await self._ask("another's proof", self._stage.request(Consent(self._counted.token, foreign)))
        if self._single is not None:
            await self._ask("a proof too many", self._stage.request(Consent(self._single.token, foreign)))
            await self._ask("single: the one use", self._stage.request(self._single))
            await self._ask("single: no use is left", self._stage.request(self._single))

    def _batch(self) -> bytes:
        items = [check_request(self._stage.world, consent) for consent in (self._unlimited, self._counted)]
        for item in items:
            item.request_id, item.want_receipt = secrets.token_urlsafe(16), True
        return api.BatchCheckEligibilityRequest(items=items).SerializeToString()

    async def _ask(self, name: str, request: bytes, method: str = CHECK) -> None:
        self.replies[name] = method, await self._stage.call(request, method)


async def shapes(stage: Stage, reasons: Sequence[Reason]) -> dict[str, dict[str, Shape]]:
    """The shapes of every answer, by reason and question."""
    stage.gate.open()
    interviews: dict[str, _Interview] = {}
    for reason in sorted(reasons, key=lambda item: item.cut_off):
        if reason.cut_off:
            stage.gate.shut()
        uses = USES + 1 if reason.used else USES
        unlimited, counted = await reason.prepare(stage, 0), await reason.prepare(stage, uses)
        single = None if reason.used else await reason.prepare(stage, 1)  # its use would be behind it
        interviews[reason.name] = _Interview(stage, reason, unlimited, counted, single)
    begins = {}
    for name, interview in interviews.items():
        begins[name] = len(await stage.log())
        await interview.hold()
    log = await stage.log()
    return {name: _described(interviews[name].replies, begin, log) for name, begin in begins.items()}


def _described(replies: Mapping[str, tuple[str, Reply]], begin: int, log: Sequence[bytes]) -> dict[str, Shape]:
    found, last = {}, begin - 1
    for name, (method, reply) in replies.items():
        payload, index = _masked(method, reply.payload) if reply.payload else (b"", None)
        added: Sequence[bytes] = ()
        if index is not None and index > last:
            added, last = [entry for entry in log[last + 1 : index + 1] if _READ not in entry], index
        if name.startswith(_BEFORE):
            continue
        found[name] = Shape(
            reply.status,
            reply.text,
            _metadata(reply.initial),
            _metadata(reply.trailing),
            payload,
            len(added),
            tuple(_masked_entry(entry).decode() for entry in added),
        )
    return found


def differences(found: Mapping[str, Mapping[str, Shape]]) -> list[str]:
    """What tells one reason from another, a line each; of none there is nothing to read."""
    lines = []
    for one, two in combinations(found, 2):
        for question in found[one].keys() & found[two].keys():
            first, second = found[one][question], found[two][question]
            lines += [
                f"{one} | {two} | {question}: {part}: {_apart(getattr(first, part), getattr(second, part))}"
                for part in Shape.__slots__
                if getattr(first, part) != getattr(second, part)
            ]
    return lines


def _apart(one: object, two: object) -> str:
    """Two values from shortly before the place where they part."""
    first, second = repr(one), repr(two)
    begin = next((place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    cut = slice(max(0, begin - 20), begin + 40)
    return f"{first[cut]} | {second[cut]}"
