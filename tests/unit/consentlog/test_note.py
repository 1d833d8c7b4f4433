from __future__ import annotations

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.encoding import encode_base64
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import (
    COSIGNATURE_MLDSA44,
    COSIGNATURE_V1,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    SignerKey,
    VerifierKey,
    add_signatures,
    open_note,
    parse_note,
    sign_note,
)
from gateway.errors import Reason, TiergateError

ALICE = SignerKey.generate("alice.example/log")
BOB = SignerKey.generate("bob.example")
WITNESS = SignerKey.generate("witness.example/w1", COSIGNATURE_V1)
TEXT = Checkpoint(ALICE.name, 1, leaf_hash(b"entry")).body()
LINE = sign_note(TEXT, [ALICE]).decode().removeprefix(TEXT + "\n")


def refused(raw: bytes, *keys: VerifierKey) -> str:
    with pytest.raises(TiergateError) as caught:
        open_note(raw, keys or (ALICE.verifier,))
    assert caught.value.reason is Reason.NOTE_INVALID
    return caught.value.detail


def test_sign_and_open() -> None:
    note = sign_note(TEXT, [ALICE, BOB])
    assert open_note(note, [ALICE.verifier, BOB.verifier]).signed_by == ((ALICE.verifier, None), (BOB.verifier, None))
    assert open_note(note, [BOB.verifier]).text == TEXT


def test_text_may_hold_blank_lines() -> None:
    text = "one\n\n— two\n\nthree\n"
    assert open_note(sign_note(text, [ALICE]), [ALICE.verifier]).text == text


def test_a_cosignature_carries_its_time() -> None:
    note = add_signatures(sign_note(TEXT, [ALICE]), [WITNESS], timestamp=1_760_000_000)
    assert open_note(note, [WITNESS.verifier]).signed_by == ((WITNESS.verifier, 1_760_000_000),)


def test_a_cosignature_with_another_time_is_refused() -> None:
    note = add_signatures(sign_note(TEXT, [ALICE]), [WITNESS], timestamp=1_760_000_000)
    signature = parse_note(note).signatures[1]
    for changed in (
        b"\x00" * 8 + signature.signature[8:],
        b"\xff" * 8 + signature.signature[8:],
        signature.signature[:8],
    ):
        line = f"— {WITNESS.name} {encode_base64(signature.key_id + changed)}\n"
        refused(f"{TEXT}\n{line}".encode(), WITNESS.verifier)


def test_only_checkpoints_are_cosigned() -> None:
    with pytest.raises(TiergateError) as caught:
        sign_note("no checkpoint\n", [WITNESS], timestamp=1)
    assert caught.value.reason is Reason.NOTE_INVALID


def test_a_time_goes_with_cosignatures_alone() -> None:
    with pytest.raises(ValueError, match="time"):
        WITNESS.sign(TEXT)
    with pytest.raises(ValueError, match="time"):
        ALICE.sign(TEXT, 1)


def test_a_bad_signature_of_a_known_key_refuses_a_note_that_another_key_signed() -> None:
    note = sign_note(TEXT, [BOB]) + sign_note("other\n", [ALICE]).removeprefix(b"other\n\n")
    assert open_note(note, [BOB.verifier]).text == TEXT
    assert "does not verify" in refused(note, ALICE.verifier, BOB.verifier)


def test_the_same_name_with_another_key_is_unknown() -> None:
    assert "known key" in refused(sign_note(TEXT, [SignerKey.generate(ALICE.name)]))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"text\n",
        b"text\n\n",
        f"{TEXT}{LINE}".encode(),
        f"{TEXT}\n{LINE}".encode()[:-1],
        f"{TEXT}\n{LINE}\n".encode(),
        f"{TEXT}\n{LINE}trailing\n".encode(),
        f"{TEXT}\n{LINE.replace('—', '-')}".encode(),
        f"{TEXT}\n{LINE.replace('— ', '—  ')}".encode(),
        f"{TEXT}\n{LINE.replace(ALICE.name, 'a+b')}".encode(),
        f"{TEXT}\n— a\u2003b {LINE.split()[-1]}\n".encode(),
        f"{TEXT}\n{LINE.replace('=', '')}".encode(),
        f"{TEXT}\n— {ALICE.name} AAAA\n".encode(),
        f"{TEXT}\n— {ALICE.name} ====\n".encode(),
        f"{TEXT}\t\n\n{LINE}".encode(),
        f"{TEXT}\r\n\n{LINE}".encode(),
        TEXT.encode() + b"\xff\n\n" + LINE.encode(),
        f"{TEXT}\n{LINE * (MAX_SIGNATURES + 1)}".encode(),
        b"x" * (MAX_NOTE_BYTES + 1),
    ],
)
def test_malformed_notes_are_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize("text", ["no newline", "tab\t\n", ""])
def test_unusable_text_is_not_signed(text: str) -> None:
    with pytest.raises(TiergateError) as caught:
        sign_note(text, [ALICE])
    assert caught.value.reason is Reason.NOTE_INVALID


def test_a_note_needs_a_signer() -> None:
    with pytest.raises(TiergateError):
        sign_note(TEXT, [])


def test_signer_key_text_form() -> None:
    for signer in (ALICE, WITNESS):
        again = SignerKey.parse(signer.to_secret_text())
        assert again.verifier == signer.verifier
    assert "Ed25519" not in repr(ALICE)
    secret = ALICE.to_secret_text().split("+", 4)[4]  # PRIVATE, KEY, name and hash come first; base64 may hold a plus
    assert secret not in repr(ALICE)


GOOD = ALICE.to_secret_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(ALICE.verifier),
        "x" + GOOD,
        GOOD[:-4],
        GOOD.replace(ALICE.name, "mallory"),
        f"PRIVATE+KEY+a+00000000+{encode_base64(bytes([1, 2, 3]))}",
        f"PRIVATE+KEY+a+00000000+{encode_base64(bytes([COSIGNATURE_MLDSA44]) + bytes(32))}",
    ],
    ids=["empty", "public", "prefixed", "cut off", "of another name", "too short", "of another kind"],
)
def test_bad_signer_keys_are_refused(text: str) -> None:
    with pytest.raises(TiergateError) as caught:
        SignerKey.parse(text)
    assert caught.value.reason is Reason.KEY_INVALID
