"""What a witness is sent: add-checkpoint requests, judged by one that has seen the head of the made-up log."""

from __future__ import annotations

from gateway.consentlog import merkle, note, witness
from gateway.consentlog.checkpoint import Checkpoint
from tests.fakes.witnessed import MemoryState
from tests.fuzz import world
from tests.fuzz.harness import Harness
from tests.fuzz.log_world import leaves, signed_checkpoint, subtree

SEEN = 4
STATUSES = {200, 400, 403, 404, 409, 422}


def _request(data: bytes) -> bool:
    state = MemoryState()
    seen = note.sign_note(Checkpoint(world.ORIGIN, SEEN, merkle.root_of(leaves()[:SEEN])).body(), [world.LOG])
    state.notes[world.ORIGIN] = seen
    signer = note.SignerKey("witness", world.key("witness"), note.COSIGNATURE_V1)
    judge = witness.Witness(signer, {world.ORIGIN: [world.LOG.verifier]}, state, lambda: world.NOW)
    answer = judge.add_checkpoint(data)
    assert answer.status in STATUSES
    assert (state.notes[world.ORIGIN] != seen) <= (answer.status == 200)
    assert witness.AddCheckpoint.parse(data).to_bytes() == data
    return answer.status == 200


def _sound() -> bytes:
    proof = merkle.consistency_proof(SEEN, len(leaves()), subtree)
    return witness.AddCheckpoint(SEEN, tuple(proof), signed_checkpoint()).to_bytes()


HARNESSES = (
    Harness(
        "add-checkpoint",
        (witness.AddCheckpoint.parse,),
        _request,
        lambda: (_sound(), witness.AddCheckpoint(0, (), signed_checkpoint()).to_bytes()),
    ),
)
