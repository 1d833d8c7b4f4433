from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.evaluate import Evaluated
from gateway.domain.notice import PLACEHOLDERS, RenderedNotice, placeholders_in, render_notice
from tests.unit.domain.samples import MORE, SOME, operator, scenario, template


def _render(**changes: Any) -> RenderedNotice:
    given: dict[str, Any] = {
        "template": template(),
        "operator": operator(),
        "scenario": scenario(purpose_zh="借书免押金", purpose_en="to lend books without a deposit"),
        "city_name_zh": "福州",
        "city_name_en": "Fuzhou",
        "lifetime_s": 30 * 86_400,
        "uses": 3,
        "bound": "operator",
        "best": Evaluated(MORE, illustrative=False),
    }
    return render_notice(**{**given, **changes})


def test_the_notice_says_who_what_why_and_how_long_in_both_languages() -> None:
    notice = _render()
    assert notice.zh.startswith("同意 示例图书馆 privacy@library.example 免押金借书 借书免押金 福州 30 天 最多 3 次 ")
    assert notice.en.startswith(
        "Consent Sample Library privacy@library.example Borrowing without a deposit "
        "to lend books without a deposit Fuzhou 30 days at most 3 times "
    )


@pytest.mark.parametrize(
    ("uses", "zh", "en"),
    [(None, "不限次数", "any number of times"), (1, "最多 1 次", "once"), (2, "最多 2 次", "at most 2 times")],
)
def test_the_count_in_words(uses: int | None, zh: str, en: str) -> None:
    notice = _render(uses=uses)
    assert f" {zh} " in notice.zh
    assert f" {en} " in notice.en


@pytest.mark.parametrize(
    ("seconds", "zh", "en"),
    [
        (60, "1 分钟", "1 minute"),
        (5400, "90 分钟", "90 minutes"),
        (3600, "1 小时", "1 hour"),
        (129_600, "36 小时", "36 hours"),
        (86_400, "1 天", "1 day"),
        (86_460, "1441 分钟", "1441 minutes"),
        (2 * 86_400, "2 天", "2 days"),
    ],
)
def test_the_lifetime_is_told_exactly(seconds: int, zh: str, en: str) -> None:
    notice = _render(lifetime_s=seconds)
    assert f" {zh} " in notice.zh
    assert f" {en} " in notice.en


@pytest.mark.parametrize("seconds", [0, -60, 59, 61, 86_401])
def test_a_lifetime_that_is_no_whole_minutes_is_an_error(seconds: int) -> None:
    with pytest.raises(ValueError, match="whole minutes"):
        _render(lifetime_s=seconds)


@pytest.mark.parametrize(
    ("bound", "zh", "en"),
    [
        ("operator", "您不必在场", "without you being there"),
        ("device", "由您的设备当场证明", "your device has to be there"),
        ("none", "不绑定任何设备", "whoever holds the token"),
    ],
)
def test_who_must_be_present_is_told(bound: str, zh: str, en: str) -> None:
    notice = _render(bound=bound)
    assert zh in notice.zh
    assert en in notice.en


def test_a_scenario_without_words_for_its_purpose_shows_the_code() -> None:
    notice = _render(scenario=scenario())
    assert " borrowing-without-deposit " in notice.zh
    assert " borrowing-without-deposit " in notice.en


def test_what_holds_without_consent_stands_in_the_notice_and_under_its_digest() -> None:
    notice = _render(scenario=scenario())
    base = scenario().base
    assert (f" {base.text_zh} " in notice.zh, f" {base.text_en} " in notice.en) == (True, True)
    assert _render(scenario=scenario(base=replace(base, text_en="Something else"))).digest != notice.digest


def test_what_consent_brings_at_best_stands_in_the_notice_and_under_its_digest() -> None:
    notice = _render()
    assert (notice.zh.endswith(f" {MORE.text_zh}"), notice.en.endswith(f" {MORE.text_en}")) == (True, True)
    others = (SOME, replace(MORE, text_zh=SOME.text_zh), replace(MORE, text_en=SOME.text_en))
    digests = {_render(best=Evaluated(other, illustrative=False)).digest for other in others}
    assert len(digests | {notice.digest}) == 4


def test_whoever_names_the_best_terms_says_in_both_languages_that_figures_are_unpublished() -> None:
    published = _render()
    assert "示意" not in published.zh
    assert "illustrative" not in published.en
    marked = _render(best=Evaluated(MORE, illustrative=True))
    assert f"{MORE.text_zh}（示意数据：" in marked.zh
    assert f"{MORE.text_en} (illustrative: " in marked.en
    assert marked.digest != published.digest


def test_a_brace_inside_a_value_stays_what_it_is() -> None:
    assert "{uses} Library" in _render(operator=operator(name_en="{uses} Library")).en


def test_the_same_notice_has_the_same_digest() -> None:
    assert _render().digest == _render().digest
    assert len(_render().digest) == 64


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"template": template(id="other")},
        lambda: {"template": template(version=2)},
        lambda: {"template": template(text_zh=template().text_zh + "。")},
        lambda: {"template": template(text_en=template().text_en + ".")},
        lambda: {"operator": operator(contact="other@library.example")},
        lambda: {"scenario": scenario()},
        lambda: {"city_name_zh": "厦门"},
        lambda: {"lifetime_s": 31 * 86_400},
        lambda: {"lifetime_s": 60},
        lambda: {"bound": "device"},
        lambda: {"bound": "none"},
        lambda: {"uses": None},
    ],
)
def test_any_change_of_what_is_shown_changes_the_digest(change: Callable[[], dict[str, Any]]) -> None:
    assert _render(**change()).digest != _render().digest


def test_the_placeholders_of_a_text() -> None:
    assert placeholders_in(template().text_zh) == placeholders_in(template().text_en) == PLACEHOLDERS
    assert placeholders_in("nothing") == frozenset()


def test_a_placeholder_that_a_template_may_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        _render(template=template(text_zh="{resident_name}"))
