"""``python -m adapters CITY --config FILE``: run one city's adapter. Exit codes: 0 stopped, 1 failed, 2 wrong use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from adapters.config import load_settings
from adapters.serve import serve
from gateway.descriptors import hold_standard_descriptors
from gateway.errors import Problem, ProblemsError, Reason, TiergateError


def run_adapter(city: str, config: Path, *, ready_file: Path | None = None, lifeline_fd: int | None = None) -> None:
    """Load the settings and serve until told to stop. Raises ProblemsError or TiergateError."""
    settings = load_settings(config)
    if settings.city != city:
        problem = Problem(str(config), "city", f"is {settings.city}, not {city}", "name the city of these settings")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    uvloop.run(serve(settings, config, ready_file=ready_file, lifeline_fd=lifeline_fd))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; problems go to stderr in full."""
    hold_standard_descriptors()
    parser = argparse.ArgumentParser(prog="python -m adapters", description="Run the adapter of one city.")
    parser.add_argument("city", help="the city's id, as in the settings")
    parser.add_argument("--config", type=Path, required=True, help="settings file (TOML)")
    parser.add_argument("--ready-file", type=Path, help="written when it serves: its address, as JSON")
    parser.add_argument("--lifeline-fd", type=int, help="inherited pipe; the adapter ends when its other end closes")
    given = parser.parse_args(arguments)
    try:
        run_adapter(given.city, given.config, ready_file=given.ready_file, lifeline_fd=given.lifeline_fd)
    except ProblemsError as error:
        print(error, file=sys.stderr)  # noqa: T201  # whoever runs the command reads it
        return 1
    except TiergateError as error:
        print(f"{error} {error.detail}".strip(), file=sys.stderr)  # noqa: T201  # as above
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
