"""The search for canaries finds every form that it claims to, and nothing where there is nothing."""

from __future__ import annotations

import base64
import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fakes.canary import Finding, Scanner, long_forms, short_forms, varint

POINTS = {"small": 86_273_518_640_927, "large": 723_518_640_927_413, "largest": 998_877_665_544_331}
SCANNER = Scanner(POINTS)


def noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def names(found: set[Finding]) -> set[str]:
    return {item.canary for item in found}


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("form", sorted(long_forms(POINTS["small"])))
def test_every_long_form_is_found_in_noise(name: str, form: str) -> None:
    pattern = long_forms(POINTS[name])[form]
    assert len(pattern) >= 6
    chance = random.Random(f"{name} {form}")
    for _ in range(5):
        data = bytearray(chance.randbytes(4096))
        at = chance.randrange(len(data))
        data[at:at] = pattern
        assert Finding(name, "noise", form) in SCANNER.scan("noise", bytes(data))


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("form", sorted(short_forms(POINTS["small"])))
def test_every_short_form_is_found_where_a_number_can_stand(name: str, form: str) -> None:
    value = short_forms(POINTS[name])[form]
    assert Finding(name, "header", form) in SCANNER.scan_value("header", value)
    inner = b"\x0a\x03abc" + varint(1000 << 3 | 5) + value
    message = b"\x08\x01" + b"\x12" + varint(len(inner)) + inner
    assert Finding(name, "message", f"{form} field") in SCANNER.scan_message("message", message)


@pytest.mark.parametrize("before", range(7))
def test_base64_is_found_at_every_alignment(before: int) -> None:
    text = b"x" * before + str(POINTS["large"]).encode() + b'"}'
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert names(SCANNER.scan("text", b"~" + encode(text) + b"~")) == {"large"}


def test_fixed_numbers_of_eight_bytes_are_found() -> None:
    for order in ("little", "big"):
        data = noise(order, 100) + POINTS["small"].to_bytes(8, "little" if order == "little" else "big") + noise("", 9)
        assert names(SCANNER.scan("file", data)) == {"small"}


def test_hex_is_found_in_either_case_and_as_the_hex_of_a_text() -> None:
    assert names(SCANNER.scan("text", f"{POINTS['large']:X}".encode())) == {"large"}
    assert names(SCANNER.scan("text", b"z" + str(POINTS["large"]).encode().hex().encode())) == {"large"}
    assert names(SCANNER.scan("text", b"0" + str(POINTS["large"]).encode().hex().encode())) == {"large"}


def test_a_claim_of_a_signed_token_is_found_behind_other_text() -> None:
    payload = base64.urlsafe_b64encode(json.dumps({"rung": 1, "jti": f"00{POINTS['small']}"}).encode()).rstrip(b"=")
    token = b"eyJhbGciOiJFUzI1NiJ9." + payload + b"." + b"A" * 86
    for before in range(4):
        assert names(SCANNER.scan("file", b"a" * before + token)) == {"small"}
    nested = base64.b64encode(base64.urlsafe_b64encode(token))
    assert names(SCANNER.scan("file", b" " + nested)) == {"small"}


@pytest.mark.parametrize("value", [POINTS["small"], POINTS["large"], str(POINTS["large"]), float(POINTS["large"])])
def test_a_value_in_a_database_file_is_found(tmp_path: Path, value: str | float) -> None:
    file = tmp_path / "store"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE t (a TEXT, b, c TEXT)")
        connection.execute("INSERT INTO t VALUES ('before', ?, 'after')", (value,))
        connection.commit()
    assert len(names(SCANNER.scan("file", file.read_bytes()))) == 1


def test_a_varint_field_is_found_however_it_is_encoded() -> None:
    padded = varint(POINTS["large"])
    padded = padded[:-1] + bytes([padded[-1] | 0x80, 0])
    assert names(SCANNER.scan_message("message", b"\x08" + padded)) == {"large"}
    assert names(SCANNER.scan_message("message", b"\x08" + varint(2 * POINTS["large"]))) == {"large"}


@pytest.mark.parametrize("message", [b"\x00\x01", b"\x0b", b"\x08" + b"\x80" * 11, b"\x0a\x05ab", b"\x0d\x01", b"\x80"])
def test_bytes_that_are_no_message_are_searched_as_bytes(message: bytes) -> None:
    assert SCANNER.scan_message("message", message) == set()
    assert names(SCANNER.scan_message("message", message + b"\xff\xff\xff" + str(POINTS["small"]).encode())) == {
        "small"
    }


def test_nothing_is_found_where_there_is_nothing() -> None:
    data = noise("a megabyte", 1 << 20)
    assert SCANNER.scan("noise", data) == set()
    assert SCANNER.scan("text", base64.b64encode(data)) == set()
    assert SCANNER.scan("text", data[: 1 << 18].hex().encode()) == set()
    for start in range(0, 1 << 16, 64):
        assert SCANNER.scan_message("noise", data[start : start + 64]) == set()


def test_a_finding_does_not_repeat_the_number() -> None:
    (found,) = {item for item in SCANNER.scan("log", str(POINTS["small"]).encode()) if item.form == "decimal"}
    assert str(POINTS["small"]) not in repr(found)


@pytest.mark.parametrize("points", [750, 10**13 - 1, 10**16])
def test_a_number_that_others_have_is_no_canary(points: int) -> None:
    with pytest.raises(ValueError, match="unmistakable"):
        Scanner({"plain": points})
