"""``python -m gateway`` is the ``tiergate`` command."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from gateway.descriptors import hold_standard_descriptors

    hold_standard_descriptors()
    from gateway.cli import run

    run()


if __name__ == "__main__":
    main()
