from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from cyclopts import App

from gateway import __version__
from gateway.cli import TRACEBACK, build_app
from gateway.cli.options import LOG_INDEX
from gateway.cli.output import (
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    EXIT_UNVERIFIED,
    EXIT_USAGE,
    RefusedError,
    UsageError,
    exit_code_of,
)
from gateway.cli.stopping import StoppedError
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from tests.unit.cli.conftest import Run


def commands(app: App, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command line up to its options; groups too."""
    for name in app:
        if not name.startswith("-"):
            yield (*before, name)
            yield from commands(app[name], (*before, name))


ALL = sorted(set(commands(build_app())))
WITHOUT_RESULT = {("serve",), ("adapter", "serve"), ("witness", "serve")}
PLACE = re.compile("log index|position in the log|position of the decision", re.IGNORECASE)
LEAVES = [words for words in ALL if not any(other[:-1] == words for other in ALL)]


def test_the_commands_are_these() -> None:
    assert {" ".join(words) for words in LEAVES} >= {
        "adapter init",
        "adapter journal",
        "adapter serve",
        "audit export",
        "audit list",
        "audit reconcile",
        "audit replay",
        "audit sample",
        "audit show",
        "audit verify",
        "audit verify-receipt",
        "audit watch",
        "backup",
        "certs check",
        "certs dev",
        "certs key",
        "certs request",
        "certs show",
        "certs sign",
        "check",
        "consent code issue",
        "consent grant",
        "consent list",
        "consent present",
        "consent preview",
        "consent withdraw",
        "demo",
        "doctor",
        "operator init",
        "policy build",
        "policy check",
        "policy diff",
        "policy directory",
        "policy explain",
        "policy rehearse",
        "policy schema",
        "policy show",
        "policy sign",
        "policy test",
        "policy verify",
        "restore",
        "scenarios",
        "serve",
        "up",
        "witness init",
        "witness serve",
        "witness status",
    }


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_explains_itself(run: Run, words: tuple[str, ...]) -> None:
    done = run(*words, "--help")
    assert done.code == 0
    usage, _, rest = done.out.partition("\n\n")
    assert usage.startswith(f"Usage: tiergate {' '.join(words)}")
    assert rest.strip()


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    app = build_app()
    for word in words:
        app = app[word]
    for argument in app.assemble_argument_collection():
        assert argument.parameter.help, argument.name


def test_every_number_that_is_a_place_in_the_log_is_held_to_what_a_log_can_have() -> None:
    found = set()
    for words in LEAVES:
        app = build_app()
        for word in words:
            app = app[word]
        for argument in app.assemble_argument_collection():
            told, validators = argument.parameter.help or "", cast("Any", argument.parameter.validator)
            if argument.hint in {int, int | None} and PLACE.search(told):
                found.add((*words, argument.name))
                assert LOG_INDEX in validators, (words, argument.name)
    assert len(found) >= 9


@pytest.mark.parametrize("place", [-1, 2**63, 10**23])
@pytest.mark.parametrize(
    "line",
    [
        "audit show {}",
        "audit open {} --config x --field token --out x",
        "audit verify-opening x --trust x --export x --index {}",
        "audit replay x --trust x --decision {}",
        "adapter journal --config x --out x --from {}",
        "adapter journal --config x --out x --to {}",
        "erase --config x --consent {}",
        "resident uses --resident x --before {}",
    ],
)
def test_a_place_that_no_log_has_is_wrong_usage(run: Run, line: str, place: int) -> None:
    done = run(*line.format(place).split())
    assert done.code == EXIT_USAGE
    assert str(place) in done.err or "must be" in done.err.lower()


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_with_a_result_takes_json(run: Run, words: tuple[str, ...]) -> None:
    assert ("--json" in run(*words, "--help").out) == (words not in WITHOUT_RESULT)


def test_help_lists_the_exit_codes(run: Run) -> None:
    done = run("--help")
    assert done.code == 0
    for code in range(5):
        assert f"\n{code}  " in done.out


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"tiergate {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["launch"],
        ["consent", "give"],
        ["check"],
        ["check", "--scenario"],
        ["check", "--scenario", "x", "--token-file", "y", "--sudden"],
        ["audit", "show", "seven"],
        ["policy", "sign", "x", "--type", "letter", "--key", "k", "--out", "o"],
        ["serve"],
        ["adapter", "serve", "--config", "x"],
        ["adapter", "init", "x", "--trust-domain", "y", "--source", "ftp"],
        ["scenarios", "extra"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_words(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == EXIT_USAGE
    assert done.out == ""
    assert done.err.startswith("tiergate: ")
    assert "--help" in done.err


def test_wrong_usage_with_json_is_one_document(run: Run) -> None:
    done = run("check", "--json")
    assert done.code == EXIT_USAGE
    assert done.document["error"]["reason"] == "USAGE"
    assert done.document["error"]["exit_code"] == EXIT_USAGE


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.TOKEN_EXPIRED, EXIT_REFUSED),
        (Reason.CALLER_NOT_PERMITTED, EXIT_REFUSED),
        (Reason.POLICY_INVALID, EXIT_REFUSED),
        (Reason.STORE_FAILED, EXIT_REFUSED),
        (Reason.CONFIG_INVALID, EXIT_USAGE),
        (Reason.KEY_INVALID, EXIT_USAGE),
        (Reason.CERTIFICATE_INVALID, EXIT_USAGE),
        (Reason.HOME_CITY_UNAVAILABLE, EXIT_UNAVAILABLE),
        (Reason.PEER_UNREACHABLE, EXIT_UNAVAILABLE),
        (Reason.DEADLINE_EXCEEDED, EXIT_UNAVAILABLE),
        (Reason.RATE_LIMITED, EXIT_UNAVAILABLE),
        (Reason.STORE_BUSY, EXIT_UNAVAILABLE),
        (Reason.PROOF_OF_LOG_INVALID, EXIT_UNVERIFIED),
        (Reason.NOTE_INVALID, EXIT_UNVERIFIED),
        (Reason.LOG_CORRUPT, EXIT_UNVERIFIED),
        (Reason.SIGNATURE_INVALID, EXIT_UNVERIFIED),
        (Reason.BUNDLE_INVALID, EXIT_UNVERIFIED),
        (Reason.DIRECTORY_INVALID, EXIT_UNVERIFIED),
    ],
)
def test_exit_codes_by_reason(reason: Reason, code: int) -> None:
    assert exit_code_of(TiergateError(reason)) == code


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (TiergateError(Reason.BUSY, "cause told", retry_after_s=5), 3, ["BUSY", "cause told", "retry after 5 s"]),
        (ProblemsError(Reason.CONFIG_INVALID, [Problem("f", "k", "m", "r")]), 2, ["f: k: m (r)"]),
        (UsageError("wrong", "do this"), 2, ["wrong", "do this"]),
        (RefusedError("NO", "never", "do that"), 1, ["never", "do that"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
        (StoppedError(15), 143, ["stopped by signal 15"]),
        (FileNotFoundError(2, "No such file", "there"), 1, ["there: No such file"]),
        (KeyError("a token that must not be shown"), 1, ["internal failure (KeyError)", TRACEBACK]),
    ],
    ids=["typed", "problems", "usage", "refused", "interrupt", "signal", "file", "defect"],
)
def test_failures_are_told_in_words(
    run: Run, monkeypatch: pytest.MonkeyPatch, failure: BaseException, code: int, words: list[str]
) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise failure

    monkeypatch.setattr("gateway.cli.policy.load", fails)
    plain = run("policy", "check")
    assert plain.code == code
    assert plain.out == ""
    assert all(word in plain.err for word in words)
    assert "must not be shown" not in plain.err
    error = run("policy", "check", "--json").document["error"]
    assert error["exit_code"] == code
    assert error["reason"]
    assert error["message"]


def test_a_defect_shows_where_it_is_when_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.cli import main

    monkeypatch.setenv(TRACEBACK, "1")

    def fails(_folder: Path) -> None:
        raise KeyError

    monkeypatch.setattr("gateway.cli.policy.load", fails)
    assert main(["policy", "check"]) == EXIT_REFUSED
    assert "Traceback" in capsys.readouterr().err


def test_help_needs_no_heavy_module(checkout: Path) -> None:
    code = (
        "import sys; from gateway.cli import main; main(['--help']); "
        "heavy = {'grpc', 'pydantic', 'cryptography', 'sqlalchemy', 'google.protobuf'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
