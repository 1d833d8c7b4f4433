"""The life of one consent: its states, and what a resident may do in each (PIPL 14-16, 44-47). Pure.

    active --pause--> paused --resume--> active
    active, paused, spent, expired --withdraw--> withdrawn
    active --narrow--> replaced; active, spent, expired --renew--> replaced (by a new consent with a token of its own)

What holds, and the test that holds it (``tests/property/test_consent_life.py``):

- Only an active consent MUST give more than the base offer (``test_only_an_active_consent_counts``).
- A consent that has ended, withdrawn or replaced, MUST NOT become usable again (``test_no_life_after_the_end``).
- A consent MUST NOT be changed: narrowing and renewing end it and make a new one (``TestLife``, on the real store).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from gateway.errors import Reason, TiergateError

State = Literal["active", "paused", "spent", "expired", "withdrawn", "replaced"]
Act = Literal["pause", "resume", "narrow", "renew", "withdraw"]
End = Literal["withdrawn", "replaced"]

EventKind = Literal["withdrawal", "pause", "resumption", "correction", "contest", "erasure"]
"""What a home city tells the gateway; ``erasure`` is a resident's request for it.

Narrowing and renewing are told as the withdrawal of what they replace.
"""
Step = Literal["opened", "flagged", "forwarded", "upheld", "corrected", "lapsed"]
"""How far a case about a decision has come: opened by the resident, flagged on her record, forwarded to who keeps the
facts, and one of its three ends."""

STATES: tuple[State, ...] = get_args(State)
ACTS: tuple[Act, ...] = get_args(Act)
STEPS: tuple[Step, ...] = get_args(Step)

AFTER: Mapping[State, Mapping[Act, State]] = {
    "active": {"pause": "paused", "narrow": "replaced", "renew": "replaced", "withdraw": "withdrawn"},
    "paused": {"pause": "paused", "resume": "active", "withdraw": "withdrawn"},
    "spent": {"renew": "replaced", "withdraw": "withdrawn"},
    "expired": {"renew": "replaced", "withdraw": "withdrawn"},
    "withdrawn": {"withdraw": "withdrawn"},
    "replaced": {"withdraw": "replaced"},
}
"""What an act leads to. An act without a row is refused; repeating a pause or a withdrawal changes nothing, and
nobody who withdraws is told that she may not."""


class Contested(NamedTuple):
    """A decision, by its index in the consent log, and the step that the case about it has come to."""

    decision: int
    step: Step


@dataclass(frozen=True, slots=True)
class Life:
    """What has become of a consent. ``expires_at`` in Unix seconds; ``uses`` None: not counted."""

    expires_at: int
    uses: int | None
    spent: int
    paused: bool
    ended: End | None

    def state(self, now_s: float) -> State:
        """Its state at ``now_s`` (Unix seconds): what a person did comes before what time or use did."""
        if self.ended is not None:
            return self.ended
        if self.expires_at <= now_s:
            return "expired"
        if self.paused:
            return "paused"
        return "spent" if self.uses is not None and self.spent >= self.uses else "active"


def after(state: State, act: Act) -> State:
    """The state after an act. Raises CONSENT_STATE where the act has no place."""
    found = AFTER[state].get(act)
    if found is None:
        raise TiergateError(Reason.CONSENT_STATE, f"{act} of a consent that is {state}")
    return found
