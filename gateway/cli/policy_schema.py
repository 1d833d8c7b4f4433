"""``tiergate policy schema``: what each kind of file may hold, as JSON Schema, for editors and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.cli.options import Json
from gateway.cli.output import require_known, show, table
from gateway.policy.json_schema import KINDS, text_of


def schemas(
    kind: Annotated[str | None, Parameter(help="Print the schema of this kind. Default: list the kinds.")] = None,
    *,
    out: Annotated[
        Path | None,
        Parameter(name="--out", help="Write them, or the one named, into this folder as KIND.json."),
    ] = None,
    json: Json = False,
) -> None:
    """Print the JSON Schema of a kind of file, made from the code that reads it, or list the kinds.

    `policies/schema` holds them for editors. A file that fits its schema may still break rules between values and
    files: `policy check` knows all of them.
    """
    require_known("KIND", kind, KINDS)
    names = list(KINDS) if kind is None else [kind]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            (out / f"{name}.json").write_text(text_of(name), "utf-8")
        document = {"folder": str(out), "written": [f"{name}.json" for name in names]}
        show(document, lambda: [f"wrote {len(names)} schema(s) to {out}"], as_json=json)
    elif kind is not None:
        print(text_of(kind), end="")
    else:
        rows = [(name, ", ".join(item.files), item.what) for name, item in KINDS.items()]
        columns = ("kind", "files", "what")
        listed = [{"kind": name, "files": list(KINDS[name].files), "what": what} for name, _, what in rows]
        show({"kinds": listed}, lambda: [table("", columns, rows)], as_json=json)
