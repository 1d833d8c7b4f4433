from __future__ import annotations

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.merkle import EMPTY_ROOT, leaf_hash
from gateway.errors import Reason, TiergateError

ROOT = leaf_hash(b"entry")
BODY = Checkpoint("log.example", 1, ROOT).body()
ENCODED = BODY.split("\n")[2]


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("log.example", 1, ROOT),
        Checkpoint("log.example", 0, EMPTY_ROOT),
        Checkpoint("go.sum database tree", 2**63 - 1, ROOT),
        Checkpoint("log.example", 1, ROOT, ("first", "第二")),
    ],
)
def test_body_is_read_back(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.body()) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log.example\n1\n",
        BODY[:-1],
        BODY + "\n",
        "\n" + BODY,
        f"\n1\n{ENCODED}\n",
        f"log.example\n01\n{ENCODED}\n",
        f"log.example\n+1\n{ENCODED}\n",
        f"log.example\n-1\n{ENCODED}\n",
        f"log.example\n\u0661\n{ENCODED}\n",
        f"log.example\n{2**63}\n{ENCODED}\n",
        f"log.example\n0\n{ENCODED}\n",
        "log.example\n1\nAAAA\n",
        f"log.example\n1\n{ENCODED[:-1]}\n",
        f"log.example\n1\n {ENCODED}\n",
        f"log\t.example\n1\n{ENCODED}\n",
        f"log.example\r\n1\r\n{ENCODED}\r\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TiergateError) as caught:
        Checkpoint.parse(text)
    assert caught.value.reason is Reason.NOTE_INVALID


def test_unused_bits_of_the_last_base64_character_must_be_zero() -> None:
    # 32 bytes leave two unused bits in the last character: the four spellings decode alike, one is canonical.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = alphabet[alphabet.index(ENCODED[-2]) ^ 1]
    with pytest.raises(TiergateError, match="NOTE_INVALID"):
        Checkpoint.parse(f"log.example\n1\n{ENCODED[:-2]}{other}=\n")
