from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.consentlog.entry import MAX_ENTRY_BYTES, SCHEMAS, VERSION, Value, decode, encode, encode_decision
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import (
    decision,
    entry,
    erasure,
    erasure_requested,
    genesis,
    published,
    refusal,
    registered,
    withdrawn,
)

SAMPLES = [
    genesis(),
    genesis() | {"origin": "log.example/minnan/2027q1/shard1", "previous": "bm90ZQ==", "directory": 3},
    published(),
    registered(),
    withdrawn(),
    withdrawn(consent=7),
    erasure_requested(consent=7),
    erasure(),
    decision(2),
    decision(2, rung=0),
    refusal(),
    entry("correction", city="xiamen", event="1" * 64),
    entry("consent_paused", city="xiamen", consent=3, event="2" * 64),
    entry("consent_resumed", city="xiamen", event="3" * 64),
    entry("audit_read", auditor="province", start=0, end=7, scope="5" * 64),
    entry("contest", city="xiamen", decision=3, step="opened", event="4" * 64),
    entry("peer_changed", directory=3, role="operator", name="xiamen-library"),
    entry("peer_changed", directory=3, role="city", name="xiamen", peer="6" * 64),
    entry("key_rotated", directory=3, role="city", name="xiamen", purpose="event", key="7" * 64, state="added"),
    entry("shard_sealed", next=f"log.example/minnan/2027q1/shard1+0123abcd+{'A' * 44}"),
]


def value_of(pattern: str) -> st.SearchStrategy[Value]:
    return st.from_regex(pattern, fullmatch=True).map(json.loads)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Value]:
    name = draw(st.sampled_from(sorted(SCHEMAS)))
    made: dict[str, Value] = {"type": name, "v": VERSION, "time": draw(st.integers(0, 10**15 - 1))}
    for field, kind in SCHEMAS[name].items():
        if not field.endswith("?") or draw(st.booleans()):
            made[field.rstrip("?")] = draw(value_of(kind.pattern))
    if name == "genesis":
        later = "previous" in made or "directory" in made
        made["origin"] = "log.example/2027q1/shard1" if later else "log.example/2026q4"
        made |= {"previous": made.get("previous", "AAAA"), "directory": made.get("directory", 1)} if later else {}
    if name == "decision":
        made["outcome"] = "entitled" if made["rung"] else "ordinary"
    if made.get("by") == "order":
        made |= {"consents": 1, "order": "aa" * 32, "ordered_by": "court", "city": "xiamen"}
        made.pop("upto", None)
    elif "by" in made:
        made = {
            field: value for field, value in made.items() if field not in {"order", "ordered_by", "city", "consent"}
        }
    return made


@settings(deadline=None, max_examples=50)
@given(entries())
def test_the_encoding_is_rfc_8785_and_is_read_back(made: dict[str, Value]) -> None:
    raw = encode(made)
    assert raw == rfc8785.dumps(dict(made))
    assert len(raw) <= MAX_ENTRY_BYTES
    read = decode(raw)
    assert {"v": VERSION, "type": read.type, "time": read.time, **read.fields} == made


def test_every_type_has_a_sample() -> None:
    assert {item["type"] for item in SAMPLES} == set(SCHEMAS)
    for item in SAMPLES:
        assert decode(encode(item)).type == item["type"]


def corrupt(raw: bytes) -> str:
    with pytest.raises(TiergateError) as caught:
        decode(raw)
    assert caught.value.reason is Reason.LOG_CORRUPT
    return caught.value.detail


