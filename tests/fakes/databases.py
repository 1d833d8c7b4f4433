"""Real database servers for tests: Debian's PostgreSQL and MariaDB, each in a folder of its own, on a Unix socket.

A socket in a fresh folder needs no free port, so two test runs never meet. Run as root, a server gets the account that
its package made; otherwise it runs as the caller. It dies with the test process, by SIGKILL too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NoReturn

import pytest
import sqlalchemy as sa

_PR_SET_PDEATHSIG = 1
_TRIES = 300


class DatabaseServer(ABC):
    """One server process with one database. ``url`` is a SQLAlchemy URL of an account that may do everything."""

    name: ClassVar[str]
    account: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    url: str
    socket_file: Path

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"tiergate-{self.name}-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = self.account
            entry = pwd.getpwnam(self.account)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._initialise()
        self.start()

    @abstractmethod
    def _initialise(self) -> None:
        """Make the data directory."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The server in the foreground."""

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, capture_output=True, check=False, env=self._environment()
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace") + done.stdout.decode(errors="replace")

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}

    def start(self) -> None:
        """Start the server and return when it answers."""
        libc = ctypes.CDLL(None)
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(),
                user=self._user,
                cwd=self.folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, self.stop_signal),  # noqa: PLW1509  # no threads in it
            )
        for _ in range(_TRIES):
            if self._answers():
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.1)
                break
        text = (self.folder / "log").read_text(errors="replace")
        self.remove()
        pytest.fail(f"{self.name} did not start:\n{text}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:  # PyMySQL leaves its socket open where nobody listens
            if probe.connect_ex(str(self.socket_file)) != 0:
                return False
        try:
            self.execute("SELECT 1")
        except sa.exc.OperationalError:  # still starting
            return False
        return True

    def stop(self) -> None:
        """End the server, dropping its connections."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            self._process.wait(timeout=60)
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, *statements: str, rows: list[dict[str, object]] | None = None) -> None:
        """Run statements (each with all ``rows`` as parameters, where given) and commit."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement), rows)


class Postgres(DatabaseServer):
    """PostgreSQL from ``/usr/lib/postgresql/<version>/bin``."""

    name = "postgres"
    account = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        super().__init__()

    def _initialise(self) -> None:
        self.url = f"postgresql+psycopg://tester@/postgres?host={self.folder}"
        self.socket_file = self.folder / ".s.PGSQL.5432"
        initdb = str(self._binaries / "initdb")
        data = str(self.folder / "data")
        self._run(initdb, "--auth=trust", "--username=tester", "--encoding=UTF8", "--no-sync", "--pgdata", data)

    def _command(self) -> list[str]:
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off", "shared_buffers=16MB"]
        options = [part for setting in settings for part in ("-c", setting)]
        return [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *options]


class MariaDb(DatabaseServer):
    """MariaDB, in the place of MySQL, whose packages Debian does not have; the protocol is the same."""

    name = "mariadb"
    account = "mysql"
    stop_signal = signal.SIGTERM

    def __init__(self, server: str, installer: str) -> None:
        self._server = server
        self._installer = installer
        super().__init__()

    def _initialise(self) -> None:
        self.socket_file = self.folder / "socket"
        self.url = f"mysql+pymysql://root@localhost/test?unix_socket={self.socket_file}"
        self._run(
            self._installer,
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
        )

    def _command(self) -> list[str]:
        return [
            self._server,
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket_file}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-networking",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
        ]


def start_postgres() -> Postgres:
    """A running PostgreSQL; without its binaries the test fails (CI) or is skipped with the reason."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not versions:
        _missing("PostgreSQL (Debian package postgresql)")
    return Postgres(versions[-1])


def start_mariadb() -> MariaDb:
    """A running MariaDB; without its binaries the test fails (CI) or is skipped with the reason."""
    path = os.environ["PATH"] + ":/usr/sbin"
    server, installer = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if server is None or installer is None:
        _missing("MariaDB (Debian package mariadb-server)")
    return MariaDb(server, installer)


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")
