"""One-time codes: how they are drawn, read, and how mistakes in them are found."""

from __future__ import annotations

import itertools
import math
import secrets

import pytest

from gateway.domain.handle import ALPHABET, RANDOM_CHARS, Handle, HandleForm, new_handle, parse_handle, read_typed
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError

FUZHOU = CityId("fuzhou")
FORMS: tuple[HandleForm, ...] = ("typed", "qr")


@pytest.mark.parametrize(("form", "bits"), [("typed", 50), ("qr", 128)])
def test_a_code_has_the_bits_that_its_form_needs(form: HandleForm, bits: int) -> None:
    drawn: list[str] = []

    def draw(characters: str) -> str:
        drawn.append(characters)
        return secrets.choice(characters)

    handle = new_handle(FUZHOU, form, draw)
    assert math.prod(len(characters) for characters in drawn) >= 2**bits
    assert len(handle.code) == len(drawn) + 1
    assert handle.text == f"fuzhou-{handle.code}"
    assert parse_handle(handle.text) == read_typed(handle.text) == handle


def test_no_character_is_taken_for_another_at_a_glance() -> None:
    assert len(set(ALPHABET)) == len(ALPHABET) == 31
    assert not set(ALPHABET) & set("01ilo")
    assert set(ALPHABET) == set(ALPHABET.lower())


@pytest.mark.parametrize("form", FORMS)
def test_every_wrong_character_and_every_exchange_is_found(form: HandleForm) -> None:
    code = new_handle(FUZHOU, form, secrets.choice).code
    for place, wrong in itertools.product(range(len(code)), ALPHABET):
        if wrong != code[place]:
            with pytest.raises(ValueError, match="check character"):
                read_typed(f"fuzhou-{code[:place]}{wrong}{code[place + 1 :]}")
    for one, two in itertools.combinations(range(len(code)), 2):
        exchanged = list(code)
        exchanged[one], exchanged[two] = exchanged[two], exchanged[one]
        if code[one] != code[two]:
            with pytest.raises(ValueError, match="check character"):
                read_typed(f"fuzhou-{''.join(exchanged)}")


@pytest.mark.parametrize("form", FORMS)
def test_it_may_be_typed_as_it_is_spoken(form: HandleForm) -> None:
    handle = new_handle(CityId("nan-ping"), form, secrets.choice)
    assert read_typed(handle.spoken()) == handle
    assert read_typed(f"  {handle.text.upper()}\n") == handle
    assert all(len(group) <= 4 for group in handle.spoken().rpartition("-")[2].split(" "))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "city"),
        ("abcdefghjkmn", "city"),
        ("-abcdefghjkmn", "city"),
        ("福州-abcdefghjkmn", "city"),
        ("fuzhou-abc0efgh1kmo", "0, 1, o"),
        ("fuzhou-abc", "12 or 27 characters"),
        ("fuzhou-", "12 or 27 characters"),
    ],
)
def test_what_is_no_code_is_told_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_typed(text)


@pytest.mark.parametrize("text", ["", "fuzhou", "-abc", "fuzhou-", "Fuzhou-abc", "a--b", "fu zhou-abc"])
def test_a_handle_has_two_parts(text: str) -> None:
    if text == "a--b":  # a hyphen at the end of a slug
        text = "a-" + text
    with pytest.raises(TiergateError) as caught:
        parse_handle(text)
    assert caught.value.reason is Reason.HANDLE_INVALID


def test_a_handle_shows_itself_to_nobody() -> None:
    assert "abc" not in repr(Handle(FUZHOU, "abc"))


def test_the_longest_handle_fits_the_contract() -> None:
    assert len(new_handle(CityId("c" * 48), "qr", secrets.choice).text) <= 96
    assert len(new_handle(CityId("c"), "typed", secrets.choice).text) >= 10
    assert RANDOM_CHARS["qr"] + 1 < len(ALPHABET)  # else two places would weigh the same
