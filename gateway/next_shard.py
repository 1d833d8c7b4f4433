"""Which key the log is signed with, and going on with the next one while checks go on.

The order to go on is a signed directory: it names the key in ``log.key.next`` as the log's, and the one in use last
among the earlier ones. The reload or the start that takes this directory seals the newest shard
(``gateway.storage.sealing``); a start compares its head with witnesses before.

- A key that the directory does not trust any more MUST NOT seal: nothing is signed until the authorities have said
  until when it is trusted (``tests/unit/test_next_shard.py``).
- No check MUST fail because of a seal (``tests/e2e/test_live_seal.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from gateway.config import GatewayConfig
from gateway.consentlog.key_file import read_signer
from gateway.consentlog.note import SignerKey, VerifierKey
from gateway.domain.directory import GatewayPeer
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy.installed import Installed
from gateway.ports import Clock
from gateway.storage.sealing import Policy, current_signer, next_key_file, replace_key
from gateway.storage.sqlite_store import SqliteStore
from gateway.witnessed import Witnessed

log = structlog.get_logger("gateway")
RETRY_S = 1.0


def listed_signer(database: Path, log_key: Path, gateway: GatewayPeer, clock: Clock) -> SignerKey:
    """The key of the log's newest shard at start: the one that the directory lists, or that may seal for it.

    Raises CONFIG_INVALID, KEY_INVALID, STORE_BUSY or STORE_FAILED.
    """
    signer = current_signer(database, log_key)
    if str(signer.verifier) != gateway.log_vkey and not ordered(log_key, gateway, signer.verifier, clock):
        problem = Problem(str(log_key), "", "is not the log key that the directory lists")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    return signer


def distrusted(gateway: GatewayPeer, held: str, now_s: int) -> str | None:
    """Why the key in use may not seal its shard, by a directory that lists another key; None: it may."""
    if not gateway.earlier_logs or gateway.earlier_logs[-1].vkey != held:
        return "the directory does not name the present key as the last of the earlier"
    if now_s >= gateway.earlier_logs[-1].until:
        return "the present key is trusted no more by the directory: entries made since would be refused"
    return None


def ordered(log_key: Path, gateway: GatewayPeer, held: VerifierKey, clock: Clock) -> SignerKey | None:
    """The next shard's key, if this directory is the order to go on with it. Raises KEY_INVALID."""
    file = next_key_file(log_key)
    if gateway.log_vkey == str(held) or not file.exists():
        return None
    against = distrusted(gateway, str(held), clock.now_ms() // 1000)
    if against is not None:
        log.error("seal_refused", detail=against)
        return None
    coming = read_signer(file)
    return coming if gateway.log_vkey == str(coming.verifier) else None


class NextShard:
    """The going on of one running gateway."""

    def __init__(
        self,
        config: GatewayConfig,
        store: SqliteStore,
        witnessed: Witnessed,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._log_key, self._store, self._witnessed, self._clock = config.log_key, store, witnessed, clock
        self._sleep = sleep

    def coming(self, gateway: GatewayPeer, held: VerifierKey) -> SignerKey | None:
        """See :func:`ordered`."""
        return ordered(self._log_key, gateway, held, self._clock)

    async def seal(self, coming: SignerKey, installed: Installed) -> None:
        """Seal the newest shard; the log then goes on in the next one, and witnesses are asked about both.

        Once the transaction may have been committed there is no way back: trouble with the file is waited out.
        Raises CONFIG_INVALID for a trust file that lacks the next key, KEY_INVALID, LOG_UNAVAILABLE: nothing is done.
        """
        trust = self._witnessed.prepare(coming)
        policies = [
            Policy(item.digest, item.version, installed.bundle_bytes[item.digest])
            for item in installed.timeline.bundles
        ]
        async with self._witnessed.resting():
            # what witnesses have said of the shard, and is on its way to be kept, comes before its end
            await self._store.aside(lambda _connection: 0)
            while True:
                try:
                    await self._store.seal(coming, policies, installed.directory.version)
                    self._witnessed.follow(coming, trust)
                except TiergateError as error:
                    if error.reason not in {Reason.LOG_UNAVAILABLE, Reason.STORE_FAILED, Reason.STORE_BUSY}:
                        raise
                    log.warning("seal_delayed", reason=error.reason.value, detail=error.detail)
                    await self._sleep(RETRY_S)
                else:
                    break
        log.info("shard_sealed", origin=coming.name)

    def finish(self, held: VerifierKey, gateway: GatewayPeer) -> None:
        """Put the key of a log that goes on in its place. What fails is told, and mended at a reload or a start."""
        if gateway.log_vkey != str(held):
            log.error("log_key_unlisted", file=self._log_key.name)
        file = next_key_file(self._log_key)
        try:
            if file.exists() and read_signer(file).verifier == held:
                replace_key(self._log_key)
        except TiergateError as error:
            log.warning("log_key_not_in_place", file=file.name, reason=error.reason.value, detail=error.detail)
