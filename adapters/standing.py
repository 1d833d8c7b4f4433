"""The signed files that an adapter stands on: read, remembered, and followed through time."""

from __future__ import annotations

import asyncio

from adapters.clock import Clock
from adapters.config import AdapterSettings
from adapters.reference import Reference, load_reference
from adapters.store.city_store import CityStore, SeeVersion
from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.policy.installed import Seen


class Standing:
    """Directory and bundle in force. ``take`` before anything else."""

    _reference: Reference

    def __init__(self, settings: AdapterSettings, store: CityStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._taken = False

    async def take(self) -> Reference:
        """Read the files, and go by them. What they must not fall behind is remembered first, for a restart, too.

        Raises what ``load_reference`` raises, and DIRECTORY_INVALID when the gateway has another address than before;
        then what was in force stays.
        """
        settings = self._settings
        reference = await asyncio.to_thread(  # attestations go on while a large bundle is read
            load_reference,
            CityId(settings.city),
            settings.root,
            settings.directory,
            settings.bundle,
            now_s=self._clock.now_ms() // 1000,
            seen=Seen.of(self._store.seen()),
            held=self._reference.timeline if self._taken else None,
        )
        endpoint = reference.directory.gateway.endpoint
        if self._taken and endpoint != self._reference.directory.gateway.endpoint:
            detail = "the gateway has moved to another address; restart the adapter"
            raise TiergateError(Reason.DIRECTORY_INVALID, detail)
        for name, number in reference.seen.numbers().items():
            await self._store.submit(SeeVersion(name, number))
        self._reference, self._taken = reference, True
        return reference

    def in_force(self) -> Reference:
        """Directory and bundle of this moment: a bundle that was installed before takes effect without a reload."""
        self._reference = self._reference.at(self._clock.now_ms() / 1000)
        return self._reference

    def files(self) -> tuple[Directory, Bundle]:
        """The same as plain documents."""
        reference = self.in_force()
        return reference.directory, reference.bundle
