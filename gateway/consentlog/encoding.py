"""The two text encodings that every C2SP format shares, read strictly: base64 and decimal numbers.

A value has exactly one accepted spelling, so that two different files never mean the same thing.
"""

from __future__ import annotations

import base64
import binascii
import re

MAX_UINT63 = (1 << 63) - 1
"""Largest number accepted anywhere (C2SP: sizes and times do not exceed 2**63 - 1)."""

_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Decode standard padded base64; ValueError for anything that is not its one canonical spelling."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64") from error
    # b64decode ignores the unused bits of the last character; re-encoding finds them.
    if encode_base64(data) != text:
        raise ValueError("base64 is not canonical")
    return data


def decode_decimal(text: str) -> int:
    """A number from 0 to 2**63 - 1 in ASCII decimal without leading zeroes; ValueError for anything else."""
    if not _DECIMAL.match(text) or int(text) > MAX_UINT63:
        raise ValueError("not a decimal number in range")
    return int(text)
