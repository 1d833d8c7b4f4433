"""``python -m bench.loading ROOT BUNDLE``: verify and read one signed bundle in a fresh process; figures as JSON.

``seconds`` are those of verification and reading alone, ``rss`` the peak of resident bytes, the interpreter included.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bench.procfs import peak_rss_bytes
from gateway.crypto.root_files import read_root
from gateway.policy.installed import read_bundles


def main(root: str, bundle: str) -> None:
    """Measure once."""
    trusted = read_root(Path(root))
    started = time.perf_counter()
    (found,), _ = read_bundles(trusted, Path(bundle))
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rss": peak_rss_bytes(), "scenarios": len(found.scenarios)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
