"""What ``certs check`` and ``doctor`` report: findings, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.cli.output import EXIT_OK, EXIT_REFUSED, show, table
from gateway.errors import ProblemsError, TiergateError

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: which check, on what, how it stands, what was found, and the remedy."""

    check: str
    subject: str
    state: State
    message: str
    remedy: str = ""


def ok(check: str, subject: str, message: str) -> Finding:
    """All is well."""
    return Finding(check, subject, "ok", message)


def problem(check: str, subject: str, message: str, remedy: str) -> Finding:
    """Something that must be mended."""
    return Finding(check, subject, "problem", message, remedy)


def warning(check: str, subject: str, message: str, remedy: str) -> Finding:
    """Something that will have to be mended."""
    return Finding(check, subject, "warning", message, remedy)


def of_error(check: str, subject: str, error: TiergateError, remedy: str) -> list[Finding]:
    """A typed failure as problems; those of a :class:`ProblemsError` keep their own remedies."""
    if isinstance(error, ProblemsError):
        return [
            problem(
                check, item.file, f"{item.path}: {item.message}" if item.path else item.message, item.remedy or remedy
            )
            for item in error.problems
        ]
    return [problem(check, subject, error.detail or error.public_text, remedy)]


def tell(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print the findings; exit code 0 when none is a problem, else 1."""
    bad = [item for item in findings if item.state == "problem"]
    document: dict[str, Any] = {
        "ok": not bad,
        "findings": [
            {
                "check": item.check,
                "subject": item.subject,
                "state": item.state,
                "message": item.message,
                "remedy": item.remedy,
            }
            for item in findings
        ],
    }
    rows = [(item.state, item.check, item.subject, item.message, item.remedy) for item in findings]
    last = "all is well" if not bad else f"{len(bad)} problem(s)"
    show(
        document,
        lambda: [table("", ("state", "check", "of", "found", "what to do"), rows), last],
        as_json=as_json,
    )
    return EXIT_REFUSED if bad else EXIT_OK
