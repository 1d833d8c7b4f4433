"""A log made with aics-tlog that has itself cosigned by a witness, by aics-witness' client; nothing of the product.

``vkey SEED ORIGIN`` prints the log's key; ``feed SEED ORIGIN URL WITNESS-VKEY SALT SIZE...`` submits it at these sizes.
What is right takes exit code 0 and one line on stdout; what is not, exit code 1 and one line on stderr that names it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from aics_tlog import MerkleTree, format_vkey, vkey_from_ed25519
from aics_tlog.checkpoint import Checkpoint, sign_checkpoint
from aics_witness.feeder import WitnessClient
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def vkey(seed: str, origin: str) -> str:
    """The log's key."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    return str(format_vkey(vkey_from_ed25519(origin, key.public_key())))


def feed(seed: str, origin: str, url: str, witness: str, salt: str, *sizes: str) -> str:
    """Grow the log and have each size cosigned; the client verifies every cosignature."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    tree = MerkleTree()
    with WitnessClient(url, witness, max_attempts=1) as client:
        for size in map(int, sizes):
            tree.extend(f"{salt}{number}".encode() for number in range(tree.size, size))
            note = sign_checkpoint(Checkpoint(origin, size, tree.root()), key, origin)
            client.submit(note.to_bytes(), tree.consistency_proof)
    return f"feed: cosigned at {' '.join(sizes)}"


COMMANDS: dict[str, Callable[..., str]] = {"vkey": vkey, "feed": feed}


def main() -> None:
    """Run the command that the arguments name."""
    logging.disable()  # the client also logs what it raises
    command, *words = sys.argv[1:]
    try:
        said = COMMANDS[command](*words)
    except Exception as error:  # noqa: BLE001 - whatever the library says no with is a refusal, and is named
        sys.exit(" ".join(f"{command}: {type(error).__name__}: {error}".split()))
    sys.stdout.write(f"{said}\n")


main()
