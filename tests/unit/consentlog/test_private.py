"""Openings of private fields: what was committed opens, and nothing that was forged does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.consentlog.entry import encode
from gateway.consentlog.export import write_export
from gateway.consentlog.private import (
    FIELDS,
    Opening,
    PrivatePayload,
    commit,
    decode_opening,
    encode_opening,
    open_field,
    verify_opening,
)
from gateway.errors import Reason, TiergateError
from tests.unit.cli.conftest import Run, run
from tests.unit.consentlog.replayed import decided, policies, policy_bytes, published, registration
from tests.unit.consentlog.samples import TRUST, MemoryLog, genesis

__all__ = ["run"]  # a fixture
PAYLOAD = PrivatePayload(b"a" * 32, 1_793_491_200_001, b"r" * 32, b"t" * 32, 1_793_491_500_000)
SALT, OTHER_SALT = bytes(range(32)), bytes(range(1, 33))
PRIVATE = commit(SALT, PAYLOAD)


def refused(opening: Opening, private: str = PRIVATE) -> None:
    with pytest.raises(TiergateError) as caught:
        verify_opening(opening, private)
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_opens_to_its_value_and_shows_no_other(field: str) -> None:
    opening = decode_opening(encode_opening(open_field(SALT, PAYLOAD, field)))
    shown = dict(zip(FIELDS, (text.decode() for text in PAYLOAD.texts()), strict=True))
    assert verify_opening(opening, PRIVATE) == shown.pop(field)
    assert SALT not in {opening.salt, *opening.others.values()}
    assert not [value for value in shown.values() if value.encode() in encode_opening(opening)]


@pytest.mark.parametrize("field", FIELDS)
def test_an_opening_under_a_wrong_salt_is_refused(field: str) -> None:
    opening = open_field(SALT, PAYLOAD, field)
    refused(replace(opening, salt=open_field(OTHER_SALT, PAYLOAD, field).salt))
    refused(replace(opening, salt=SALT))  # the entry's own is no field's
    refused(replace(opening, salt=opening.salt[:31]))
    refused(replace(opening, salt=opening.salt + b"\0"))


@pytest.mark.parametrize("field", FIELDS)
def test_an_opening_to_another_value_is_refused(field: str) -> None:
    opening = open_field(SALT, PAYLOAD, field)
    last = "1" if opening.value[-1] != "1" else "2"
    refused(replace(opening, value=opening.value[:-1] + last))
    refused(replace(opening, value=opening.value.upper() + " "))
    refused(replace(opening, value=""))


def test_a_field_shown_as_another_is_refused() -> None:
    """Of the same form: a request and a token are both 64 hex digits, and both times are numbers."""
    for shown, claimed in (("request", "token"), ("token", "attestation"), ("decided_at", "valid_until")):
        opening, other = open_field(SALT, PAYLOAD, shown), open_field(SALT, PAYLOAD, claimed)
        refused(replace(opening, field=claimed))
        refused(replace(other, value=opening.value, salt=opening.salt))
        refused(replace(other, value=opening.value))
    refused(replace(open_field(SALT, PAYLOAD, "token"), field="salt"))
    refused(replace(open_field(SALT, PAYLOAD, "token"), field=""))


@pytest.mark.parametrize("field", FIELDS)
def test_the_opening_of_another_entry_is_refused(field: str) -> None:
    """Of the same values, which two decisions of one consent nearly have: each entry has a salt of its own."""
    refused(open_field(OTHER_SALT, PAYLOAD, field))
    refused(open_field(SALT, PAYLOAD, field), commit(OTHER_SALT, PAYLOAD))


def test_an_opening_with_a_field_more_or_less_is_refused() -> None:
    opening = open_field(SALT, PAYLOAD, "token")
    refused(replace(opening, others={**opening.others, "note": bytes(32)}))
    refused(replace(opening, others={**opening.others, "token": bytes(32)}))
    refused(replace(opening, others={name: leaf for name, leaf in opening.others.items() if name != "request"}))
    refused(replace(opening, others={**opening.others, "request": opening.others["request"][:31]}))
    refused(replace(opening, others={}))


def test_swapped_commitments_are_refused() -> None:
    opening = open_field(SALT, PAYLOAD, "token")
    swapped = {**opening.others, "request": opening.others["attestation"], "attestation": opening.others["request"]}
    refused(replace(opening, others=swapped))


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: data.replace(b'"field":', b'"extra":"x","field":'),
        lambda data: data.replace(b'"field":"token"', b'"field":"token","field":"token"'),
        lambda data: data.replace(b'"salt":"', b'"salt":"0'),
        lambda data: data.replace(b'"value":"', b'"value":7,"x":"'),
        lambda data: b"[]",
        lambda data: b"",
        lambda data: b"x" * 5000,
    ],
)
def test_a_file_of_any_other_form_is_refused(change: Change) -> None:
    data = encode_opening(open_field(SALT, PAYLOAD, "token"))
    with pytest.raises(TiergateError) as caught:
        decode_opening(change(data))
    assert caught.value.reason is Reason.PROOF_OF_LOG_INVALID


def test_the_command_refuses_what_is_forged(run: Run, tmp_path: Path) -> None:
    private, other = commit(SALT, PAYLOAD), commit(OTHER_SALT, PAYLOAD)
    log = [genesis(), published(), registration(), decided(1, private=private), decided(0, private=other)]
    export, trust, file = tmp_path / "export", tmp_path / "trust", tmp_path / "opening"
    trust.write_bytes(TRUST)
    write_export(MemoryLog([encode(item) for item in log]), export, {policies().digest: policy_bytes()}, TRUST)

    def verified(opening: Opening, index: int) -> int:
        file.write_bytes(encode_opening(opening))
        done = run("audit", "verify-opening", file, "--trust", trust, "--export", export, "--index", index, "--json")
        if done.code == 0:
            assert done.document["value"] == opening.value
        return done.code

    sound = open_field(SALT, PAYLOAD, "request")
    assert verified(sound, 3) == 0
    assert verified(sound, 4) == 4
    assert verified(sound, 2) == 4  # a registration commits to nothing
    assert verified(replace(sound, value="0" * 64), 3) == 4
    assert verified(replace(sound, field="token"), 3) == 4
    assert verified(replace(sound, salt=OTHER_SALT), 3) == 4
