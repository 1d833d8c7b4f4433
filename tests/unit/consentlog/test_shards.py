from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.consentlog.entry import Value, encode
from gateway.consentlog.export import shard_path, write_export
from gateway.consentlog.note import SignerKey
from gateway.consentlog.shard import PLACES, index_in, located, number_of, place_of
from gateway.consentlog.verify import VerifiedExport, verify_export
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import (
    BUNDLE,
    DIGEST,
    SIGNER,
    MemoryLog,
    decision,
    entry,
    erasure,
    erasure_requested,
    genesis,
    published,
    registered,
    withdrawn,
)
from tests.unit.consentlog.test_verify import ANY, damaged

ORIGIN = "log.example/minnan/2027q1/shard1"
NEW = SignerKey.generate(ORIGIN)
BOTH = f"log {SIGNER.verifier}\nlog {NEW.verifier}\nquorum none\n".encode()
FIRST = PLACES
"""Log index of the second shard's first entry."""
SEAL = entry("shard_sealed", next=str(NEW.verifier))
SOUND = [genesis(), published(), registered(), decision(2), SEAL]
Items = Sequence[dict[str, Value]]


def log_of(items: Items, signer: SignerKey = SIGNER) -> MemoryLog:
    return MemoryLog([encode(item) for item in items], signer, signer.name)


def beginning(last: MemoryLog, **changes: Value) -> dict[str, Value]:
    """The genesis of the second shard."""
    previous = base64.b64encode(last.checkpoint().encode()).decode()
    return entry(
        "genesis", **{"origin": ORIGIN, "deployment": "minnan", "previous": previous, "directory": 2, **changes}
    )


def export(folder: Path, first: Items, second: Items, begin: dict[str, Value] | None = None) -> Path:
    """Two shards, the second one with a genesis that goes on from the first unless ``begin`` is another."""
    last = log_of(first)
    write_export(last, folder, {DIGEST: BUNDLE}, BOTH)
    later = log_of([begin or beginning(last), *second], NEW)
    write_export(later, folder / shard_path(1), {DIGEST: BUNDLE}, BOTH)
    return folder


def verified(folder: Path, trust: bytes = BOTH) -> VerifiedExport:
    return verify_export(folder, trust)


def refused(folder: Path, trust: bytes = BOTH) -> str:
    with pytest.raises(TiergateError) as caught:
        verify_export(folder, trust)
    assert caught.value.reason is Reason.LOG_CORRUPT
    return caught.value.detail


def test_a_place_names_shard_and_index() -> None:
    assert [number_of(origin) for origin in ("log.example/2026", ORIGIN, "log.example/shard0", "shard1")] == [
        0,
        1,
        0,
        0,
    ]
    assert number_of("log.example/shard1000") == 0
    assert place_of(ORIGIN, 42) == 1_000_000_000_042
    assert located(1_000_000_000_042) == (1, 42)
    assert index_in(ORIGIN, 1_000_000_000_042) == 42
    for broken, number in ((index_in, 42), (place_of, PLACES)):
        with pytest.raises(TiergateError) as caught:
            broken(ORIGIN, number)
        assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


def test_two_shards_verify_as_one_log(tmp_path: Path) -> None:
    seen: list[int] = []
    export(tmp_path, SOUND, [published(), decision(2), registered(token="cd" * 32)])
    found = verify_export(tmp_path, BOTH, lambda index, _entry: seen.append(index))
    assert seen == [0, 1, 2, 3, 4, FIRST, FIRST + 1, FIRST + 2, FIRST + 3]
    assert [shard.size for shard in found.shards] == [5, 4]
    assert (found.all_entries["decision"], found.end, found.unchecked) == (2, FIRST + 4, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (withdrawn(consent=2), "after withdrawal"),
        (entry("consent_paused", city="fuzhou", consent=2, event="ef" * 32), "while paused"),
        (erasure_requested(consent=2), "request for erasure"),
        (erasure(consent=2), "without an earlier registration"),
    ],
)
def test_what_silenced_a_consent_in_one_shard_silences_it_in_the_next(
    tmp_path: Path, change: dict[str, Value], said: str
) -> None:
    first = [*SOUND[:-1], change, SEAL]
    assert said in refused(export(tmp_path / "entitled", first, [published(), decision(2)]))
    if change["type"] != "erasure":
        verified(export(tmp_path / "ordinary", first, [published(), decision(2, rung=0)]))


def test_a_pause_ends_in_a_later_shard(tmp_path: Path) -> None:
    paused = entry("consent_paused", city="fuzhou", consent=2, event="ef" * 32)
    resumed = entry("consent_resumed", city="fuzhou", consent=2, event="ee" * 32)
    verified(export(tmp_path, [*SOUND[:-1], paused, SEAL], [published(), resumed, decision(2)]))


@pytest.mark.parametrize(
    "item",
    [decision(3), decision(2, token="cd" * 32), decision(2, city="xiamen"), decision(FIRST + 1), decision(4)],
)
def test_no_decision_without_its_registration(tmp_path: Path, item: dict[str, Value]) -> None:
    assert "registration" in refused(export(tmp_path, SOUND, [published(), item]))


def test_a_policy_is_restated_before_it_is_used(tmp_path: Path) -> None:
    assert "bundle" in refused(export(tmp_path, SOUND, [decision(2)]))


