"""The files of the repository: their length, their first words, and what must not stand in them."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.tools import files, run, texts

LONGEST = 300
API = Path("gateway/api")
PRODUCT = ("adapters", "bench", "gateway")
TOP_LEVEL = re.compile(
    r"adapters|bench|certs|gateway|policies|proto|tests|dev|docker-compose\.yml|Dockerfile|LICENSE|README\.md"
    r"|pyproject\.toml|requirements[a-z-]*\.(?:in|txt)|\..+"
)

# written in pieces, so that this file passes its own test
UNWANTED = {
    "an address of a package index": rf"\b(?:files\.python{'hosted'}|pypi\.{'org'}|registry\.npm{'js'})\b",
    "an option that names a package index": rf"--(?:extra-)?{'index'}-url|--{'find'}-links",
    "a home folder": rf"(?<![\w.])/{'home'}/\w+/|(?<![\w.])/{'root'}/\w",
    "an unfinished place": rf"\b(?:{'TO'}DO|{'FIX'}ME|{'XX'}X)\b",
    "an ignore without its code": rf"# {'type'}: ignore(?!\[)|# {'noqa'}(?!:)",
    "a private key": rf"-----BEGIN (?:[A-Z]+ )?{'PRIVATE'} KEY-----\n[\w+/]{{40}}",
    "a skipped or expected failure": rf"pytest\.mark\.(?:{'skip'}|{'xfail'})",
}


def python_files(checkout: Path) -> list[Path]:
    return [path for path in files(checkout) if path.suffix == ".py" and API not in path.parents]


def test_nothing_else_lies_at_the_top(checkout: Path) -> None:
    assert not {path.parts[0] for path in files(checkout) if not TOP_LEVEL.fullmatch(path.parts[0])}


def test_no_file_is_longer_than_300_lines(checkout: Path) -> None:
    lengths = {path: len((checkout / path).read_text(encoding="utf-8").splitlines()) for path in python_files(checkout)}
    assert not {path.as_posix(): length for path, length in lengths.items() if length > LONGEST}


def test_every_package_says_what_lives_in_it(checkout: Path) -> None:
    for path in files(checkout):
        if path.suffix != ".py" or path.parts[0] not in PRODUCT:
            continue
        package = path.parent / "__init__.py"
        assert (checkout / package).is_file(), f"{path} lies in no package"
        docstring = ast.get_docstring(ast.parse((checkout / package).read_text(encoding="utf-8")))
        assert docstring, f"{package} has no docstring"
        sentences = re.findall(r"[.;:](?:\s|$)", docstring)
        assert len(sentences) >= 2, f"{package} says in one sentence what needs two: what lives here, and what must not"


def test_every_module_begins_with_a_docstring_and_the_annotations_import(checkout: Path) -> None:
    for path in python_files(checkout):
        tree = ast.parse((checkout / path).read_text(encoding="utf-8"))
        if path.parts[0] in PRODUCT:
            assert ast.get_docstring(tree), f"{path} has no docstring"
        defines = any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)
        if defines:
            future = (node.names[0].name for node in tree.body if isinstance(node, ast.ImportFrom))
            assert next(future, "") == "annotations", f"{path} lacks from __future__ import annotations"


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_holds(checkout: Path, what: str) -> None:
    pattern = re.compile(UNWANTED[what])
    found = [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
        for path, text in texts(checkout).items()
        if API not in path.parents
        for match in pattern.finditer(text)
    ]
    assert not found, f"{what}: {found}"


def test_no_file_names_the_folder_that_the_checkout_lies_in(checkout: Path) -> None:
    place = f"{checkout.parent}/"
    if len(checkout.parts) > 2:  # a checkout directly below / has nothing that could be told apart
        assert not [path.as_posix() for path, text in texts(checkout).items() if place in text]


def pins(checkout: Path, name: str) -> dict[tuple[str, str], frozenset[str]]:
    """The pinned requirements of a file, by name and version, with their hashes."""
    joined = (checkout / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pattern = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", re.MULTILINE)
    hashes = re.compile(r"--hash=sha256:([0-9a-f]{64})")
    return {(match[1], match[2]): frozenset(hashes.findall(match[3])) for match in pattern.finditer(joined)}


def requirements(checkout: Path, name: str) -> Iterator[str]:
    for line in (checkout / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield re.split(r"[<>=;\[ ]", line, maxsplit=1)[0].lower()


def test_the_larger_set_of_pins_holds_the_smaller(checkout: Path) -> None:
    run_set, all_pins = pins(checkout, "requirements.txt"), pins(checkout, "requirements-dev.txt")
    assert run_set
    assert run_set.items() <= all_pins.items()
    assert all(all_pins.values())
    assert all(pins(checkout, "requirements-fuzz.txt").values())
    assert all(pins(checkout, "requirements-interop.txt").values())
    assert all(pins(checkout, "requirements-interop-aics.txt").values())


@pytest.mark.parametrize(
    "stem",
    ["requirements", "requirements-dev", "requirements-fuzz", "requirements-interop", "requirements-interop-aics"],
)
def test_every_requirement_is_pinned(checkout: Path, stem: str) -> None:
    pinned = {name for name, _ in pins(checkout, f"{stem}.txt")}
    assert set(requirements(checkout, f"{stem}.in")) <= pinned


def test_generator_and_runtime_of_grpc_are_of_one_version(checkout: Path) -> None:
    versions = {
        version for name, version in pins(checkout, "requirements-dev.txt") if name in {"grpcio", "grpcio-tools"}
    }
    assert len(versions) == 1


def test_the_version_stands_in_two_places_and_is_one(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f'__version__ = "{project["version"]}"' in (checkout / "gateway/__init__.py").read_text(encoding="utf-8")


def test_every_exclusion_of_the_linter_is_listed_once(checkout: Path) -> None:
    text = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    for codes in (lint["ignore"], *lint["per-file-ignores"].values()):
        assert len(codes) == len(set(codes))
    unexplained = [line for line in text.splitlines() if re.fullmatch(r'\s+"[A-Z]+\d*",\s*', line)]
    assert not unexplained


@pytest.mark.parametrize("script", ["dev", ".ci/run"])
def test_scripts_can_be_run(checkout: Path, script: str) -> None:
    assert (checkout / script).stat().st_mode & 0o111 == 0o111
    shell = "sh" if script == "dev" else "bash"
    done = run(shell, "-n", script, cwd=checkout)
    assert done.code == 0, done.output


@pytest.mark.parametrize("arguments", [(), ("launch",), ("lint", "gateway")])
def test_dev_refuses_what_it_does_not_know(checkout: Path, arguments: tuple[str, ...]) -> None:
    done = run("./dev", *arguments, cwd=checkout)
    assert done.code == 2
    assert "usage: ./dev COMMAND" in done.output


def test_dev_explains_itself_from_any_folder(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout / "dev", "help", cwd=tmp_path)
    assert done.code == 0
    for command in ("demo", "up", "test", "fuzz", "soak", "crash", "interop", "lint", "bench", "leak", "proto"):
        assert re.search(rf"^  {command}\b", done.output, re.MULTILINE)
