"""The policies of a test deployment, as files: one score with three cuts, three operators, five scenarios.

They are invented and say so; a city under test takes its cuts, rungs and limits from the signed bundle, like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.conformance.residents import CUTS, HIGHEST, LOWEST, MAX_AGE_DAYS

HOST: Final = "kit-host"
LIBRARY, METRO, PARKING = "kit-library", "kit-metro", "kit-parking"
OPERATORS: Final = (LIBRARY, METRO, PARKING)
LADDER: Final = "kit-ladder"
"""Open to library and metro; a rung for each tier."""
CAPPED: Final = "kit-capped"
"""Open to library; one rung, at the second tier."""
ELSEWHERE: Final = "kit-elsewhere"
"""Open to parking alone."""
NOT_HONOURED: Final = "kit-not-honoured"
"""Of library; the host honours the kit's second city there, and no other."""
NOT_VOUCHED: Final = "kit-not-vouched"
"""Of library; the host honours every city there, and none vouches."""
MAX_USES: Final = 50
MAX_LIFETIME_DAYS: Final = 30

_SOURCE = """
[source]
url = "https://kit.tiergate.invalid/policies"
published = "undated"
confidence = "none"
note = "Invented for conformance tests."
"""
_SCALE = "version = 1\n" + "".join(
    f'\n[[tiers]]\nid = "{name}"\nname_zh = "{zh}"\nname_en = "{name}"\n'
    for name, zh in (("ordinary", "普通"), ("good", "良好"), ("excellent", "优秀"), ("outstanding", "极好"))
)
_NOTICE = """id = "kit-notice"
version = 1
text_zh = '''
测试告知书，不涉及真实个人。接收方：{operator_name}（{operator_contact}）。用途：{scenario_name}（{purpose}）。
由{city_name}判断是否适用优惠；自同意之时起 {lifetime}内有效，{uses}；{present}。可以随时撤回。
同意之后最多可以享受：{at_best}。不同意：{without}。'''
text_en = '''
A test notice about nobody. Receiver: {operator_name} ({operator_contact}). Purpose: {scenario_name} ({purpose}).
{city_name} decides whether the incentive applies; valid for {lifetime} from your consent, {uses};
{present}.
Withdraw at any time. At best: {at_best}. Without consent: {without}.'''
"""
_TIERS = ("good", "excellent", "outstanding")


def _city(name: str) -> str:
    cuts = "".join(
        f'\n[[cuts]]\ntier = "{tier}"\nminimum = {cut}\nlabel_zh = "测试档"\n'
        for tier, cut in zip(_TIERS, CUTS, strict=True)
    )
    return f"""id = "{name}"
version = 1
score_name_zh = "测试分"
score_name_en = "Test score"
score_min = {LOWEST}
score_max = {HIGHEST}
design = "band"
max_age_days = {MAX_AGE_DAYS}
effective_from = 2026-01-01
illustrative = true
{_SOURCE}{cuts}"""


def _operator(name: str) -> str:
    return f"""id = "{name}"
host_city = "{HOST}"
name_zh = "测试单位"
name_en = "Test operator {name}"
contact = "nobody@{name}.invalid"
illustrative = true
"""


def _scenario(name: str, operators: tuple[str, ...], tiers: tuple[str, ...]) -> str:
    rungs = "".join(
        f'\n[[rungs]]\ntier = "{tier}"\ntext_zh = "多借 {count} 册"\ntext_en = "{count} more books"\n'
        f'items = [{{ kind = "extra_quota", unit = "books", count = {count} }}]\n'
        for count, tier in enumerate(tiers, start=1)
    )
    named = ", ".join(f'"{item}"' for item in operators)
    return f"""id = "{name}"
version = 1
host_city = "{HOST}"
sector = "library"
purpose = "{name}-purpose"
purpose_zh = "测试"
purpose_en = "a test"
name_zh = "测试场景"
name_en = "Test scenario {name}"
operators = [{named}]
time_grain = "minute"
effective_from = 2026-01-01
illustrative = true

[base]
text_zh = "普通条件"
text_en = "Ordinary terms"
items = []
{rungs}
[consent]
max_lifetime_days = {MAX_LIFETIME_DAYS}
max_uses = {MAX_USES}
unlimited = true
{_SOURCE}"""


_OPEN = (LADDER, CAPPED, ELSEWHERE)


def _rule(side: str, cities: str, name: str, scenarios: tuple[str, ...]) -> str:
    named = ", ".join(f'"{item}"' for item in scenarios)
    return f'\n[[{side}]]\n{cities} = ["{name}"]\nscenarios = [{named}]\neffective_from = 2026-01-01\n'


def _acceptance(name: str, neither: str, *rules: str) -> str:
    """What a city has decided: the rules of one side, and nothing on the other."""
    return f'id = "{name}"\nversion = 1\nillustrative = true\n{neither} = []\n{"".join(rules)}'


def _home(name: str) -> str:
    return _acceptance(name, "honours", _rule("vouches", "hosts", HOST, (*_OPEN, NOT_HONOURED)))


def _host(foreign: str) -> str:
    everybody = _rule("honours", "homes", "*", (*_OPEN, NOT_VOUCHED))
    return _acceptance(HOST, "vouches", everybody, _rule("honours", "homes", foreign, (NOT_HONOURED,)))


def policy_files(city: str, foreign: str) -> Mapping[str, str]:
    """File contents by path under a policies folder, for the city under test and the kit's own second city."""
    return {
        "tier-scale.toml": _SCALE,
        "notice.toml": _NOTICE,
        **{f"cities/{name}.toml": _city(name) for name in (city, foreign, HOST)},
        **{f"acceptance/{name}.toml": _home(name) for name in (city, foreign)},
        f"acceptance/{HOST}.toml": _host(foreign),
        **{f"operators/{name}.toml": _operator(name) for name in OPERATORS},
        f"scenarios/{LADDER}.toml": _scenario(LADDER, (LIBRARY, METRO), _TIERS),
        f"scenarios/{CAPPED}.toml": _scenario(CAPPED, (LIBRARY,), ("excellent",)),
        f"scenarios/{ELSEWHERE}.toml": _scenario(ELSEWHERE, (PARKING,), ("good",)),
        **{f"scenarios/{name}.toml": _scenario(name, (LIBRARY,), ("good",)) for name in (NOT_HONOURED, NOT_VOUCHED)},
    }


def write_policies(folder: Path, city: str, foreign: str) -> None:
    """Write them under ``folder``, which holds nothing yet."""
    for name, text in policy_files(city, foreign).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
