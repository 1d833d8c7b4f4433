"""The log against a city's journal: every way in which they can disagree, and those in which they may."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from adapters.journal import name_of
from adapters.store.erasing import Order
from gateway.consentlog.entry import decode, encode
from gateway.consentlog.journal import Journal
from gateway.consentlog.reconcile import MEANINGS, Code, Reconciliation
from gateway.crypto.consent import token_hash
from tests.fakes.audited import Audited
from tests.fakes.city import RESIDENT, FakeCity

MINUTE_MS = 60_000


@pytest.fixture
def audited(city: FakeCity) -> Audited:
    return Audited(city)


def _reconciled(
    audited: Audited,
    tmp_path: Path,
    entries: Sequence[bytes] | None = None,
    late_s: int = 3600,
    hidden: Collection[int] = (),
    **range_: int,
) -> Reconciliation:
    file = tmp_path / "journal"
    audited.journal(file, late_s=late_s, **range_)
    journal = Journal.verify(file, audited.city.reference.directory)
    found = Reconciliation(journal, lambda _bundle, _scenario: MINUTE_MS)
    shown = audited.log.entries if entries is None else entries
    for index, raw in enumerate(shown):
        entry = decode(raw)
        if index not in hidden:
            found.take(index, entry)
    found.finish(len(shown))
    return found


def _codes(found: Reconciliation) -> list[tuple[Code, int | None]]:
    return [(item.code, item.index) for item in found.findings]


def test_every_code_says_what_it_means() -> None:
    assert set(MEANINGS) == set(Code)


async def test_what_agrees(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    await audited.report(audited.again(index - 1), attestation)  # two decisions on one attestation
    audited.log.decide(1, city="xiamen")  # another city's business
    found = _reconciled(audited, tmp_path)
    assert (found.findings, found.compared, found.waiting, found.beyond) == ([], 2, 0, 0)


async def test_a_gap_between_reports(audited: Audited, tmp_path: Path) -> None:
    await audited.decided()
    token, _ = await audited.attest()
    gap = audited.decide(token)
    await audited.decided()
    found = _reconciled(audited, tmp_path, late_s=0)
    assert (Code.MISSING, gap) in _codes(found)
    assert _codes(_reconciled(audited, tmp_path, first=gap + 1, late_s=0)) == []
    assert _codes(_reconciled(audited, tmp_path, end=gap, late_s=0)) == []


@pytest.mark.parametrize(("late_s", "late"), [(0, False), (359, False), (360, True)])
async def test_what_is_not_reported_is_late_after_the_deadline(
    audited: Audited, tmp_path: Path, late_s: int, late: bool
) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    found = _reconciled(audited, tmp_path, late_s=late_s)
    if late:
        assert _codes(found) == [(Code.NOT_REPORTED, index), (Code.NOT_DECIDED, None)]
        assert found.findings[1].attestation == name_of(attestation)
    else:
        assert (found.findings, found.waiting) == ([], 2)


async def test_a_decision_that_the_log_does_not_have(audited: Audited, tmp_path: Path) -> None:
    index = await audited.decided()
    audited.log.refuse()
    entries = [*audited.log.entries]
    entries[index] = entries[-1]
    assert _codes(_reconciled(audited, tmp_path, entries)) == [(Code.UNEXPECTED, index)]
    cut = _reconciled(audited, tmp_path, audited.log.entries[:index])
    assert (cut.findings, cut.beyond) == ([], 1)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"id": "0" * 32}, [Code.DIFFERENT]),
        ({"rung": 2}, [Code.DIFFERENT, Code.HIGHER_THAN_ATTESTED]),
        ({"rung": 0, "outcome": "ordinary"}, [Code.DIFFERENT, Code.LOWER_THAN_ATTESTED]),
        ({"operator": "xiamen-parking"}, [Code.DIFFERENT, Code.OTHER_QUESTION]),
        ({"city": "xiamen"}, [Code.UNEXPECTED]),
    ],
    ids=str,
)
async def test_another_decision_under_the_same_index(
    audited: Audited, tmp_path: Path, changes: dict[str, str | int], codes: list[Code]
) -> None:
    index = await audited.decided()
    entries = [*audited.log.entries]
    entry = decode(entries[index])
    entries[index] = encode({"v": 1, "type": entry.type, "time": entry.time, **entry.fields, **changes})
    assert _codes(_reconciled(audited, tmp_path, entries)) == [(code, index) for code in codes]


async def test_decisions_that_were_not_attested_so(audited: Audited, tmp_path: Path) -> None:
    lower = await audited.decided(rung=0)
    higher = await audited.decided(rung=2)
    token, _ = await audited.attest()
    unknown = audited.decide(token)
    await audited.report(unknown, "U" * 22)
    assert _codes(_reconciled(audited, tmp_path)) == [
        (Code.LOWER_THAN_ATTESTED, lower),
        (Code.HIGHER_THAN_ATTESTED, higher),
        (Code.UNATTRIBUTED, unknown),
        (Code.NOT_DECIDED, None),
    ]


@pytest.mark.parametrize("kind", ["consent_withdrawn", "consent_paused", "erasure_requested"])
async def test_lower_because_the_log_shows_that_the_consent_was_silent(
    audited: Audited, tmp_path: Path, kind: str
) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    audited.log.change(kind, consent=index - 1)
    await audited.report(audited.again(index - 1, 0), attestation)
    found = _reconciled(audited, tmp_path)
    assert (found.findings, found.compared, found.lowered) == ([], 2, 1)


async def test_what_has_ended_is_not_resumed(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    audited.log.change("erasure_requested", consent=index - 1)
    audited.log.change("consent_resumed", consent=index - 1)
    await audited.report(audited.again(index - 1, 0), attestation)
    assert _codes(_reconciled(audited, tmp_path)) == []


async def test_lower_although_resumed_or_after_what_silences_nothing(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    audited.log.change("consent_paused", consent=index - 1)
    audited.log.change("consent_resumed", consent=index - 1)
    audited.log.change("correction")  # what was attested before it is asked for anew, and never lowered
    audited.log.change("consent_resumed")
    audited.log.change("consent_withdrawn", city="xiamen", consent=index - 1)
    low = audited.again(index - 1, 0)
    await audited.report(low, attestation)
    assert _codes(_reconciled(audited, tmp_path)) == [(Code.LOWER_THAN_ATTESTED, low)]


@pytest.mark.parametrize(("after_ms", "excused"), [(0, True), (300_000, True), (300_001, False)])
async def test_lower_because_a_consent_ended_before_its_first_decision(
    audited: Audited, tmp_path: Path, after_ms: int, excused: bool
) -> None:
    token, attestation = await audited.attest()
    audited.log.change("consent_withdrawn")  # names no registration: there is none yet
    time = decode(audited.log.entries[-1]).time
    low = audited.decide(token, 0, time=time + after_ms)
    await audited.report(low, attestation)
    codes = _codes(_reconciled(audited, tmp_path))
    assert codes == ([] if excused else [(Code.LOWER_THAN_ATTESTED, low)])


async def test_each_consent_that_ended_before_its_first_decision_excuses_its_own(
    audited: Audited, tmp_path: Path
) -> None:
    attested = [await audited.attest() for _ in range(3)]
    for token, attestation in attested[:2]:
        audited.log.change("consent_withdrawn")
        await audited.report(audited.decide(token, 0), attestation)
    time = decode(audited.log.entries[-1]).time
    token, attestation = attested[2]
    consent = audited.log.register(token_hash(token))
    audited.log.change("consent_withdrawn", time=time + 1000)  # after this registration, which it does not name
    low = audited.again(consent, 0, time=time + 1000)
    await audited.report(low, attestation)
    assert _codes(_reconciled(audited, tmp_path)) == [(Code.LOWER_THAN_ATTESTED, low)]


async def test_a_change_that_names_no_consent_excuses_one_and_all_its_decisions(
    audited: Audited, tmp_path: Path
) -> None:
    attested = [await audited.attest() for _ in range(2)]
    audited.log.change("consent_paused")
    (token, attestation), (another, its) = attested
    consent = audited.log.register(token_hash(token))
    for _ in range(2):
        await audited.report(audited.again(consent, 0), attestation)
    low = audited.decide(another, 0)
    await audited.report(low, its)
    assert _codes(_reconciled(audited, tmp_path)) == [(Code.LOWER_THAN_ATTESTED, low)]


async def test_a_change_of_before_the_last_lifetime_excuses_nothing(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    audited.log.change("consent_withdrawn")
    time = decode(audited.log.entries[-1]).time + 600_001
    audited.city.clock.advance(600.0)
    token, attestation = await audited.attest()
    consent = audited.log.register(token_hash(token))
    audited.log.change("consent_withdrawn", time=time)
    low = audited.again(consent, 0, time=time)
    await audited.report(low, attestation)
    assert (Code.LOWER_THAN_ATTESTED, low) in _codes(_reconciled(audited, tmp_path))


@pytest.mark.parametrize(("late_s", "ended"), [(360, False), (361, True)])
async def test_decided_on_an_attestation_that_had_ended(
    audited: Audited, tmp_path: Path, late_s: int, ended: bool
) -> None:
    token, attestation = await audited.attest()
    attested_s = audited.city.now_s - audited.city.now_s % 60
    index = audited.decide(token, time=(attested_s + late_s) * 1000)  # after the grain, and the lifetime
    await audited.report(index, attestation)
    assert _codes(_reconciled(audited, tmp_path)) == ([(Code.ATTESTATION_ENDED, index)] if ended else [])


async def test_such_a_change_says_nothing_of_consents_registered_before(audited: Audited, tmp_path: Path) -> None:
    token, attestation = await audited.attest()
    index = audited.decide(token)
    await audited.report(index, attestation)
    audited.log.change("consent_withdrawn")
    low = audited.again(index - 1, 0)
    await audited.report(low, attestation)
    assert _codes(_reconciled(audited, tmp_path)) == [(Code.LOWER_THAN_ATTESTED, low)]


async def test_entries_out_of_scope_are_no_business_of_the_city(audited: Audited, tmp_path: Path) -> None:
    first = await audited.decided()
    hidden = audited.log.refuse()
    last = await audited.decided()
    found = _reconciled(audited, tmp_path, hidden={hidden})
    assert (found.findings, found.compared) == ([], 2)
    assert _codes(_reconciled(audited, tmp_path, hidden={first})) == [(Code.UNEXPECTED, first)]
    assert _codes(_reconciled(audited, tmp_path, hidden={last})) == [(Code.UNEXPECTED, last)]


async def test_an_erasure_at_the_city_is_no_disagreement(audited: Audited, tmp_path: Path) -> None:
    for _ in range(2):
        await audited.decided()
    await audited.attest()  # and never asked about
    await audited.city.erasures.erase(RESIDENT)
    while await audited.city.pusher.push_once():
        pass
    assert (await audited.city.erasures.erase(RESIDENT, Order("fuzhou-court", "0d" * 32))).deleted == 3
    found = _reconciled(audited, tmp_path)
    assert (found.findings, found.compared) == ([], 2)
