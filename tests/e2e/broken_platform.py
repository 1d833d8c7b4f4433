"""A Fuzhou platform that answers well, with garbage, or not at all, as a test tells it."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime


class BrokenPlatform:
    """Fuzhou's platform as it should not be: ``mode`` says how it answers."""

    def __init__(self) -> None:
        self.mode = "good"
        self._server: asyncio.Server | None = None
        self._hanging: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Serve on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._hanging):
            task.cancel()
        await asyncio.gather(*self._hanging, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(reader, writer))
        self._hanging.add(task)
        task.add_done_callback(self._hanging.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                while await reader.readline() not in (b"\r\n", b""):
                    pass
                body = self._body(line.decode("ascii"))
                if body is None:
                    await asyncio.Event().wait()
                    return
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    def _body(self, line: str) -> bytes | None:
        resident = line.partition("/residents/")[2].partition("/")[0]
        match self.mode:
            case "good":
                moment = datetime.now().strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ005 - as such platforms write it
                data = {"residentNo": resident, "score": 900, "evalTime": moment}
                return json.dumps({"code": 0, "msg": "ok", "data": data}).encode()
            case "garbage":
                return b"<html>\x00\xff maintenance</html>"
            case _:
                return None
