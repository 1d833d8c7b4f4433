"""Run a synthetic city platform: ``python -m adapters.sandbox CITY …``.

``http`` and ``sql`` in place of a city are Fuzhou's and Xiamen's platforms with the residents of a standard export: a
city that joins tries its settings with them before it turns to its own platform.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
from pathlib import Path

from adapters.sandbox import fuzhou, quanzhou, xiamen
from adapters.sandbox.residents import CUTS, read_dataset, residents_of
from gateway.process import stop_event, write_ready

ANY_CITY = frozenset({"http", "sql"})
"""Platforms that are no city's."""
OWN = frozenset({"fuzhou", "xiamen"})
"""Cities with a platform of their own; all others give out the standard export."""


def main(arguments: list[str] | None = None) -> int:
    """Run one platform; 0 at its regular end, 1 with one line on stderr if it cannot start."""
    options = _parser().parse_args(arguments)
    try:
        if options.city in ANY_CITY and options.dataset is None:
            raise ValueError("needs --dataset: it has no residents of its own")
        if options.dataset is not None:
            people = read_dataset(options.dataset)
        else:
            people = residents_of(options.city, scale=options.scale, offset=options.offset)
        match options.city:
            case "fuzhou" | "http":
                fuzhou.serve(people, options.state, options.port, options.ready_file, options.lifeline_fd)
            case "xiamen" | "sql":
                xiamen.seed(people, options.db)
                asyncio.run(_stay(options))
            case _:
                quanzhou.export(people, options.csv, options.encoding)
                asyncio.run(_stay(options))
    except (OSError, ValueError, sqlite3.Error) as error:
        sys.stderr.write(f"sandbox {options.city}: {error}\n")
        return 1
    return 0


async def _stay(options: argparse.Namespace) -> None:
    stop = stop_event(None, options.lifeline_fd)
    if options.ready_file is not None:
        write_ready(options.ready_file, {"city": options.city})
    if options.stay:
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--ready-file", type=Path, help="written as a whole once the platform can be used")
    common.add_argument(
        "--lifeline-fd", type=int, help="inherited read end of a pipe; its end of file stops the program"
    )
    common.add_argument("--scale", type=int, default=1, help="factor on every score (default 1)")
    common.add_argument("--offset", type=int, default=0, help="added to every score (default 0)")
    data = 'a standard export (*.csv), or a JSON file {"ref": points}, instead of the built-in residents'
    common.add_argument("--dataset", type=Path, help=data)
    parser = argparse.ArgumentParser(prog="python -m adapters.sandbox", description="A synthetic city score platform.")
    cities = parser.add_subparsers(dest="city", required=True)
    for name in ("fuzhou", "http"):
        http = cities.add_parser(name, parents=[common], help="HTTP JSON API on the loopback address")
        http.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
        http.add_argument("--state", type=Path, required=True, help="folder of the bearer token, file 'token'")
    databases = [cities.add_parser(name, parents=[common], help="SQLite database") for name in ("xiamen", "sql")]
    for sql in databases:
        sql.add_argument("--db", type=Path, required=True)
    exports = [cities.add_parser(city, parents=[common], help="CSV export") for city in CUTS if city not in OWN]
    for export in exports:
        export.add_argument("--csv", type=Path, required=True)
        export.add_argument("--encoding", choices=["utf-8", "utf-8-sig", "gb18030"], default="gb18030")
    for seeded in (*databases, *exports):
        seeded.add_argument("--stay", action="store_true", help="stay until stopped, instead of ending after the write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
