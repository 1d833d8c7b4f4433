"""The log's registration of a consent, as the city learns of it with the report of the first decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.reports import Report
from adapters.store.registrations import Registration
from gateway.consentlog.entry import decode
from gateway.crypto.consent import token_hash
from gateway.domain.decision import Outcome
from gateway.errors import Reason
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.log import FakeLog
from tests.unit.adapters.conftest import refuses

OPENING = b"o" * 32


class Used:
    """A consent that was used once, and the report of it."""

    def __init__(self, city: FakeCity, token: str, consent: str, attestation: str) -> None:
        self.city, self.token, self.consent, self.attestation = city, token, consent, attestation
        self.log: FakeLog = city.gateway.log

    def report(self, *, registered: dict[str, Any] | None = None, **changes: Any) -> Report:
        """Logged now. ``registered`` changes the registration's entry, ``changes`` the decision's."""
        index = self.log.register(token_hash(self.token), OPENING, **(registered or {}))
        fields: dict[str, Any] = {"token": decode(self.log.entries[index]).text("token"), "consent": index}
        decided = self.log.decide(1, **{"bundle": self.city.reference.bundle.digest, **fields, **changes})
        return self.again(index, decided)

    def again(self, index: int, decided: int) -> Report:
        """The report of what is in the log, as of now."""
        entry, hashes = self.log.entries[index], b"".join(self.log.inclusion(index))
        found = Registration(index, entry, hashes, OPENING)
        return Report(
            self.attestation, Outcome.ENTITLED, decided, self.log.entries[decided], self.log.inclusion(decided), found
        )

    async def take(self, report: Report) -> None:
        """The city takes it."""
        await self.city.reports.take([report], self.log.checkpoint())

    @property
    def held(self) -> Registration | None:
        """What the city keeps."""
        kept = self.city.store.kept_of(RESIDENT, self.consent)
        return None if kept is None else kept.registration


@pytest.fixture
async def used(city: FakeCity) -> Used:
    granted = await city.grant()
    return Used(city, granted.token, granted.id, (await city.answer(granted.token)).id)


async def test_the_registration_is_verified_and_kept(used: Used) -> None:
    report = used.report()
    await used.take(report)
    assert used.held is not None
    assert report.registration is not None
    for name in ("log_index", "entry", "inclusion", "opening"):
        assert getattr(used.held, name) == getattr(report.registration, name)
    assert used.city.alarms.raised["registration_wrong"] == 0


async def test_reports_without_one_are_taken_as_before(used: Used) -> None:
    await used.take(replace(used.report(), registration=None))
    assert used.held is None
    assert used.city.alarms.raised["registration_wrong"] == 0


async def test_taking_it_again_changes_nothing(used: Used) -> None:
    report = used.report()
    await used.take(report)
    assert report.registration is not None
    await used.take(used.again(report.registration.log_index, report.log_index))
    assert used.held is not None
    assert used.city.alarms.raised["registration_wrong"] == 0


async def test_several_in_one_run_are_each_their_own(city: FakeCity) -> None:
    each = []
    for _ in range(3):
        granted = await city.grant()
        each.append(Used(city, granted.token, granted.id, (await city.answer(granted.token)).id))
    made = [item.report() for item in each]
    reports = [
        item.again(report.registration.log_index, report.log_index)
        for item, report in zip(each, made, strict=True)
        if report.registration is not None
    ]
    await city.reports.take(reports, city.gateway.log.checkpoint())
    assert [item.held.log_index for item in each if item.held is not None] == [1, 3, 5]


async def test_the_registration_of_another_token_is_alarmed_and_not_kept(used: Used) -> None:
    report = used.report()
    assert report.registration is not None
    await used.take(replace(report, registration=replace(report.registration, opening=b"p" * 32)))
    assert used.held is None
    assert used.city.alarms.raised["registration_wrong"] == 1
    (view,) = used.city.authority.list(RESIDENT, 0)
    assert view.listed.reported == 1  # the use itself was proved, and is shown to her


async def test_a_second_registration_is_alarmed_and_does_not_replace_the_first(used: Used) -> None:
    await used.take(used.report())
    await used.take(used.report())
    assert used.held is not None
    assert used.held.log_index == 1
    assert used.city.alarms.raised["registration_wrong"] == 1


@pytest.mark.parametrize(
    ("registered", "changes"),
    [
        ({"city": "xiamen"}, {}),
        ({"operator": "xiamen-parking"}, {}),
        ({}, {"token": "ab" * 32}),
        ({}, {"consent": 0}),
    ],
)
async def test_a_registration_that_is_not_the_decisions_refuses_the_run(
    used: Used, registered: dict[str, Any], changes: dict[str, Any]
) -> None:
    with refuses(Reason.REPORT_INVALID):
        await used.take(used.report(registered=registered, **changes))
    assert used.city.authority.reported_index() is None


@pytest.mark.parametrize("spoilt", ["entry", "inclusion", "log_index"])
async def test_a_registration_that_is_not_in_the_log_refuses_the_run(used: Used, spoilt: str) -> None:
    report = used.report()
    assert report.registration is not None
    values: dict[str, Any] = {
        "entry": report.registration.entry.replace(b'operator"', b'device"', 1),
        "inclusion": report.registration.inclusion[:-32],
        "log_index": 0,
    }
    with refuses(Reason.REPORT_INVALID):
        await used.take(replace(report, registration=replace(report.registration, **{spoilt: values[spoilt]})))
    assert used.held is None
