"""Follows a change of the city's own keys while the adapter runs: take up, remember, forget what no longer verifies.

Called at the start and after every SIGHUP, whatever became of the signed files: a key is taken up because its file is
another one *and* the directory in force lists it; one of the two alone changes nothing, or stops the signing.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from adapters.alarms import Alarms
from adapters.clock import Clock
from adapters.custody import CityKeys, Custody
from adapters.store.city_store import CityStore
from adapters.store.signing import DropAttestations, UseKeys
from gateway.crypto.attestation import TYP
from gateway.crypto.jws import header_segment
from gateway.domain.directory import CityPeer
from gateway.errors import TiergateError

_log = structlog.get_logger(__name__)


class KeyFollower:
    """Keeps ``custody`` with the directory. ``read`` loads the key files as they are now, and may raise KEY_INVALID."""

    def __init__(
        self, custody: Custody, read: Callable[[], CityKeys], store: CityStore, alarms: Alarms, clock: Clock
    ) -> None:
        self._custody = custody
        self._read = read
        self._store = store
        self._alarms = alarms
        self._clock = clock
        self._vouching: frozenset[str] | None = None  # headers of attestations that may be stored; None: not looked yet

    async def follow(self, city: CityPeer, file: str) -> None:
        """Look at the key files again, under the directory in force (``city`` in ``file``). Raises STORE_*."""
        found: CityKeys | None = None
        try:
            found = self._read()
        except TiergateError as error:
            # the directory may have removed a key at this very moment: that must not wait for a file to be mended
            self._alarms.alarm("signing_key_unlisted")
            _log.error("key_files_refused", reason=error.reason.value, detail=error.detail)
        before = self._custody.signing()
        for problem in self._custody.take(found, city, file):
            self._alarms.alarm("signing_key_unlisted")
            _log.error("key_not_taken_up", detail=str(problem))
        signing = self._custody.signing()
        for purpose, kid in signing.items():
            if before.get(purpose) != kid:
                _log.info("key_taken_up", kind=purpose, key=kid)
        await self.remember(city)

    async def remember(self, city: CityPeer) -> None:
        """Store since when which key signs, and drop stored attestations that no listed key signed. Raises STORE_*."""
        await self._store.submit(UseKeys(self._custody.signing(), self._clock.now_ms() // 1000))
        listed = frozenset(header_segment(key.alg, key.kid, TYP) for key in city.keys if key.purpose == "attestation")
        if self._vouching is None or not self._vouching <= listed:
            await self._store.submit(DropAttestations(sorted(listed)))
        self._vouching = listed
