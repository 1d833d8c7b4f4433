from __future__ import annotations

import pytest

from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.merkle import leaf_hash
from gateway.consentlog.note import COSIGNATURE_V1, SignerKey, add_signatures, sign_note
from gateway.consentlog.trust import MAX_TRUST_BYTES, TrustPolicy
from gateway.errors import Reason, TiergateError

LOG = SignerKey.generate("log.example")
WITNESSES = [SignerKey.generate(f"witness.example/{number}", COSIGNATURE_V1) for number in range(3)]
CHECKPOINT = sign_note(Checkpoint(LOG.name, 1, leaf_hash(b"entry")).body(), [LOG])
LINES = "".join(f"witness w{number} {signer.verifier}\n" for number, signer in enumerate(WITNESSES))
TWO_OF_THREE = TrustPolicy.parse(f"log {LOG.verifier}\n{LINES}group g 2 w0 w1 w2\nquorum g\n".encode())
VALID = "# tiergate-valid - 2020-01-01T00:00:00Z"


def refused(policy: TrustPolicy, raw: bytes) -> str:
    with pytest.raises(TiergateError) as caught:
        policy.verify(raw)
    assert caught.value.reason is Reason.NOTE_INVALID
    return caught.value.detail


def test_a_quorum_of_witnesses_is_enough() -> None:
    note = add_signatures(CHECKPOINT, WITNESSES[1:], timestamp=1_760_000_000)
    verified = TWO_OF_THREE.verify(note)
    assert verified.checkpoint.size == 1
    assert verified.log == LOG.verifier
    assert verified.witnessed == {b"w1": 1_760_000_000, b"w2": 1_760_000_000}


def test_too_few_witnesses_are_refused() -> None:
    assert "too few" in refused(TWO_OF_THREE, add_signatures(CHECKPOINT, WITNESSES[:1], timestamp=1))


def test_witnesses_without_the_log_are_refused() -> None:
    text = CHECKPOINT.decode().partition("\n\n")[0] + "\n"
    assert "known log" in refused(TWO_OF_THREE, sign_note(text, WITNESSES, timestamp=1))


def test_a_log_key_signs_its_own_origin_alone() -> None:
    policy = TrustPolicy.parse(f"log {LOG.verifier}\nquorum none\n".encode())
    other = sign_note(Checkpoint("other.example", 1, leaf_hash(b"entry")).body(), [LOG])
    assert "own name" in refused(policy, other)


def test_a_policy_without_logs_accepts_nothing() -> None:
    refused(TrustPolicy.parse(b"quorum none\n"), CHECKPOINT)


def test_a_note_that_is_no_checkpoint_is_refused() -> None:
    policy = TrustPolicy.parse(f"log {LOG.verifier}\nquorum none\n".encode())
    refused(policy, sign_note("log.example\nhello\n", [LOG]))


def test_nested_groups_count_once() -> None:
    policy = TrustPolicy.parse(f"{LINES}group inner all w0 w1\ngroup outer any inner w2\nquorum outer\n".encode())
    policy.require_quorum([b"w2"])
    policy.require_quorum([b"w0", b"w1"])
    with pytest.raises(TiergateError):
        policy.require_quorum([b"w0"])


@pytest.mark.parametrize(
    "text",
    [
        b"log \xff+00000000+AAAA\nquorum none\n",
        b"log a b c\nquorum none\n",
        f"{LINES}witness w9 {WITNESSES[0].verifier}\nquorum none\n".encode(),
        f"{LINES}witness w9\nquorum none\n".encode(),
        f"{LINES}group g two w0 w1\nquorum g\n".encode(),
        f"{LINES}group g 01 w0 w1\nquorum g\n".encode(),
        f"log {WITNESSES[0].verifier}\nquorum none\n".encode(),
        b"quorum none\n\x7f",
        b"#" * (MAX_TRUST_BYTES + 1),
    ],
    ids=["bytes", "words", "key of a log", "no key", "number", "zero", "key of a witness", "control", "too long"],
)
def test_malformed_files_are_refused(text: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        TrustPolicy.parse(text)
    assert caught.value.reason is Reason.POLICY_INVALID


@pytest.mark.parametrize(
    ("before", "after"),
    [("", f"{VALID}\n"), (f"{VALID}\n# tiergate-valid - -\n", ""), (f"{VALID}\nquorum none\n", "")],
    ids=["at the end", "twice", "before another line"],
)
def test_a_time_of_validity_is_that_of_a_log_line(before: str, after: str) -> None:
    """Else a key would be trusted at all times where somebody thought that its time was over."""
    log = f"log {LOG.verifier}\n"
    assert TrustPolicy.parse(f"{VALID}\n{log}quorum none\n".encode()).window(LOG.verifier).until_ms is not None
    with pytest.raises(TiergateError) as caught:
        TrustPolicy.parse(f"{before}{log}quorum none\n{after}".encode())
    assert (caught.value.reason, "no log line" in caught.value.detail) == (Reason.POLICY_INVALID, True)


def test_the_message_names_the_line() -> None:
    with pytest.raises(TiergateError) as caught:
        TrustPolicy.parse(b"# one\nquorum none\nbogus\n")
    assert "line 3" in caught.value.detail
