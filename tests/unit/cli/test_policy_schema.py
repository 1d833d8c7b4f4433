from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from jsonschema import Draft202012Validator

from gateway.cli.localnet.provision import Network
from gateway.crypto.envelope import read
from gateway.crypto.root_files import parse_root
from gateway.errors import TiergateError
from gateway.policy.bundle import read_bundle
from gateway.policy.directory import read_directory
from gateway.policy.json_schema import KINDS
from gateway.policy.notices import read_notice
from tests.unit.cli.conftest import Run

READERS: dict[str, Callable[[bytes], object]] = {
    "bundle": read_bundle,
    "directory": read_directory,
    "removal": read_notice,
    "root": lambda data: parse_root(data, Path("root.json")),
    "envelope": read,
}


def schema(run: Run, kind: str) -> Draft202012Validator:
    done = run("policy", "schema", kind, "--json")
    assert done.code == 0, done.err
    assert done.out == run("policy", "schema", kind).out
    return Draft202012Validator(done.document)


def documents(run: Run, network: Network, kind: str, folder: Path) -> bytes:
    """A good file of a kind that is signed."""
    shared = network.layout.shared
    if kind == "removal":
        ends = "quanzhou=2026-12-01T02:00Z/2026-12-01T04:00Z"
        made = ("policy", "notice", "--remove-key", "k" * 43, "--maintenance", ends, "--out", folder / "notice")
        assert run(*made).code == 0
        return (folder / "notice").read_bytes()
    if kind == "root":
        return (shared / "root.json").read_bytes()
    signed = (shared / f"{'bundle' if kind == 'envelope' else kind}.json").read_bytes()
    return signed if kind == "envelope" else b64decode(json.loads(signed)["payload"])


def test_the_kinds_are_listed(run: Run) -> None:
    listed = run("policy", "schema", "--json").document["kinds"]
    assert [item["kind"] for item in listed] == list(KINDS)
    assert "cities/*.toml" in run("policy", "schema").out


def test_all_are_written_where_editors_find_them(run: Run, policies: Path, tmp_path: Path) -> None:
    done = run("policy", "schema", "--out", tmp_path / "schema", "--json")
    assert done.document["written"] == [f"{kind}.json" for kind in KINDS]
    for path in (policies / "schema").iterdir():
        assert (tmp_path / "schema" / path.name).read_bytes() == path.read_bytes()
    assert run("policy", "schema", "city", "--out", tmp_path / "one").code == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["city.json"]


def test_an_unknown_kind(run: Run) -> None:
    done = run("policy", "schema", "letter")
    assert done.code == 2
    assert "one of tier-scale, city" in done.err


@pytest.mark.parametrize("kind", READERS)
def test_schema_and_reader_are_of_one_mind_about_signed_files(
    run: Run, network: Network, tmp_path: Path, kind: str
) -> None:
    """Each member left out, of another type, or one too many, at every depth: refused by both."""
    judge, good = schema(run, kind), documents(run, network, kind, tmp_path)
    READERS[kind](good)
    document = json.loads(good)
    assert [error.message for error in judge.iter_errors(document)] == []
    assert judge.is_valid(shortened(document))
    spoilt = list(variations(document))
    assert len(spoilt) > 5
    refused = 0
    for change in spoilt:
        if judge.is_valid(shortened(change)):
            continue  # a schema may be wider than the reader, never narrower
        refused += 1
        with pytest.raises(TiergateError):
            READERS[kind](rfc8785.dumps(change))
    assert refused > 0.8 * len(spoilt)


def shortened(node: Any) -> Any:
    """The document with the first member of each long list alone: the schema has judged the others in the whole."""
    if isinstance(node, list):
        return [shortened(item) for item in (node if len(node) <= 4 else node[:1])]
    return {key: shortened(item) for key, item in node.items()} if isinstance(node, dict) else node


def variations(node: Any) -> list[Any]:
    """The document with one thing wrong; of long lists and tables of many, the first member stands for all."""
    if isinstance(node, list):
        return [{}, *([[first, *node[1:]] for first in variations(node[0])] if node else ())]
    if not isinstance(node, dict):
        return [None, [node], {"x": node}]
    found: list[Any] = [[], {**node, "Colour!": 1}]
    for key, value in node.items():
        found += [{**node, key: other} for other in variations(value)]
        found.append({name: item for name, item in node.items() if name != key})
    return found
