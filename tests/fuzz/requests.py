"""Every RPC of both servers, and for each a request that keeps the contract.

The RPCs are those of the access tables, to which the servers are held. A request is filled field by field from
``VALUES``, by name, or with the plainest value of the field's type; a test says which request lacks a value here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has none

import gateway.api
from gateway.api.peer.v1 import peer_pb2
from gateway.consentlog import merkle
from gateway.transport.access import ADAPTER_ACCESS, GATEWAY_ACCESS
from tests.fuzz import world
from tests.fuzz.log_world import entries, leaves, signed_checkpoint, subtree

_FILES = [health_pb2] + [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(gateway.api.__path__, "gateway.api.")
    if found.name.endswith("_pb2")
]
_KNOWN: Mapping[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
METHODS: tuple[MethodDescriptor, ...] = tuple(_KNOWN[name] for name in sorted({*GATEWAY_ACCESS, *ADAPTER_ACCESS}))
TOKEN = "A" * 64
VALUES: Mapping[str, Any] = {
    "attestation_id": "A" * 22,
    "bundle_digest": world.BUNDLE,
    "case_id": "k" * 22,
    "consent_id": "c" * 22,
    "digest": world.BUNDLE,
    "end": 1,
    "events": TOKEN,
    "first": 1,
    "lifetime_s": 3600,
    "notice_digest": "ab" * 32,
    "operator": world.OPERATOR,
    "proof": TOKEN,
    "request_id": "r" * 22,
    "resident_ref": "synthetic-1",
    "scenario": world.SCENARIO,
    "size": 1,
    "step": 2,
    "token": TOKEN,
}
_ABSENT = {"handle", "asked_of", "device_key"}  # of a oneof the other one; and what may be left out


def use_reports() -> peer_pb2.ReportUsesRequest:
    """A report of the one decision in the log."""
    return peer_pb2.ReportUsesRequest(
        checkpoint=signed_checkpoint().decode(),
        reports=[
            peer_pb2.UseReport(
                attestation_id="A" * 22,
                outcome=peer_pb2.USE_OUTCOME_ENTITLED,
                log_index=3,
                entry=entries()[3],
                inclusion=merkle.inclusion_proof(3, len(leaves()), subtree),
            )
        ],
    )


def _filled(message: Message) -> Message:
    for field in message.DESCRIPTOR.fields:
        if field.name in _ABSENT:
            continue
        held = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            _filled(held.add() if field.is_repeated else held).SetInParent()
        elif field.is_repeated:
            held.append(_value(field))
        else:
            setattr(message, field.name, _value(field))
    return message


def _value(field: Any) -> Any:
    if field.name in VALUES:
        return VALUES[field.name]
    return 1 if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM else field.default_value


@cache
def sound(method: MethodDescriptor) -> Message:
    """A request of a method."""
    return use_reports() if method.name == "ReportUses" else _filled(GetMessageClass(method.input_type)())
