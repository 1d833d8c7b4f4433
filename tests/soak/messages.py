"""Bad messages for every RPC, the same for the same seed: nonsense in the contract's shapes, and broken bytes."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.crypto.keys import b64url
from tests.fuzz.engine import mutants
from tests.fuzz.requests import METHODS, sound

MARK = "smuggled-by-soak-0451"
"""Stands in whatever is sent; no log line may hold it, whole or encoded."""
PERSON = f"{MARK}-resident"
DEPTH = 4
_LEFT_OUT = {"handle", "device_key", "registration"}
"""Of a careful message: the other one of a oneof, and what must fit to something else."""
NAMES = {method.name: f"/{method.containing_service.full_name}/{method.name}" for method in METHODS}
WRONG_METHODS = (
    "/", "//", f"/{MARK}", f"/{MARK}/{MARK}", "/gateway.api.operator.v1.EligibilityService/",
    f"/grpc.health.v1.Health/{MARK}",
    "/gateway.api.operator.v1.EligibilityService/checkeligibility", "/gateway.api.operator.v1.EligibilityService/../X",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/" + "x" * 2000,
)  # fmt: skip
STREAMING = frozenset(method.name for method in METHODS if method.server_streaming)


def encodings_of(mark: str = MARK) -> tuple[bytes, ...]:
    """What to search for: the mark, and what base64 makes of it at each of the three places in a group."""
    raw = mark.encode()
    shifted = (base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3))
    return (raw, *shifted, raw.hex().encode())


class Sent(NamedTuple):
    """One call: full method name, request, metadata, and what else is done to it."""

    method: str
    streaming: bool
    data: bytes
    metadata: tuple[tuple[str, str | bytes], ...]
    deadline_s: float
    cancel: bool


class Messages:
    """A stream of calls. ``tokens`` are real ones, to be used where they do not belong, whole and changed."""

    def __init__(self, seed: int, tokens: Sequence[str]) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._tokens = tokens
        claims = {"iss": "fuzhou", "sub": MARK, "aud": MARK, MARK: MARK}
        body = ".".join(b64url(json.dumps(part).encode()) for part in ({"alg": "none", "kid": MARK}, claims))
        forged = [f"{body}.", f"{body}.{b64url(bytes(64))}"]
        for token in tokens:
            head, _, rest = token.partition(".")
            forged += [f"{head}.{b64url(json.dumps(claims).encode())}.{rest.rpartition('.')[2]}", token[:-4] + "AAAA"]
        self._texts = (
            *forged,
            *tokens,
            MARK,
            MARK * 3,
            MARK * 200,
            "",
            "xiamen-library",
            "a" * 22,
            "ab" * 32,
            "\0",
            "福州",
            PERSON,
        )
        self._careful = False
        # so that a part of the nonsense gets past the contract, and to what judges tokens
        self._plausible: Mapping[str, Sequence[Any]] = {
            "request_id": [f"soak-request-{number:08}" for number in range(200)],
            "scenario": ("xiamen-library", "xiamen-library", "fuzhou-transit", "no-such-scenario"),
            "operator": ("xiamen-library", "xiamen-parking", "nobody"),
            "token": (*forged, *tokens),
            "proof": ("", "", *forged, *tokens),
            "bundle_digest": ("ab" * 32,),
            "notice_digest": ("ab" * 32,),
            "uses": (0, 1, 2, 1000),
            "lifetime_s": (60, 3600, 86_400),
            "binding": (1, 2),
            "consent_id": ("a" * 22, MARK + "x"),
            "events": forged,
            "attestation_id": ("a" * 22,),
            "outcome": (1, 2),
            "log_index": (1, 2, 3, 2**40),
            "start": (0, 1, 2**40),
            "end": (1, 3, 2**40),
            "index": (0, 1, 2**40),
            "limit": (0, 1, 100),
            "size": (0, 1, 2**40),
            "case_id": ("k" * 22, MARK + "x"),
            "step": (2, 3, 4, 5),
            "entry": (MARK.encode(), b"{}", f'{{"type":"decision","{MARK}":1}}'.encode()),
            "inclusion": (bytes(32),),
            "checkpoint": (f"{MARK}\n1\n{base64.b64encode(bytes(32)).decode()}\n\n— {MARK} AAAAAAAA\n",),
            # not the one whose good check is made afterwards: a well-formed freeze is obeyed
            "resident_ref": ("synthetic-qz-0005", "synthetic-qz-0007", PERSON),
        }
        self._broken = {method.name: self._mutants(method) for method in METHODS}

    def _mutants(self, method: MethodDescriptor) -> Iterator[bytes]:
        number = self._seed
        while True:
            number += 1
            yield from mutants([sound(method).SerializeToString(), self._nonsense(method)], 50, 8192, number)

    def _nonsense(self, method: MethodDescriptor) -> bytes:
        message = GetMessageClass(method.input_type)()
        self._fill(message, DEPTH)
        return message.SerializeToString()

    def _fill(self, message: Message, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if field.name in _LEFT_OUT if self._careful else self._chance.random() < 0.15:
                continue
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                if not depth:
                    continue
                inner = getattr(message, field.name)
                for _ in range(self._chance.choice((1, 1, 2, 5)) if field.is_repeated else 1):
                    self._fill(inner.add() if field.is_repeated else inner, depth - 1)
                if not field.is_repeated:
                    inner.SetInParent()
            elif field.is_repeated:
                getattr(message, field.name).extend(self._value(field) for _ in range(self._chance.choice((0, 1, 3))))
            else:
                setattr(message, field.name, self._value(field))

    def _value(self, field: Any) -> Any:
        chance = self._chance
        if field.name in self._plausible and (self._careful or chance.random() < 0.7):
            return chance.choice(self._plausible[field.name])
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return chance.choice((b"", MARK.encode(), chance.randbytes(32), chance.randbytes(300)))
            case FieldDescriptor.CPPTYPE_STRING:
                return chance.choice(self._texts)
            case FieldDescriptor.CPPTYPE_BOOL:
                return chance.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return chance.choice((0, 1, 2, 3, 99, -1))
            case FieldDescriptor.CPPTYPE_UINT32 | FieldDescriptor.CPPTYPE_UINT64:
                return chance.choice((0, 1, 2, 7, 60, 3600, 2**31, 2**32 - 1))
            case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_INT64:
                return chance.choice((0, 1, -1, 60, 3600, 2**31 - 1, -(2**31)))
        raise AssertionError(f"no value for {field.full_name}")

    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        chance = self._chance
        choices: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
            (),
            (("x-request-id", "short"),),
            (("x-request-id", f"{MARK}!"),),
            (("x-request-id", "fine-request-id"), ("x-request-id", "fine-request-id")),
            (("authorization", f"Bearer {MARK}"),),
            (
                ("traceparent", MARK),
                ("x-forwarded-for", MARK),
                ("x-spiffe-id", "spiffe://fujian.tiergate.invalid/gateway"),
            ),
            (("grpc-status-details-bin", MARK.encode() * 3),),
            tuple((f"x-{number}", MARK) for number in range(40)),
            (("x-large", MARK * chance.choice((50, 300, 2000))),),
        )
        return chance.choice(choices) if chance.random() < 0.3 else ()

    def call(self, name: str | None = None) -> Sent:
        """One call, of the RPC of that name or of any."""
        chance = self._chance
        deadline_s = 0.001 if chance.random() < 0.01 else 20.0
        cancel = chance.random() < 0.02
        if name is None and chance.random() < 0.03:
            data = MARK.encode() * chance.randrange(5)
            return Sent(chance.choice(WRONG_METHODS), chance.random() < 0.5, data, self._metadata(), deadline_s, cancel)
        method = next(item for item in METHODS if item.name == name) if name else chance.choice(METHODS)
        kind = chance.random()
        if kind < 0.25:
            data = next(self._broken[method.name])
        elif kind < 0.9:
            self._careful = kind > 0.45
            data = self._nonsense(method)
            self._careful = False
        elif kind < 0.97:
            data = MARK.encode() + chance.randbytes(chance.choice((0, 1, 100)))
        else:
            data = MARK.encode() * chance.choice((2000, 40_000))
        # a watch goes on until it is cancelled
        stop = cancel or method.name == "Watch"
        return Sent(NAMES[method.name], method.name in STREAMING, data, self._metadata(), deadline_s, stop)
