"""``tiergate policy``: from files that people write to the signed bundle that the network runs under."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from gateway.cli.options import Json
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, UsageError, facts, show, table

if TYPE_CHECKING:
    from gateway.policy.load import LoadedPolicies

_FIRST_YEAR, _LAST_YEAR = 2000, 9000

app = App(name="policy", help="Check, test, build, sign, verify, publish and show policies.")
app.command("gateway.cli.policy_show:show_policies", name="show", help="Show tiers, concordances and scenarios.")
app.command("gateway.cli.policy_matrix:show_matrix", name="matrix", help="Show whose residents get what where.")
app.command("gateway.cli.policy_explain:explain", name="explain", help="Why these terms: cut, rung, sources.")
app.command("gateway.cli.policy_diff:diff", name="diff", help="Say what a set of policies changes, and for whom.")
app.command("gateway.cli.policy_rehearse:rehearsal", name="rehearse", help="Try a draft on the decisions of a log.")
app.command("gateway.cli.policy_schema:schemas", name="schema", help="JSON Schema of each kind of file, for editors.")
app.command("gateway.cli.policy_sign:sign", name="sign", help="Sign a bundle, directory, root or notice.")
app.command("gateway.cli.policy_sign:verify", name="verify", help="Verify a signed file under the root.")
app.command("gateway.cli.policy_publish:publish", name="publish", help="Put a signed file where a process reads it.")
app.command("gateway.cli.policy_status:status", name="status", help="What is in force, here and at the peers.")
app.command("gateway.cli.policy_directory:make_directory", name="directory", help="Enter a city or an operator.")
app.command("gateway.cli.policy_make:make_root", name="root", help="Make a root, to be signed by its authorities.")
app.command("gateway.cli.policy_make:make_notice", name="notice", help="Make a notice: remove a key, maintenance.")

Folder = Annotated[Path, Parameter(help="Folder of policy files.")]


def load(folder: Path) -> LoadedPolicies:
    """The checked policies of a folder. Raises :class:`UsageError` for what is no folder, and POLICY_INVALID."""
    from gateway.policy.load import load_policies

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name the folder that holds tier-scale.toml")
    return load_policies(folder)


def _counts(loaded: LoadedPolicies) -> dict[str, int]:
    return {
        "cities": len(loaded.cities),
        "scenarios": len(loaded.scenarios),
        "operators": len(loaded.operators),
    }


@app.command
def check(folder: Folder = Path("policies"), *, json: Json = False) -> None:
    """Check all policy files, and report every problem at once, with file, key and what to do.

    Also the proof that no policy harms anybody: whatever tier somebody has, and whatever scenario it is, the terms are
    never less than those of a lower tier, nor than the base offer, and none is a duty.
    """
    loaded = load(folder)
    warnings = [str(item) for item in loaded.warnings]
    counts = _counts(loaded)
    line = ", ".join(f"{count} {name}" for name, count in counts.items())
    rungs = sum(len(item.rungs) for item in loaded.scenarios)
    show(
        {"valid": True, **counts, "harmless": {"rungs": rungs}, "warnings": warnings},
        lambda: [
            *(f"warning: {item}" for item in warnings),
            f"harmless: none of {rungs} rungs gives less than the base offer or the rung below it, none adds a duty",
            f"valid: {line}",
        ],
        as_json=json,
    )


@app.command(name="test")
def run_cases_of(folder: Folder = Path("policies"), *, json: Json = False) -> int:
    """Check all policy files and run the cases beside them. Exit code 1 when a case fails."""
    from gateway.policy.cases import run_cases

    results = run_cases(folder, load(folder))
    failed = [item for item in results if not item.passed]
    document = {
        "passed": len(results) - len(failed),
        "failed": len(failed),
        "cases": [
            {
                "file": item.file,
                "name": item.name,
                "passed": item.passed,
                "expected": item.expected,
                "actual": item.actual,
            }
            for item in results
        ],
    }
    rows = [(item.file, item.name, item.expected, item.actual) for item in failed]
    show(
        document,
        lambda: [
            *([table("Failed cases", ("file", "case", "expected", "actual"), rows)] if rows else []),
            f"{len(results) - len(failed)} of {len(results)} cases passed",
        ],
        as_json=json,
    )
    return EXIT_REFUSED if failed else EXIT_OK


@app.command(version_flags=[])
def build(
    folder: Folder,
    *,
    version: Annotated[int, Parameter(name="--version", help="Version of the bundle; higher than the one in force.")],
    expires: Annotated[str, Parameter(name="--expires", help="Last day of use (UTC), such as 2027-12-31.")],
    out: Annotated[Path, Parameter(name="--out", help="The canonical bundle, still to be signed.")],
    effective: Annotated[
        str | None,
        Parameter(name="--effective", help="From when it is in force, such as 2026-12-01T02:00Z. Default: at once."),
    ] = None,
    grace_hours: Annotated[
        int | None,
        Parameter(
            name="--grace-hours",
            help="How long after --effective peers may still ask under the bundle before, 0 to 720. Default: 24.",
        ),
    ] = None,
    directory_from: Annotated[
        int, Parameter(name="--directory-from", help="The lowest version of the peer directory that it goes with.")
    ] = 1,
    json: Json = False,
) -> None:
    """Build the canonical policy bundle from the files. The same files and options give the same digest."""
    from gateway.policy.bundle import build_bundle, digest_of

    try:
        last = date.fromisoformat(expires)
    except ValueError as error:
        raise UsageError("--expires is not a day", "such as 2027-12-31") from error
    starts = 0 if effective is None else seconds_of(effective, "--effective")
    grace = (24 if starts else 0) if grace_hours is None else grace_hours
    data = build_bundle(
        load(folder),
        version,
        last,
        effective=starts,
        grace_s=grace * 3600,
        directory_from=directory_from,
    )
    out.write_bytes(data)
    document = {
        "file": str(out),
        "digest": digest_of(data),
        "version": version,
        "effective": effective or "at once",
        "grace_hours": grace,
        "expires": last.isoformat(),
    }
    show(document, lambda: [facts("Bundle", document), "sign it with: tiergate policy sign"], as_json=json)


def seconds_of(text: str, option: str) -> int:
    """Unix seconds of a time with its zone, such as ``2026-12-01T02:00Z``. Raises :class:`UsageError`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} is not a time", "such as 2026-12-01T02:00Z") from error
    if found.tzinfo is None:
        raise UsageError(f"{option} has no time zone", "end it with Z for UTC, or with an offset such as +08:00")
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise UsageError(f"{option} is not in a year from {_FIRST_YEAR} to {_LAST_YEAR}", "such as 2026-12-01T02:00Z")
    return int(found.timestamp())
