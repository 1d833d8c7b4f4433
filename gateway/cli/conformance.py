"""``tiergate conformance``: ask a city's peer what a gateway asks, and say whether it answers rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from gateway.cli.options import Json
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, UsageError, facts, progress, show, table

app = App(name="conformance", help="Test any city's peer against the contract, whoever wrote it.")

Deployment = Annotated[
    Path, Parameter(name="--deployment", help="Folder of the test deployment that the city has joined (see init).")
]


@app.command
def init(
    folder: Annotated[Path, Parameter(help="New folder; its subfolder city is for the city under test.")],
    *,
    city: Annotated[str, Parameter(name="--city", help="Id of the city under test, a slug.")],
    address: Annotated[str, Parameter(name="--address", help="Where the city will listen, host:port.")],
    json: Json = False,
) -> None:
    """Make a test deployment for a city to join: signed files, certificate, keys, residents, a sketch of settings."""
    from gateway.conformance.deployment import make_deployment

    if folder.exists():
        raise UsageError(f"{folder} exists; a test deployment is never overwritten", "name another folder")
    made = make_deployment(folder, city, address)
    document = {
        "city": str(made.city),
        "for_the_city": str(folder / "city"),
        "residents": str(folder / "city" / "residents.csv"),
        "address": address,
        "directory_version": made.directory.version,
        "bundle": made.bundle.digest,
    }
    show(
        document,
        lambda: [facts("Test deployment", document), f"then: tiergate conformance {address} --deployment {folder}"],
        as_json=json,
    )


@app.default
async def run(
    address: Annotated[str, Parameter(help="Where the city under test serves, host:port.")],
    *,
    deployment: Deployment = Path("conformance"),
    passport: Annotated[
        Path | None, Parameter(name="--passport", help="Write a signed passport here if no check fails.")
    ] = None,
    key: Annotated[Path | None, Parameter(name="--key", help="Key that signs the passport (PEM, mode 600).")] = None,
    runner: Annotated[str, Parameter(name="--runner", help="Who runs the kit, for the passport.")] = "unnamed",
    implementation: Annotated[
        str, Parameter(name="--implementation", help="What the city runs, for the passport.")
    ] = "unnamed",
    days: Annotated[int, Parameter(name="--days", help="Lifetime of the passport, 1 to 366.")] = 180,
    json: Json = False,
) -> int:
    """Make every check. Exit code 0 when none fails, 1 when one does, 3 when nobody answers at the address."""
    from gateway.conformance.check import KIT_VERSION, Result, digest_of_checks, digest_of_results
    from gateway.conformance.deployment import load_deployment
    from gateway.conformance.passport import MAX_DAYS, issue_passport
    from gateway.conformance.run import run_checks
    from gateway.conformance.table import CHECKS
    from gateway.crypto.keys import load_private_key

    if (passport is None) != (key is None):
        raise UsageError("a passport needs a key, and a key is for a passport", "give --passport and --key, or neither")
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"--days must be 1 to {MAX_DAYS}")
    signer = load_private_key(key) if key is not None else None
    found = load_deployment(deployment)
    if address.count(":") < 1:
        raise UsageError("the address is not host:port", "such as 127.0.0.1:7443")

    def told(result: Result) -> None:
        if result.verdict == "failed":
            progress(f"failed: {result.id}")

    results = await run_checks(found, address, told=told)
    failed = [item for item in results if item.verdict == "failed"]
    text = ""
    if passport is not None and signer is not None and not failed:
        text = issue_passport(
            signer, runner=runner, city=found.city, implementation=implementation, checks=CHECKS, results=results,
            days=days,
        )  # fmt: skip
        passport.write_text(text + "\n", "ascii")
    counts = {name: sum(item.verdict == name for item in results) for name in ("passed", "failed", "not applicable")}
    document: dict[str, Any] = {
        "city": str(found.city),
        "address": address,
        "kit": KIT_VERSION,
        "checks_digest": digest_of_checks(CHECKS),
        "results_digest": digest_of_results(results),
        "conforms": not failed,
        "counts": counts,
        "passport": str(passport) if text else None,
        "checks": [
            {
                "id": item.id,
                "says": item.says,
                "source": item.source,
                "verdict": item.verdict,
                "expected": item.expected,
                "came": item.came,
            }
            for item in results
        ],
    }
    rows = [(item.verdict, item.id, item.says, item.expected, item.came) for item in results]
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    last = [f"passport: {passport}"] if text else []
    columns = ("verdict", "check", "what it asks for", "expected", "came")
    show(document, lambda: [table("", columns, rows), summary, *last], as_json=json)
    return EXIT_REFUSED if failed else EXIT_OK


@app.command
def checks(*, json: Json = False) -> None:
    """List what the kit asks for, with the place where that is written."""
    from gateway.conformance.check import KIT_VERSION, digest_of_checks
    from gateway.conformance.table import CHECKS

    rows = [(item.id, item.says, item.source) for item in CHECKS]
    document = {
        "kit": KIT_VERSION,
        "checks_digest": digest_of_checks(CHECKS),
        "checks": [{"id": name, "says": says, "source": source} for name, says, source in rows],
    }
    show(document, lambda: [table("", ("check", "what it asks for", "source"), rows)], as_json=json)


@app.command(name="verify-passport")
def check_passport(
    file: Annotated[Path, Parameter(help="The passport.")],
    *,
    key: Annotated[Path, Parameter(name="--key", help="Public key (JWK, JSON) of the runner that you trust.")],
    json: Json = False,
) -> None:
    """Verify a passport: signature, form, and that it is in force. Exit code 4 when it does not verify.

    ``directory_entry`` is what the peer directory says of it, as ``passport`` of the city. ``of_this_kit``: whether it
    is over the checks that this kit makes; `policy directory` takes no other.
    """
    from dataclasses import asdict

    from gateway.cli.messages import time_of_s
    from gateway.cli.passport_file import is_of_this_kit, passport_in

    found, entry = passport_in(file, key)
    document = {
        "verified": True,
        "runner": found.runner,
        "city": found.city,
        "implementation": found.implementation,
        "kit": found.kit,
        "checks_digest": found.checks,
        "of_this_kit": is_of_this_kit(found),
        "results_digest": found.results,
        "passed": found.passed,
        "not_applicable": list(found.not_applicable),
        "issued": time_of_s(found.issued_at),
        "expires": time_of_s(found.expires_at),
        "directory_entry": asdict(entry),
    }
    show(document, lambda: [facts("Passport", document)], as_json=json)
