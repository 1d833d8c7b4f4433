"""Live attestations of unlimited tokens, in memory, for at most their lifetime (I4, I7).

Never authority: the log's transaction reads withdrawals again. An entry costs about 2.5 KiB.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.crypto.attestation import Attestation
from gateway.domain.directory import Directory, DirectoryKey
from gateway.domain.ids import BundleDigest, CityId, ScenarioId
from gateway.ports import AttestationRecord

Key = tuple[bytes, ScenarioId, BundleDigest]


@dataclass(frozen=True, slots=True)
class LiveAttestation:
    """A verified attestation; ``deadline`` is its end on the gateway's own monotonic clock (seconds).

    ``asked_at_size``: the log's size before the city was asked for it.
    """

    attestation: Attestation
    record: AttestationRecord
    deadline: float
    asked_at_size: int


class AttestationCache:
    """Bounded; the oldest entry makes room. ``epoch`` lets a flush win over answers that were under way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._live: dict[Key, LiveAttestation] = {}
        self._epochs: dict[CityId, int] = {}
        self._listed: dict[CityId, list[DirectoryKey]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def epoch(self, city: CityId) -> int:
        """Number of flushes of a city so far; taken before the city is asked and given back to ``put``."""
        return self._epochs.get(city, 0)

    def get(self, key: Key, monotonic: float, now_s: float) -> LiveAttestation | None:
        """The entry while it lives on both clocks: a wall clock set back must not lengthen a life."""
        found = self._live.get(key)
        if found is None:
            return None
        if found.deadline <= monotonic or found.attestation.expires_at <= now_s:
            del self._live[key]
            return None
        return found

    def put(self, key: Key, live: LiveAttestation, epoch: int) -> None:
        """Keep an attestation, unless its city has been flushed since ``epoch`` was taken."""
        if self._limit <= 0 or epoch != self.epoch(live.attestation.issuer):
            return
        self._live.pop(key, None)
        if len(self._live) >= self._limit:
            del self._live[next(iter(self._live))]
        self._live[key] = live

    def follow(self, directory: Directory) -> None:
        """Drop the entries of each city that no longer lists one of its keys: that key must vouch for nothing more.

        To be called with every directory that is worked by, the first one included. The others' entries stay; else
        every reload would have all cities asked at once about everybody.
        """
        listed = {
            city: [key for key in peer.keys if key.purpose == "attestation"] for city, peer in directory.cities.items()
        }
        for city, keys in self._listed.items():
            if any(key not in listed.get(city, ()) for key in keys):
                self.flush(city)
        self._listed = listed

    def flush(self, city: CityId) -> None:
        """Drop every entry of a city; a correction does, which names no person."""
        self._epochs[city] = self._epochs.get(city, 0) + 1
        self._live = {key: live for key, live in self._live.items() if live.attestation.issuer != city}
