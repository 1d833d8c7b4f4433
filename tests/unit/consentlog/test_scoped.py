from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.consentlog.entry import Entry, Value, decode, encode
from gateway.consentlog.merkle import leaf_hash, root_of
from gateway.consentlog.scope import Leaf, scoped, sees
from gateway.consentlog.scoped import encode_scoped, parse_scoped, verify_scoped, write_scoped
from gateway.consentlog.verify import verify_export
from gateway.domain.audit_scope import AuditScope
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import (
    DIGEST,
    TRUST,
    MemoryLog,
    decision,
    entry,
    erasure,
    genesis,
    published,
    refusal,
    registered,
    withdrawn,
)
from tests.unit.consentlog.test_export import BUNDLES, export, files
from tests.unit.consentlog.test_verify import ANY, damaged

FUZHOU = AuditScope.of(["fuzhou"])


def read_entry(end: int, scope: AuditScope = FUZHOU, start: int = 0) -> dict[str, Value]:
    return entry("audit_read", auditor="office", start=start, end=end, scope=scope.digest())


def two_cities(decisions: int = 1) -> list[bytes]:
    """Two consents of two cities in turn, a refusal, a withdrawal, and the record of a read."""
    made = [genesis(), published(), registered(), registered(city="xiamen", token="cd" * 32), refusal()]
    for number in range(decisions):
        made.append(decision(2, id=f"{number:032x}"))
        made.append(decision(3, city="xiamen", token="cd" * 32, id=f"{number:031x}f"))
    made.append(withdrawn(consent=2))
    made.append(read_entry(len(made)))
    return [encode(item) for item in made]


def decode_again(raw: bytes) -> dict[str, Value]:
    found = decode(raw)
    return {"v": 1, "type": found.type, "time": found.time, **found.fields}


@dataclass
class Shown:
    """A log as a scope shows it."""

    items: Sequence[bytes]
    scope: AuditScope = FUZHOU

    def checkpoint(self) -> str:
        return MemoryLog(self.items).checkpoint()

    def leaves(self) -> Iterator[Leaf]:
        for raw in self.items:
            yield scoped(self.scope, raw)


def scoped_export(directory: Path, items: Sequence[bytes], scope: AuditScope = FUZHOU) -> Path:
    write_scoped(Shown(items, scope), scope, directory, BUNDLES, TRUST)
    return directory


def refused(directory: Path, *reasons: Reason) -> None:
    with pytest.raises(TiergateError) as caught:
        verify_scoped(directory, TRUST)
    assert caught.value.reason in reasons


def test_a_small_scoped_export_has_exactly_these_files(tmp_path: Path) -> None:
    log = two_cities()
    scoped_export(tmp_path, log)
    assert set(files(tmp_path)) == {
        "checkpoint",
        "trust",
        f"bundles/{DIGEST}.json",
        f"tile/0/000.p/{len(log)}",
        "scope/cities",
        f"scope/entries/000.p/{len(log)}",
    }


@pytest.mark.parametrize("decisions", [1, 124, 125, 126, 300])
def test_a_scoped_export_verifies_and_gives_what_is_in_scope(tmp_path: Path, decisions: int) -> None:
    log = two_cities(decisions)
    seen: list[tuple[int, Entry]] = []
    scoped_export(tmp_path, log)

    def take(index: int, item: Entry) -> None:
        seen.append((index, item))

    verified = verify_scoped(tmp_path, TRUST, take)
    assert (verified.size, verified.root) == (len(log), root_of(map(leaf_hash, log)))
    wanted = [(index, decode(raw)) for index, raw in enumerate(log) if sees(FUZHOU, decode(raw))]
    assert seen == wanted
    assert verified.entries["decision"] == decisions
    assert "refusal" not in verified.entries
    whole = "".join(data.decode("latin-1") for data in files(tmp_path).values())
    hidden = [raw for raw in log if not sees(FUZHOU, decode(raw))]
    assert len(hidden) == decisions + 2
    assert not [raw for raw in hidden if raw.decode() in whole]
    assert 'xiamen"' not in whole.replace('"operator":"xiamen-library"', "")


def test_an_ordered_erasure_of_another_city_is_none_of_the_auditors_business(tmp_path: Path) -> None:
    made = [*map(decode_again, two_cities()[:-1]), erasure(consent=3, city="xiamen"), erasure(consent=2)]
    log = [encode(item) for item in (*made, read_entry(len(made)))]
    verify_export(export(tmp_path / "whole", log), TRUST)
    verified = verify_scoped(scoped_export(tmp_path / "scoped", log), TRUST)
    assert verified.entries["erasure"] == 1
    assert b'"city":"xiamen"' not in b"".join(files(tmp_path / "scoped").values())


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    scoped_export(tmp_path, two_cities(2))
    assert damaged(tmp_path, lambda: refused(tmp_path, *ANY)) > 2000
    verify_scoped(tmp_path, TRUST)


