"""A real server: who gets in, what reaches the handler, what a failure looks like from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # it has none
from structlog.testing import capture_logs

from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.errors import DETAILS_KEY, REQUEST_ID_KEY
from tests.fakes.ca import TRUST_DOMAIN, FakeCa, identity
from tests.rpc.harness import (
    CANARY,
    CHECK,
    DEADLINE_S,
    OPERATOR,
    Network,
    check,
    check_bytes,
    entries,
    failure,
    question,
)


@pytest.fixture(scope="module")
async def network(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Network]:
    async with Network(tmp_path_factory.mktemp("network")) as found:
        yield found


async def refusal(network: Network, files: Any) -> Reason:
    with pytest.raises(TiergateError) as caught:
        await check(network.channel(files))
    return caught.value.reason


async def test_a_known_operator_is_served_under_the_name_in_its_certificate(network: Network) -> None:
    assert await check(network.channel()) == "operator/library"
    assert await check(network.channel(peer=identity("operator", "metro"))) == "operator/metro"


async def test_a_caller_without_a_certificate_does_not_get_through_the_handshake(network: Network) -> None:
    credentials = grpc.ssl_channel_credentials(network.files.ca.read_bytes())
    options = [("grpc.ssl_target_name_override", "gateway-main.test.internal")]
    async with grpc.aio.secure_channel(network.address, credentials, options) as channel:
        assert (await failure(channel, "plain")).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_without_tls_does_not_get_through(network: Network) -> None:
    async with grpc.aio.insecure_channel(network.address) as channel:
        assert (await failure(channel, "plain")).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_is_refused(network: Network, tmp_path: Path) -> None:
    files = FakeCa(tmp_path).sound(OPERATOR)
    files.ca.write_bytes(network.files.ca.read_bytes())  # it trusts ours, but is not trusted
    assert await refusal(network, files) is Reason.PEER_UNREACHABLE


async def test_an_expired_certificate_is_refused(network: Network) -> None:
    files = network.ca.unsound(uris=[OPERATOR.uri], begins=-timedelta(days=2), ends=-timedelta(hours=1))
    assert await refusal(network, files) is Reason.PEER_UNREACHABLE


async def test_a_certificate_that_is_not_for_clients_is_refused(network: Network) -> None:
    files = network.ca.unsound(uris=[OPERATOR.uri], usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert await refusal(network, files) is Reason.PEER_UNREACHABLE


@pytest.mark.parametrize(
    "stranger",
    [
        identity("operator", "nobody"),
        identity("city", "atlantis"),
        identity("city-app", "fuzhou"),  # known to its city alone
        PeerIdentity("elsewhere.example", "operator", "library"),
    ],
    ids=lambda peer: peer.uri,
)
async def test_who_is_not_in_the_directory_is_refused(network: Network, stranger: PeerIdentity) -> None:
    assert await refusal(network, network.ca.sound(stranger)) is Reason.CALLER_UNKNOWN


@pytest.mark.parametrize(
    "contents",
    [
        {"uris": [OPERATOR.uri, identity("operator", "metro").uri]},
        {"uris": [OPERATOR.uri, OPERATOR.uri]},
        {"uris": [OPERATOR.uri, "https://library.example"]},
        {"uris": [], "names": ["library.example"]},
        {"uris": [], "common_name": OPERATOR.uri},
        {"uris": [], "names": [OPERATOR.uri]},
        {"uris": [OPERATOR.uri + "/"]},
        {"uris": [OPERATOR.uri.upper()]},
        {"uris": [f"spiffe://{TRUST_DOMAIN}/library"]},
        {"uris": ["https://library.example"]},
    ],
    ids=str,
)
async def test_an_identity_that_is_not_exactly_one_spiffe_uri_is_refused(
    network: Network, contents: dict[str, Any]
) -> None:
    assert await refusal(network, network.ca.unsound(**contents)) is Reason.CALLER_UNKNOWN


async def test_a_known_caller_of_another_role_is_refused_and_logged(network: Network) -> None:
    with capture_logs() as lines, pytest.raises(TiergateError) as caught:
        await check(network.channel(peer=identity("city", "fuzhou")))
    assert caught.value.reason is Reason.CALLER_NOT_PERMITTED
    (line,) = lines
    assert (line["event"], line["log_level"], line["role"], line["peer"]) == ("call_refused", "info", "city", "fuzhou")
    assert (line["method"], line["reason"]) == (CHECK, "CALLER_NOT_PERMITTED")


async def test_an_unknown_method_and_service_are_unimplemented(network: Network) -> None:
    for method in ("/gateway.api.operator.v1.EligibilityService/Grant", "/elsewhere.v1.Service/Call"):
        call: Any = network.channel().unary_unary(method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", timeout=DEADLINE_S)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xc3\x28"], ids=["tag", "cut short", "UTF-8"])
async def test_bytes_that_are_no_message_are_malformed(network: Network, data: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        await check_bytes(network.channel(), data)
    assert caught.value.reason is Reason.MALFORMED_REQUEST


async def test_a_broken_rule_names_the_field_and_never_its_value(network: Network) -> None:
    request = question()
    request.request_id = CANARY + "!"
    call: Any = network.channel().unary_unary(CHECK)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request.SerializeToString(), timeout=DEADLINE_S)
    details = dict(caught.value.trailing_metadata())[DETAILS_KEY]
    assert isinstance(details, bytes)
    assert CANARY.encode() not in details
    bad = error_details_pb2.BadRequest()
    assert any(item.Unpack(bad) for item in status_pb2.Status.FromString(details).details)
    assert [(item.field, item.description) for item in bad.field_violations] == [("request_id", "string.pattern")]


async def test_a_request_over_the_method_s_size_is_refused(network: Network) -> None:
    with pytest.raises(TiergateError) as caught:
        await check_bytes(network.channel(), bytes(16 * 1024 + 1))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE
    assert caught.value.status == "INVALID_ARGUMENT"


async def test_a_message_over_the_connection_s_size_is_refused_by_grpc(network: Network) -> None:
    pem = network.ca.sound(OPERATOR).read()
    credentials = grpc.ssl_channel_credentials(pem.authorities, pem.key, pem.chain)
    options = [("grpc.ssl_target_name_override", "gateway-main.test.internal"), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.secure_channel(network.address, credentials, options) as channel:
        with pytest.raises(TiergateError) as caught:
            await check_bytes(channel, bytes(2 * 1024 * 1024 + 1))
    assert caught.value.reason is Reason.MESSAGE_TOO_LARGE


async def test_a_known_error_arrives_with_reason_and_retry_time_and_without_its_detail(network: Network) -> None:
    error = await failure(network.channel(), "refuse")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == TiergateError(Reason.USES_EXHAUSTED).public_text
    assert CANARY not in repr(error)
    with pytest.raises(TiergateError) as caught:
        await check(network.channel(), "refuse")
    assert (caught.value.reason, caught.value.retry_after_s) == (Reason.USES_EXHAUSTED, 2.5)


@pytest.mark.parametrize("scenario", ["fail", "odd"])
async def test_an_uncaught_exception_tells_the_caller_nothing_and_the_log_where(
    network: Network, scenario: str
) -> None:
    with capture_logs() as lines:
        error = await failure(network.channel(), scenario)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert CANARY not in repr(error)
    metadata = dict(error.trailing_metadata())
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("call_failed", "error")
    assert line["request_id"] == metadata[REQUEST_ID_KEY]
    assert isinstance(line["exc_info"], Exception)


@pytest.mark.parametrize(
    ("sent", "kept"), [("abcdefgh-1", True), ("short", False), ("has spaces in it", False), ("x" * 65, False)]
)
async def test_the_caller_s_request_id_is_kept_if_it_is_well_formed(network: Network, sent: str, kept: bool) -> None:
    call: Any = network.channel().unary_unary(CHECK)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"\xff", timeout=DEADLINE_S, metadata=((REQUEST_ID_KEY, sent),))
    returned = dict(caught.value.trailing_metadata())[REQUEST_ID_KEY]
    assert (returned == sent) is kept
    assert len(returned) >= 8


async def test_a_stream_ends_well_or_with_a_typed_error(network: Network) -> None:
    channel = network.channel(peer=identity("auditor", "office"))
    assert await entries(channel, 0, 2) == [0, 1]
    for start, reason in ((0, Reason.LOG_CORRUPT), (3, Reason.INTERNAL)):
        with pytest.raises(TiergateError) as caught:
            await entries(channel, start, 9)
        assert caught.value.reason is reason
