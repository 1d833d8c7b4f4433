"""Files that hold several policies of a kind: what stands in the file once holds for every row of its table.

``scenarios/<id>.toml`` with ``[[hosts]]`` is one scenario per row, ``<city>-<id>``; ``operators/<name>.toml`` with
``[[operators]]`` is one operator per row. A row may state any key again, and then its own holds. In names and operators
``{city}`` stands for the host city's name and ``{host}`` for its id. The bundle holds the result, and knows no rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

TABLES: Final[Mapping[str, str]] = MappingProxyType({"scenarios": "hosts", "operators": "operators"})
"""The table of rows, by folder. A scenario file has ``operators``, too, but as names, not as a table."""


_OF_THE_FILE: Final = frozenset({"id", "host_city"})
"""Keys that a host's row cannot state: they follow from its city and the file."""


class CityName(NamedTuple):
    """What a place is called."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Row:
    """One policy as if it had a file of its own. ``prefix`` is the row's path in the file that it has.

    ``own``: which keys stand in the row, and under which name; all others stand at the top of the file.
    """

    document: Mapping[str, Any]
    prefix: str = ""
    own: Mapping[str, str] = field(default_factory=dict)


def rows_of(kind: str, document: Mapping[str, Any], names: Mapping[str, CityName]) -> Iterator[Row]:
    """The policies in one file; a file without rows is one policy. What has not the right shape is left as it is."""
    table = TABLES.get(kind, "")
    rows = document.get(table)
    if not isinstance(rows, list) or not rows:
        yield Row(document)
        return
    shared = {key: value for key, value in document.items() if key != table}
    for place, row in enumerate(rows):
        prefix = f"{table}.{place}"
        if not isinstance(row, dict):
            yield Row({**shared, table: rows})  # refused as an unknown key
        elif kind == "scenarios":
            yield _hosted(shared, row, prefix, names)
        else:
            yield Row(shared | row, prefix, {key: key for key in row})


def _hosted(shared: Mapping[str, Any], row: Mapping[str, Any], prefix: str, names: Mapping[str, CityName]) -> Row:
    own = {key: key for key in row if key not in {"city", *_OF_THE_FILE}} | {"host_city": "city"}
    merged = {**shared, **{key: row[key] for key in own if key in row}}
    for key in row.keys() & _OF_THE_FILE:  # without effect here; refused as unknown, at its place
        own[f"row_{key}"] = key
        merged[f"row_{key}"] = row[key]
    city = row.get("city")
    if not isinstance(city, str):
        return Row({**merged, "host_city": city} if "city" in row else _without(merged, "host_city"), prefix, own)
    merged |= {"id": f"{city}-{shared.get('id', '')}", "host_city": city}
    name = names.get(city, CityName(city, city))
    for key, words in (("name_zh", name.zh), ("name_en", name.en)):
        if isinstance(merged.get(key), str):
            merged[key] = merged[key].replace("{city}", words)
    if isinstance(merged.get("operators"), list):
        merged["operators"] = [
            item.replace("{host}", city) if isinstance(item, str) else item for item in merged["operators"]
        ]
    return Row(merged, prefix, own)


def _without(document: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != left_out}
