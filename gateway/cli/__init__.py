"""The ``tiergate`` command: one file per group of commands, and the one place that turns failures into exit codes.

Nothing here decides who is entitled to what, and nothing outside this package may import it; heavy modules are imported
inside the commands, so that ``--help`` is fast.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

from gateway import __version__
from gateway.cli.output import (
    EXIT_CODES,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_USAGE,
    RefusedError,
    UsageError,
    exit_code_of,
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
        result = build_app()(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except CycloptsError as error:
        return report_plain("USAGE", str(error), EXIT_USAGE, as_json=as_json, remedy="add --help to see what it takes")
    except UsageError as error:
        return report_plain("USAGE", str(error), EXIT_USAGE, as_json=as_json, remedy=error.remedy)
    except RefusedError as error:
        return report_plain(error.reason, str(error), EXIT_REFUSED, as_json=as_json, remedy=error.remedy)
    except TiergateError as error:
        return report(error, exit_code_of(error), as_json=as_json)
    except KeyboardInterrupt:
        return report_plain("INTERRUPTED", "interrupted", EXIT_INTERRUPTED, as_json=as_json)
    except StoppedError as stopped:
        return report_plain("INTERRUPTED", f"stopped by signal {stopped.number}", stopped.exit_code, as_json=as_json)
    except BrokenPipeError:
        # the reader of our output has gone; a second failure while Python flushes at exit would be a traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_REFUSED
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        return report_plain("FILE", text, EXIT_REFUSED, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - whatever it is, a user is told in words
        if os.environ.get(TRACEBACK) == "1":
            traceback.print_exc()
        text = f"internal failure ({type(error).__name__}); this is a defect of tiergate"
        remedy = f"{TRACEBACK}=1 shows where"
        return report_plain("INTERNAL", text, EXIT_REFUSED, as_json=as_json, remedy=remedy)


def run() -> None:
    """Entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Chinese must not stop a command
    sys.exit(main())
