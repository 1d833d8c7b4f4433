"""The consent notice that a resident is shown before she agrees (PIPL 14, 16, 17, 23).

The text is registered in the policy bundle with placeholders; nothing about a person is ever put into it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import rfc8785

from gateway.domain.bundle import NoticeTemplate
from gateway.domain.evaluate import Evaluated
from gateway.domain.ids import Bound
from gateway.domain.scenario import Operator, Scenario

PLACEHOLDERS: frozenset[str] = frozenset(
    {
        "operator_name",
        "operator_contact",
        "scenario_name",
        "purpose",
        "city_name",
        "lifetime",
        "uses",
        "present",
        "without",
        "at_best",
    }
)
"""What a template must name, each at least once: PIPL 14, 16, 17 and 23 leave none of it out. Two consents that differ
in any of it have two digests."""
_PRESENT: Mapping[Bound, tuple[str, str]] = MappingProxyType(
    {
        "operator": ("您不必在场，接收方随时可以自行查询", "the receiver may ask by itself, without you being there"),
        "device": (
            "每次查询都须由您的设备当场证明，没有该设备就不能查询",
            "your device has to be there, for each check takes a proof that it makes then",
        ),
        "none": (
            "不绑定任何设备，谁持有凭证或者代码，谁就可以出示",
            "whoever holds the token or the code may show it, for it is bound to no device",
        ),
    }
)
"""Who must be present at a check, by whose key the token is bound to: Chinese, English."""
_UNITS: tuple[tuple[int, str, str], ...] = ((86_400, "天", "day"), (3600, "小时", "hour"), (60, "分钟", "minute"))
"""Seconds, largest first."""
_ILLUSTRATIVE_ZH = "（示意数据：本告知书所列条件，或者享受这些条件所需的等级，依据的数值没有任何城市公布）"
_ILLUSTRATIVE_EN = (
    " (illustrative: the terms in this notice, or the tier that they take, rest on figures that no city has published)"
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class RenderedNotice(NamedTuple):
    """The notice as shown, in both languages, and its digest (64 lower-case hex digits)."""

    zh: str
    en: str
    digest: str


def placeholders_in(text: str) -> frozenset[str]:
    """The names in braces in a template."""
    return frozenset(_PLACEHOLDER.findall(text))


def render_notice(
    template: NoticeTemplate,
    operator: Operator,
    scenario: Scenario,
    city_name_zh: str,
    city_name_en: str,
    *,
    lifetime_s: int,
    uses: int | None,
    bound: Bound,
    best: Evaluated,
) -> RenderedNotice:
    """Fill the registered template for one consent.

    ``city_name_*`` name the home city, ``lifetime_s`` is the consent's lifetime in seconds, a positive number of whole
    minutes, which the text gives in the largest unit that divides it; ``uses`` is its count (None: no count), ``bound``
    to whose key its token is bound. ``best`` is ``evaluate.at_best`` of the city, never of a person; a text that
    names it says in the same breath whether it is illustrative. The digest is SHA-256 over the RFC 8785 JSON of
    template id, version and both texts as shown: a change in any of them asks for a new notice (PIPL 14), and an
    auditor can recompute it from the bundle and the token, whose span is the lifetime or, by rounding, a minute more.
    Raises KeyError for a placeholder that the template may not have (the loader refuses it), and ValueError for a
    lifetime that is no whole minutes.
    """
    lifetime_zh, lifetime_en = _lifetime(lifetime_s)
    present_zh, present_en = _PRESENT[bound]
    zh = _fill(
        template.text_zh,
        {
            "operator_name": operator.name_zh,
            "operator_contact": operator.contact,
            "scenario_name": scenario.name_zh,
            "purpose": scenario.purpose_zh or scenario.purpose,
            "city_name": city_name_zh,
            "lifetime": lifetime_zh,
            "uses": "不限次数" if uses is None else f"最多 {uses} 次",
            "present": present_zh,
            "without": scenario.base.text_zh,
            "at_best": best.terms.text_zh + (_ILLUSTRATIVE_ZH if best.illustrative else ""),
        },
    )
    en = _fill(
        template.text_en,
        {
            "operator_name": operator.name_en,
            "operator_contact": operator.contact,
            "scenario_name": scenario.name_en,
            "purpose": scenario.purpose_en or scenario.purpose,
            "city_name": city_name_en,
            "lifetime": lifetime_en,
            "uses": "any number of times" if uses is None else "once" if uses == 1 else f"at most {uses} times",
            "present": present_en,
            "without": scenario.base.text_en,
            "at_best": best.terms.text_en + (_ILLUSTRATIVE_EN if best.illustrative else ""),
        },
    )
    shown = rfc8785.dumps({"en": en, "id": template.id, "version": template.version, "zh": zh})
    return RenderedNotice(zh, en, hashlib.sha256(shown).hexdigest())


def _lifetime(seconds: int) -> tuple[str, str]:
    """In Chinese and English, exactly."""
    for unit, zh, en in _UNITS:
        count, rest = divmod(seconds, unit)
        if count > 0 and not rest:
            return f"{count} {zh}", f"{count} {en}{'s' if count > 1 else ''}"
    raise ValueError("a lifetime is a positive number of whole minutes")


def _fill(text: str, values: dict[str, str]) -> str:
    """One pass, so that a brace inside a value stays what it is."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], text)
