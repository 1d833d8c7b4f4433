"""Why a decision was what it was, in words for the resident alone (PIPL 24). No number about her is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from adapters.score import Gap


class Words(NamedTuple):
    """One text in both languages."""

    zh: str
    en: str


REASONS: Final[Mapping[str, Words]] = {
    "entitled": Words("您的信用等级达到了该场景的要求。", "Your tier reaches what the scenario asks."),
    "score": Words(
        "作出决定时，您的信用等级低于该场景优惠的要求，因此适用基础条件。",
        "When it was decided, your tier was below what the scenario asks; so the base offer applied.",
    ),
    "no_score": Words(
        "本市没有您的信用分，因此适用基础条件。这不是负面评价。",
        "Your city holds no score of you; so the base offer applied. This is no bad mark.",
    ),
    "bad_record": Words(
        "本市平台上的记录无法使用，已通知城市的技术人员；适用基础条件。",
        "Your record at the city's platform could not be used; its engineers have been told. The base offer applied.",
    ),
    "stale_record": Words(
        "本市平台上的记录已过期，已通知城市的技术人员；适用基础条件。",
        "Your record at the city's platform is too old; its engineers have been told. The base offer applied.",
    ),
    "ended": Words(
        "作出决定时，您的同意已经撤回或被替换，因此适用基础条件。",
        "When it was decided, you had withdrawn or replaced the consent; so the base offer applied.",
    ),
    "paused": Words("作出决定时，您已暂停该同意。", "When it was decided, you had paused the consent."),
    "frozen": Words(
        "作出决定时，本市已冻结您的信用信息的使用，请向本市信用主管部门查询。",
        "When it was decided, your city had frozen the use of your credit record; its credit office can tell you more.",
    ),
    "lowered": Words(
        "本市为您作了担保，但网关仍按基础条件答复；本市不知道其原因，已通知技术人员。您可以提出异议。",
        "Your city vouched for you, and the gateway gave the base offer all the same; your city knows of no reason, and"
        " its engineers have been told. You may contest it.",
    ),
    "unexplained": Words(
        "当时的原因没有记录，请向本市信用主管部门查询。",
        "The reason was not kept; your city's credit office can tell you more.",
    ),
}
"""By code. What an attestation was made from comes from the city's journal; it never leaves the city."""

_SAME: Final[Mapping[str, str]] = {"record_from_the_future": "bad_record", "unknown": "unexplained", "decoy": "ended"}

DISTANCES: Final[Mapping[Gap, Words]] = {
    "reached": Words("以今天的记录，您已达到要求。", "By today's record you reach it."),
    "near": Words("以今天的记录，您离要求很近。", "By today's record you are close to it."),
    "some way": Words("以今天的记录，您离要求还有一段距离。", "By today's record you are some way from it."),
    "far": Words("以今天的记录，您离要求还较远。", "By today's record you are far from it."),
}

CONTEST: Final = Words(
    "如有异议，可在本市的应用中或信用服务窗口对该决定提出异议；本市应在规定的工作日内答复。",
    "If you think it wrong, contest it in your city's app or at its credit desk; the city has to answer within its"
    " working days.",
)


def reason_of(logged_rung: int, attested_rung: int, reason: str | None, silence: str | None) -> str:
    """Code of the reason for a decision, from what the log says, what the city attested, and why it did.

    ``silence``: what she had done to the consent by the time of the log, "ended" or "paused"; None: nothing. What the
    gateway did without that is not told as her own act.
    """
    if logged_rung < attested_rung:
        return silence or "lowered"
    if logged_rung > 0:
        return "entitled"
    found = _SAME.get(reason or "", reason or "unexplained")
    return found if found in REASONS else "unexplained"
