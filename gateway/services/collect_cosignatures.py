"""Collect witnesses' cosignatures for the newest checkpoint (C2SP tlog-witness), beside the decision path.

A round takes the newest checkpoint to all witnesses at once, one request at a time each. As soon as the answers satisfy
the trust policy, the checkpoint is kept with its cosignatures; what is published follows from that alone. A witness
that has seen more than we have, or something else, says that this log may be a restored copy: an alarm of its own, and
at the start a refusal to sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import decode_decimal, encode_base64
from gateway.consentlog.merkle import EMPTY_ROOT
from gateway.consentlog.note import SignerKey, VerifierKey, open_note, parse_note, sign_note
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.witness import AddCheckpoint, Answer
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, Cosigned

log = structlog.get_logger("gateway")
TRIES = 4
MAX_BACKOFF_S = 15.0


class WitnessPort(Protocol):
    """A witness, as asked over the network."""

    async def add_checkpoint(self, request: bytes) -> Answer:
        """Send a request; its answer, not yet verified. Raises PEER_UNREACHABLE."""
        ...


class Heads(Protocol):
    """What is shown to witnesses of one tree: its newest checkpoint, and proofs up to there (see ``LogReader``)."""

    def size(self) -> int:
        """Size of the tree."""
        ...

    def checkpoint(self) -> str:
        """The newest signed checkpoint; empty before the first."""
        ...

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Consistency proof between two sizes."""
        ...


class CosignedStore(Protocol):
    """Where the newest checkpoint that satisfies the policy is kept."""

    def newest(self) -> Cosigned | None:
        """The newest one; None before the first."""
        ...

    async def keep(self, cosigned: Cosigned) -> None:
        """Keep one, durably; an older one than is kept changes nothing."""
        ...


class Pace(NamedTuple):
    """Seconds: between rounds; after which an unchanged checkpoint is cosigned anew; without a quorum, until alarm."""

    interval_s: float
    refresh_s: float
    alarm_after_s: float


@dataclass
class WitnessView:
    """What is known of one witness: the size it is at, when it last cosigned (Unix seconds; 0: not since the start)."""

    name: str
    key: VerifierKey
    port: WitnessPort
    size: int = 0
    last_success_s: float = 0.0
    conflict: bool = False
    failures: int = 0
    due: float = 0.0
    busy: bool = False


