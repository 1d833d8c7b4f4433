"""One client process: ``python -I client.py SOCKET NOTES CLIENT FIRST SEED GOAL``; standard library alone.

It writes down each request before it sends it, and what it was acknowledged when that has come; the process under test
cannot take these notes back. A request that failed is repeated under its id until it is acknowledged. Ends at GOAL
acknowledgements, or when the connection is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from pathlib import Path
from typing import Any, TextIO

IN_FLIGHT = 8
CONNECT_TRIES = 3000
PAUSE_S = 0.01


class Client:
    """Sends requests and keeps the notes."""

    def __init__(self, notes: TextIO, name: str, first: int, rng: random.Random, goal: int) -> None:
        self._notes = notes
        self._name = name
        self._numbers = itertools.count(first)
        self._rng = rng
        self.left = goal
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._consents: list[str] = []

    def _note(self, what: str, fields: dict[str, Any]) -> None:
        self._notes.write(json.dumps({"note": what, **fields}) + "\n")
        self._notes.flush()

    def _next(self) -> dict[str, Any]:
        number = next(self._numbers)
        asked: dict[str, Any] = {"id": number, "op": "decide", "number": number}
        if self._consents and self._rng.random() < 0.05:
            asked |= {"op": "withdraw", "consent": self._rng.choice(self._consents), "event": f"event-{number}"}
        else:
            if not self._consents or self._rng.random() < 0.2:
                self._consents.append(f"consent-{self._name}-{number}")
            asked["consent"] = self._rng.choice(self._consents[-4:])
        return asked

    async def work(self, writer: asyncio.StreamWriter) -> None:
        """One request after the other."""
        while self.left > 0:
            asked = self._next()
            self._note("sent", asked)
            while True:
                future = self._waiting[asked["id"]] = asyncio.get_running_loop().create_future()
                writer.write(json.dumps(asked).encode() + b"\n")
                told = await future
                if "error" not in told:
                    break
                self._note("failed", told)
                await asyncio.sleep(PAUSE_S)
            self._note("told", {"asked": asked, **told})
            self.left -= 1

    async def listen(self, reader: asyncio.StreamReader) -> None:
        """Hand each answer to whoever waits for it."""
        while line := await reader.readline():
            if line.endswith(b"\n"):  # what is cut off has not been said
                told = json.loads(line)
                self._waiting.pop(told["id"]).set_result(told)
        raise ConnectionResetError


async def run(client: Client, socket: str) -> None:
    """Until the goal, or until the process under test is gone."""
    for _ in range(CONNECT_TRIES):
        try:
            reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 20)
            break
        except OSError:
            await asyncio.sleep(PAUSE_S)
    else:
        return
    tasks = [asyncio.ensure_future(client.work(writer)) for _ in range(IN_FLIGHT)]
    listening = asyncio.ensure_future(client.listen(reader))
    working = asyncio.gather(*tasks)
    both: list[asyncio.Future[Any]] = [listening, working]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    for task in [listening, *tasks]:
        task.cancel()
    writer.close()
    await asyncio.gather(listening, *tasks, working, return_exceptions=True)


def main() -> None:
    """Run one client."""
    socket, path, name, first, seed, goal = sys.argv[1:7]
    with Path(path).open("a", encoding="ascii") as notes:
        asyncio.run(run(Client(notes, name, int(first), random.Random(seed), int(goal)), socket))


if __name__ == "__main__":
    main()
