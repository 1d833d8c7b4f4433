"""What comes from the audit API in parts, put together and bounded."""

from __future__ import annotations

import grpc.aio

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.client import STREAM_S
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import MAX_BUNDLE_BYTES
from gateway.transport.errors import error_from_rpc


async def download_bundle(stub: AuditServiceStub, digest: str) -> bytes:
    """The bytes of a published bundle. Raises LOG_CORRUPT for more of them than a bundle has, AioRpcError."""
    data = bytearray()
    async for answer in stub.GetBundle(pb.GetBundleRequest(digest=digest), timeout=STREAM_S):
        data += answer.part
        if len(data) > MAX_BUNDLE_BYTES:
            raise TiergateError(Reason.LOG_CORRUPT, f"the gateway sent a bundle of more than {MAX_BUNDLE_BYTES} bytes")
    return bytes(data)


async def fetch_bundle(stub: AuditServiceStub, digest: str) -> bytes:
    """The same; what the gateway refuses, or cannot do, is an error of ours."""
    try:
        return await download_bundle(stub, digest)
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error
