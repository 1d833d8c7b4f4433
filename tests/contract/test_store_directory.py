"""Changes of the peer directory in the log: each once, in the order of what changed, before anything rests on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
import rfc8785

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.entry import encode
from gateway.crypto.keys import generate_signing_key, public_jwk, thumbprint
from gateway.domain.audit_scope import WHOLE_LOG
from gateway.domain.directory import Directory, DirectoryKey, Endpoint
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import Open, clock, log_of, open_store, store
from tests.fakes.clock import FakeClock
from tests.fakes.world import World
from tests.unit.consentlog.samples import entry

__all__ = ["clock", "open_store", "store"]  # fixtures


def directory() -> Directory:
    return World(FakeClock().now_ms() // 1000).directory


def changed(made: Directory, city: str, **changes: Any) -> Directory:
    cities = {**made.cities, CityId(city): replace(made.cities[CityId(city)], **changes)}
    return replace(made, version=made.version + 1, cities=cities)


async def told(store: SqliteStore, clock: FakeClock, made: Directory) -> list[Mapping[str, Any]]:
    """The entries that taking a directory has made."""
    before = store.size()
    count = await store.record_directory(made, clock.now_ms())
    found: list[Mapping[str, Any]] = [{"type": item.type, **item.fields} for item in log_of(store)[before:]]
    assert len(found) == count
    return found


async def test_the_first_directory_is_told_whole_and_once(open_store: Open, clock: FakeClock) -> None:
    store, made = await open_store(), directory()
    found = await told(store, clock, made)
    assert {(item["role"], item["name"]) for item in found} == {
        ("gateway", made.gateway.deployment),
        *(("city", str(name)) for name in made.cities),
        *(("operator", str(name)) for name in made.operators),
        *(("auditor", name) for name in made.auditors),
        *(("witness", name) for name in made.witnesses),
    }
    keys = sum(len(city.keys) for city in made.cities.values()) + sum(len(op.keys) for op in made.operators.values())
    assert sum(item["type"] == "key_rotated" for item in found) == keys
    assert {item["directory"] for item in found} == {made.version}
    assert await told(store, clock, made) == []
    await store.close()
    assert await told(await open_store(), clock, made) == []  # nor after a restart


async def test_keys_and_addresses_that_change_are_told(store: SqliteStore, clock: FakeClock) -> None:
    made = directory()
    await told(store, clock, made)
    name, city = next(iter(made.cities.items()))
    old = city.keys[0]
    jwk = public_jwk(generate_signing_key("ES256"))
    new = DirectoryKey(thumbprint(jwk), old.purpose, "ES256", jwk)
    rotated = changed(made, name, keys=(new, *city.keys[1:]))
    common = {"type": "key_rotated", "directory": rotated.version, "role": "city", "name": str(name)}

    def key(jwk: Mapping[str, str]) -> str:
        return sha256(rfc8785.dumps(dict(jwk))).hexdigest()

    assert await told(store, clock, rotated) == [
        common | {"purpose": old.purpose, "key": key(old.jwk), "state": "removed"},
        common | {"purpose": old.purpose, "key": key(jwk), "state": "added"},
    ]
    moved = changed(rotated, name, endpoint=Endpoint("localhost:9", "moved.example"))
    text = {"identity": city.identity.uri, "address": "localhost:9", "server_name": "moved.example"}
    peer = {"type": "peer_changed", "directory": moved.version, "role": "city", "name": str(name)}
    assert await told(store, clock, moved) == [peer | {"peer": sha256(rfc8785.dumps(text)).hexdigest()}]


async def test_peers_that_go_and_scopes_that_change_are_told(store: SqliteStore, clock: FakeClock) -> None:
    made = directory()
    auditor = next(iter(made.auditors))
    made = replace(made, auditor_scopes={auditor: WHOLE_LOG})
    await told(store, clock, made)
    narrowed = replace(made, version=made.version + 1, auditor_scopes={})
    (one,) = await told(store, clock, narrowed)
    assert (one["type"], one["role"], one["name"]) == ("peer_changed", "auditor", auditor)
    name, city = next(iter(made.cities.items()))
    left = {key: value for key, value in made.cities.items() if key != name}
    gone = await told(store, clock, replace(narrowed, version=made.version + 2, cities=left))
    assert gone[0] == {"type": "peer_changed", "directory": made.version + 2, "role": "city", "name": str(name)}
    assert [item["state"] for item in gone[1:]] == ["removed"] * len(city.keys)


def test_changes_do_not_go_back_to_an_older_directory() -> None:
    auditor = EntryAuditor("log.example/minnan")
    auditor.add(encode(entry("genesis", origin="log.example/minnan", deployment="minnan")))
    auditor.add(encode(entry("peer_changed", directory=4, role="city", name="xiamen")))
    auditor.add(encode(entry("peer_changed", directory=4, role="city", name="fuzhou")))
    with pytest.raises(TiergateError) as caught:
        auditor.add(encode(entry("peer_changed", directory=3, role="city", name="xiamen")))
    assert caught.value.reason is Reason.LOG_CORRUPT
    assert "older directory" in caught.value.detail
