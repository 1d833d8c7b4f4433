from __future__ import annotations

import random
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.audit.v1 import audit_pb2
from gateway.api.consent.v1 import consent_pb2
from gateway.api.operator.v1 import operator_pb2
from gateway.api.peer.v1 import peer_pb2
from gateway.transport.rules import compile_quick

TYPES = [
    method.input_type
    for module in (operator_pb2, peer_pb2, consent_pb2, audit_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
TEXTS = [
    "", "a", "fuzhou-transit", "fuzhou-", "-", "fuzhou-transit\n", "A" * 15, "A" * 16, "r_-" * 8, "r" * 64, "r" * 65,
    "0" * 64, "0" * 63 + "G", "0" * 64 + "\n", "榕" * 16, "榕" * 15, "a-b-c-d-e-f", "a--b-c-d-e-f", "é" * 4096,
    "t" * 4096, "t" * 4097, "p" * 2048, "p" * 2049, "a" * 48, "a" * 49, "A.b_c-1", "A b",
]  # fmt: skip
NUMBERS = [0, 1, 2, 3, 59, 60, 200, 201, 1000, 1001, 34_560_000, 34_560_001, 2**32 - 1]
LENGTHS = [0, 1, 1, 1, 2, 3, 64, 65, 256, 257]


def fill(message: Message, dice: random.Random) -> None:
    """Set most fields to something near a limit."""
    for field in message.DESCRIPTOR.fields:
        if dice.random() < 0.85:
            _set(message, field, dice)


def _set(message: Message, field: Any, dice: random.Random) -> None:
    if field.is_repeated:
        several: Any = getattr(message, field.name)
        for _ in range(dice.choice(LENGTHS)):
            if field.message_type is not None:
                fill(several.add(), random.Random(dice.choice([1, 2, 3, dice.random()])))
            else:
                several.append(_scalar(field, dice))
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        fill(inner, dice)
    else:
        setattr(message, field.name, _scalar(field, dice))


def _scalar(field: Any, dice: random.Random) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return dice.choice(TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return bytes(dice.choice([0, 1, 2, 31, 32, 33, 4096, 4097]))
        case FieldDescriptor.TYPE_BOOL:
            return dice.random() < 0.5
        case FieldDescriptor.TYPE_ENUM:
            return dice.choice([0, 1, 2, 3, 99])
        case _:
            return dice.choice(NUMBERS)


VALIDATOR = protovalidate.Validator()
QUICK = {item.full_name: compile_quick(item) for item in TYPES}


def sound(message: Message, validator: protovalidate.Validator = VALIDATOR) -> bool:
    return not validator.collect_violations(message, fail_fast=True)


@pytest.mark.parametrize("kind", TYPES, ids=lambda item: item.name)
@given(seed=st.integers(0, 2**64))
def test_it_agrees_with_the_engine_on_every_request_type(kind: Descriptor, seed: int) -> None:
    message = message_factory.GetMessageClass(kind)()
    fill(message, random.Random(seed))
    assert QUICK[kind.full_name](message) is sound(message)


def _check(**changes: Any) -> operator_pb2.CheckEligibilityRequest:
    token = operator_pb2.TokenPresentation(token="t" * 700, proof="p" * 400)
    request = operator_pb2.CheckEligibilityRequest(
        request_id="r" * 22, scenario="fuzhou-transit", presentation=operator_pb2.Presentation(token=token)
    )
    for path, value in changes.items():
        owner: Any = request
        *outer, last = path.split("__")
        for name in outer:
            owner = getattr(owner, name)
        setattr(owner, last, value)
    return request


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"presentation__handle": "fuzhou-abcdefgh"},
        {"presentation__token__proof": ""},
        {"request_id": "r" * 64},
        {"want_receipt": True},
    ],
    ids=str,
)
def test_a_sound_check_is_let_through(changes: dict[str, Any]) -> None:
    request = _check(**changes)
    assert sound(request)
    assert QUICK[request.DESCRIPTOR.full_name](request)


@pytest.mark.parametrize(
    "changes",
    [
        {"request_id": ""},
        {"request_id": "r" * 22 + "\n"},
        {"request_id": "r" * 65},
        {"scenario": "-fuzhou"},
        {"scenario": "Fuzhou"},
        {"presentation__token__token": "short"},
        {"presentation__token__token": "t" * 4097},
        {"presentation__token__proof": "p" * 2049},
        {"presentation__handle": "fuzhou"},
        {"presentation__handle": "a-" + "b" * 95},
    ],
    ids=str,
)
def test_an_unsound_check_is_left_to_the_engine(changes: dict[str, Any]) -> None:
    request = _check(**changes)
    assert not sound(request)
    assert not QUICK[request.DESCRIPTOR.full_name](request)


def test_a_missing_message_and_an_empty_oneof_are_left_to_the_engine() -> None:
    quick = QUICK["gateway.api.operator.v1.CheckEligibilityRequest"]
    request = _check()
    request.presentation.ClearField("token")
    assert not quick(request)
    request.ClearField("presentation")
    assert not quick(request)


def test_no_request_type_of_the_contract_is_always_left_to_the_engine() -> None:
    """Each has at least one message that is found sound, or the quick way would be of no use to it."""
    dice = random.Random(7)
    for kind in TYPES:
        message_class = message_factory.GetMessageClass(kind)
        for _ in range(20_000):
            message = message_class()
            fill_likely(message, dice)
            if QUICK[kind.full_name](message):
                assert sound(message)
                break
        else:
            raise AssertionError(kind.full_name)


def fill_likely(message: Message, dice: random.Random) -> None:
    """Set one thing of each kind to what is mostly sound."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and field.is_repeated:
            several: Any = getattr(message, field.name)
            fill_likely(several.add(), dice)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill_likely(getattr(message, field.name), dice)
        elif field.type == FieldDescriptor.TYPE_STRING:
            _put(message, field.name, dice.choice(["r" * 22, "fuzhou-transit", "0" * 64, "t" * 64]))
        elif field.type == FieldDescriptor.TYPE_BYTES:
            _put(message, field.name, bytes(32))
        else:
            _put(message, field.name, dice.choice([1, 60]))


def _put(message: Message, name: str, value: Any) -> None:
    field: Any = message.DESCRIPTOR.fields_by_name[name]
    if field.is_repeated:
        getattr(message, name).append(value)
    else:
        setattr(message, name, value)


def _type_with(option: bytes, **field: Any) -> Any:
    """A message type of one field ``f`` whose ``buf.validate`` options are ``option`` (bytes of FieldRules)."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    message = file.message_type.add(name="T")
    item = message.field.add(name="f", number=1, label=1, **field)
    # field 1159 of FieldOptions, length-delimited
    item.options.MergeFromString(b"\xba\x48" + bytes([len(option)]) + option)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.T"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (b"\x72\x06\x0a\x04same", "same"),  # string.const
        (b"\x72\x04\x32\x02^a", "abc"),  # string.pattern without its end
        (b"\x72\x06\x32\x04^\\d$", "1"),  # string.pattern with an escape
        (b"\xc8\x01\x01", "set"),  # required, on a field without presence
    ],
    ids=["const", "open pattern", "escape", "required"],
)
def test_a_rule_of_a_kind_that_is_not_known_is_left_to_the_engine(option: bytes, value: str) -> None:
    kind = _type_with(option, type=FieldDescriptor.TYPE_STRING)
    assert sound(kind(f=value), protovalidate.Validator())  # one keeps what it compiled under a type's name
    assert not compile_quick(kind.DESCRIPTOR)(kind(f=value))
