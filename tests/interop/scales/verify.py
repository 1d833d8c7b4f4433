"""Checks the consent log's files with tlog-scales, run by the Python that has it; imports nothing of the product.

What is right takes exit code 0 and one line on stdout; what is not, exit code 1 and one line on stderr that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tlog_scales import tiles
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint, InclusionProof
from tlog_scales.utils import b64dec

HEADER = "c2sp.org/tlog-proof@v1"


def opened(path: Path, keys: str) -> Checkpoint:
    """A checkpoint that every one of the keys, separated by commas, has signed."""
    return _opened(path.read_text(encoding="utf-8"), keys)


def _opened(text: str, keys: str) -> Checkpoint:
    checkpoint = Checkpoint.from_text(text)
    for key in keys.split(","):
        checkpoint.verify(Vkey.from_string(key))
    return checkpoint


def export(keys: str, directory: str, *older: str) -> str:
    """A whole export: root, every entry's inclusion, and growth from older checkpoints."""
    reader = TilesReader(LocalBackend(Path(directory)))
    checkpoint = opened(Path(directory, "checkpoint"), keys)
    reader.set_size(checkpoint.size)
    if reader.calculate_root_hash() != checkpoint.root_hash:
        raise ValueError("the tiles lead to another root")
    for index in range(checkpoint.size):
        proof = reader.get_inclusion_proof(index, checkpoint.size)
        proof.check(tiles.leaf_hash(reader.get_entry(index)), checkpoint.root_hash)
    for path in older:
        before = opened(Path(path), keys)
        growth = reader.get_consistency_proof(before.size, checkpoint.size)
        growth.check(before.root_hash, checkpoint.root_hash)
    return f"export: {checkpoint.size} entries"


def receipt(keys: str, path: str, entry: str) -> str:
    """One entry's receipt (C2SP tlog-proof)."""
    head, _, signed = Path(path).read_text(encoding="utf-8").partition("\n\n")
    header, *lines = head.split("\n")
    checkpoint = _opened(signed, keys)
    if header != HEADER or not lines[0].startswith("index "):
        raise ValueError("no header, or no index")
    index = int(lines[0][len("index ") :])
    proof = InclusionProof(index, checkpoint.size, [b64dec(line) for line in lines[1:]])
    proof.check(tiles.leaf_hash(Path(entry).read_bytes()), checkpoint.root_hash)
    return f"receipt: entry {index} of {checkpoint.size}"


COMMANDS: dict[str, Callable[..., str]] = {"export": export, "receipt": receipt}


def main() -> None:
    """Run the command that the arguments name."""
    command, *words = sys.argv[1:]
    try:
        said = COMMANDS[command](*words)
    except Exception as error:  # noqa: BLE001 - whatever the library says no with is a refusal, and is named
        sys.exit(" ".join(f"{command}: {type(error).__name__}: {error}".split()))
    sys.stdout.write(f"{said}\n")


main()
