"""``tiergate demo`` and ``tiergate up``: provision, start, tell the story or wait, stop everything."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.cli.localnet.demo import Told, tell
from gateway.cli.localnet.everywhere import ask_everywhere
from gateway.cli.localnet.everywhere_shown import show_everywhere
from gateway.cli.localnet.network import LocalNetwork
from gateway.cli.localnet.plan import CITY_NAMES, Layout, Options
from gateway.cli.localnet.processes import Processes
from gateway.cli.localnet.provision import provision
from gateway.cli.output import EXIT_REFUSED, report_plain, show
from gateway.cli.stopping import StoppedError, stopped_by_signals
from gateway.errors import Reason, TiergateError

CHECKOUT = Path(__file__).parents[3]
STATE = CHECKOUT / ".state"
LEAST_FREE_BYTES = 16 << 20
"""Less room than this, and what failed may have failed for it: a network of two cities takes some five MiB."""


def say(text: str) -> None:
    """Progress, on standard error."""
    sys.stderr.write(f"tiergate: {text}\n")
    sys.stderr.flush()


def demo(*, as_json: bool) -> int:
    """Run the whole story; the exit code."""

    def play(local: LocalNetwork) -> Callable[[float], int]:
        told = asyncio.run(tell(local.layout, local.network.operators, say))

        def end(_seconds: float) -> int:
            if as_json:
                sys.stdout.write(json.dumps(told.document(), ensure_ascii=False, indent=1) + "\n")
            else:
                _show(told)
            return 0

        return end

    return _played(Options(policies=CHECKOUT / "policies"), play, as_json=as_json)


def demo_everywhere(cities: tuple[str, ...], *, as_json: bool) -> int:
    """Run residents of all these cities at offers of all of them; the exit code."""

    def play(local: LocalNetwork) -> Callable[[float], int]:
        found = asyncio.run(ask_everywhere(local.layout, cities, say))

        def end(seconds: float) -> int:
            show_everywhere(found, seconds, as_json=as_json)
            return found.exit_code

        return end

    patient: dict[str, int | float | bool] = {"city_deadline_s": 20.0}  # a dozen processes on a small machine
    return _played(
        Options(policies=CHECKOUT / "policies", cities=cities, gateway_limits=patient), play, as_json=as_json
    )


def _played(options: Options, play: Callable[[LocalNetwork], Callable[[float], int]], *, as_json: bool) -> int:
    """Start a network, play on it, stop and remove everything, and only then let ``play``'s end be told."""
    layout = Layout(STATE / f"demo-{os.getpid()}")
    started = time.monotonic()
    try:
        with stopped_by_signals(), Processes() as processes:
            sweep()
            local = _start(layout, options, processes)
            end = play(local)
            local.check()
            say("stopping")
    except StoppedError as stopped:
        say(f"stopped by signal {stopped.number}; nothing is left running")
        return stopped.exit_code
    except (TiergateError, OSError) as error:
        return _failed(layout, error, as_json=as_json)
    shutil.rmtree(layout.base)
    seconds = time.monotonic() - started
    code = end(seconds)
    say(f"done in {seconds:.1f} s, all processes stopped")
    return code


