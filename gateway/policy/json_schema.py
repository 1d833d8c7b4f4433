"""JSON Schema (draft 2020-12) of every kind of file, made from the models that read them, for editors and for others.

A schema never refuses what the reader takes. It cannot say all that the reader says: what needs two values, a look at
another file or a key is left to ``tiergate policy check`` and ``verify``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel

from gateway.crypto.receipt_schema import ReceiptDoc
from gateway.crypto.signed_schema import EnvelopeDoc, RootDoc
from gateway.domain.ids import SLUG
from gateway.policy import schema
from gateway.policy.bundle import BundleDoc
from gateway.policy.cases import CityCases, ScenarioCases
from gateway.policy.directory_schema import DirectoryDoc
from gateway.policy.key_help import KEY_HELP
from gateway.policy.notices import NoticeDoc
from gateway.policy.rows import TABLES

Schema = dict[str, Any]
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_HOSTED = (
    SLUG.pattern.removesuffix(r"\Z")
    .replace("[a-z0-9]", r"(?:[a-z0-9]|\{host\})")
    .replace("[a-z0-9-]", r"(?:[a-z0-9-]|\{host\})")
)
"""An operator's id in a file with a row per host, where ``{host}`` stands for the host's id."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file: which files under ``policies/`` are of it (none: it is signed), what it is, its schema."""

    files: tuple[str, ...]
    what: str
    make: Callable[[], Schema]

    def schema(self) -> Schema:
        """The schema."""
        made = {"$schema": _DIALECT, **_tidy(self.make())}
        return _explained(made) if self.files else made


def _of(model: type[BaseModel]) -> Callable[[], Schema]:
    return lambda: model.model_json_schema(by_alias=True)


def _scenario() -> Schema:
    made = schema.ScenarioFile.model_json_schema()
    keys = made["properties"]
    slug = keys["id"]
    names = {**keys["operators"], "items": {"type": "string", "pattern": f"^{_HOSTED}$"}}
    keys = {**keys, "operators": names}
    row = {"city": slug, **{key: value for key, value in keys.items() if key not in {"id", "host_city"}}}
    made["properties"] = keys
    return _with_rows(made, "scenarios", row, ["city"], always=("id",), in_row={"host_city": "city"})


def _operator() -> Schema:
    made = schema.OperatorFile.model_json_schema()
    return _with_rows(made, "operators", made["properties"], [], always=(), in_row={})


def _with_rows(
    made: Schema,
    folder: str,
    row: Mapping[str, Any],
    row_required: list[str],
    *,
    always: tuple[str, ...],
    in_row: Mapping[str, str],
) -> Schema:
    """A file of one policy or of a table of rows (``gateway.policy.rows``): each key at the top, or in every row."""
    table = TABLES[folder]
    rows = {
        "type": "array",
        "minItems": 1,
        "items": {"type": "object", "additionalProperties": False, "properties": dict(row), "required": row_required},
    }
    needed = [
        {"anyOf": [{"required": [key]}, _in_every_row(table, in_row.get(key, key))]}
        for key in made["required"]
        if key not in always
    ]
    return {**made, "properties": {**made["properties"], table: rows}, "required": list(always), "allOf": needed}


def _in_every_row(table: str, key: str) -> Schema:
    return {"required": [table], "properties": {table: {"items": {"required": [key]}}}}


def _tidy(node: Any) -> Any:
    """Without what no file can hold (null) and what says nothing (titles made from names)."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _tidy(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if found.get("format") == "date":
        found["pattern"] = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"  # ``format`` alone is a remark
    choices = found.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        kept = [item for item in choices if item != {"type": "null"}]
        rest = {key: value for key, value in found.items() if key != "anyOf" and (key, value) != ("default", None)}
        return {**rest, **kept[0]} if len(kept) == 1 else {**rest, "anyOf": kept}
    return found


def _explained(node: Any) -> Any:
    """With a line on each key that people write."""
    if isinstance(node, list):
        return [_explained(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _explained(value) for key, value in node.items()}
    keys = found.get("properties")
    if isinstance(keys, dict) and found.get("additionalProperties") is False:
        found["properties"] = {key: {"description": KEY_HELP[key], **value} for key, value in keys.items()}
    return found


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "tier-scale": Kind(("tier-scale.toml",), "the common scale", _of(schema.ScaleFile)),
        "city": Kind(("cities/*.toml",), "a city's concordance", _of(schema.CityFile)),
        "city-cases": Kind(("cities/*.cases.toml",), "synthetic scores and their tiers", _of(CityCases)),
        "scenario": Kind(("scenarios/*.toml",), "an incentive, with a row per host city", _scenario),
        "scenario-cases": Kind(("scenarios/*.cases.toml",), "what the desk is told, by tier", _of(ScenarioCases)),
        "operator": Kind(("operators/*.toml",), "relying parties, a row each", _operator),
        "acceptance": Kind(
            ("acceptance/*.toml",), "whom a city honours and where it vouches", _of(schema.AcceptanceFile)
        ),
        "notice": Kind(("notice.toml",), "the consent notice", _of(schema.NoticeFile)),
        "bundle": Kind((), "all policies in one, before it is signed", _of(BundleDoc)),
        "directory": Kind((), "the peer directory, before it is signed", _of(DirectoryDoc)),
        "removal": Kind((), "a notice that takes keys or peers away, or announces maintenance", _of(NoticeDoc)),
        "consent-receipt": Kind((), "the claims of a consent receipt, before it is signed", _of(ReceiptDoc)),
        "root": Kind((), "who may sign what", _of(RootDoc)),
        "envelope": Kind((), "a signed file (DSSE) with any of the four in it", _of(EnvelopeDoc)),
    }
)
"""Every kind of file. A case file matches two patterns; it is of the kind with the longer one."""


def text_of(kind: str) -> str:
    """A kind's schema as a file. KeyError for an unknown kind. The same models give the same text."""
    return json.dumps(KINDS[kind].schema(), ensure_ascii=False, indent=2) + "\n"
