"""Errors on the wire: a :class:`TiergateError` as a gRPC status with ``google.rpc`` details, and back.

Going out, only what the catalogue says leaves the process: status, fixed sentence, reason, retry time and, for a
request that breaks the contract, which field broke which rule. Coming in, nothing is believed but a reason whose status
matches the catalogue; text from a peer is never shown or acted on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none

from gateway.errors import CATALOGUE, Reason, TiergateError

DOMAIN = "tiergate"
DETAILS_KEY = "grpc-status-details-bin"
REQUEST_ID_KEY = "x-request-id"
MAX_DETAILS_BYTES = 4096
MAX_RETRY_AFTER_S = 3600.0

_REASONS = {reason.value: reason for reason in Reason}
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}\Z")
_WRONG_PEER = ("Hostname Verification Check failed", "CERTIFICATE_VERIFY_FAILED", "Peer name ")


class FieldViolation(NamedTuple):
    """Which field of a request broke which rule of the contract (never its value)."""

    field: str
    rule: str


class MalformedRequestError(TiergateError):
    """MALFORMED_REQUEST with the fields that are wrong, for the one who wrote the client."""

    def __init__(self, detail: str, violations: Sequence[FieldViolation] = ()) -> None:
        super().__init__(Reason.MALFORMED_REQUEST, detail)
        self.violations = tuple(violations)


class WireStatus(NamedTuple):
    """What is sent for an error."""

    code: grpc.StatusCode
    text: str
    details: bytes


def status_of(error: TiergateError) -> WireStatus:
    """An error's status code, sentence, and the bytes of ``grpc-status-details-bin`` (``google.rpc.Status``)."""
    code = grpc.StatusCode[error.status]
    status = status_pb2.Status(code=code.value[0], message=error.public_text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN))
    if error.retry_after_s is not None:
        wait = Duration()
        wait.FromMilliseconds(math.ceil(error.retry_after_s * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=wait))
    if isinstance(error, MalformedRequestError) and error.violations:
        bad = error_details_pb2.BadRequest()
        for field, rule in error.violations:
            bad.field_violations.add(field=field, description=rule)
        status.details.add().Pack(bad)
    return WireStatus(code, error.public_text, status.SerializeToString())


def error_from_rpc(error: grpc.aio.AioRpcError) -> TiergateError:
    """What a failed call means.

    With well-formed details of ours: that reason, and its retry time. Without, by status: DEADLINE_EXCEEDED,
    MESSAGE_TOO_LARGE (gRPC's own limit), PEER_WRONG where the TLS handshake refused the peer's certificate, else
    PEER_UNREACHABLE; ``detail`` names the status. Raise it ``from error``.
    """
    code = error.code()
    found = _reason_in(error, code)
    if found is not None:
        reason, retry_after_s = found
        return TiergateError(reason, f"the peer said {reason.value}", retry_after_s=retry_after_s)
    detail = f"status {code.name} without a reason"
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TiergateError(Reason.DEADLINE_EXCEEDED, detail)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TiergateError(Reason.MESSAGE_TOO_LARGE, detail)
        case grpc.StatusCode.UNAVAILABLE if any(mark in (error.details() or "") for mark in _WRONG_PEER):
            # The one look at text: it tells our own library's two kinds of UNAVAILABLE apart. A peer that forged it
            # would gain nothing, both mean that there is no answer.
            return TiergateError(Reason.PEER_WRONG, "the peer's certificate was refused")
        case _:
            return TiergateError(Reason.PEER_UNREACHABLE, detail)


def _reason_in(error: grpc.aio.AioRpcError, code: grpc.StatusCode) -> tuple[Reason, float | None] | None:
    """Reason and retry time from the details; None unless they are exactly what one of our servers sends."""
    values = [value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY]
    if len(values) != 1 or not isinstance(values[0], bytes) or len(values[0]) > MAX_DETAILS_BYTES:
        return None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    reasons: list[str] = []
    waits: list[float] = []
    try:
        status = status_pb2.Status.FromString(values[0])
        for item in status.details:
            if item.Unpack(info) and info.domain == DOMAIN:
                reasons.append(info.reason)
            elif item.Unpack(retry):
                waits.append(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
    except DecodeError:
        return None
    reason = _REASONS.get(reasons[0]) if len(reasons) == 1 else None
    if reason is None or status.code != code.value[0] or CATALOGUE[reason].status != code.name or len(waits) > 1:
        return None
    return reason, believed_wait(waits[0]) if waits else None


def believed_wait(retry_after_s: float) -> float | None:
    """A peer's retry time (seconds), if it is one that may be passed on: at most an hour."""
    return retry_after_s if 0 <= retry_after_s <= MAX_RETRY_AFTER_S else None


def request_id_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The caller's ``x-request-id``, if it sent exactly one of 8 to 64 characters ``A-Z a-z 0-9 _ -``."""
    values = [value for key, value in metadata or () if key == REQUEST_ID_KEY]
    if len(values) == 1 and isinstance(values[0], str) and _REQUEST_ID.match(values[0]):
        return values[0]
    return None
