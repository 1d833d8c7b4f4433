"""What the witness's HTTP application answers when the witness cannot."""

from __future__ import annotations

import httpx2
from structlog.testing import capture_logs

from gateway.consentlog.note import COSIGNATURE_V1, SignerKey
from gateway.consentlog.witness import Witness
from gateway.witness.server import application
from tests.fakes.witnessed import ORIGIN, TIME, LogOfLeaves, MemoryState


async def test_a_clock_that_went_back_is_503_and_an_alarm_that_names_it() -> None:
    log, state, now = LogOfLeaves(), MemoryState(), [TIME]
    key = SignerKey.generate("witness.example/w1", COSIGNATURE_V1)
    witness = Witness(key, {ORIGIN: [log.signer.verifier]}, state, lambda: now[0])
    transport = httpx2.ASGITransport(application(witness, request_s=10))
    async with httpx2.AsyncClient(transport=transport, base_url="http://witness") as client:
        assert (await client.post("/add-checkpoint", content=log.request(0, 6))).status_code == 200
        now[0] = TIME - 1
        with capture_logs() as logged:
            answer = await client.post("/add-checkpoint", content=log.request(6, 7))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert [(line["alarm"], f"the clock shows {TIME - 1}" in line["detail"]) for line in logged] == [
            ("witness_clock", True)
        ]
        assert state.notes[ORIGIN] == log.note(6)
        now[0] = TIME
        assert (await client.post("/add-checkpoint", content=log.request(6, 7))).status_code == 200
