"""Words that a proof cannot judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy.load import load_policies
from tests.unit.policy.files import spoil, valid, write

OFFER = "scenarios/loans.toml"


def warnings(root: Path, old: str, new: str) -> list[tuple[str, str]]:
    loaded = load_policies(write(root, spoil(valid(), OFFER, f'"{old}"', f'"{new}"')))
    assert all(item.remedy for item in loaded.warnings)
    return [(item.path, item.message) for item in loaded.warnings]


@pytest.mark.parametrize(
    ("old", "new", "key", "word"),
    [
        ("八折", "八折，须每月签到", "rungs.0.text_zh", "须"),
        ("八折，免押金", "八折，逾期收滞纳金", "rungs.1.text_zh", "滞纳金"),
        ("20 % off", "20 % off; you MUST return it today", "rungs.0.text_en", "must"),
        ("20 % off, no deposit", "20 % off, a penalty if late", "rungs.1.text_en", "penalty"),
    ],
)
def test_a_duty_in_words_is_warned_of(tmp_path: Path, old: str, new: str, key: str, word: str) -> None:
    ((path, message),) = warnings(tmp_path, old, new)
    assert path == key
    assert message.endswith(f": {word}")


@pytest.mark.parametrize(
    ("old", "new"),
    [("八折", "八折，无须押金"), ("八折", "八折，不需要排队"), ("20 % off", "20 % off, mustard included")],
)
def test_what_only_looks_like_one_is_not(tmp_path: Path, old: str, new: str) -> None:
    assert warnings(tmp_path, old, new) == []


def test_a_duty_that_everybody_has_is_not_the_rung_s(tmp_path: Path) -> None:
    files = spoil(
        spoil(valid(), OFFER, '"10 % off"', '"10 % off, must be returned"'), OFFER, "20 % off", "20 % off, must be"
    )
    assert load_policies(write(tmp_path, files)).warnings == ()


def test_the_words_of_the_base_offer_are_not_those_of_a_rung(tmp_path: Path) -> None:
    ((path, message),) = warnings(tmp_path, "20 % off", "10 % off")
    assert path == "rungs.0.text_en"
    assert "words of the base offer" in message
