"""A synthetic Quanzhou score platform: the standard export, in GB18030 as spreadsheets in China write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapters.sandbox.residents import Resident, stored
from adapters.sources.csv_export import write_export

HEADER = ("居民编号", "姓名", "信用分", "评估日期")


def export(people: Sequence[Resident], file: Path, encoding: str = "gb18030") -> None:
    """Write the export, or replace the one that is there, as a whole. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        (ref, name, "" if points is None else points, as_of.strftime("%Y-%m-%d"))
        for ref, name, points, as_of in stored(people)
    ]
    write_export(file, HEADER, rows, encoding)
