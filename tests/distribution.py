"""How the suite is run by two processes (pytest-xdist): what stays together, and what begins first.

A file stays in one process, so that what a module shares is made once; files that share a network or database servers
stay together for the same reason, and so do those that start whole networks, which would only take the cores from each
other. The longest begin first: what is left at the end is short, and both processes end at about the same time.
"""

from __future__ import annotations

from pathlib import PurePath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

PROCESSES = 2
LONGEST = {
    "networks": ("tests/e2e/*", "tests/joining/*", "tests/crash/*"),
    "command": ("tests/rpc/test_cli*.py",),
    "conformance": ("tests/conformance/*",),
    "bench": ("tests/unit/bench/*",),
    "databases": ("tests/contract/test_sources.py", "tests/contract/test_sources_sql.py"),
}
"""Units by name, the longest first, with the patterns of their files. Every other file is a unit of its own."""


def unit_of(nodeid: str) -> str:
    """The unit that a test belongs to."""
    file = nodeid.partition("::")[0]
    named = (name for name, patterns in LONGEST.items() if any(map(PurePath(file).match, patterns)))
    return next(named, file)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort collected tests in the order in which their units begin; within a unit nothing changes."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(unit_of(item.nodeid), len(ranks)))


class Units(LoadScopeScheduling):
    """Deals out whole units in the order of the collection; a process that is nearly done with one gets the next."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # how many tests a file has does not say how long it takes

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
