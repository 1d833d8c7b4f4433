"""One run after another: start, load, end or disturb the process, and check what is left."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import TiergateError
from tests.crash.child import DATA, MARK, PID, REFUSED_TO_START, SOCKET
from tests.crash.verify import BrokenPromiseError, CrashLog, Notes, require

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).with_name("client.py")
PATIENCE_S = 30.0
"""How long a condition is waited for before a run counts as broken. It decides nothing else."""
RUNS_PER_LOG = 20
DISK_BYTES = 6 << 20


@dataclass(frozen=True)
class Plan:
    """One run. ``fault``: strace's words for what fails, "disk" or "file-limit"; empty: killed under load."""

    kind: str
    clients: int
    fault: str = ""
    early: bool = False


@dataclass
class Report:
    """What a campaign found."""

    runs: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    refused_starts: int = 0
    acknowledged: int = 0
    resolved: int = 0
    failures: int = 0
    broken: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "runs": sum(self.runs.values()), "by_kind": dict(self.runs), "faults_met": dict(self.hit),
            "refused_starts": self.refused_starts, "acknowledged": self.acknowledged,
            "ambiguous_resolved": self.resolved, "failed_answers": self.failures, "broken": self.broken,
        }  # fmt: skip

    def lines(self) -> Iterator[str]:
        """For a terminal."""
        yield f"{sum(self.runs.values())} runs: {self.acknowledged} acknowledged, {self.resolved} ambiguous, resolved,"
        yield f"{self.failures} answers failed as they must, {self.refused_starts} starts refused under a fault"
        for kind, count in sorted(self.runs.items()):
            met = f", the fault was met in {self.hit[kind]}" if self.hit[kind] else ""
            yield f"  {kind:<28} {count:>4}{met}"
        yield from (f"BROKEN: {what}" for what in self.broken)
        yield "nothing that was promised is broken" if not self.broken else f"{len(self.broken)} runs are broken"


def plans(runs: int, seed: int, *, injected: bool) -> Iterator[Plan]:
    """What to do, from a seed. A quarter of the runs injects faults, if there is something to inject them with."""
    rng = random.Random(seed)
    calls = ("fdatasync", "pwrite64", "fsync", "ftruncate")  # SQLite and the mark write by pwrite64 alone
    codes = ("EIO", "ENOSPC")
    faults = [(call, code) for code in codes for call in calls]
    for number in range(runs):
        clients = rng.choice((1, 1, 3))
        if number % 4 == 3 and injected:
            call, code = faults[number // 4 % len(faults)]
            first = rng.randint(1, {"pwrite64": 40, "fdatasync": 8, "fsync": 1, "ftruncate": 1}[call])
            last = first + rng.choice((0, 3, 30))
            fault = f"{call}:error={code}:when={first}..{last}"
            yield Plan(f"{call} {code}", clients, fault)
        elif number % 20 == 2:
            yield Plan("disk full", clients, "disk")
        elif number % 20 == 12:
            yield Plan("file size limit", clients, "file-limit")
        else:
            early = number % 10 == 5
            yield Plan("killed at its start" if early else f"killed, {clients} client(s)", clients, early=early)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A memory disk of a few MiB at ``folder``; False where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", str(folder)],
        capture_output=True, check=False,
    ) if shutil.which("mount") else None  # fmt: skip
    mounted = made is not None and made.returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Run:
    """One start of the process under test, with its clients."""

    def __init__(self, log: CrashLog, plan: Plan, number: int, rng: random.Random) -> None:
        self._log = log
        self._plan = plan
        self._number = number
        self._rng = rng
        self._folder = log.folder
        self._notes = [self._folder / f"notes-{number}-{client}" for client in range(plan.clients)]
        self._trace = self._folder / f"trace-{number}"
        self._stack = ExitStack()

    def carry_out(self, report: Report) -> None:
        """Start, load, disturb, kill, check. Raises BrokenPromiseError, or TiergateError from a check."""
        with self._stack:
            self._start()
            self._disturb(report)
            self._end(self._process)  # the moment that was drawn, before anything is waited for
        notes = Notes.read(file for file in self._notes if file.exists())
        report.acknowledged += len(notes.told)
        report.resolved += len(notes.sent) - len(notes.told)
        report.failures += notes.failures
        injected = self._trace.exists() and "(INJECTED)" in self._trace.read_text("ascii", "replace")
        if injected or (notes.failures and self._plan.fault in ("disk", "file-limit")):
            report.hit[self._plan.kind] += 1
        self._log.check_receipts(notes)
        asyncio.run(self._log.check_reopened(notes))

    def _start(self, *, disturbed: bool = True) -> None:
        for name in (SOCKET, PID):
            (self._folder / name).unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.crash.child", str(self._folder)]
        if ":" in self._plan.fault and disturbed:
            database = (self._folder / DATA).resolve()
            files = [database, f"{database}-wal", f"{database}-shm", (self._folder / MARK).resolve(), database.parent]
            call = self._plan.fault.partition(":")[0]
            paths = [word for file in files for word in ("-P", str(file))]
            command = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(self._trace), "-e", f"trace={call}",
                       *paths, "-e", f"inject={self._plan.fault}", *command]  # fmt: skip
        self._process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        self._stack.callback(self._end, self._process)
        goal = 150 if self._plan.fault else 10_000
        if not disturbed:
            return
        self._clients = [
            subprocess.Popen(
                [sys.executable, "-I", str(CLIENT), str(self._folder / SOCKET), str(notes), str(index),
                 str(self._number * 1_000_000 + index * 100_000), str(self._rng.random()), str(goal)]
            )
            for index, notes in enumerate(self._notes)
        ]  # fmt: skip
        for client in self._clients:
            self._stack.callback(_reap, client)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill -9 the process itself, not the tracer that may stand before it."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            if process.poll() is None:
                os.kill(self._pid(), signal.SIGKILL)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()

    def _pid(self) -> int:
        return int((self._folder / PID).read_text("ascii"))

    def _disturb(self, report: Report) -> None:
        plan = self._plan
        if plan.early:
            self._until((self._folder / PID).exists, "the process has begun")
            time.sleep(self._rng.uniform(0, 0.2))
        elif not plan.fault:
            goal = self._rng.randint(0, 60)
            self._until(lambda: self._count("told") >= goal, "some acknowledgements")
            time.sleep(self._rng.uniform(0, 0.02))
        elif ":" in plan.fault:
            self._finish(report)
        else:
            self._until(lambda: self._count("told") >= 10, "some acknowledgements")
            with self._cause():
                self._until(lambda: self._count("failed") > 0, "an answer that failed")
            self._finish(report)

    @contextmanager
    def _cause(self) -> Iterator[None]:
        """Nothing can be written, or written on, until the block ends; the process goes on all the time."""
        if self._plan.fault == "disk":
            ballast = self._folder / Path(DATA).parent / "ballast"
            self._stack.callback(ballast.unlink, missing_ok=True)
            with ballast.open("wb", buffering=0) as file:
                for size in (65_536, 4_096):
                    with suppress(OSError):
                        while True:
                            file.write(bytes(size))
            yield
            ballast.unlink()
            return
        limits = resource.prlimit(self._pid(), resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (4096, limits[1]))
        yield
        resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, limits)

    def _finish(self, report: Report) -> None:
        """Until every client has its goal: the same process recovers once the cause is gone."""
        self._until(lambda: self._refused() or all(client.poll() is not None for client in self._clients), "the goal")
        if self._refused():
            report.refused_starts += 1
            require(self._process.returncode == REFUSED_TO_START, f"the process ended: {self._said()}")
            self._start(disturbed=False)  # the cause is gone, and the clients are still waiting
            self._until(lambda: all(client.poll() is not None for client in self._clients), "the goal after a restart")

    def _refused(self) -> bool:
        return self._process.poll() is not None

    def _said(self) -> str:
        return self._process.stderr.read().decode(errors="replace")[-300:] if self._process.stderr else ""

    def _count(self, what: str) -> int:
        return sum(file.read_bytes().count(b'"note": "%s"' % what.encode()) for file in self._notes if file.exists())

    def _until(self, condition: Callable[[], object], what: str) -> None:
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            if self._refused() and not self._plan.fault:
                raise BrokenPromiseError(f"the process ended by itself: {self._said()}")
            require(time.monotonic() < limit, f"did not come about: {what}")
            time.sleep(0.002)


