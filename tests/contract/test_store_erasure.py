"""The contract of every store: what a request for erasure locks, what an erasure deletes, and what stays provable."""

from __future__ import annotations

import hmac
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.consentlog.fsck import check_log
from gateway.consentlog.merkle import leaf_hash, verify_inclusion
from gateway.consentlog.private import PrivatePayload, commit, verify_opening
from gateway.errors import Reason, TiergateError
from gateway.ports import Clock, DecisionDraft, consent_key
from gateway.sqlite.copies import copied
from gateway.storage.eraser import DAY_MS, Eraser
from gateway.storage.openings import stored_opening
from gateway.storage.operations import Shred
from gateway.storage.sqlite_store import SqliteStore
from tests.contract.store_samples import (
    BUNDLE,
    FUZHOU,
    SIGNER,
    Open,
    check_tree,
    clock,
    draft,
    log_of,
    open_store,
    record,
    store,
    withdrawal,
)
from tests.fakes.clock import FakeClock

__all__ = ["clock", "open_store", "store"]  # fixtures

TRUST = f"log {SIGNER.verifier}\nquorum none\n".encode()
ORDER = "0d" * 32
KEPT = 1096


class Later:
    """A clock that is ahead of another."""

    def __init__(self, clock: FakeClock, days: int) -> None:
        self._clock, self._ms = clock, days * DAY_MS

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._ms

    def monotonic(self) -> float:
        return self._clock.monotonic()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


def eraser(store: SqliteStore, database: Path, clock: Clock) -> Eraser:
    return Eraser(store, database, clock, KEPT)


def secrets_of(database: Path, token: str) -> dict[str, bytes]:
    """Everything erasable of a consent, as it is stored; by name."""
    hashed = sha256(token.encode()).hexdigest()
    with closing(sqlite3.connect(database)) as connection:
        key, index, secret, token_hash = connection.execute(
            "SELECT key, idx, secret, token FROM consent WHERE token = ?", (hashed,)
        ).fetchone()
        found = {"key": key, "secret": secret, "token": token_hash, "attestation": f"attestation-{token}"}
        rows = connection.execute(
            "SELECT idx, salt, request FROM entry WHERE leaf ->> '$.consent' = ? AND salt IS NOT NULL", (index,)
        )
        for place, salt, request in rows:
            found |= {f"salt {place}": salt, f"request {place}": request[:32]}
    return {name: value.encode() for name, value in found.items()}


def left(folder: Path, secrets: dict[str, bytes]) -> set[str]:
    """Names of the secrets whose bytes are in any file of the folder."""
    data = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {name for name, value in secrets.items() if any(value in item for item in data)}


def payload_of(item: DecisionDraft, token: bytes) -> PrivatePayload:
    return PrivatePayload(item.attestation.digest, item.decided_at_ms, item.request, token, item.valid_until_ms)


async def filled(store: SqliteStore, clock: FakeClock) -> int:
    """Two consents with twenty decisions each; the index of the registration of ``consent-2``, which is withdrawn."""
    await store.publish_bundle(BUNDLE, 1, b"synthetic", clock.now_ms())
    for number in range(1, 41):
        await record(store, draft(clock, number, consent=f"consent-{1 + number % 2}"))
    await store.record_event(withdrawal(clock, "consent-2", "event-of-consent-2"))
    first = log_of(store)[2:4]  # after the genesis and the policy: registered and used at once
    assert [entry.type for entry in first] == ["consent_registered", "decision"]
    return 2


def check_all(store: SqliteStore) -> None:
    check_tree(store)
    checked = check_log(store, TRUST)
    for index, raw in enumerate(store.entries(0, store.size())):
        verify_inclusion(index, checked.size, leaf_hash(raw), store.inclusion(index, checked.size), checked.root)


