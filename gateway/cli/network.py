"""``tiergate demo``, ``up`` and ``local provision``: a whole network for development, with synthetic residents."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from gateway.cli.options import Json
from gateway.cli.output import UsageError, show

local = App(name="local", help="Development networks.")


def demo(
    *,
    all: Annotated[  # noqa: A002 - the option's name
        bool,
        Parameter(
            name="--all",
            negative="",
            show_default=False,
            help="All ten areas: a synthetic resident of each at every offer of each, which is every cell of "
            "`policy matrix`. Exit code 1 if any answer differs from it.",
        ),
    ] = False,
    cities: Annotated[
        str | None, Parameter(name="--cities", help="With --all: only these, such as fuzhou,xiamen,putian.")
    ] = None,
    json: Json = False,
) -> int:
    """Run two synthetic cities and the gateway, check in both directions, verify the log, stop everything.

    Every process is a real one, over mutual TLS. Standard output holds the table, or with --json one document with the
    checks and the verified log; progress goes to standard error. Its files lie in .state and are removed at the end.
    """
    from gateway.cli.localnet.plan import CITY_NAMES
    from gateway.cli.localnet.run import demo as run_demo
    from gateway.cli.localnet.run import demo_everywhere

    if not all:
        if cities is not None:
            raise UsageError("--cities is for --all", "add --all")
        return run_demo(as_json=json)
    chosen = tuple(CITY_NAMES) if cities is None else tuple(dict.fromkeys(cities.split(",")))
    for name in chosen:
        if name not in CITY_NAMES:
            raise UsageError(f"--cities: {name!r} is none of them", f"some of {','.join(CITY_NAMES)}")
    return demo_everywhere(chosen, as_json=json)


def up(*, json: Json = False) -> int:
    """Start the same network and leave it running, with commands to copy; Ctrl-C stops it.

    With --json one document with them comes as soon as it is up.
    """
    from gateway.cli.localnet.run import up as run_up

    return run_up(as_json=json)


@local.command(name="provision")
def provision_network(
    *,
    dir: Annotated[Path, Parameter(help="Folder to fill; with --names containers, where the volumes are mounted.")],  # noqa: A002 - the option's name
    names: Annotated[
        Literal["loopback", "containers"],
        Parameter(help="Addresses in the directory: free loopback ports, or the service names of docker-compose.yml."),
    ] = "loopback",
    policies: Annotated[
        Path | None,
        Parameter(name="--policies", help="Folder of the policies. Default: those that came with tiergate."),
    ] = None,
    json: Json = False,
) -> int:
    """Make keys, certificates, signed files and settings of a development network, once: a filled folder is left alone.

    Nothing of it is fit for operation: one machine makes everybody's keys.
    """
    if policies is not None and not policies.is_dir():
        raise UsageError(f"--policies {policies}: is not a folder", "name the folder that holds tier-scale.toml")
    filled = (dir / "gateway" / "gateway.toml").exists()
    if not filled:
        _provision(dir, names, policies or _own_policies())
    told = f"{dir}: {'was filled before, and is left as it is' if filled else 'a network for development'}"
    show({"dir": str(dir), "names": names, "made": not filled}, lambda: [told], as_json=json)
    return 0


def _own_policies() -> Path:
    """Those that were installed, or those of the checkout that this runs from."""
    installed = Path(sys.prefix) / "policies"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "policies"


def _provision(folder: Path, names: str, policies: Path) -> None:
    from gateway.cli.localnet.plan import ContainerLayout, Layout, Options
    from gateway.cli.localnet.provision import provision

    if names == "loopback":
        for port in provision(Layout(folder), Options(policies=policies)).ports.values():
            port.release()
        return
    with tempfile.TemporaryDirectory() as scratch:
        provision(
            ContainerLayout(folder, Path(scratch) / "authority"),
            Options(
                policies=policies,
                listen={"gateway": "0.0.0.0:8443", "fuzhou": "0.0.0.0:8443", "xiamen": "0.0.0.0:8443"},
                announced={
                    "gateway": "gateway:8443",
                    "fuzhou": "fuzhou-adapter:8443",
                    "xiamen": "xiamen-adapter:8443",
                },
                platform_port=8080,
            ),
        )
