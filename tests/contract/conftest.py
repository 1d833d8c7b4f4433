"""Wiring: one database server of each make for the whole run, started when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.databases import MariaDb, Postgres, start_mariadb, start_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = start_postgres()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    server = start_mariadb()
    yield server
    server.remove()
