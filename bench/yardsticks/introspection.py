"""A plain introspection service: ``python -m bench.yardsticks.introspection WORLD DATABASE``.

FastAPI, PyJWT and SQLite as their manuals show them: a POST with the token (after RFC 7662), the signature verified,
one audit row committed with synchronous=FULL before the answer, on the event loop: a worker thread per request
(``def`` instead of ``async def``) was tried and is a third slower. Plain HTTP/1.1 on loopback, which is in its favour.
"""

from __future__ import annotations

import hashlib
import socket
import sqlite3
import sys
import time
from pathlib import Path

import jwt
import uvicorn
import uvloop
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from bench.world import World


class Question(BaseModel):
    """What a relying party sends."""

    request_id: str
    scenario: str
    token: str
    proof: str = ""


class Answer(BaseModel):
    """What it learns."""

    active: bool
    sub: str
    client_id: str
    scope: str
    exp: int
    jti: str
    entitled: bool


def open_audit(path: str) -> sqlite3.Connection:
    """The audit table; every commit is durable."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE audit (at REAL, request TEXT UNIQUE, token BLOB, operator TEXT, scenario TEXT)")
    database.commit()
    return database


def build(world: World, database: sqlite3.Connection) -> FastAPI:
    """The service."""
    app = FastAPI()
    key = jwt.PyJWK(world.jwks["consent"])

    @app.post("/introspect")
    async def introspect(question: Question) -> Answer:
        try:
            claims = jwt.decode(
                question.token, key, algorithms=["ES256"], audience=world.deployment, issuer=world.city_id
            )
        except jwt.PyJWTError as error:
            raise HTTPException(403, type(error).__name__) from error
        scopes = [item["scenario"] for item in claims["authorization_details"]]
        digest = hashlib.sha256(question.token.encode()).digest()
        row = (time.time(), question.request_id, digest, claims["azp"], question.scenario)
        database.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", row)
        database.commit()
        return Answer(
            active=True,
            sub=claims["sub"],
            client_id=claims["azp"],
            scope=" ".join(scopes),
            exp=claims["exp"],
            jti=claims["jti"],
            entitled=question.scenario in scopes,
        )

    return app


async def main(world: World, database: str) -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(build(world, open_audit(database)), log_level="warning", access_log=False)
    print("ready", listener.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(main(World.read(Path(sys.argv[1])), sys.argv[2]))
