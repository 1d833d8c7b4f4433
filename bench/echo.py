"""The floor: a bare unary RPC over mutual TLS. ``python -m bench.echo WORLD REPLY-BYTES [plain]``."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import grpc.aio
import uvloop

from bench.world import World


async def main(world: World, reply: bytes, *, plain: bool) -> None:
    """Answer every request with the same bytes, until killed."""

    async def echo(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return reply

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    pair = (world.server.key.read_bytes(), world.server.certificate.read_bytes())
    tls = grpc.ssl_server_credentials([pair], world.server.authority.read_bytes(), require_client_auth=True)
    address = "127.0.0.1:0"
    port = server.add_insecure_port(address) if plain else server.add_secure_port(address, tls)
    await server.start()
    print("ready", port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(World.read(Path(sys.argv[1])), bytes(int(sys.argv[2])), plain="plain" in sys.argv[3:]))