class ConflictError(TiergateError):
    """A witness has seen a larger log of this origin, or another history."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(Reason.LOG_BEHIND, f"witness {name} {detail}")


class CollectCosignatures:
    """The collector of one gateway."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: Heads,
        signer: SignerKey,
        trust: TrustPolicy,
        witnesses: Mapping[str, WitnessPort],
        store: CosignedStore,
        pace: Pace,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``witnesses`` by their names in ``trust``. ``signer``: a log without entries is shown as an empty tree."""
        self._clock, self._log, self._trust, self._store, self._pace = clock, log, trust, store, pace
        self._signer = signer
        self._sleep = sleep
        self.witnesses = [WitnessView(name, trust.witnesses[name.encode()], port) for name, port in witnesses.items()]
        self.failing = False
        self._satisfied_at = clock.monotonic()
        self._done = ""
        self._tasks: set[asyncio.Task[str]] = set()

    async def compare(self) -> None:
        """Compare the head with every witness that can be reached, before anything is signed. Raises LOG_BEHIND."""
        head = self._log.checkpoint()
        if not head:
            head = sign_note(Checkpoint(self._signer.name, 0, EMPTY_ROOT).body(), [self._signer]).decode()
        await asyncio.gather(*(self._try(witness, head) for witness in self.witnesses))
        against = [witness.name for witness in self.witnesses if witness.conflict]
        if against:
            raise TiergateError(Reason.LOG_BEHIND, f"witnesses have seen more, or another history: {against}")

    async def run(self) -> None:
        """Collect until cancelled."""
        try:
            while True:
                try:
                    await self.collect_once()
                except TiergateError as error:  # the store's trouble: told, and tried again
                    log.warning("cosignatures_not_kept", reason=error.reason.value, detail=error.detail)
                self._judge()
                await self._sleep(self._pace.interval_s)
        finally:
            for task in self._tasks:
                task.cancel()

    async def collect_once(self) -> bool:
        """One round; whether the newest checkpoint is kept as cosigned. Raises what keeping it raises."""
        head, now = self._log.checkpoint(), self._clock.monotonic()
        if not head or (head == self._done and now - self._satisfied_at < self._pace.refresh_s):
            return bool(head)
        asked = {
            asyncio.create_task(self._try(witness, head)): witness.name
            for witness in self.witnesses
            if not witness.busy and witness.due <= now
        }
        for task in asked:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lines: dict[str, str] = {}
        pending = set(asked)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            lines |= {asked[task]: task.result() for task in done if task.result()}
            if self._met(lines):
                await self._keep(head + "".join(lines.values()))
                self._done, self._satisfied_at = head, self._clock.monotonic()
                return True
        return False

    def _met(self, lines: Mapping[str, str]) -> bool:
        try:
            self._trust.require_quorum({name.encode() for name in lines})
        except TiergateError:
            return False
        return bool(lines)

    async def _keep(self, note: str) -> None:
        verified = self._trust.verify(note.encode())  # what is published satisfies the policy as a whole
        await self._store.keep(Cosigned(verified.checkpoint.size, note, self._clock.now_ms()))

    def _judge(self) -> None:
        late = self._clock.monotonic() - self._satisfied_at > self._pace.alarm_after_s
        if late and not self.failing:
            log.error("quorum_failed", alarm="quorum", log_size=self._log.size(), state="failed")
        elif self.failing and not late:
            log.info("quorum_restored", log_size=self._log.size(), state="met")
        self.failing = late

    # -- one witness ---------------------------------------------------------------------------------------------

    async def _try(self, witness: WitnessView, head: str) -> str:
        """The witness's signature line, or nothing; whatever goes wrong is noted, and puts off its next turn."""
        witness.busy = True
        try:
            line = await self._ask(witness, head)
        except Exception as error:  # noqa: BLE001 - one witness's trouble, whatever it is, must not end the others'
            self._failed(witness, error)
            return ""
        finally:
            witness.busy = False
        if witness.failures:
            log.info("witness_back", peer=witness.name, state="ok")
        witness.failures, witness.conflict, witness.due = 0, False, 0.0
        witness.last_success_s = self._clock.now_ms() / 1000
        return line

    def _failed(self, witness: WitnessView, error: Exception) -> None:
        known = error if isinstance(error, TiergateError) else TiergateError(Reason.INTERNAL, type(error).__name__)
        conflict = isinstance(error, ConflictError)
        if conflict and not witness.conflict:
            log.error("witness_conflict", alarm="witness_conflict", peer=witness.name, detail=known.detail)
        elif not witness.failures:
            log.warning("witness_lost", peer=witness.name, reason=known.reason.value, detail=known.detail)
        witness.conflict = witness.conflict or conflict  # until it cosigns again
        witness.failures += 1
        pause = min(self._pace.interval_s * 2 ** min(witness.failures, 10), MAX_BACKOFF_S)
        witness.due = self._clock.monotonic() + pause

    async def _ask(self, witness: WitnessView, head: str) -> str:
        size = Checkpoint.parse(parse_note(head.encode()).text).size
        old = min(witness.size, size)
        for _ in range(TRIES):
            proof = tuple(await asyncio.to_thread(self._log.consistency, old, size)) if 0 < old < size else ()
            answer = await witness.port.add_checkpoint(AddCheckpoint(old, proof, head.encode()).to_bytes())
            match answer.status:
                case 200:
                    line = _own_line(head.encode(), answer.body, witness.key)
                    witness.size = size
                    return line
                case 409:
                    old = self._told(witness, answer.body, old, size)
                case 422:
                    raise ConflictError(witness.name, f"has seen another history than that of size {size}")
                case status:
                    raise TiergateError(Reason.PEER_WRONG, f"answered with status {status}")
        raise TiergateError(Reason.PEER_UNREACHABLE, "tells another size each time")

    def _told(self, witness: WitnessView, body: bytes, old: int, size: int) -> int:
        """The size that a witness says it is at, if a proof from there can be made. Raises ConflictError."""
        try:
            told = decode_decimal(body.decode("ascii").removesuffix("\n"))
        except ValueError as error:
            raise TiergateError(Reason.PEER_WRONG, "answered 409 without a size") from error
        witness.size = told
        if told > self._log.size():
            raise ConflictError(witness.name, f"has seen {told} entries, the log has {self._log.size()}")
        if told > size:
            raise TiergateError(Reason.PEER_UNREACHABLE, "was shown a newer checkpoint meanwhile")
        if told == old == size:
            raise ConflictError(witness.name, f"has seen another root of size {size}")
        return told


def _own_line(head: bytes, answer: bytes, key: VerifierKey) -> str:
    """The witness's line out of its answer, verified; lines of other keys are ignored. Raises NOTE_INVALID."""
    note = head + answer
    open_note(note, [key])
    line = next(item for item in parse_note(note).signatures if (item.name, item.key_id) == (key.name, key.id))
    return f"— {line.name} {encode_base64(line.key_id + line.signature)}\n"
