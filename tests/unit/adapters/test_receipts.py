"""Consent receipts: what they say, that they fit their schema, and that nothing in them can be changed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
import pytest

from adapters.terms import ConsentTerms
from gateway.consentlog.consent_receipt import MAX_CHARS, TYP, ConsentReceipt, verify_receipt
from gateway.consentlog.receipt import ProvedEntry
from gateway.crypto import jws
from gateway.crypto.consent import token_hash
from gateway.crypto.keys import b64url, generate_signing_key, public_jwk
from gateway.domain.consent import Act
from gateway.domain.consent_record import GIVEN, PAUSED, REPLACED, RESUMED, WITHDRAWN
from gateway.domain.ids import ResidentRef
from gateway.errors import Reason
from gateway.policy.json_schema import text_of
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import LIBRARY_LOAN, XIAMEN_LIBRARY
from tests.unit.adapters.conftest import refuses
from tests.unit.adapters.test_registrations import Used

SCHEMA = json.loads(text_of("consent-receipt"))


def _entries(receipt: ConsentReceipt) -> list[ProvedEntry | None]:
    return [change.proved for change in receipt.changes]


@dataclass
class Life:
    """One consent, its token, and what its receipt says now."""

    city: FakeCity
    id: str
    token: str

    def text(self) -> str:
        return self.city.receipts.issue(RESIDENT, self.id)

    def receipt(self) -> ConsentReceipt:
        text = self.text()
        jsonschema.validate(self.claims(text), SCHEMA)
        return self.verified(text)

    def verified(self, text: str) -> ConsentReceipt:
        return verify_receipt(text, self.city.reference.directory, self.city.reference.log)

    def claims(self, text: str) -> dict[str, Any]:
        return jws.parse(text, TYP, limit=MAX_CHARS).claims

    def forged(self, claims: dict[str, Any]) -> str:
        """What the city itself would have to sign to lie."""
        return jws.issue(self.city.keys.consent.key, self.city.keys.consent.kid, TYP, claims)

    async def use(self) -> None:
        """Used once, registered, and reported."""
        await (await self.used())()

    async def used(self) -> Callable[[], Awaitable[None]]:
        """Used once, and registered; call what this returns to have the city told of it."""
        used = Used(self.city, self.token, self.id, (await self.city.answer(self.token)).id)
        expires = jws.parse(self.token, "consent+jwt").claims["exp"]
        report = used.report(registered={"expires": expires})
        assert report.registration is not None
        index = self.city.gateway.registered[self.id] = report.registration.log_index

        async def told() -> None:
            await used.take(used.again(index, report.log_index))

        return told

    async def withdraw(self) -> None:
        await self.city.authority.change(RESIDENT, self.id, "withdraw")


@pytest.fixture
async def life(city: FakeCity) -> Life:
    granted = await city.grant()
    return Life(city, granted.id, granted.token)


async def test_a_receipt_says_what_was_agreed_and_names_no_person(life: Life) -> None:
    receipt = life.receipt()
    token = life.city.network.trusted().consents.verify(
        life.token, operator=life.city.question(life.token).operator, now_s=life.city.now_s
    )
    record = receipt.record
    (purpose,) = record["pii_processing"]["purposes"]
    assert (record["record_id"], record["pii_principal_id"]) == (life.id, token.subject)
    assert record["pii_processing"]["privacy_notice"]["sha256"] == token.notice
    assert purpose["purpose"] == "library-loan"
    assert purpose["recipient_third_parties"] == ["operator/xiamen-library"]
    assert [item["pii_type"] for item in purpose["pii_information"]] == ["incentive tier", "pairwise identifier"]
    assert record["events"][0]["terms"] == {"bound": "operator", "uses": 3}
    assert receipt.token_hash == token.hash
    shown = json.dumps(life.claims(life.text()))
    for secret in (RESIDENT, life.token, life.token.split(".")[1]):
        assert secret not in shown
    assert "ConsentReceipt(" not in repr(receipt)


async def test_before_the_first_reported_use_nothing_is_said_to_be_in_the_log(life: Life) -> None:
    receipt = life.receipt()
    assert (receipt.registration, receipt.changes, receipt.reported, receipt.state) == (None, (), None, GIVEN)


async def test_after_it_the_registration_is_proved_and_is_of_this_token(life: Life) -> None:
    await life.use()
    receipt = life.receipt()
    assert receipt.registration is not None
    assert (receipt.registration.log_index, receipt.reported) == (1, 2)


async def test_a_withdrawal_under_way_is_said_and_not_proved(life: Life) -> None:
    await life.withdraw()
    receipt = life.receipt()
    assert (receipt.state, _entries(receipt)) == (WITHDRAWN, [None])
    assert [(event["event_state"], event["event_type"]) for event in receipt.record["events"]] == [
        ("dpv:ConsentGiven", "dpv:ExplicitlyExpressedConsent"),
        ("dpv:ConsentWithdrawn", "dpv:WithdrawConsent"),
    ]


@pytest.mark.parametrize("used", [True, False])
async def test_a_withdrawal_that_was_taken_is_proved_and_names_its_registration(life: Life, used: bool) -> None:
    if used:
        await life.use()
    await life.withdraw()
    await life.city.pusher.push_once()
    receipt = life.receipt()
    (entry,) = _entries(receipt)
    assert entry is not None
    assert entry.entry.fields.get("consent") == (1 if used else None)
    assert (receipt.registration is not None) == used


async def test_a_withdrawal_that_names_a_registration_is_proved_once_the_city_is_told_of_that(life: Life) -> None:
    """The event's receipt may come before the report of the decision before it."""
    used = await life.used()
    await life.withdraw()
    await life.city.pusher.push_once()
    receipt = life.receipt()
    assert (receipt.registration, receipt.state, _entries(receipt)) == (None, WITHDRAWN, [None])
    await used()
    receipt = life.receipt()
    (entry,) = _entries(receipt)
    assert receipt.registration is not None
    assert entry is not None
    assert entry.entry.fields["consent"] == receipt.registration.log_index