def sweep() -> None:
    """Remove what demos left that were killed or failed; their numbers are those of their processes."""
    for folder in STATE.glob("demo-*"):
        number = folder.name.removeprefix("demo-")
        if not number.isdigit() or not Path(f"/proc/{number}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def up(*, as_json: bool) -> int:
    """Start the network, print what to try, wait for a signal; the exit code."""
    layout = Layout(STATE / "up")
    try:
        with stopped_by_signals(), only_one(STATE / "up.lock"), Processes() as processes:
            local = _start(layout, Options(policies=CHECKOUT / "policies"), processes)
            commands = _commands(layout)
            tried = [{"what": what, "command": command} for what, command in commands]
            show({"state": str(layout.base), "commands": tried}, lambda: _invite(commands), as_json=as_json)
            sys.stdout.flush()
            while True:
                local.check()
                time.sleep(0.5)
    except StoppedError:
        say("stopped; nothing is left running")
        return 0
    except BlockingIOError:
        remedy = "stop it first (Ctrl-C where it runs)"
        return report_plain("ALREADY_UP", "a network is already up", EXIT_REFUSED, as_json=as_json, remedy=remedy)
    except (TiergateError, OSError) as error:
        return _failed(layout, error, as_json=as_json)


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends. Raises BlockingIOError when another one holds it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _start(layout: Layout, options: Options, processes: Processes) -> LocalNetwork:
    say("making keys, certificates, policy bundle and directory")
    if layout.base.exists():
        shutil.rmtree(layout.base)
    network = provision(layout, options)
    say(f"starting {', '.join(options.cities)} (platforms, adapters) and the gateway")
    local = LocalNetwork(network, processes)
    local.start()
    return local


def _failed(layout: Layout, error: TiergateError | OSError, *, as_json: bool = False) -> int:
    if isinstance(error, TiergateError):
        # INTERNAL's public sentence is for callers far away; here the detail is the whole story
        public = "" if error.reason is Reason.INTERNAL else f"{error}: "
        reason, text = error.reason.value, f"{public}{error.detail}"
    else:
        reason, text = "LOCAL_FAILURE", f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return report_plain(reason, f"failed: {text}", EXIT_REFUSED, as_json=as_json, remedy=_remedy(layout, error))


def _remedy(layout: Layout, error: TiergateError | OSError) -> str:
    """What to do about a failure. A full disk stops a process as it can, so it is looked at whatever came of it."""
    place = next(folder for folder in (layout.base, *layout.base.parents) if folder.exists())
    with suppress(OSError):
        free = shutil.disk_usage(place).free
        if free < LEAST_FREE_BYTES or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
            return f"make room on the disk of {place} ({free >> 20} MiB are free), and run again"
    if getattr(error, "errno", None) in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return f"{place} must be writable by you: run in a checkout of your own"
    logs = layout.base / "logs"
    return f"look at the logs in {logs}, mend the cause, and run again" if logs.exists() else "mend it, and run again"


def _show(told: Told) -> None:
    table = Table(title="Checks (all residents are synthetic)", title_justify="left")
    for name in ("resident of", "who (the operator does not see this)", "asks in", "operator", "scenario", "outcome"):
        table.add_column(name)
    table.add_column("terms")
    table.add_column("log index", justify="right")
    for row in told.rows:
        terms = f"{row.terms['text_zh']}\n{row.terms['text_en']}" + ("\n[illustrative]" if row.illustrative else "")
        home, host = (" ".join(reversed(CITY_NAMES[city])) for city in (row.home_city, row.host_city))
        table.add_row(home, row.who, host, row.operator, row.scenario, row.outcome, terms, str(row.log_index))
    console = Console(width=None if sys.stdout.isatty() else 200, markup=False)
    console.print(table)
    log = told.verified
    console.print(f"withdrawal: {told.withdrawal}")
    console.print(
        f"verified offline from the export: {log.size} log entries under the signed checkpoint, every tile and hash, "
        f"every decision's consent, bundle and withdrawal ({log.entries.get('decision', 0)} decisions, "
        f"{len(log.bundles)} bundle)"
    )


def _commands(layout: Layout) -> list[tuple[str, str]]:
    """What to try with a network that is up: what it is, and the command line."""
    tiergate = Path(sys.executable).parent / "tiergate"
    app = f"--profile {layout.app('fuzhou') / 'client.toml'} --resident synthetic-fz-0001"
    operator = f"--profile {layout.operator('xiamen-library') / 'client.toml'} --scenario xiamen-library"
    auditor = f"--profile {layout.auditor / 'client.toml'}"
    shared = layout.shared
    given = f"--trust {shared / 'trust'} --root {shared / 'root.json'} --signed {shared / 'bundle.json'}"
    wanted = "--operator xiamen-library --scenario xiamen-library --uses 3"
    return [
        ("a consent", f"{tiergate} consent grant {app} {wanted} --yes --out consent.jwt"),
        ("a check", f"{tiergate} check {operator} --token-file consent.jwt"),
        ("her consents", f"{tiergate} consent list {app}"),
        ("a withdrawal", f"{tiergate} consent withdraw {app} --consent ID"),
        ("an audit", f"{tiergate} audit export {auditor} --out export"),
        ("its verification", f"{tiergate} audit verify export {given}"),
    ]


def _invite(commands: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield "The network is up. Copy a command into another terminal:\n"
    for what, command in commands:
        yield f"{what:<17} {command}"
    yield "\nCtrl-C stops everything."
