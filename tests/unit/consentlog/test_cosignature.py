from __future__ import annotations

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.cosignature import ed25519_message, join_timestamp, mldsa44_message, split_timestamp
from gateway.consentlog.encoding import MAX_UINT63
from gateway.errors import Reason, TiergateError

BODY = Checkpoint("example.com/behind-the-sofa", 20852163, b"\x0a" * 32).body()


def test_the_ed25519_message_is_the_one_of_the_specification() -> None:
    assert ed25519_message(BODY, 1679315147) == b"cosignature/v1\ntime 1679315147\n" + BODY.encode()


def test_the_ml_dsa_message_binds_name_time_origin_size_and_root() -> None:
    message = mldsa44_message("w", BODY, 3)
    origin = b"example.com/behind-the-sofa"
    expected = b"subtree/v1\n\x00" + b"\x01w" + (3).to_bytes(8, "big") + bytes([len(origin)]) + origin
    assert message == expected + bytes(8) + (20852163).to_bytes(8, "big") + b"\x0a" * 32


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        mldsa44_message("w" * 256, BODY, 3)
    with pytest.raises(ValueError, match="too long"):
        mldsa44_message("w", Checkpoint("o" * 256, 1, bytes(32)).body(), 3)


def test_only_checkpoints_have_messages() -> None:
    for text in ("", "one line\n", BODY + "\n"):
        with pytest.raises(TiergateError) as caught:
            ed25519_message(text, 1)
        assert caught.value.reason is Reason.NOTE_INVALID
        with pytest.raises(TiergateError):
            mldsa44_message("w", text, 1)


def test_the_time_stands_before_the_signature() -> None:
    assert split_timestamp(join_timestamp(MAX_UINT63, b"s")) == (MAX_UINT63, b"s")
    for bad in (b"", bytes(7), bytes(8), b"\xff" * 9):
        with pytest.raises(ValueError, match="time"):
            split_timestamp(bad)
