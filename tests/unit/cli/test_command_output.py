"""Output that goes nowhere, and values that look like options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import build_app
from gateway.cli.output import EXIT_REFUSED, EXIT_USAGE


def test_a_reader_that_goes_away_leaves_no_traceback(checkout: Path) -> None:
    command = f"{sys.executable} -m gateway policy show --json policies | head -c 10"
    done = subprocess.run(["sh", "-c", command], cwd=checkout, capture_output=True, text=True, check=False)
    assert len(done.stdout) == 10
    assert done.stderr == ""


@pytest.mark.parametrize("target", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["policy show policies", "policy show --json policies", "--help", "check --json"])
def test_output_that_goes_nowhere_is_told_in_one_line(checkout: Path, command: str, target: str) -> None:
    line = f"{sys.executable} -m gateway {command} {target}"
    done = subprocess.run(["sh", "-c", line], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode in {EXIT_REFUSED, EXIT_USAGE}
    assert done.stderr.startswith("tiergate: ")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "internal failure" not in done.stderr


@pytest.mark.parametrize("target", ["2>/dev/full", "2>&-"])
def test_a_failure_that_cannot_be_told_is_a_failure_all_the_same(checkout: Path, target: str) -> None:
    line = f"{sys.executable} -m gateway check --json {target}"
    done = subprocess.run(["sh", "-c", line], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_USAGE
    assert '"USAGE"' in done.stdout


@pytest.mark.parametrize(
    ("words", "option", "name"),
    [
        ("keys retire --purpose consent", "--kid", "kid"),
        ("policy notice --out x", "--remove-key", "remove_key"),
        ("policy directory x --root x --out x", "--remove", "remove"),
        ("policy directory x --root x --out x", "--relist", "relist"),
        ("check --scenario x --token-file x", "--request-id", "request_id"),
        ("audit sample x --trust x --count 1", "--nonce", "nonce"),
    ],
)
def test_a_value_in_base64url_may_begin_with_a_hyphen(words: str, option: str, name: str) -> None:
    value = "-Zk3vNQ2yB8mXc7RtL0aWf5hJd1sUe9oGi4pKqTnV6w"
    given = [*words.split(), option, value]
    _, bound, _ = build_app().parse_args(given, exit_on_error=False, print_error=False)
    assert bound.arguments[name] in (value, [value])
