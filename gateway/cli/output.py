"""What commands print: tables for people or one JSON document on standard output, everything else on standard error.

Also the meaning of exit codes, in one place.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gateway.errors import ProblemsError, Reason, TiergateError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_UNVERIFIED = range(5)
EXIT_INTERRUPTED = 130
EXIT_CODES = """\
0  done; for a check, both outcomes (entitled and ordinary)
1  refused or failed, with a typed reason; doctor and tests found something
2  wrong usage, arguments, configuration, key or certificate
3  unavailable now: retry (for a check: apply the base offer meanwhile)
4  a signature, proof, log or signed file does not verify"""

_CONFIGURATION = frozenset({Reason.CONFIG_INVALID, Reason.KEY_INVALID, Reason.CERTIFICATE_INVALID})
_UNVERIFIED = frozenset(
    {
        Reason.BUNDLE_INVALID,
        Reason.DIRECTORY_INVALID,
        Reason.NOTICE_INVALID,
        Reason.LOG_CORRUPT,
        Reason.NOTE_INVALID,
        Reason.PROOF_OF_LOG_INVALID,
        Reason.RECEIPT_INVALID,
        Reason.SIGNATURE_INVALID,
    }
)
_RETRY = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
_PIPE_WIDTH = 200  # columns where there is no terminal to ask


class UsageError(Exception):
    """The command line asks for something that cannot be meant; ``str`` says what, ``remedy`` what to give instead."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def require_known(option: str, value: str | None, known: Iterable[str]) -> None:
    """Return if an option is not given, or is one of the words that it can be. Raises :class:`UsageError`."""
    words = list(known)
    if value is not None and value not in words:
        raise UsageError(f"{option} {value}: there is none", f"one of {', '.join(words) or 'none'}")


class RefusedError(Exception):
    """The command will not do it; ``reason`` is a code, ``str`` says why, ``remedy`` what to do instead."""

    def __init__(self, reason: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy


class UnansweredError(Exception):
    """A request was sent, and its answer did not get to whoever asked; ``__cause__`` says why.

    Repeated under the same ``request_id``, it is the same request: nothing is spent again.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(request_id)
        self.request_id = request_id


def exit_code_of(error: TiergateError) -> int:
    """The exit code of a typed failure."""
    if error.reason in _CONFIGURATION:
        return EXIT_USAGE
    if error.reason in _UNVERIFIED:
        return EXIT_UNVERIFIED
    if error.status in _RETRY and error.reason is not Reason.STORE_FAILED:
        return EXIT_UNAVAILABLE
    return EXIT_REFUSED


def show(document: Mapping[str, Any], human: Callable[[], Iterable[str | Table]], *, as_json: bool) -> None:
    """Print a command's result: the document as JSON, or what ``human`` makes of it. Raises OSError if that fails."""
    with printing():
        if as_json:
            print(json.dumps(document, ensure_ascii=False, indent=2))
            return
        console = _console()
        for item in human():
            console.print(item, soft_wrap=isinstance(item, str))


@contextmanager
def printing() -> Iterator[None]:
    """What the block prints has left the process when it ends. Raises OSError, which names standard output."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None:
            error.filename = "standard output"
        raise


def discard_unprinted() -> None:
    """Let go of what standard output does not take: Python would try again at its exit, with a traceback."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _discard(1)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; cells are shown as they are, without any markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    return made


def facts(title: str, items: Mapping[str, object]) -> Table:
    """A table of names and values."""
    return table(title, ("", ""), items.items())


def progress(text: str) -> None:
    """One line about what is going on, on standard error; where nobody can be told, the work goes on."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _discard(2)


def error_document(error: TiergateError) -> dict[str, Any]:
    """A typed failure as JSON."""
    document: dict[str, Any] = {"reason": error.reason.value, "message": error.public_text}
    if isinstance(error, ProblemsError):
        document["problems"] = [
            {"file": item.file, "path": item.path, "message": item.message, "remedy": item.remedy}
            for item in error.problems
        ]
    elif error.detail:
        document["detail"] = error.detail
    if error.retry_after_s is not None:
        document["retry_after_s"] = error.retry_after_s
    return document


def report(error: TiergateError, code: int, *, as_json: bool, request_id: str = "") -> int:
    """Tell of a typed failure; returns ``code``. The detail is this process's own and tells its user the cause."""
    lines = [f"tiergate: {error}"]
    if error.detail and not isinstance(error, ProblemsError):
        lines.append(f"  cause: {error.detail}")
    if error.retry_after_s is not None:
        lines.append(f"  retry after {error.retry_after_s:g} s")
    return _tell(lines, error_document(error), code, as_json=as_json, request_id=request_id)


def report_plain(reason: str, text: str, code: int, *, as_json: bool, remedy: str = "", request_id: str = "") -> int:
    """Tell of a failure that has no typed reason; returns ``code``."""
    lines = [f"tiergate: {text}", *([f"  {remedy}"] if remedy else [])]
    return _tell(lines, {"reason": reason, "message": text}, code, as_json=as_json, request_id=request_id)


def _tell(lines: list[str], error: dict[str, Any], code: int, *, as_json: bool, request_id: str) -> int:
    """Tell of a failure wherever that can be done: there is none that a failure to tell would not hide."""
    document: dict[str, Any] = {"error": error | {"exit_code": code}}
    if request_id:
        lines.append(f"  to repeat the same request, with no further use: --request-id {request_id}")
        document["request_id"] = request_id
    progress("\n".join(lines))
    if as_json:
        with suppress(OSError):
            print(json.dumps(document, ensure_ascii=False, indent=2))
    discard_unprinted()
    return code


def _discard(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width)
