from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.evaluate import Evaluated
from gateway.domain.notice import LATER_PLACEHOLDERS, PLACEHOLDERS, RenderedNotice, placeholders_in, render_notice
from tests.unit.domain.samples import MORE, SOME, operator, scenario, template

AT_BEST = template(text_zh=template().text_zh + " {at_best}", text_en=template().text_en + " {at_best}")


def _render(**changes: Any) -> RenderedNotice:
    given: dict[str, Any] = {
        "template": template(),
        "operator": operator(),
        "scenario": scenario(purpose_zh="借书免押金", purpose_en="to lend books without a deposit"),
        "city_name_zh": "福州",
        "city_name_en": "Fuzhou",
        "valid_days": 30,
        "uses": 3,
        "best": Evaluated(MORE, illustrative=False),
    }
    return render_notice(**{**given, **changes})


def test_the_notice_says_who_what_why_and_how_long_in_both_languages() -> None:
    notice = _render()
    assert notice.zh == "同意 示例图书馆 privacy@library.example 免押金借书 借书免押金 福州 30 最多 3 次"
    assert notice.en == (
        "Consent Sample Library privacy@library.example Borrowing without a deposit "
        "to lend books without a deposit Fuzhou 30 days at most 3 times"
    )


@pytest.mark.parametrize(
    ("uses", "zh", "en"),
    [(None, "不限次数", "any number of times"), (1, "最多 1 次", "once"), (2, "最多 2 次", "at most 2 times")],
)
def test_the_count_in_words(uses: int | None, zh: str, en: str) -> None:
    notice = _render(uses=uses)
    assert notice.zh.endswith(zh)
    assert notice.en.endswith(en)


def test_one_day_is_singular() -> None:
    assert " 1 day " in _render(valid_days=1).en


def test_a_scenario_without_words_for_its_purpose_shows_the_code() -> None:
    notice = _render(scenario=scenario())
    assert " borrowing-without-deposit " in notice.zh
    assert " borrowing-without-deposit " in notice.en


def test_a_notice_may_say_what_happens_without_consent_and_then_its_digest_covers_that() -> None:
    given = template(text_zh=template().text_zh + " {without}", text_en=template().text_en + " {without}")
    notice = _render(template=given)
    base = scenario().base
    assert (notice.zh.endswith(f" {base.text_zh}"), notice.en.endswith(f" {base.text_en}")) == (True, True)
    other = scenario(base=replace(base, text_en="Something else"))
    assert _render(template=given, scenario=other).digest != _render(template=given, scenario=scenario()).digest


def test_what_consent_brings_at_best_stands_in_the_notice_and_under_its_digest() -> None:
    notice = _render(template=AT_BEST)
    assert (notice.zh.endswith(f" {MORE.text_zh}"), notice.en.endswith(f" {MORE.text_en}")) == (True, True)
    others = (SOME, replace(MORE, text_zh=SOME.text_zh), replace(MORE, text_en=SOME.text_en))
    digests = {_render(template=AT_BEST, best=Evaluated(other, illustrative=False)).digest for other in others}
    assert len(digests | {notice.digest}) == 4


def test_whoever_names_the_best_terms_says_in_both_languages_that_figures_are_unpublished() -> None:
    published = _render(template=AT_BEST)
    assert "示意" not in published.zh
    assert "illustrative" not in published.en
    marked = _render(template=AT_BEST, best=Evaluated(MORE, illustrative=True))
    assert f"{MORE.text_zh}（示意数据：" in marked.zh
    assert f"{MORE.text_en} (illustrative: " in marked.en
    assert marked.digest != published.digest


@pytest.mark.parametrize("illustrative", [True, False])
@pytest.mark.parametrize(
    ("more", "digest"),
    [
        ("", "ac9b5c61ac31c0617461e37fd0f10232ae7f8a56fc43392b6500b0322933a0da"),
        (" {without}", "97e7ef79a89daf33ab9e4e880fe734cda8dc19c81a2b0b53da35b04c6440c9b4"),
    ],
)
def test_the_digests_of_older_notices_are_what_they_were(more: str, digest: str, *, illustrative: bool) -> None:
    older = template(text_zh=template().text_zh + more, text_en=template().text_en + more)
    assert _render(template=older, best=Evaluated(MORE, illustrative=illustrative)).digest == digest


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
        lambda: {"valid_days": 31},
        lambda: {"uses": None},
    ],
)
def test_any_change_of_what_is_shown_changes_the_digest(change: Callable[[], dict[str, Any]]) -> None:
    assert _render(**change()).digest != _render().digest


def test_the_placeholders_of_a_text() -> None:
    assert placeholders_in(template().text_zh) == placeholders_in(template().text_en) == PLACEHOLDERS
    assert not PLACEHOLDERS & LATER_PLACEHOLDERS
    assert placeholders_in("nothing") == frozenset()


def test_a_placeholder_that_a_template_may_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        _render(template=template(text_zh="{resident_name}"))