async def test_a_request_for_erasure_locks_at_once(store: SqliteStore, clock: FakeClock, database: Path) -> None:
    await store.publish_bundle(BUNDLE, 1, b"synthetic", clock.now_ms())
    (before,) = await record(store, draft(clock, 1))
    assert store.unreported(FUZHOU, 1)[0].opening is not None
    with closing(sqlite3.connect(database)) as connection:
        opening = stored_opening(connection, before.log_index, "decided_at")
        assert verify_opening(opening, log_of(store)[before.log_index].text("private")) == str(clock.now_ms())
        index = await store.record_event(withdrawal(clock, "consent-1", "e1", "erasure"))
        with pytest.raises(TiergateError) as caught:
            stored_opening(connection, before.log_index, "decided_at")
    assert caught.value.reason is Reason.NOT_FOUND
    assert log_of(store)[index].type == "erasure_requested"
    (after,) = await record(store, draft(clock, 2))
    assert (before.rung, after.rung) == (1, 0)
    assert store.unreported(FUZHOU, 1)[0].opening is None
    assert secrets_of(database, "consent-1").keys() >= {"secret", f"salt {before.log_index}"}
    check_all(store)


@pytest.mark.parametrize("field", ["attestation", "decided_at", "request", "token", "valid_until"])
async def test_every_private_field_can_be_shown_by_itself(
    store: SqliteStore, clock: FakeClock, database: Path, field: str
) -> None:
    asked = replace(draft(clock, 1), grain_ms=60_000)
    (decision,) = await record(store, asked)
    expected = {
        "attestation": asked.attestation.digest.hex(),
        "decided_at": str(asked.decided_at_ms),
        "request": asked.request.hex(),
        "token": asked.token_hash.hex(),
        "valid_until": str(asked.valid_until_ms),
    }
    with closing(sqlite3.connect(database)) as connection:
        opening = stored_opening(connection, decision.log_index, field)
    assert verify_opening(opening, log_of(store)[decision.log_index].text("private")) == expected[field]


async def test_nothing_of_an_erased_consent_is_in_any_file(
    store: SqliteStore, clock: FakeClock, database: Path, tmp_path: Path
) -> None:
    registered = await filled(store, clock)
    gone, stays = secrets_of(database, "consent-2"), secrets_of(database, "consent-1")
    gone["event"] = b"event-of-consent-2"
    assert left(tmp_path, gone) == gone.keys()  # the search finds what is there
    erasing = eraser(store, database, clock)
    index = await erasing.order(registered, "fuzhou-court", ORDER)
    assert await erasing.empty(rewrite=True)
    with copied(database, tmp_path, database.name):
        assert left(tmp_path, gone) == set()
        assert left(tmp_path, stays) == stays.keys()
    planted = tmp_path / "leak"
    planted.write_bytes(b"..." + gone["secret"])
    assert left(tmp_path, gone) == {"secret"}
    planted.unlink()
    entry = log_of(store)[index]
    assert (entry.text("by"), entry.text("ordered_by"), entry.text("order")) == ("order", "fuzhou-court", ORDER)
    assert (entry.number("consent"), entry.number("decisions")) == (registered, 20)
    check_all(store)


async def test_nobody_can_attribute_what_remains(store: SqliteStore, clock: FakeClock, database: Path) -> None:
    registered = await filled(store, clock)

    def attributed(token: str) -> int:
        """How many entries somebody who holds the token, and the database with every secret in it, can name."""
        hashed, asked = (
            sha256(token.encode()).digest(),
            [draft(clock, number, consent=token) for number in range(1, 41)],
        )
        with closing(sqlite3.connect(database)) as connection:
            keys = [bytes.fromhex(key) for (key,) in connection.execute("SELECT secret FROM consent")]
            keys += [bytes.fromhex(key) for (key,) in connection.execute("SELECT secret FROM tombstone_secret")]
            salts = [bytes.fromhex(salt) for (salt,) in connection.execute("SELECT salt FROM entry WHERE salt NOTNULL")]
            named: int = connection.execute(
                "SELECT count(*) FROM entry, consent WHERE consent.key = ? AND leaf ->> '$.consent' = consent.idx",
                (consent_key(FUZHOU, token)[:16].hex(),),
            ).fetchone()[0]
        made = {hmac.digest(key, hashed, "sha256").hex() for key in keys}
        made |= {
            commit(
                salt,
                PrivatePayload(item.attestation.digest, item.decided_at_ms, item.request, hashed, item.valid_until_ms),
            )
            for salt in salts
            for item in asked
        }
        entries = log_of(store)
        return named + sum(not made.isdisjoint(map(str, entry.fields.values())) for entry in entries)

    assert attributed("consent-1") and attributed("consent-2")  # it can be done while there are keys  # noqa: PT018
    erasing = eraser(store, database, clock)
    await erasing.order(registered, "fuzhou-court", ORDER)
    assert attributed("consent-2") == 0
    assert attributed("consent-1") > 0


