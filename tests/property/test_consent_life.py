"""The life of a consent: the pure states first, then random lives at a real city authority with a real store."""

# ruff: noqa: PT017 - whether an act is refused is what is found out here
from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapters.store.consents import ListedConsent
from adapters.terms import ConsentTerms
from gateway.domain.consent import ACTS, AFTER, STATES, Act, Life, State, after
from gateway.errors import Reason, TiergateError
from tests.fakes.city import RESIDENT, FakeCity
from tests.fakes.network import LIBRARY_LOAN, XIAMEN_LIBRARY, Network

NOW = 1_793_491_200
ENDED: frozenset[State] = frozenset({"withdrawn", "replaced"})

lives = st.builds(
    Life,
    expires_at=st.integers(NOW - 100, NOW + 100),
    uses=st.none() | st.integers(1, 5),
    spent=st.integers(0, 5),
    paused=st.booleans(),
    ended=st.none() | st.sampled_from(("withdrawn", "replaced")),
)


@given(lives)
def test_only_an_active_consent_counts(life: Life) -> None:
    active = (
        life.ended is None
        and not life.paused
        and life.expires_at > NOW
        and (life.uses is None or life.spent < life.uses)
    )
    assert (life.state(NOW) == "active") == active


def test_every_state_has_a_row_and_every_act_leads_somewhere() -> None:
    assert set(AFTER) == set(STATES)
    assert {act for row in AFTER.values() for act in row} == set(ACTS)
    assert {target for row in AFTER.values() for target in row.values()} <= set(STATES)


@given(st.sampled_from(STATES), st.lists(st.sampled_from(ACTS), max_size=8))
def test_no_life_after_the_end(state: State, acts: list[Act]) -> None:
    ended = state in ENDED
    for act in acts:
        try:
            state = after(state, act)
        except TiergateError as error:
            assert error.reason is Reason.CONSENT_STATE
            assert act != "withdraw"  # nobody who withdraws is told that she may not
        assert not ended or state in ENDED
        ended = state in ENDED
        assert not ended or "active" not in AFTER[state].values()


_network = Network()


class LifeMachine(RuleBasedStateMachine):
    """Random lives of consents, each act by the authority, each answer by the attester, checked against ``after``."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.tokens: dict[str, str] = {}
        self.left: dict[str, int] = {}
        self.paused: set[str] = set()
        self.ended: dict[str, State] = {}
        self.spent = 0

    @initialize()
    def begin(self) -> None:
        self.city = FakeCity(_network, Path(self.folder.name))
        self.runner.run(self.city.__aenter__())
        self.city.source.know(RESIDENT, 900)
        self.grant(3)

    def teardown(self) -> None:
        if hasattr(self, "city"):
            self.runner.run(self.city.__aexit__())
        self.runner.close()
        self.folder.cleanup()

    def _terms(self, uses: int, lifetime_s: int = 7200) -> ConsentTerms:
        return ConsentTerms(XIAMEN_LIBRARY, LIBRARY_LOAN, lifetime_s, uses, bound=uses != 1)

    def _view(self, consent: str) -> tuple[ListedConsent, State]:
        (found,) = [item for item in self.city.authority.list(RESIDENT, 200) if item.listed.row.id == consent]
        return found.listed, found.state

    def _one(self, data: st.DataObject) -> str:
        """Any consent, by its place: ids are random, and what is drawn must not be."""
        return list(self.tokens)[data.draw(st.integers(0, len(self.tokens) - 1))]

    @rule(uses=st.integers(1, 3))
    @precondition(lambda self: len(self.tokens) < 6)
    def grant(self, uses: int) -> None:
        granted = self.runner.run(self.city.grant(uses=uses, lifetime_s=7200))
        self.tokens[granted.id], self.left[granted.id] = granted.token, uses

    @rule(data=st.data(), act=st.sampled_from(("pause", "resume", "withdraw")))
    def change(self, data: st.DataObject, act: Act) -> None:
        consent = self._one(data)
        _, before = self._view(consent)
        pending = self.city.store.count_pending()
        target = AFTER[before].get(act)
        try:
            self.runner.run(self.city.authority.change(RESIDENT, consent, act))
        except TiergateError as error:
            assert (error.reason, target) == (Reason.CONSENT_STATE, None)
            assert self._view(consent)[1] == before
            assert self.city.store.count_pending() == pending
            return
        _, now = self._view(consent)
        if act == "resume":
            self.paused.discard(consent)
            assert now == ("active" if self.left[consent] else "spent")
        else:
            assert now == target
        if act == "pause":
            self.paused.add(consent)
        if act == "withdraw":
            self.ended.setdefault(consent, now)
        # one event for a change, none for a repetition
        assert self.city.store.count_pending() - pending == (now != before or act == "resume")

    @rule(data=st.data(), act=st.sampled_from(("narrow", "renew")), uses=st.integers(1, 3))
    def replace(self, data: st.DataObject, act: Act, uses: int) -> None:
        consent = self._one(data)
        _, before = self._view(consent)
        known = len(self.city.authority.list(RESIDENT, 200))
        terms = self._terms(uses, 3600)
        notice = self.city.authority.preview(terms).notice.digest
        try:
            granted, _ = self.runner.run(self.city.authority.replace(RESIDENT, consent, act, terms, notice))
        except TiergateError as error:
            assert error.reason is (Reason.CONSENT_STATE if act not in AFTER[before] else Reason.CONSENT_LIMITS)
            assert len(self.city.authority.list(RESIDENT, 200)) == known  # the new one is not there either
            assert self._view(consent)[1] == before
            return
        assert act == "renew" or uses <= self.left[consent]
        self.ended[consent] = "replaced"
        self.tokens[granted.id], self.left[granted.id] = granted.token, uses

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        consent = self._one(data)
        listed, state = self._view(consent)
        try:
            answer = self.runner.run(self.city.answer(self.tokens[consent]))
        except TiergateError as error:
            gone = listed.row.expires_at <= self.city.now_s
            assert error.reason is (Reason.TOKEN_EXPIRED if gone else Reason.USES_EXHAUSTED)
            assert gone or self.left[consent] == 0
            return
        assert (answer.rung == 1) == (state == "active")
        self.left[consent] -= 1  # whatever its state: what a use costs must not tell

    @rule(seconds=st.sampled_from((60, 3000)))
    def wait(self, seconds: int) -> None:
        self.city.clock.advance(seconds)

    @invariant()
    def ended_consents_stay_ended(self) -> None:
        for consent, end in self.ended.items():
            assert self._view(consent)[1] == end

    @invariant()
    def no_use_is_spent_twice_or_lost(self) -> None:
        for consent, left in self.left.items():
            listed, _ = self._view(consent)
            assert (listed.row.uses or 0) - listed.life.spent == left


TestLife = pytest.mark.filterwarnings("ignore::ResourceWarning")(LifeMachine.TestCase)
TestLife.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
