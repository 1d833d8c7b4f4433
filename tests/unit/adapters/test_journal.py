"""A city's journal as an auditor gets it: whole, signed, and with nobody in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.journal import name_of
from adapters.store.reports import TakeReports, UseRow
from gateway.consentlog.journal import Attested, Header, Journal, JournalWriter, Unreported, Use
from gateway.crypto import jws
from gateway.crypto.consent import token_hash
from gateway.crypto.keys import b64url
from gateway.domain.ids import CityId
from gateway.errors import ProblemsError, Reason
from tests.fakes.audited import LATER_S, Audited
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import FUZHOU, XIAMEN, XIAMEN_LIBRARY
from tests.unit.adapters.conftest import refuses

ATTESTED = Attested("xiamen-library", "xiamen-library", "cd" * 32, 1, 1)


@pytest.fixture
def audited(city: FakeCity) -> Audited:
    return Audited(city)


def _read(audited: Audited, file: Path) -> tuple[Journal, list[Use | Unreported]]:
    journal = Journal.verify(file, audited.city.reference.directory)
    return journal, list(journal.records())


async def test_it_holds_what_was_reported_and_what_was_not(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    later = audited.again(index - 1, 0)
    await audited.report(later, attestation)
    _, forgotten = await audited.attest()
    file = tmp_path / "journal"
    written = audited.journal(file)
    journal, records = _read(audited, file)
    assert (written.uses, written.unreported) == (2, 1)
    assert journal.header == written.header == Header(
        FUZHOU, "test-province", audited.city.now_s + LATER_S, 0, None, later + 1
    )  # fmt: skip
    first, second, missing = records
    assert isinstance(first, Use)
    assert (first.index, first.entry, first.outcome, first.proved) == (
        index,
        audited.log.entries[index],
        "entitled",
        True,
    )
    assert isinstance(second, Use)
    assert (second.index, second.outcome, second.attested) == (later, "ordinary", first.attested)
    assert first.attestation == second.attestation == name_of(attestation)
    assert isinstance(missing, Unreported)
    assert missing.attestation == name_of(forgotten)
    assert missing.attested == first.attested
    assert missing.attested.rung == 1


async def test_nobody_is_in_it(audited: Audited, tmp_path: Path) -> None:
    """Resident, consent, token and attestation: nothing that anybody else could be told by."""
    token, attestation = await audited.attest()
    await audited.report(audited.decide(token), attestation)
    _, forgotten = await audited.attest()
    file = tmp_path / "journal"
    audited.journal(file)
    said = file.read_bytes() + b"".join(
        jws.decode_segment(part) for part in file.read_bytes().splitlines()[-1].split(b".")[:2]
    )
    trusted = audited.city.network.trusted()
    claims = trusted.consents.verify(token, operator=XIAMEN_LIBRARY, now_s=audited.city.now_s)
    digest = token_hash(token)
    for secret in (RESIDENT, claims.id, claims.subject, digest.hex(), b64url(digest), attestation, forgotten, "active"):
        assert secret.encode() not in said


async def test_a_range_of_it(audited: Audited, tmp_path: Path) -> None:
    indices = [await audited.decided() for _ in range(3)]
    file = tmp_path / "journal"
    audited.journal(file, first=indices[1], end=indices[2])
    journal, records = _read(audited, file)
    assert [record.index for record in records if isinstance(record, Use)] == [indices[1]]
    assert (journal.header.first, journal.header.end, journal.header.reported) == (
        indices[1],
        indices[2],
        indices[2] + 1,
    )


async def test_an_empty_one(audited: Audited, tmp_path: Path) -> None:
    file = tmp_path / "journal"
    audited.journal(file)
    journal, records = _read(audited, file)
    assert (records, journal.header.reported) == ([], 0)


async def test_a_report_whose_proof_leads_nowhere_and_one_of_no_attestation(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    entry = audited.log.entries[index]
    row = UseRow(
        index, attestation, "xiamen-library", "xiamen-library", audited.city.reference.bundle.digest, "entitled", 1,
        entry, bytes(32), (0, 2**53), 0,
    )  # fmt: skip
    stranger = replace(row, log_index=index + 5, attestation_id="S" * 22)
    await audited.city.store.submit(TakeReports([row, stranger], audited.log.checkpoint()))
    file = tmp_path / "journal"
    audited.journal(file)
    first, second = _read(audited, file)[1]
    assert isinstance(first, Use)
    assert isinstance(second, Use)
    assert (first.proved, second.proved) == (False, False)
    assert (first.attested is None, second.attested) == (False, None)


async def test_any_changed_byte_is_found(audited: Audited, tmp_path: Path) -> None:
    await audited.decided()
    await audited.attest()
    file = tmp_path / "journal"
    audited.journal(file)
    whole = file.read_bytes()
    for at in range(len(whole)):
        file.write_bytes(bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]))
        with refuses(Reason.SIGNATURE_INVALID):
            Journal.verify(file, audited.city.reference.directory)
    lines = whole.splitlines(keepends=True)
    for less in (
        b"",
        lines[0],
        lines[-1],
        b"".join(lines[:-1]),
        b"".join([*lines[:2], lines[-1]]),
        whole[:-1],
        whole * 2,
    ):
        file.write_bytes(less)
        with refuses(Reason.SIGNATURE_INVALID):
            Journal.verify(file, audited.city.reference.directory)


async def test_a_file_that_changes_after_it_was_verified(audited: Audited, tmp_path: Path) -> None:
    await audited.decided()
    file = tmp_path / "journal"
    audited.journal(file)
    journal = Journal.verify(file, audited.city.reference.directory)
    file.write_bytes(file.read_bytes().replace(b"entitled", b"ordinary", 1))
    with refuses(Reason.SIGNATURE_INVALID):
        list(journal.records())


def test_a_file_that_is_not_there(audited: Audited, tmp_path: Path) -> None:
    with pytest.raises(ProblemsError):
        Journal.verify(tmp_path / "none", audited.city.reference.directory)


def _signed(audited: Audited, file: Path, header: Header, *records: Use | Unreported) -> Journal:
    """What the city itself would have to sign."""
    with file.open("wb") as out:
        writer = JournalWriter(out, header)
        for record in records:
            writer.add(record)
        writer.sign(audited.city.keys.event.key, audited.city.keys.event.kid)
    return Journal.verify(file, audited.city.reference.directory)


def test_another_citys_and_another_deployments_are_refused(audited: Audited, tmp_path: Path) -> None:
    header = Header(FUZHOU, "test-province", 1, 0, None, 9)
    _signed(audited, tmp_path / "journal", header)
    for wrong in (
        replace(header, city=XIAMEN),
        replace(header, city=CityId("nowhere")),
        replace(header, deployment="x"),
    ):
        with refuses(Reason.SIGNATURE_INVALID):
            _signed(audited, tmp_path / "journal", wrong)


def test_lines_in_another_order_are_refused(audited: Audited, tmp_path: Path) -> None:
    header = Header(FUZHOU, "test-province", 1, 2, 8, 7)
    uses = [Use(index, b"{}", "entitled", "ab" * 32, None, True) for index in range(10)]
    missing = Unreported("ab" * 32, ATTESTED)
    good = _signed(audited, tmp_path / "journal", header, uses[2], uses[6], missing, missing)
    assert len(list(good.records())) == 4
    for wrong in ((uses[1],), (uses[7],), (uses[3], uses[3]), (uses[4], uses[3]), (missing, uses[3])):
        with refuses(Reason.SIGNATURE_INVALID):
            list(_signed(audited, tmp_path / "journal", header, *wrong).records())


def test_lines_are_strict(audited: Audited, tmp_path: Path) -> None:
    header = Header(FUZHOU, "test-province", 1, 0, None, 9)
    use = Use(3, b"{}", "entitled", "ab" * 32, ATTESTED, True)

    class Spoilt(Use):
        members: dict[str, object]

        def line(self) -> bytes:
            made = json.dumps(json.loads(use.line()) | self.members, sort_keys=True, separators=(",", ":"))
            return made.encode() + b"\n"

    def spoilt(**members: object) -> Spoilt:
        made = Spoilt(3, b"{}", "entitled", "ab" * 32, None, True)
        object.__setattr__(made, "members", members)
        return made

    assert list(_signed(audited, tmp_path / "journal", header, spoilt()).records()) == [use]
    wrong: tuple[dict[str, object], ...] = (
        {"more": 1},
        {"proved": 1},
        {"index": "3"},
        {"index": -1},
        {"attested": []},
        {"attested": {}},
        {"attested": ATTESTED._asdict() | {"rung": 4}},
        {"attestation": "AB" * 32},
        {"outcome": ""},
        {"entry": "\u00e9"},
        {"at": 1},
    )
    for members in wrong:
        with refuses(Reason.SIGNATURE_INVALID):
            list(_signed(audited, tmp_path / "journal", header, spoilt(**members)).records())
