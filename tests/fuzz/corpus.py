"""The inputs that lie in the repository: seeds from the product's own encoders, and what was once a finding."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.fuzz.harness import Harness

CORPUS = Path(__file__).parent / "corpus"
LARGEST_CORPUS = 400_000
"""Bytes of all of them."""
_SEED = "seed-"


def stored(harness: Harness) -> list[Path]:
    """The harness's files, in order."""
    folder = CORPUS / harness.name
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def renew(harness: Harness) -> int:
    """Write the harness's seeds anew, beside its findings; how many there are. One that may not be stored has none."""
    if not harness.stored:
        return 0
    folder = CORPUS / harness.name
    folder.mkdir(parents=True, exist_ok=True)
    for path in stored(harness):
        if path.name.startswith(_SEED):
            path.unlink()
    seeds = set(harness.seeds())
    for seed in seeds:
        (folder / f"{_SEED}{sha256(seed).hexdigest()[:12]}").write_bytes(seed)
    return len(seeds)