async def test_a_first_use_after_the_withdrawal_is_no_contradiction(life: Life) -> None:
    await life.withdraw()
    await life.city.pusher.push_once()
    await life.use()
    receipt = life.receipt()
    assert receipt.registration is not None
    (entry,) = _entries(receipt)
    assert entry is not None
    assert receipt.registration.log_index > entry.log_index


@pytest.mark.parametrize("bound", ["operator", "device"])
async def test_a_receipt_says_to_whose_key_the_token_is_bound(city: FakeCity, bound: str) -> None:
    changes: dict[str, Any] = {"uses": 0, "bound": True}
    if bound == "device":
        changes = {"bound": False, "device_key": public_jwk(generate_signing_key("ES256"))}
    granted = await city.grant(**changes)
    claims = jws.parse(granted.token, "consent+jwt").claims
    log = city.gateway.log
    index = log.register(token_hash(granted.token), bytes(32), bound=bound, expires=claims["exp"])
    entry, proof = log.receipt(index)
    life = Life(city, granted.id, granted.token)
    assert life.receipt().record["events"][0]["terms"]["bound"] == bound
    registration = {"entry": entry.decode(), "proof": proof.decode(), "opening": b64url(bytes(32))}
    found = life.verified(life.forged({**life.claims(life.text()), "registration": registration}))
    assert found.registration is not None
    assert found.registration.log_index == index


async def test_pauses_and_resumptions_are_proved_in_their_order(life: Life) -> None:
    await life.use()
    acts: tuple[Act, ...] = ("pause", "resume", "pause", "withdraw")
    for act in acts:
        await life.city.authority.change(RESIDENT, life.id, act)
        life.city.clock.advance(60)
    while life.city.store.count_pending():
        await life.city.pusher.push_once()
    receipt = life.receipt()
    assert [change.state for change in receipt.changes] == [PAUSED, RESUMED, PAUSED, WITHDRAWN]
    said, reaffirmed = [event.event_type for event in receipt.said.later], "dpv:ReaffirmConsent"
    assert said == ["dpv:WithdrawConsent", reaffirmed, "dpv:WithdrawConsent", "dpv:WithdrawConsent"]
    indices = [entry.log_index for entry in _entries(receipt) if entry is not None]
    assert indices == sorted(indices)
    assert len(indices) == 4
    claims = life.claims(life.text())
    for place in (claims["changes"], claims["record"]["events"]):
        place[-1], place[-2] = place[-2], place[-1]
    with refuses(Reason.RECEIPT_INVALID):
        life.verified(life.forged(claims))


async def test_a_consent_that_was_replaced_says_so_and_the_new_one_has_a_receipt_of_its_own(life: Life) -> None:
    terms = ConsentTerms(XIAMEN_LIBRARY, LIBRARY_LOAN, lifetime_s=3600, uses=1, bound=True)
    notice = life.city.authority.preview(terms).notice.digest
    granted, _ = await life.city.authority.replace(RESIDENT, life.id, "narrow", terms, notice)
    await life.city.pusher.push_once()
    assert life.receipt().state == REPLACED
    new = Life(life.city, granted.id, granted.token).receipt()
    assert new.state == GIVEN
    assert new.record["events"][0]["terms"]["uses"] == 1


async def test_what_was_agreed_does_not_change_with_the_policies(life: Life) -> None:
    before = life.receipt().record
    bundle = life.city.reference.bundle
    operators = {name: replace(item, contact="elsewhere@example.invalid") for name, item in bundle.operators.items()}
    life.city.reference = replace(life.city.reference, bundle=replace(bundle, operators=operators))
    assert life.receipt().record == before


async def test_receipts_are_of_her_own_consents_alone(life: Life) -> None:
    for resident, consent in ((ResidentRef("synthetic-2"), life.id), (RESIDENT, "A" * 22)):
        with refuses(Reason.CONSENT_UNKNOWN):
            life.city.receipts.issue(resident, consent)


async def test_a_consent_from_before_records_were_kept_has_no_receipt(life: Life) -> None:
    life.city.store._writer_connection.execute("UPDATE consents SET record = NULL")
    with refuses(Reason.CONSENT_STATE):
        life.text()
