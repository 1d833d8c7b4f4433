from __future__ import annotations

import pytest

from gateway.consentlog.note import COSIGNATURE_MLDSA44, SignerKey, VerifierKey, open_note, sign_note
from gateway.errors import Reason, TiergateError
from tests.vectors.conftest import load, vectors_dir

FOLDER_FILES = 2
NOTE_CASES = 41
BAD_VKEYS = 8
SIGN_CASES = 1


def _open(note: str, vkeys: list[str], *, good: bool) -> list[str] | None:
    # The vectors are JSON and mark a byte that is not UTF-8 by a NUL.
    raw = note.encode().replace(b"\x00", b"\x80")
    keys = [VerifierKey.parse(text) for text in vkeys]
    if not good:
        with pytest.raises(TiergateError) as caught:
            open_note(raw, keys)
        assert caught.value.reason is Reason.NOTE_INVALID
        return None
    return [key.name for key, _ in open_note(raw, keys).signed_by]


def test_notes_open_exactly_as_they_should() -> None:
    cases = load("signed-note/vectors.json")["cases"]
    for case in cases:
        assert _open(case["note"], case["vkeys"], good=case["ok"]) == case["verified"], case["name"]
    assert [case["ok"] for case in cases] == [case["verified"] is not None for case in cases]
    assert len(cases) == NOTE_CASES
    assert len(list((vectors_dir() / "signed-note").iterdir())) == FOLDER_FILES


def test_bad_verifier_keys_are_refused() -> None:
    document = load("signed-note/vectors.json")
    bad = document["bad_vkeys"] + document["strict_bad_vkeys"]
    for text in bad:
        with pytest.raises(TiergateError) as caught:
            VerifierKey.parse(text)
        assert caught.value.reason is Reason.KEY_INVALID
    assert len(bad) == BAD_VKEYS


def test_every_good_verifier_key_has_one_text_form() -> None:
    cases = load("signed-note/vectors.json")["cases"]
    for text in {vkey for case in cases for vkey in case["vkeys"]}:
        assert str(VerifierKey.parse(text)) == text


def test_signing_gives_the_published_note() -> None:
    cases = load("signed-note/vectors.json")["sign"]
    for case in cases:
        signer = SignerKey.parse(case["skey"])
        assert sign_note(case["text"], [signer]) == case["note"].encode()
        assert signer.to_secret_text() == case["skey"]
    assert len(cases) == SIGN_CASES


def test_ml_dsa_cosignature() -> None:
    case = load("signed-note/mldsa44-torchwood.json")
    key = VerifierKey.parse(case["vkey"])
    assert key.kind == COSIGNATURE_MLDSA44
    opened = open_note(case["note"].encode(), [key])
    assert opened.signed_by == ((key, 0),)
    forged = case["note"].replace("mldsa-log\n1\n", "mldsa-log\n2\n").encode()
    with pytest.raises(TiergateError) as caught:
        open_note(forged, [key])
    assert caught.value.reason is Reason.NOTE_INVALID