def refuse_both(item: dict[str, Any]) -> str:
    """Neither written nor read; the reader's explanation."""
    with pytest.raises(TiergateError) as caught:
        encode(item)
    assert caught.value.reason is Reason.INTERNAL
    return corrupt(json.dumps(item, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize("item", SAMPLES, ids=lambda item: str(item["type"]))
def test_every_field_is_required_and_no_other_allowed(item: dict[str, Value]) -> None:
    optional = {field.rstrip("?") for field in SCHEMAS[str(item["type"])] if field.endswith("?")}
    for field in set(item) - optional - {"type"}:
        assert f"no {field!r}" in refuse_both({name: value for name, value in item.items() if name != field})
    assert "unknown field 'score'" in refuse_both(item | {"score": 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rung", 4),
        ("rung", -1),
        ("rung", "2"),
        ("rung", 2.0),
        ("rung", True),
        ("rung", None),
        ("outcome", "maybe"),
        ("outcome", "ordinary"),
        ("city", "Fuzhou"),
        ("city", ""),
        ("city", "福州"),
        ("city", "a" * 49),
        ("city", 1),
        ("city", ["fuzhou"]),
        ("city", {"id": "fuzhou"}),
        ("token", "AB" * 32),
        ("token", "ab" * 31),
        ("id", "ab" * 32),
        ("consent", -1),
        ("consent", 10**15),
        ("time", 1.5),
        ("time", 2**53),
        ("v", 2),
    ],
)
def test_values_of_another_form_are_refused(field: str, value: object) -> None:
    refuse_both({**decision(2), field: value})


@pytest.mark.parametrize("origin", ["a b", "a+b", 'a"b', "a\\b", "a\nb", "é", "", "a" * 201])
def test_origins_are_plain(origin: str) -> None:
    refuse_both({**genesis(), "origin": origin})


@pytest.mark.parametrize(
    "previous", ["bm90ZR==", "bm90ZQ", "bm90ZQ=", "bm90ZXM=====", "bm90ZXN=", "bm9 ZXM=", "", "ab-_"]
)
def test_the_checkpoint_in_a_genesis_has_one_form(previous: str) -> None:
    """The bits that its base64 does not use are zero."""
    later = {**genesis(), "origin": "log.example/minnan/2027q1/shard1", "directory": 3}
    for canonical in ("bm90ZQ==", "bm90ZXM=", "bm90"):
        assert decode(encode({**later, "previous": canonical})).text("previous") == canonical
    refuse_both({**later, "previous": previous})


@pytest.mark.parametrize("code", ["", "SOMETHING_ELSE", "scenario-not-open"])
def test_refusals_carry_a_known_reason(code: str) -> None:
    refuse_both({**refusal(), "code": code})


def test_an_unknown_type_is_refused() -> None:
    refuse_both({**refusal(), "type": "verdict"})
    refuse_both({**refusal(), "type": 1})


RAW = encode(refusal())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"decision"',
        b"{}",
        b'{"type":["decision"]}',
        b"{" * 4000,
        RAW + b"\n",
        b" " + RAW,
        RAW.replace(b":", b": ", 1),
        RAW.replace(b'"v":1', b'"v":1.0'),
        RAW.replace(b'"v":1', b'"v":01'),
        RAW.replace(b'"v":1', b'"v":1,"v":1'),
        RAW.replace(b"fuzhou-bus", b"fuzhou\\u002dbus"),
        RAW.replace(b"fuzhou-bus", "福州".encode()),
        RAW.replace(b"fuzhou-bus", b"\xff"),
        RAW[:-1],
        b" " * (MAX_ENTRY_BYTES + 1),
    ],
)
def test_bytes_that_are_not_canonical_are_refused(raw: bytes) -> None:
    corrupt(raw)


def test_members_in_another_order_are_refused() -> None:
    assert "canonical" in corrupt(json.dumps(refusal(), separators=(",", ":")).encode())


def test_duplicates_are_named() -> None:
    assert "duplicate" in corrupt(RAW.replace(b'"v":1', b'"v":1,"v":1'))


def test_values_stay_out_of_messages() -> None:
    secret = "c0ffee" * 12
    assert secret not in refuse_both({**decision(2), "token": secret})


def test_what_cannot_be_json_is_refused() -> None:
    with pytest.raises(TiergateError) as caught:
        encode({**refusal(), "code": b"bytes"})  # type: ignore[dict-item]
    assert caught.value.reason is Reason.INTERNAL


def test_fields_are_read_by_kind() -> None:
    read = decode(encode(decision(2)))
    assert (read.text("city"), read.number("rung")) == ("fuzhou", 2)
    with pytest.raises(KeyError):
        read.text("rung")
    with pytest.raises(KeyError):
        read.number("city")


def test_the_short_way_to_a_decision_gives_the_same_bytes() -> None:
    fields: dict[str, str | int] = {
        "time": 1_793_491_200_000, "decision_id": "0" * 32, "city": "fuzhou", "operator": "xiamen-library",
        "scenario": "xiamen-library", "bundle": "a" * 64, "consent": 7, "token": "b" * 64, "private": "c" * 64,
        "rung": 0, "valid_until": 1_793_491_500_000,
    }  # fmt: skip
    for rung, outcome in ((0, "ordinary"), (2, "entitled")):
        named = {("id" if name == "decision_id" else name): value for name, value in fields.items()}
        whole = encode({"v": 1, "type": "decision", **named, "rung": rung, "outcome": outcome})
        assert encode_decision(**{**fields, "rung": rung}).encode() == whole  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("change", [{"city": 'x","v":1,"y":"'}, {"rung": 4}, {"time": -1}, {"decision_id": "0" * 31}])
def test_the_short_way_refuses_what_breaks_the_schema(change: dict[str, str | int]) -> None:
    fields: dict[str, str | int] = {
        "time": 1, "decision_id": "0" * 32, "city": "fuzhou", "operator": "o", "scenario": "s", "bundle": "a" * 64,
        "consent": 7, "token": "b" * 64, "private": "c" * 64, "rung": 0, "valid_until": 2,
    }  # fmt: skip
    with pytest.raises(TiergateError) as caught:
        encode_decision(**{**fields, **change})  # type: ignore[arg-type]  # by name
    assert caught.value.reason is Reason.INTERNAL
