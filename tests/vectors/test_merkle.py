from __future__ import annotations

import base64
import json
from typing import Any

from gateway.consentlog.merkle import verify_consistency, verify_inclusion
from gateway.errors import Reason, TiergateError
from tests.vectors.conftest import vectors_dir

INCLUSION_CASES = 98
CONSISTENCY_CASES = 98


def _cases(kind: str) -> list[tuple[str, dict[str, Any]]]:
    folder = vectors_dir() / "rfc6962-merkle" / kind
    return [
        (path.relative_to(folder).as_posix(), json.loads(path.read_text())) for path in sorted(folder.rglob("*.json"))
    ]


def _hashes(case: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(item) for item in case["proof"] or ()]


def _refused(error: TiergateError | None) -> bool:
    assert error is None or error.reason is Reason.PROOF_OF_LOG_INVALID
    return error is not None


def test_inclusion() -> None:
    cases = _cases("inclusion")
    wrong = []
    for name, case in cases:
        failure = None
        leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"])
        try:
            verify_inclusion(case["leafIdx"], case["treeSize"], leaf, _hashes(case), root)
        except TiergateError as error:
            failure = error
        if _refused(failure) != case["wantErr"]:
            wrong.append(name)
    assert wrong == []
    assert len(cases) == INCLUSION_CASES


def test_consistency() -> None:
    cases = _cases("consistency")
    wrong = []
    for name, case in cases:
        failure = None
        old, new = base64.b64decode(case["root1"]), base64.b64decode(case["root2"])
        try:
            verify_consistency(case["size1"], case["size2"], old, new, _hashes(case))
        except TiergateError as error:
            failure = error
        if _refused(failure) != case["wantErr"]:
            wrong.append(name)
    assert wrong == []
    assert len(cases) == CONSISTENCY_CASES