def test_another_end_than_the_one_exported_is_refused(tmp_path: Path) -> None:
    """The old key has signed two last heads: one is in the genesis, the other with the export."""
    other = log_of([*SOUND[:-1], decision(2, id="1f" * 16), SEAL])
    assert "another end" in refused(export(tmp_path / "longer", SOUND, [published()], beginning(other)))
    swapped = log_of([*SOUND[:3], decision(2, id="1f" * 16), SEAL])
    assert "another end" in refused(export(tmp_path / "swapped", SOUND, [published()], beginning(swapped)))


def test_a_genesis_without_the_old_keys_signature_is_refused(tmp_path: Path) -> None:
    thief = MemoryLog([encode(item) for item in SOUND], SignerKey.generate(SIGNER.name), SIGNER.name)
    assert "no checkpoint of" in refused(export(tmp_path, SOUND, [published()], beginning(thief)))
    nothing = beginning(thief, previous="bm90ZQ==")
    assert "no checkpoint of" in refused(export(tmp_path / "nothing", SOUND, [published()], nothing))


def test_a_shard_goes_on_for_the_key_of_its_seal_alone(tmp_path: Path) -> None:
    other = entry("shard_sealed", next=str(SignerKey.generate(ORIGIN).verifier))
    assert "another key" in refused(export(tmp_path / "other", [*SOUND[:-1], other], [published()]))
    assert "not sealed" in refused(export(tmp_path / "open", SOUND[:-1], [published()]))
    begin = beginning(log_of(SOUND), deployment="elsewhere")
    assert "another deployment" in refused(export(tmp_path / "deployment", SOUND, [published()], begin))


def test_nothing_comes_after_the_seal(tmp_path: Path) -> None:
    assert "after the seal" in refused(export(tmp_path, [*SOUND, decision(2)], [published()]))
    skipped = entry("shard_sealed", next=str(SignerKey.generate("log.example/shard2").verifier))
    assert "another shard" in refused(export(tmp_path / "skipped", [*SOUND[:-1], skipped], [published()]))


def test_any_changed_byte_of_either_shard_is_found(tmp_path: Path) -> None:
    export(tmp_path, SOUND, [published(), decision(2)])

    def check() -> None:
        with pytest.raises(TiergateError) as caught:
            verify_export(tmp_path, BOTH)
        assert caught.value.reason in ANY

    assert damaged(tmp_path, check) > 3000
    verified(tmp_path)


@pytest.mark.parametrize("change", ["missing", "renamed", "beside", "inside", "link", "empty"])
def test_the_folder_of_shards_holds_shards_alone(tmp_path: Path, change: str) -> None:
    shards = export(tmp_path, SOUND, [published()]) / "shards"
    match change:
        case "missing":
            (shards / "001" / "checkpoint").unlink()
        case "renamed":
            (shards / "001").rename(shards / "002")
        case "beside":
            (shards / "notes").write_bytes(b"")
        case "inside":
            (shards / "001" / "notes").write_bytes(b"")
        case "link":
            (shards / "001").rename(tmp_path / "away")
            (shards / "001").symlink_to(tmp_path / "away")
        case _:
            (shards / "001").rename(tmp_path.parent / f"{tmp_path.name}-away")
    refused(tmp_path)


def test_the_newest_shard_alone_says_what_it_could_not_check(tmp_path: Path) -> None:
    items = [published(), decision(2), decision(2, id="1f" * 16), withdrawn(consent=2)]
    alone = export(tmp_path, SOUND, items) / shard_path(1)
    assert verified(alone).unchecked == {"registrations": 1, "earlier shards": 1}


def test_the_newest_shard_alone_is_held_to_what_it_says_itself(tmp_path: Path) -> None:
    def alone(name: str, *items: dict[str, Value]) -> str:
        return refused(export(tmp_path / name, SOUND, [published(), *items]) / shard_path(1))

    assert "registration" in alone("token", decision(2), decision(2, token="cd" * 32))
    assert "withdrawal" in alone("withdrawn", withdrawn(consent=2), decision(2))
    assert "erasure" in alone("erased", erasure(consent=2), erasure(consent=2))
    thief = MemoryLog([encode(item) for item in SOUND], SignerKey.generate(SIGNER.name), SIGNER.name)
    signed = export(tmp_path / "thief", SOUND, [published()], beginning(thief)) / shard_path(1)
    assert "not signed" in refused(signed)


def test_without_the_old_key_its_signature_is_not_checked_and_that_is_said(tmp_path: Path) -> None:
    trust = f"log {NEW.verifier}\nquorum none\n".encode()
    write_export(log_of([beginning(log_of(SOUND)), published()], NEW), tmp_path, {DIGEST: BUNDLE}, trust)
    assert verified(tmp_path, trust).unchecked == {"earlier shards": 1, "signatures of earlier shards": 1}


def test_a_later_shard_has_to_say_where_it_comes_from(tmp_path: Path) -> None:
    for begin in (
        entry("genesis", origin=ORIGIN, deployment="minnan"),
        {**genesis(), "previous": "bm90ZQ==", "directory": 1},
    ):
        with pytest.raises(TiergateError) as caught:
            encode(begin)
        assert caught.value.reason is Reason.INTERNAL


def test_a_later_shards_folder_holds_no_shards_of_its_own(tmp_path: Path) -> None:
    export(tmp_path, SOUND, [published()])
    verify_export(tmp_path, BOTH)
    stray = tmp_path / shard_path(1) / "shards" / "anything"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    with pytest.raises(TiergateError) as caught:
        verify_export(tmp_path, BOTH)
    assert (caught.value.reason, "shards/anything" in caught.value.detail) == (Reason.LOG_CORRUPT, True)
