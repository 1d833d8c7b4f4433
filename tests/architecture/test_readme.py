"""The commands that README.md shows exist, with the options that it shows, and so do the files that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.architecture.tools import Done, python, run

LONGEST = 150
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\./dev|tiergate)\s[^`]+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)|(?<![\w/])((?:adapters|gateway|policies|proto|tests)/[\w./-]*\w)")
README = Path(__file__).resolve().parents[2] / "README.md"


def commands() -> list[str]:
    """The calls of ``./dev`` and ``tiergate`` in blocks marked ``sh`` and in running text, continued lines joined."""
    text = README.read_text(encoding="utf-8")
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    calls = [line.strip() for line in lines if line.lstrip().startswith(("./dev ", "tiergate "))]
    return calls + [" ".join(call.split()) for call in INLINE.findall(text)]


def explain(words: list[str], checkout: Path) -> Done:
    """The help of the command that the words begin with; ``./dev demo`` and ``up`` are commands of ``tiergate``."""
    program, *rest = words
    if program == "./dev" and rest[0] not in {"demo", "up"}:
        return run("./dev", "help", cwd=checkout)
    named = [word for word in rest if re.fullmatch(r"[a-z][a-z-]*", word)]
    return python("-m", "gateway", *named, "--help", cwd=checkout)


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_readme_shows_the_two_commands() -> None:
    assert {"./dev demo", "./dev test"} <= {shlex.join(shlex.split(line, comments=True)) for line in commands()}


def test_what_the_readme_names_is_there(checkout: Path) -> None:
    named = {link or path for link, path in LINK.findall(README.read_text(encoding="utf-8"))}
    assert named
    missing = {name for name in named if "<" not in name and not (checkout / name).exists()}
    assert not missing


def test_the_first_command_of_the_readme_does_what_it_promises(checkout: Path) -> None:
    done = run("./dev", "demo", cwd=checkout)
    assert done.code == 0, done.output
    assert "Fuzhou" in done.output
    assert "Xiamen" in done.output


def test_the_second_command_of_the_readme_reaches_the_tests(checkout: Path) -> None:
    done = run("./dev", "test", "--collect-only", "--quiet", "tests/architecture/test_tree.py", cwd=checkout)
    assert done.code == 0, done.output
    assert "test_no_file_is_longer_than_300_lines" in done.output


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_a_command_of_the_readme_exists(line: str, checkout: Path) -> None:
    words = shlex.split(line, comments=True)
    done = explain(words, checkout)
    assert done.code == 0, done.output
    if words[0] == "./dev":
        assert re.search(rf"\b{re.escape(words[1])}\b", done.output), done.output
    for option in (word.partition("=")[0] for word in words if word.startswith("--")):
        assert option in done.output, f"{option} is not an option:\n{done.output}"