def _reap(client: subprocess.Popen[bytes]) -> None:
    with suppress(subprocess.TimeoutExpired):
        client.wait(2)  # it ends when the connection does; what it has read it still writes down
    client.kill()
    client.wait()


def campaign(base: Path, runs: int, seed: int, *, injected: bool, say: Callable[[str], None]) -> Report:
    """Carry out ``runs`` runs under ``base``. Says how it goes."""
    report = Report()
    rng = random.Random(seed + 1)
    log: CrashLog | None = None
    for number, plan in enumerate(plans(runs, seed, injected=injected)):
        if number % RUNS_PER_LOG == 0 or log is None:
            log = CrashLog(base / f"log-{number // RUNS_PER_LOG}")
        broken = len(report.broken)
        _one(base, log, plan, number, rng, report)
        if len(report.broken) > broken:
            say(report.broken[-1])
            log = None  # kept as it is, and the next run begins another
            base = base / "after"
        if number % 10 == 9:
            say(f"{number + 1}/{runs} runs, {report.acknowledged} acknowledged, {len(report.broken)} broken")
    return report


def _one(base: Path, log: CrashLog, plan: Plan, number: int, rng: random.Random, report: Report) -> None:
    try:
        if plan.fault == "disk":
            with small_disk((base / f"disk-{number}" / DATA).parent) as mounted:
                place = CrashLog(base / f"disk-{number}")
                kind = plan if mounted else Plan("file size limit", plan.clients, "file-limit")
                report.runs[kind.kind] += 1
                Run(place, kind, number, rng).carry_out(report)
            return
        report.runs[plan.kind] += 1
        if "fsync" in plan.fault and "fdatasync" not in plan.fault:
            log = CrashLog(base / f"new-{number}")  # fsync is called when the mark is made, and at no other time
        Run(log, plan, number, rng).carry_out(report)
    except (BrokenPromiseError, TiergateError, OSError) as error:
        detail = error.detail if isinstance(error, TiergateError) else error
        name = errno.errorcode.get(error.errno or 0, "") if isinstance(error, OSError) else ""
        report.broken.append(f"run {number} ({plan.kind}; {plan.fault}): {type(error).__name__} {name} {detail}")
