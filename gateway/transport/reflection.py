"""``grpc.reflection.v1alpha.ServerReflection``, behind the same steps as every other service; for development only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]  # it has none

from gateway.transport.identity import Caller

DESCRIPTOR = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


class Reflection:
    """Tells tools such as grpcurl which services and messages there are."""

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = reflection.aio.ReflectionServicer((*services, DESCRIPTOR.full_name))

    def ServerReflectionInfo(  # noqa: N802 - the RPC's name
        self, requests: AsyncIterator[Message], _caller: Caller
    ) -> AsyncIterator[Message]:
        """Answers in the order of the questions."""
        answers: AsyncIterator[Message] = self._servicer.ServerReflectionInfo(requests, None)
        return answers
