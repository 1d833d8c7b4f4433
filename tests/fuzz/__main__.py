"""``./dev fuzz``: each harness for so many seconds under atheris; findings are saved, with the command to repeat."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from tests.fuzz.corpus import CORPUS, renew
from tests.fuzz.harness import Harness
from tests.fuzz.table import HARNESSES

STATE = Path(__file__).parents[2] / ".state" / "fuzz"
SECONDS = 20
LONGEST_S = 20
"""An input that takes longer is a finding."""
MEMORY_MB = 1024
LINES = 60


def main() -> int:
    """Exit code 1 for a finding, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Coverage-guided fuzzing of every parser.")
    parser.add_argument("harness", nargs="*", help=f"default: all of {', '.join(HARNESSES)}")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"per harness (default {SECONDS})")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run one harness once on a saved input")
    parser.add_argument("--corpus", action="store_true", help="write the seeds in the repository anew")
    given = parser.parse_args()
    if unknown := set(given.harness) - set(HARNESSES):
        parser.error(f"no such harness: {', '.join(sorted(unknown))}")
    if given.seconds < 1:
        parser.error("--seconds must be at least 1")
    chosen = [HARNESSES[name] for name in given.harness or HARNESSES]
    if given.corpus:
        print(f"{sum(map(renew, chosen))} seeds written")
        return 0
    if given.repeat is not None:
        if len(given.harness) != 1:
            parser.error("--repeat needs one harness")
        taken = chosen[0].attempt(given.repeat.read_bytes())
        print(f"{chosen[0].name}: {'taken' if taken else 'refused by a typed error'}")
        return 0
    return 1 if sum(not _fuzz(harness, given.seconds) for harness in chosen) else 0


def _fuzz(harness: Harness, seconds: int) -> bool:
    """Whether nothing was found."""
    grown, found = STATE / "corpus" / harness.name, STATE / "findings" / harness.name
    for folder in (grown, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in harness.seeds():
        (grown / f"seed-{sha256(seed).hexdigest()[:12]}").write_bytes(seed)
    before = set(found.iterdir())
    folders = [grown, *([CORPUS / harness.name] if harness.stored else [])]
    command = [
        *(sys.executable, "-m", "tests.fuzz.guided", harness.name, *map(str, folders)),
        *(f"-max_total_time={seconds}", f"-max_len={harness.longest}", f"-timeout={LONGEST_S}"),
        *(f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0"),
    ]
    started = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace")
    runs = next((line.split()[-1] for line in text.splitlines() if "number_of_executed_units" in line), "?")
    print(f"{harness.name}: {runs} runs, {time.monotonic() - started:.0f} s, {len(list(grown.iterdir()))} inputs kept")
    if done.returncode == 0:
        return True
    print("\n".join(text.splitlines()[-LINES:]))
    for path in sorted(set(found.iterdir()) - before):
        print(f"FOUND, saved as {path}\nrepeat it with: ./dev fuzz {harness.name} --repeat {path}")
    return False


if __name__ == "__main__":
    sys.exit(main())
