"""Project Wycheproof's Ed25519 cases against the library call that notes rest on."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.vectors.conftest import load, vectors_dir

FOLDER_FILES = 4
CASES = 151


def test_ed25519() -> None:
    document = load("wycheproof/ed25519_test.json")
    count = 0
    for group in document["testGroups"]:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            signature, message = bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"])
            if case["result"] == "valid":
                key.verify(signature, message)
            else:
                with pytest.raises(InvalidSignature):
                    key.verify(signature, message)
            count += 1
    assert count == CASES
    assert len(list((vectors_dir() / "wycheproof").iterdir())) == FOLDER_FILES
