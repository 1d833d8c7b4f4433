"""What lies in the gateway's database of one resident, compared with what is in its log (gateway/THREATS.md)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.crypto import jws
from gateway.crypto.attestation import TYP
from tests.unit.services.bench_of_checks import Bench, bench

__all__ = ["bench"]  # a fixture


async def test_the_gateway_keeps_identifiers_beside_the_log_and_none_in_it(bench: Bench, tmp_path: Path) -> None:
    token = bench.world.consent(uses=3)
    subject = bench.world.read(token).subject
    await bench.check(token)
    entries = b"".join(bench.store.entries(0, bench.store.size()))
    for secret in (subject, bench.world.read(token).id, token.split(".")[1], token.split(".")[2]):
        assert secret.encode() not in entries
    with sqlite3.connect(f"file:{tmp_path / 'gateway.db'}?mode=ro", uri=True) as connection:
        (kept,) = connection.execute("SELECT jws FROM attestation").fetchone()
        everything = "\n".join(connection.iterdump())
    connection.close()
    claims = jws.parse(kept, TYP).claims
    assert (claims["sub"], claims["iat"]) == (subject, bench.world.now_s)
    assert token.split(".")[2] not in everything, "a token is stored nowhere"
