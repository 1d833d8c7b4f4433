"""One harness under atheris, which follows the branches that an input takes: ``python -m tests.fuzz.guided NAME …``.

The rest of the command line goes to libFuzzer. It ends with another code than 0 at the first finding.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

INSTRUMENTED = ["adapters", "gateway", "tomllib", "rfc8785"]


def main(arguments: list[str]) -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *options = arguments
    atheris: Any = importlib.import_module("atheris")  # it has no types, and is not there in the suite
    with atheris.instrument_imports(include=INSTRUMENTED, exclude=["gateway.api"]):
        table = importlib.import_module("tests.fuzz.table")
    harness = table.HARNESSES[name]

    def one(data: bytes) -> None:
        harness.attempt(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
