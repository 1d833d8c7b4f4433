from __future__ import annotations

import pytest

from gateway.consentlog.audit import EntryAuditor
from gateway.consentlog.entry import Value, encode
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import (
    DIGEST,
    ORIGIN,
    decision,
    entry,
    erasure,
    genesis,
    published,
    refusal,
    registered,
    small_log,
    withdrawn,
)

OTHER = "12" * 32
START = [genesis(), published(), registered()]


def audit(*items: dict[str, Value]) -> EntryAuditor:
    auditor = EntryAuditor(ORIGIN)
    for item in items:
        auditor.add(encode(item))
    return auditor


def refused(*items: dict[str, Value]) -> str:
    with pytest.raises(TiergateError) as caught:
        audit(*items)
    assert caught.value.reason is Reason.LOG_CORRUPT
    return caught.value.detail


def test_a_good_log_is_counted() -> None:
    auditor = EntryAuditor(ORIGIN)
    for raw in small_log():
        auditor.add(raw)
    assert auditor.bundles == {DIGEST}
    assert auditor.counts == {
        "consent_registered": 1,
        "consent_withdrawn": 1,
        "decision": 2,
        "genesis": 1,
        "policy_published": 1,
    }


def test_a_refusal_names_the_entry() -> None:
    assert refused(*START, refusal(), decision(1)).startswith("entry 4:")


def test_bytes_that_are_no_entry_are_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        EntryAuditor(ORIGIN).add(b"{}")
    assert caught.value.reason is Reason.LOG_CORRUPT


def test_a_log_starts_with_its_own_genesis() -> None:
    assert "genesis" in refused(published())
    assert "genesis" in refused(genesis(), genesis())
    assert "another log" in refused({**genesis(), "origin": "other.example"})


@pytest.mark.parametrize(
    "changes", [{"consent": 3}, {"consent": 1}, {"consent": 9}, {"token": OTHER}, {"city": "xiamen"}, {"operator": "x"}]
)
def test_a_decision_needs_its_registration(changes: dict[str, Value]) -> None:
    assert "registration" in refused(*START, {**decision(2), **changes})


def test_a_decision_needs_its_bundle() -> None:
    assert "bundle" in refused(*START, {**decision(2), "bundle": OTHER})
    assert "bundle" in refused(genesis(), registered(), decision(1), published())


def test_nobody_is_entitled_after_withdrawal() -> None:
    assert "withdrawal" in refused(*START, withdrawn(consent=2), decision(2))
    audit(*START, withdrawn(consent=2), decision(2, rung=0), registered(token=OTHER), decision(5, token=OTHER))


def test_a_withdrawal_names_a_registration_of_its_city_or_none() -> None:
    audit(*START, withdrawn())
    assert "has not registered" in refused(*START, withdrawn(consent=1))
    assert "has not registered" in refused(*START, {**withdrawn(consent=2), "city": "xiamen"})


def test_nobody_is_entitled_while_a_consent_is_paused() -> None:
    paused = entry("consent_paused", city="fuzhou", consent=2, event=OTHER)
    resumed = entry("consent_resumed", city="fuzhou", consent=2, event=OTHER)
    assert "paused" in refused(*START, paused, decision(2))
    audit(*START, paused, decision(2, rung=0), resumed, decision(2))
    assert "withdrawal" in refused(*START, paused, withdrawn(consent=2), resumed, decision(2))


def test_an_erasure_by_order_is_of_a_registration_of_its_city() -> None:
    audit(*START, erasure(consent=2))
    audit(*START, erasure())  # of a consent that was never used
    assert "has not registered" in refused(*START, erasure(consent=2, city="xiamen"))
    assert "is not registered, or is erased" in refused(*START, erasure(consent=2), erasure(consent=2))
    assert "is not registered, or is erased" in refused(*START, erasure(consent=1))


def test_a_contest_is_of_an_earlier_entry() -> None:
    contest = entry("contest", city="fuzhou", decision=3, step="opened", event=OTHER)
    audit(*START, decision(2), contest)
    assert "later entry" in refused(*START, contest)


def test_a_correction_stands_alone() -> None:
    assert audit(genesis(), entry("correction", city="fuzhou", event=OTHER)).counts["correction"] == 1


@pytest.mark.parametrize(("start", "end"), [(0, 0), (2, 1), (0, 4), (3, 4)])
def test_a_read_is_of_earlier_entries(start: int, end: int) -> None:
    def read(start: int, end: int) -> dict[str, Value]:
        return entry("audit_read", auditor="office", start=start, end=end, scope=OTHER)

    audit(*START, read(0, 3), read(3, 4))
    assert "read of" in refused(*START, read(start, end))


def test_the_genesis_is_outside_nobodys_scope() -> None:
    auditor = EntryAuditor(ORIGIN)
    with pytest.raises(TiergateError) as caught:
        auditor.skip()
    assert caught.value.reason is Reason.LOG_CORRUPT
    auditor.add(encode(genesis()))
    auditor.skip()
    auditor.add(encode(published()))
    assert auditor.counts == {"genesis": 1, "policy_published": 1}
