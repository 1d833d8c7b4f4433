from __future__ import annotations

import base64

import pytest

from gateway.consentlog.proof import LogProof
from gateway.errors import Reason, TiergateError
from tests.vectors.conftest import load, vectors_dir

FOLDER_FILES = 1
MARSHAL_CASES = 3
ERROR_CASES = 9
DOCUMENT = "tlog-proof/vectors.json"


def test_text_form() -> None:
    cases = load(DOCUMENT)["marshal"]
    for case in cases:
        proof = LogProof(
            case["index"],
            tuple(base64.b64decode(item) for item in case["hashes"]),
            case["checkpoint"].encode(),
            base64.b64decode(case["extra"]) if case["extra"] is not None else None,
        )
        assert proof.to_bytes() == case["text"].encode()
        assert LogProof.parse(case["text"].encode()) == proof
    assert len(cases) == MARSHAL_CASES
    assert len(list((vectors_dir() / "tlog-proof").iterdir())) == FOLDER_FILES


def test_malformed_proofs_are_refused() -> None:
    cases = load(DOCUMENT)["errors"]
    for case in cases:
        with pytest.raises(TiergateError) as caught:
            LogProof.parse(case["text"].encode())
        assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID, case["name"]
    assert len(cases) == ERROR_CASES
