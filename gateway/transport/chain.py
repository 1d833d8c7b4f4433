"""The steps of a call, composed once per method when the server is built. There are no gRPC interceptors.

An interceptor is asked anew for every call and wraps the handler again; a closure made once costs nothing. The order:

1  errors (outermost), so that no step's failure, whatever it is, reaches gRPC and with it the caller as text; it also
   gives a failed call its request id, counts it and logs it;
2  identity, before anything that the caller chose is looked at;
3  access: the method's row of the access table;
4  limits, before any work: shutting down or busy, the caller's rate, the request's size;
5  decode and validate: bytes that are no message, or break a rule of the contract, never reach our code;
6  the handler; its answer is serialised here, inside the error step.

Steps 2 to 5 never wait, so that a call that is refused holds nothing, and the count of calls in hand is exact.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, TypeAlias, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from protovalidate import CompilationError, Validator

from gateway.domain.ids import Role
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import FieldViolation, MalformedRequestError
from gateway.transport.identity import Caller, Context, Identify
from gateway.transport.limits import COUNTED_BY_ITEM, Gate, Rates
from gateway.transport.metrics import CallMetrics
from gateway.transport.refusals import Refusals
from gateway.transport.rules import compile_quick

Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"  # generic in its type stubs alone
Unary = Callable[[Message, Caller], Awaitable[Message]]
Streaming = Callable[[Message, Caller], AsyncIterator[Message]]
Dialogue = Callable[[AsyncIterator[Message], Caller], AsyncIterator[Message]]


class Steps(NamedTuple):
    """What all methods of a server share."""

    identify: Identify
    gate: Gate
    rates: Rates
    refusals: Refusals
    metrics: CallMetrics
    validator: Validator


class Decoder:
    """Step 5 for one request type. Building it compiles the type's rules. Raises ValueError for a broken rule."""

    def __init__(self, message: type[Message], validator: Validator) -> None:
        self._parse = message.FromString
        self._is_sound = compile_quick(message.DESCRIPTOR)
        self._violations = validator.collect_violations
        try:
            self._violations(message())
        except CompilationError as error:
            raise ValueError(f"the rules of {message.DESCRIPTOR.full_name} do not compile") from error

    def __call__(self, data: bytes) -> Message:
        """The message in ``data``. Raises MALFORMED_REQUEST or BATCH_TOO_LARGE."""
        try:
            message = self._parse(data)
        except DecodeError as error:
            raise MalformedRequestError("not a message of the method's request type") from error
        if self._is_sound(message):
            return message
        # the first violation is enough: a batch of thousands of broken items must not cost thousands of reports
        if found := self._violations(message, fail_fast=True):
            if any(item.proto.rule_id == "repeated.max_items" for item in found):
                raise TiergateError(Reason.BATCH_TOO_LARGE)
            violations = [_describe(item.proto) for item in found]
            raise MalformedRequestError("; ".join(f"{v.field}: {v.rule}" for v in violations), violations)
        return message


def _describe(violation: Any) -> FieldViolation:
    """Field and rule in the contract's own words; nothing of the request's."""
    elements = violation.field.elements if violation.field else ()
    return FieldViolation(".".join(_step(item) for item in elements), violation.rule_id)


def _step(element: Any) -> str:
    place = f"[{element.subscript.value}]" if element.has_field("index") else ""
    return f"{element.field_name}{place}"


class Method(NamedTuple):
    """One method as it is served: full name, who may call it, its largest request in bytes, how that is read."""

    name: str
    roles: frozenset[Role]
    max_bytes: int
    decode: Decoder


def _admit(steps: Steps, method: Method) -> Callable[[Caller], None]:
    """Steps 3 and 4, but for the size. An empty row, which no table can have, would admit nobody."""
    check, take, roles = steps.gate.check, steps.rates.take, method.roles

    def admit(caller: Caller) -> None:
        if caller.identity.role not in roles:
            raise TiergateError(Reason.CALLER_NOT_PERMITTED)
        check()
        take(caller)

    return admit


def _read(method: Method) -> Callable[[bytes], Message]:
    """The size, and step 5."""
    limit, decode = method.max_bytes, method.decode

    def read(data: bytes) -> Message:
        if len(data) > limit:
            raise TiergateError(Reason.MESSAGE_TOO_LARGE, f"{len(data)} bytes, at most {limit}")
        return decode(data)

    return read


def serve_unary(steps: Steps, method: Method, handler: Unary) -> Handler:
    """A method with one request and one answer."""
    identify, admit, read = steps.identify, _admit(steps, method), _read(method)
    gate, refusals, name = steps.gate, steps.refusals, method.name
    succeeded, clock = steps.metrics.succeeded(name), time.perf_counter
    by_item, take_items = name in COUNTED_BY_ITEM, steps.rates.take_items

    async def call(data: bytes, context: Context) -> bytes:
        started = clock()
        caller = None
        try:
            caller = identify(context)
            admit(caller)
            request: Any = read(data)
            if by_item:
                take_items(caller, len(request.items))
            gate.enter()
            try:
                answer = await handler(request, caller)
            finally:
                gate.leave()
            reply = answer.SerializeToString()
        except asyncio.CancelledError:
            refusals.cancelled(name, clock() - started)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach gRPC
            await refusals.answer(error, context, method=name, caller=caller, seconds=clock() - started)
        succeeded(clock() - started)
        return reply

    return grpc.unary_unary_rpc_method_handler(cast("Any", call))


def serve_stream(steps: Steps, method: Method, handler: Streaming) -> Handler:
    """A method with one request and a stream of answers."""
    read = _read(method)

    def open_stream(request: bytes, caller: Caller) -> AsyncIterator[Message]:
        return handler(read(request), caller)

    return grpc.unary_stream_rpc_method_handler(cast("Any", _stream(steps, method, open_stream)))


def serve_dialogue(steps: Steps, method: Method, handler: Dialogue) -> Handler:
    """A method with streams both ways."""
    read = _read(method)

    def open_stream(requests: AsyncIterator[bytes], caller: Caller) -> AsyncIterator[Message]:
        return handler((read(data) async for data in requests), caller)

    return grpc.stream_stream_rpc_method_handler(cast("Any", _stream(steps, method, open_stream)))


def _stream(
    steps: Steps, method: Method, open_stream: Callable[[Any, Caller], AsyncIterator[Message]]
) -> Callable[[Any, Context], AsyncIterator[bytes]]:
    """The steps around a stream of answers; it is in hand until it ends."""
    identify, admit = steps.identify, _admit(steps, method)
    gate, refusals, name = steps.gate, steps.refusals, method.name
    succeeded, clock = steps.metrics.succeeded(name), time.perf_counter

    async def call(request: Any, context: Context) -> AsyncIterator[bytes]:
        started = clock()
        caller = None
        try:
            caller = identify(context)
            admit(caller)
            gate.enter()
            try:
                async with aclosing(cast("AsyncGenerator[Message]", open_stream(request, caller))) as answers:
                    async for answer in answers:
                        yield answer.SerializeToString()
            finally:
                gate.leave()
        except (asyncio.CancelledError, GeneratorExit):
            refusals.cancelled(name, clock() - started)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach gRPC
            await refusals.answer(error, context, method=name, caller=caller, seconds=clock() - started)
        succeeded(clock() - started)

    return call
