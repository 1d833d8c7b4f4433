from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none

from gateway.errors import Reason, TiergateError
from gateway.transport.errors import (
    DETAILS_KEY,
    MAX_DETAILS_BYTES,
    REQUEST_ID_KEY,
    FieldViolation,
    MalformedRequestError,
    error_from_rpc,
    request_id_of,
    status_of,
)

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def rpc_error(
    code: grpc.StatusCode, text: str = "", trailing: Sequence[tuple[str, str | bytes]] = ()
) -> grpc.aio.AioRpcError:
    """A failed call as a client sees it."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), text)


def details(*reasons: str, code: int = 14, domain: str = "tiergate", waits: Sequence[float] = ()) -> bytes:
    status = status_pb2.Status(code=code)
    for reason in reasons:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=domain))
    for wait in waits:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(wait * 1000))
        status.details.add().Pack(retry)
    data: bytes = status.SerializeToString()
    return data


def test_an_error_says_outside_what_the_catalogue_says_and_nothing_else() -> None:
    sent = status_of(TiergateError(Reason.BUSY, "secret detail", retry_after_s=0.0001))
    assert sent.code is UNAVAILABLE
    assert sent.text == TiergateError(Reason.BUSY).public_text
    assert b"secret" not in sent.details
    retry = error_details_pb2.RetryInfo()
    assert any(item.Unpack(retry) for item in status_pb2.Status.FromString(sent.details).details)
    assert retry.retry_delay.ToMilliseconds() == 1  # never rounded down to "at once"


def test_a_malformed_request_names_its_fields() -> None:
    sent = status_of(MalformedRequestError("secret", [FieldViolation("a.b", "string.pattern")]))
    assert sent.code is grpc.StatusCode.INVALID_ARGUMENT
    assert b"a.b" in sent.details
    assert b"secret" not in sent.details


@pytest.mark.parametrize(
    "trailing",
    [
        [],
        [(DETAILS_KEY, b"\xff\xff")],
        [(DETAILS_KEY, details("BUSY", code=13))],
        [(DETAILS_KEY, details("BUSY", domain="elsewhere"))],
        [(DETAILS_KEY, details("NO_SUCH_REASON"))],
        [(DETAILS_KEY, details("USES_EXHAUSTED"))],  # whose status is another
        [(DETAILS_KEY, details("BUSY", "SHUTTING_DOWN"))],
        [(DETAILS_KEY, details("BUSY", waits=(1, 2)))],
        [(DETAILS_KEY, details("BUSY") + b"\x12" + b"\x80\x40" + bytes(0x2000))],
        [(DETAILS_KEY, details("BUSY")), (DETAILS_KEY, details("BUSY"))],
    ],
    ids=[
        "none",
        "garbage",
        "another code",
        "another domain",
        "unknown reason",
        "reason of another status",
        "two reasons",
        "two waits",
        f"over {MAX_DETAILS_BYTES} bytes",
        "twice",
    ],
)
def test_details_that_are_not_exactly_ours_are_not_believed(trailing: list[tuple[str, str | bytes]]) -> None:
    found = error_from_rpc(rpc_error(UNAVAILABLE, "BUSY, trust me", trailing))
    assert found.reason is Reason.PEER_UNREACHABLE
    assert "trust" not in found.detail


@pytest.mark.parametrize(("sent", "kept"), [(2.5, 2.5), (0.0, 0.0), (3601.0, None), (-1.0, None)])
def test_a_retry_time_out_of_bounds_is_left_out(sent: float, kept: float | None) -> None:
    found = error_from_rpc(rpc_error(UNAVAILABLE, "", [(DETAILS_KEY, details("BUSY", waits=(sent,)))]))
    assert (found.reason, found.retry_after_s) == (Reason.BUSY, kept)


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", Reason.DEADLINE_EXCEEDED),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", Reason.MESSAGE_TOO_LARGE),
        (UNAVAILABLE, "Hostname Verification Check failed", Reason.PEER_WRONG),
        (UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED", Reason.PEER_WRONG),
        (UNAVAILABLE, "Connection refused", Reason.PEER_UNREACHABLE),
        (grpc.StatusCode.UNIMPLEMENTED, "", Reason.PEER_UNREACHABLE),
        (grpc.StatusCode.INTERNAL, "CERTIFICATE_VERIFY_FAILED", Reason.PEER_UNREACHABLE),
    ],
)
def test_without_details_the_status_decides(code: grpc.StatusCode, text: str, reason: Reason) -> None:
    assert error_from_rpc(rpc_error(code, text)).reason is reason


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ([(REQUEST_ID_KEY, "abcdefgh")], "abcdefgh"),
        ([("other", "abcdefgh")], None),
        ([(REQUEST_ID_KEY, "abcdefgh"), (REQUEST_ID_KEY, "abcdefgh")], None),
        ([(REQUEST_ID_KEY, "seven77")], None),
        ([(REQUEST_ID_KEY, "line\nline\n")], None),
        ([(REQUEST_ID_KEY, b"abcdefgh")], None),
        (None, None),
    ],
)
def test_a_request_id_is_taken_only_well_formed(
    metadata: list[tuple[str, str | bytes]] | None, found: str | None
) -> None:
    assert request_id_of(metadata) == found
