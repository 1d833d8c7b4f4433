"""What all tests share: where the checkout is, how generated cases run, and in how many processes the whole does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.distribution import PROCESSES, Units, longest_first

# two cores and a database on the same disk: a slow case is no failure, and CI repeats the same cases every time
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What ``-n auto`` means, which ``./dev test`` says: several for the whole suite, this one for what is named."""
    return PROCESSES if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Units:
    """Whatever ``--dist`` says: files share what they make."""
    return Units(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Only a process among several has an order of its own."""
    if hasattr(config, "workerinput"):
        longest_first(items)
