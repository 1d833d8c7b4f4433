from __future__ import annotations

import pytest

from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError
from tests.vectors.conftest import load, vectors_dir

FOLDER_FILES = 1
GOOD_CASES = 5
BAD_CASES = 27
SATISFIED_CASES = 2
UNSATISFIED_CASES = 3
DOCUMENT = "tlog-policy/vectors.json"


def test_good_policies_are_read() -> None:
    cases = load(DOCUMENT)["good"]
    for case in cases:
        TrustPolicy.parse(case["policy"].encode())
    assert len(cases) == GOOD_CASES
    assert len(list((vectors_dir() / "tlog-policy").iterdir())) == FOLDER_FILES


def test_bad_policies_are_refused() -> None:
    cases = load(DOCUMENT)["bad"]
    for case in cases:
        with pytest.raises(TiergateError) as caught:
            TrustPolicy.parse(case["policy"].encode())
        assert caught.value.reason is Reason.POLICY_INVALID, case["name"]
    assert len(cases) == BAD_CASES


def test_quorums() -> None:
    document = load(DOCUMENT)
    cases = document["quorum_cases"]
    text = next(case["policy"] for case in document["good"] if case["name"] == cases["policy"])
    policy = TrustPolicy.parse(text.encode())
    for names in cases["satisfied"]:
        policy.require_quorum([name.encode() for name in names])
    for names in cases["unsatisfied"]:
        with pytest.raises(TiergateError) as caught:
            policy.require_quorum([name.encode() for name in names])
        assert caught.value.reason is Reason.NOTE_INVALID
    assert (len(cases["satisfied"]), len(cases["unsatisfied"])) == (SATISFIED_CASES, UNSATISFIED_CASES)


def test_the_witness_keys_belong_to_the_policies() -> None:
    document = load(DOCUMENT)
    text = next(case["policy"] for case in document["good"] if case["name"] == "nested")
    listed = {str(key) for key in TrustPolicy.parse(text.encode()).witnesses.values()}
    signers = [SignerKey.parse(skey) for skey in document["witness_skeys"].values()]
    assert {str(SignerKey(item.name, item.private, COSIGNATURE_V1).verifier) for item in signers} == listed
