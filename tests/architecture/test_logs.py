"""What the product tells its log: nothing that the log would drop."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gateway.observability import SAFE_KEYS
from tests.architecture.tools import files

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "bind"}
BY_PROCESSORS = {"exc_info"}  # becomes ``errors``


def told(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each keyword in a call of a logger; ``**`` for names that cannot be seen here."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="_log" | "log"), attr=level)) if level in LEVELS:
                yield from ((node.lineno, item.arg or "**") for item in node.keywords)


def test_no_line_is_told_what_the_log_drops(checkout: Path) -> None:
    seen = {
        (path.as_posix(), line, name)
        for path in files(checkout)
        if path.suffix == ".py" and path.parts[0] in ("adapters", "gateway")
        for line, name in told((checkout / path).read_text(encoding="utf-8"))
    }
    assert {"reason", "log_size", "exc_info"} <= {name for _, _, name in seen}
    assert not [item for item in sorted(seen) if item[2] not in SAFE_KEYS | BY_PROCESSORS]