async def test_an_erased_consent_gives_what_any_withdrawn_one_gives(
    open_store: Open, clock: FakeClock, database: Path
) -> None:
    store = await open_store()
    registered = await filled(store, clock)
    (withdrawn,) = await record(store, draft(clock, 99, consent="consent-2"))
    await eraser(store, database, clock).order(registered, "fuzhou-court", ORDER)
    await store.close()
    store = await open_store()
    (first,) = await record(store, draft(clock, 101, consent="consent-2"))
    (second,) = await record(store, draft(clock, 102, consent="consent-2"))
    assert second.log_index == first.log_index + 1
    for decision in (first, second):
        assert replace(decision, id="", log_index=0) == replace(withdrawn, id="", log_index=0)
    await store.record_event(withdrawal(clock, "consent-2", "event-again"))
    check_all(store)


async def test_what_has_been_kept_long_enough_goes_by_itself(
    store: SqliteStore, clock: FakeClock, database: Path, tmp_path: Path
) -> None:
    await filled(store, clock)
    gone = secrets_of(database, "consent-1") | secrets_of(database, "consent-2")
    size = store.size()
    assert await eraser(store, database, Later(clock, KEPT - 1)).due() == (0, 0)
    assert left(tmp_path, gone) == gone.keys()
    later = eraser(store, database, Later(clock, KEPT + 2))
    done = await later.due()
    assert done == (size, 2)
    await later.empty(rewrite=True)
    assert left(tmp_path, gone) == set()
    said = log_of(store)[size:]
    assert [(entry.type, entry.text("by")) for entry in said] == [("erasure", "retention")] * 2
    assert (said[0].number("decisions"), said[0].number("upto"), said[1].number("consents")) == (40, size, 2)
    assert await later.due() == (0, 0)
    check_all(store)


async def test_an_erasure_that_was_interrupted_is_finished(open_store: Open, clock: FakeClock, database: Path) -> None:
    store = await open_store()
    registered = await filled(store, clock)
    await store.perform(Shred(tuple(range(registered, registered + 9))))
    await store.close()
    store = await open_store()
    index = await eraser(store, database, clock).order(registered, "fuzhou-court", ORDER)
    assert log_of(store)[index].number("decisions") == 20
    with pytest.raises(TiergateError) as caught:
        await eraser(store, database, clock).order(registered, "fuzhou-court", ORDER)
    assert caught.value.reason is Reason.NOT_FOUND
    check_all(store)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_in_whatever_order(
    open_store: Open, clock: FakeClock, database: Path, tmp_path: Path, seed: int
) -> None:
    """Decisions, withdrawals, requests for erasure, orders, restarts: proofs stay valid, what was erased is gone."""
    chance, store, gone, number = random.Random(seed), await open_store(), dict[str, bytes](), 0
    await store.publish_bundle(BUNDLE, 1, b"synthetic", clock.now_ms())
    silent: set[str] = set()
    for step in range(60):
        token = f"consent-{chance.randrange(4)}"
        match chance.choice(["decide"] * 5 + ["withdraw", "lock", "order", "restart"]):
            case "decide":
                number += 1
                (decision,) = await record(store, draft(clock, number, consent=token, asked_at_size=store.size()))
                assert (decision.rung == 0) == (token in silent)
            case "withdraw" | "lock" as act:
                kind = "withdrawal" if act == "withdraw" else "erasure"
                await store.record_event(withdrawal(clock, token, f"event-{step}", kind))  # type: ignore[arg-type]
                silent.add(token)
            case "order":
                with closing(sqlite3.connect(database)) as connection:
                    row = connection.execute(
                        "SELECT idx FROM consent WHERE token = ?", (sha256(token.encode()).hexdigest(),)
                    ).fetchone()
                if row is not None:
                    found = secrets_of(database, token)
                    gone |= {f"{step} {name}": found[name] for name in found if name.startswith(("sal", "sec", "req"))}
                    await eraser(store, database, clock).order(row[0], "court", ORDER)
                    silent.add(token)
            case _:
                await store.close()
                store = await open_store()
    check_all(store)
    await eraser(store, database, clock).empty(rewrite=True)
    assert left(tmp_path, gone) == set()
    copy = tmp_path / "copy"
    shutil.copy(database, copy)
    assert left(copy.parent, gone) == set()
