"""The consent notice that a resident is shown before she agrees (PIPL 14, 16, 17, 23).

The text is registered in the policy bundle with placeholders; nothing about a person is ever put into it.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import rfc8785

from gateway.domain.bundle import NoticeTemplate
from gateway.domain.evaluate import Evaluated
from gateway.domain.scenario import Operator, Scenario

PLACEHOLDERS: frozenset[str] = frozenset(
    {"operator_name", "operator_contact", "scenario_name", "purpose", "city_name", "valid_days", "uses"}
)
"""What a template must name, each at least once: PIPL 17 and 23 leave none of it out."""
LATER_PLACEHOLDERS: frozenset[str] = frozenset({"without", "at_best"})
"""What a template must name besides since notices say all that a preview shows: the base offer, which holds without
consent (PIPL 16), and what consent brings at best. Bundles from before whose notices do not stay readable."""
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
    valid_days: int,
    uses: int | None,
    best: Evaluated,
) -> RenderedNotice:
    """Fill the registered template for one consent.

    ``city_name_*`` name the home city, ``valid_days`` (at least 1) is the consent's lifetime in days, rounded up, and
    ``uses`` its count (None: no count). ``best`` is ``evaluate.at_best`` of the city, never of a person; a text that
    names it says in the same breath whether it is illustrative. The digest is SHA-256 over the RFC 8785 JSON of
    template id, version and both texts as shown: a change in any of them asks for a new notice (PIPL 14), and an
    auditor can recompute it from the bundle and the token. Raises KeyError for a placeholder that the template may not
    have (the loader refuses it).
    """
    zh = _fill(
        template.text_zh,
        {
            "operator_name": operator.name_zh,
            "operator_contact": operator.contact,
            "scenario_name": scenario.name_zh,
            "purpose": scenario.purpose_zh or scenario.purpose,
            "city_name": city_name_zh,
            "valid_days": str(valid_days),
            "uses": "不限次数" if uses is None else f"最多 {uses} 次",
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
            "valid_days": "1 day" if valid_days == 1 else f"{valid_days} days",
            "uses": "any number of times" if uses is None else "once" if uses == 1 else f"at most {uses} times",
            "without": scenario.base.text_en,
            "at_best": best.terms.text_en + (_ILLUSTRATIVE_EN if best.illustrative else ""),
        },
    )
    shown = rfc8785.dumps({"en": en, "id": template.id, "version": template.version, "zh": zh})
    return RenderedNotice(zh, en, hashlib.sha256(shown).hexdigest())


def _fill(text: str, values: dict[str, str]) -> str:
    """One pass, so that a brace inside a value stays what it is."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], text)
