"""The relay hands everything on, lets both ends see whom they expect, and reads what went by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, HeadersFrame

from gateway.crypto.dev_ca import DevCa
from gateway.domain.directory import Endpoint
from gateway.domain.ids import PeerIdentity
from gateway.transport.channel import open_channel
from gateway.transport.tls import CertificateFiles, WatchedCertificate, server_credentials
from tests.fakes.http2 import PREFACE, Half, read_exchanges
from tests.fakes.relay import Relay

DOMAIN = "relay.test"
GATEWAY = PeerIdentity(DOMAIN, "gateway", "")
LIBRARY = PeerIdentity(DOMAIN, "operator", "library")
METRO = PeerIdentity(DOMAIN, "operator", "metro")
METHOD = "/echo.Echo/Say"


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.say) if handler_call_details.method == METHOD else None

    async def say(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        (caller,) = context.auth_context()["peer_uri"]
        context.set_trailing_metadata((("x-caller", caller.decode()), ("x-told-bin", b"\x00\xff" + request[:4])))
        if request == b"fail":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "nothing to say")
        return request[::-1]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("relay")
    ca = DevCa.create(base / "ca", now=datetime.now(UTC))
    for name, identity in (("library", LIBRARY), ("metro", METRO)):
        ca.issue(identity, base / name, now=datetime.now(UTC))
    ca.issue(GATEWAY, base / "gateway", now=datetime.now(UTC), names=["gateway.test"], ips=["127.0.0.1"])
    return {name: base / name for name in ("gateway", "library", "metro")}


def certificate(folder: Path) -> WatchedCertificate:
    return WatchedCertificate(CertificateFiles(folder / "cert.pem", folder / "key.pem", folder / "ca.pem"))


@pytest.fixture
async def relay(folders: dict[str, Path]) -> AsyncIterator[Relay]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(certificate(folders["gateway"])))
    await server.start()
    relay = Relay("gateway")
    await relay.start(
        tls=folders["gateway"],
        upstream=f"127.0.0.1:{port}",
        server_name="gateway.test",
        clients={LIBRARY.uri: folders["library"]},
    )
    yield relay
    await relay.stop()
    await server.stop(None)


async def say(relay: Relay, folder: Path, *messages: bytes) -> list[bytes]:
    async with open_channel(Endpoint(relay.address, "gateway.test"), certificate(folder)) as channel:
        call = channel.unary_unary(METHOD)
        return [await call(message, timeout=10, metadata=(("x-note", f"note {len(message)}"),)) for message in messages]


async def test_calls_pass_unchanged_and_are_read(relay: Relay, folders: dict[str, Path]) -> None:
    large = bytes(range(256)) * 300  # several frames
    assert await say(relay, folders["library"], b"hello", large, b"") == [b"olleh", large[::-1], b""]
    await relay.stop()
    (recording,) = relay.recordings
    assert (recording.client, recording.server) == (LIBRARY.uri, "gateway")
    exchanges = [item for item in recording.exchanges() if item.method == METHOD]
    assert [item.request.messages() for item in exchanges] == [[b"hello"], [large], [b""]]
    assert [item.answer.messages() for item in exchanges] == [[b"olleh"], [large[::-1]], [b""]]
    assert [item.request.header(b"x-note") for item in exchanges] == [b"note 5", b"note 76800", b"note 0"]
    # the server saw the client's own certificate
    assert exchanges[0].answer.header(b"x-caller") == LIBRARY.uri.encode()
    assert b"\x00\xffhell" in list(exchanges[0].answer.values())


def test_compressed_headers_are_read() -> None:
    encoder, told = Encoder(), [(":path", METHOD), ("x-note", "seven 1234567")]
    frames = b""
    for stream in (1, 3):  # the second block refers to the table that the first one filled
        block = encoder.encode(told, huffman=True)
        assert b"seven" not in block
        headers, rest = HeadersFrame(stream, block[:5]), ContinuationFrame(stream, block[5:])
        rest.flags.add("END_HEADERS")
        frames += headers.serialize() + rest.serialize()
    exchanges = read_exchanges(PREFACE + frames, b"")
    assert [item.method for item in exchanges] == [METHOD, METHOD]
    assert [item.request.header(b"x-note") for item in exchanges] == [b"seven 1234567"] * 2


def test_binary_headers_are_decoded_from_either_form() -> None:
    half = Half(headers=[(b"a-bin", b"AP8,AQ"), (b"b-bin", b"\0\x00\xff,")])
    assert list(half.values()) == [b"a-bin", b"AP8,AQ", b"\x00\xff", b"\x01", b"b-bin", b"\0\x00\xff,", b"\x00\xff,"]


async def test_an_error_passes_and_its_text_is_read(relay: Relay, folders: dict[str, Path]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await say(relay, folders["library"], b"fail")
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, "nothing to say")
    await relay.stop()
    texts = [item.answer.header(b"grpc-message") for item in relay.recordings[0].exchanges()]
    assert b"nothing to say" in texts


async def test_a_client_without_a_folder_gets_nothing(relay: Relay, folders: dict[str, Path]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await say(relay, folders["metro"], b"hello")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert set(relay.strangers) == {METRO.uri}
    assert relay.recordings == []


async def test_without_its_server_it_hangs_up(folders: dict[str, Path]) -> None:
    relay, gone = Relay("gateway"), Relay("nobody")
    await gone.stop()
    await relay.start(
        tls=folders["gateway"],
        upstream=gone.address,
        server_name="gateway.test",
        clients={LIBRARY.uri: folders["library"]},
    )
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await say(relay, folders["library"], b"hello")
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await relay.stop()


def test_other_protocols_are_refused() -> None:
    with pytest.raises(ValueError, match="not HTTP/2"):
        read_exchanges(b"GET / HTTP/1.1\r\n\r\n", b"")


def test_a_frame_that_is_cut_short_is_left_out() -> None:
    assert read_exchanges(PREFACE + bytes.fromhex("000005000000000001") + b"abc", b"") == []
    assert read_exchanges(PREFACE[:5], b"") == []


def test_a_compressed_message_is_refused_since_it_could_not_be_searched() -> None:
    with pytest.raises(ValueError, match="compressed"):
        Half(data=bytearray(b"\x01\x00\x00\x00\x01x")).messages()
