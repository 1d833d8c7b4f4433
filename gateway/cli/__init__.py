"""The ``tiergate`` command: one file per group of commands, and the one place that turns failures into exit codes.

Nothing here decides who is entitled to what, and nothing outside this package may import it; heavy modules are imported
inside the commands, so that ``--help`` is fast.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from asyncio import CancelledError
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

from gateway import __version__
from gateway.cli.output import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_USAGE,
    RefusedError,
    UnansweredError,
    UsageError,
    discard_unprinted,
    exit_code_of,
    printing,
    report,
    report_plain,
)
from gateway.cli.stopping import StoppedError
from gateway.errors import TiergateError

TRACEBACK = "TIERGATE_TRACEBACK"
"""Environment variable: set to 1, an internal failure shows its traceback."""

_HELP = f"""Same-city treatment across cities, by consent: the gateway, the adapters, and the tools around them.

Every command explains itself with --help. With --json (all but serve) standard output holds one JSON document and
nothing else. Progress and errors go to standard error.

Exit codes:

{EXIT_CODES}
"""

_RUN = Group("Run", sort_key=0)
_USE = Group("Use", sort_key=1)
_KEEP = Group("Keep", sort_key=2)

# name, where it is (imported when it is called), group, one line for the overview
_COMMANDS: tuple[tuple[str, str, Group, str], ...] = (
    ("demo", "gateway.cli.network:demo", _RUN, "See it work: two synthetic cities, checked in both directions."),
    ("up", "gateway.cli.network:up", _RUN, "The same network, left running, with commands to copy."),
    ("local", "gateway.cli.network:local", _RUN, "Make the files of a development network."),
    ("serve", "gateway.cli.serve:serve_gateway", _RUN, "Run the gateway."),
    ("adapter", "gateway.cli.serve:adapter", _RUN, "A city: begin, run the adapter, write its journal."),
    ("witness", "gateway.cli.witness:app", _RUN, "A city or an auditor: cosign the logs of others."),
    ("consent", "gateway.cli.consent:app", _USE, "A city's app and counter: the life of consents."),
    ("resident", "gateway.cli.resident:app", _USE, "A city: a resident's uses, explanations, contests, corrections."),
    ("operator", "gateway.cli.operator_init:app", _USE, "An operator: begin."),
    ("check", "gateway.cli.check:check", _USE, "An operator: ask which terms to apply, with a token or a code."),
    ("scenarios", "gateway.cli.check:scenarios", _USE, "An operator: the scenarios that are open to it."),
    ("audit", "gateway.cli.audit:app", _USE, "An auditor: read, export and verify the consent log."),
    ("policy", "gateway.cli.policy:app", _KEEP, "Check, test, build, sign, verify and show policies."),
    ("conformance", "gateway.cli.conformance:app", _KEEP, "Test any city's peer against the contract."),
    ("certs", "gateway.cli.certs:app", _KEEP, "Keys and certificates: make, request, show, check."),
    ("keys", "gateway.cli.keys:app", _KEEP, "Signing keys: list, rotate with overlap, retire."),
    ("backup", "gateway.cli.backup:backup", _KEEP, "Copy the gateway's database while it runs."),
    ("restore", "gateway.cli.backup:restore", _KEEP, "Put a backup in place, if no newer log would be lost."),
    ("erase", "gateway.cli.erase:erase", _KEEP, "Erase what has been kept long enough, or what an authority orders."),
    ("doctor", "gateway.cli.doctor:doctor", _KEEP, "Say what is wrong with an installation, and how to mend it."),
)


def build_app() -> App:
    """The whole command, its groups still unloaded."""
    app = App(
        name="tiergate",
        version=f"tiergate {__version__}",
        help=_HELP,
        help_format="plaintext",
        suppress_keyboard_interrupt=False,  # told of like every other end, in ``main``
    )
    app["--help"].group = app["--version"].group = Group("Options", sort_key=9)
    for name, place, group, line in _COMMANDS:
        app.command(place, name=name, group=group, help=line)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's); returns the exit code and raises nothing but SystemExit."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in tokens
    try:
        if sys.stdout is None and "serve" not in tokens[:2]:  # told before anything is done that nobody would hear of
            raise OSError(errno.EBADF, "is closed", "standard output")
        result = build_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        with printing():
            return result if isinstance(result, int) else 0
    except UnansweredError as error:
        return _tell(error.__cause__ or error, as_json=as_json, request_id=error.request_id)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, a user is told in words
        return _tell(error, as_json=as_json)


def _tell(error: BaseException, *, as_json: bool, request_id: str = "") -> int:
    """Tell of a failure in words; returns its exit code. ``request_id``: of the request that it left unanswered."""

    def plain(reason: str, text: str, code: int, remedy: str = "") -> int:
        return report_plain(reason, text, code, as_json=as_json, remedy=remedy, request_id=request_id)

    match error:
        case CycloptsError():
            return plain("USAGE", str(error), EXIT_USAGE, "add --help to see what it takes")
        case UsageError():
            return plain("USAGE", str(error), EXIT_USAGE, error.remedy)
        case RefusedError():
            return plain(error.reason, str(error), EXIT_REFUSED, error.remedy)
        case TiergateError():
            return report(error, exit_code_of(error), as_json=as_json, request_id=request_id)
        case KeyboardInterrupt() | CancelledError():  # within a coroutine, the one is the other
            return plain("INTERRUPTED", "interrupted", EXIT_INTERRUPTED)
        case StoppedError():
            return plain("INTERRUPTED", f"stopped by signal {error.number}", error.exit_code)
        case BrokenPipeError() if not request_id:  # the reader of our output has gone, and knows
            discard_unprinted()
            return EXIT_REFUSED
        case OSError():
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
            return plain("FILE", text, EXIT_REFUSED)
    if os.environ.get(TRACEBACK) == "1":
        traceback.print_exception(error)
    text = f"internal failure ({type(error).__name__}); this is a defect of tiergate"
    return plain("INTERNAL", text, EXIT_REFUSED, f"{TRACEBACK}=1 shows where")


def run() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Chinese must not stop a command
    sys.exit(main())
