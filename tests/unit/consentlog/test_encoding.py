from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consentlog.encoding import MAX_UINT63, decode_base64, decode_decimal, encode_base64


@given(st.binary(max_size=100))
def test_base64_is_read_back(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data


@pytest.mark.parametrize(
    "text", ["A", "AA", "AA=", "AAA", "AB==", "AAB=", "AA==\n", " AA==", "A-_=", "é===", "AA==AA=="]
)
def test_base64_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


@pytest.mark.parametrize("number", [0, 7, 10, MAX_UINT63])
def test_decimal_is_read_back(number: int) -> None:
    assert decode_decimal(str(number)) == number


@pytest.mark.parametrize(
    "text", ["", "00", "01", "-1", "+1", " 1", "1\n", "1_0", "١", "1.0", str(MAX_UINT63 + 1), "9" * 20]
)
def test_decimal_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        decode_decimal(text)