def test_another_history_or_less_of_it_is_not_written_over(tmp_path: Path) -> None:
    scoped_export(tmp_path, two_cities(10))
    before = files(tmp_path)
    longer = two_cities(20)
    longer[5], longer[6] = longer[6], longer[5]
    for log in (two_cities(9), longer):
        with pytest.raises(TiergateError) as caught:
            scoped_export(tmp_path, log)
        assert caught.value.reason is Reason.LOG_CORRUPT
        assert files(tmp_path) == before


def test_a_scope_of_a_city_without_entries_is_held_by_the_record_of_the_read(tmp_path: Path) -> None:
    scope = AuditScope.of(["quanzhou"])
    log = [encode(genesis()), encode(published()), encode(registered()), encode(read_entry(3, scope))]
    scoped_export(tmp_path, log, scope)
    verify_scoped(tmp_path, TRUST)
    (tmp_path / "scope/cities").write_bytes(AuditScope.of(["quanzhov"]).text())
    refused(tmp_path, Reason.PROOF_OF_LOG_INVALID)


def test_an_entry_outside_the_scope_is_found(tmp_path: Path) -> None:
    log = two_cities()
    write_scoped(Shown(log, AuditScope.of(["fuzhou", "xiamen"])), FUZHOU, tmp_path, BUNDLES, TRUST)
    refused(tmp_path, Reason.LOG_CORRUPT)


def test_a_decision_whose_registration_is_left_out_is_found(tmp_path: Path) -> None:
    log = two_cities()
    path = scoped_export(tmp_path, log) / f"scope/entries/000.p/{len(log)}"
    for left_out, reason in ((0, Reason.LOG_CORRUPT), (1, Reason.LOG_CORRUPT), (2, Reason.LOG_CORRUPT)):
        kept = [Leaf(leaf.hash, None) if n == left_out else leaf for n, leaf in enumerate(Shown(log).leaves())]
        path.write_bytes(encode_scoped(kept))
        refused(tmp_path, reason)


def test_files_of_the_other_form_are_found_and_never_mixed(tmp_path: Path) -> None:
    log = two_cities()
    scoped_export(tmp_path / "scoped", log)
    export(tmp_path / "whole", log)
    with pytest.raises(TiergateError) as caught:
        verify_export(tmp_path / "scoped", TRUST)
    assert caught.value.reason is Reason.AUDIT_SCOPE
    for write, folder in ((export, "scoped"), (scoped_export, "whole")):
        with pytest.raises(TiergateError) as caught:
            write(tmp_path / folder, log)
        assert caught.value.reason is Reason.LOG_CORRUPT
    verify_export(tmp_path / "whole", TRUST)
    verify_scoped(tmp_path / "scoped", TRUST)
    extra = tmp_path / "scoped" / "tile/entries/000"
    extra.parent.mkdir(parents=True)
    extra.write_bytes(b"")
    refused(tmp_path / "scoped", Reason.LOG_CORRUPT)


def test_a_folder_belongs_to_one_scope(tmp_path: Path) -> None:
    log = two_cities()
    before = files(scoped_export(tmp_path, log))
    with pytest.raises(TiergateError) as caught:
        scoped_export(tmp_path, log, AuditScope.of(["fuzhou", "xiamen"]))
    assert caught.value.reason is Reason.LOG_CORRUPT
    assert files(tmp_path) == before


@pytest.mark.parametrize("size", [6, 255, 256, 257, 300])
def test_a_grown_log_brings_the_folder_up_to_date(tmp_path: Path, size: int) -> None:
    log = two_cities(200)
    earlier = [*log[:5], encode(read_entry(5)), *log[7:size]]
    grown = [*earlier, *log[size:-1]]
    scoped_export(tmp_path, earlier)
    assert verify_scoped(tmp_path, TRUST).size == len(earlier)
    scoped_export(tmp_path, grown)
    assert verify_scoped(tmp_path, TRUST).size == len(grown)


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"\0\0",
        b"\0\0\0",
        b"\0\0\2x",
        b"\4\0\1x",
        b"\1\0\1x\1\0\1x",
        b"\1\0\1x\0\0\1x",
        b"\0\x10\1" + bytes(4097),
    ],
)
def test_malformed_entries_in_scope_are_refused(data: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        parse_scoped(data, 4)
    assert caught.value.reason is Reason.LOG_CORRUPT
