"""``tiergate policy status``: what is in force here, and how far the peers have followed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.messages import time_of_s
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import EXIT_OK, EXIT_UNAVAILABLE, UsageError, facts, show, table
from gateway.cli.policy_publish import Config, installation, state_of_bundle

if TYPE_CHECKING:
    from gateway.cli.installation import Installation
    from gateway.cli.peer_state import PeerState
    from gateway.policy.installed import Installed


async def status(
    *,
    config: Config = None,
    profile: ProfileFile = None,
    wait_for: Annotated[
        list[str] | None,
        Parameter(
            name="--wait-for",
            negative="",
            help="Wait until this peer (gateway, or a city's id) works by what is installed here; may be repeated.",
        ),
    ] = None,
    wait: Annotated[float, Parameter(name="--wait", help="With --wait-for: for so many seconds.")] = 30.0,
    json: Json = False,
) -> int:
    """Show root, directory, bundles and notices as installed, and how far the peers have followed.

    A peer that does not answer is shown with the reason. Exit code 3 when one of --wait-for has not followed in time.
    """
    from gateway.cli.peer_state import until_followed
    from gateway.domain.directory import GATEWAY
    from gateway.policy.installed import load_installed

    place = installation(config, profile)
    if place.bundle is None:
        raise UsageError("these settings name no bundle", "enter its path there")
    now_s = int(time.time())
    installed = load_installed(place.root, place.directory, place.bundle, now_s=now_s)
    for name in wait_for or ():
        if name != GATEWAY and name not in installed.directory.cities:
            known = ", ".join((GATEWAY, *sorted(installed.directory.cities)))
            raise UsageError(f"--wait-for: {name!r} is not in the installed directory", f"one of {known}")
    states, behind = await until_followed(
        lambda: _peers(place, installed), wait_for or (), lambda state: _follows(state, installed), wait
    )
    document = _document(installed, now_s) | {"peers": _peer_rows(states, installed)}
    told = [f"not yet by what is installed here: {', '.join(behind)}; put it there and send SIGHUP"] if behind else []
    show(document, lambda: [*_tables(document), *told], as_json=json)
    return EXIT_UNAVAILABLE if behind else EXIT_OK


def _follows(state: PeerState, installed: Installed) -> bool:
    return state.bundle == _digest(installed) and state.version >= installed.directory.version


def _digest(installed: Installed) -> str:
    return installed.timeline.at(time.time()).digest


def _document(installed: Installed, now_s: int) -> dict[str, Any]:
    from gateway.cli.policy_sign import describe

    bundles = installed.timeline.bundles
    return {
        "root": describe("root", installed.root.to_json()),
        "directory": {
            "version": installed.directory.version,
            "expires": time_of_s(installed.directory.expires),
            "bundle_from": installed.directory.bundle_from,
        },
        "bundles": [
            {
                "version": item.version,
                "state": state_of_bundle(bundles, item, now_s),
                "effective": time_of_s(item.effective) if item.effective else "at once",
                "grace_hours": item.grace_s // 3600,
                "expires": item.expires.isoformat(),
                "digest": item.digest,
            }
            for item in bundles
        ],
        "removed": {name: time_of_s(at) for name, at in sorted(installed.removed.items())},
        "maintenance": [
            {"peer": item.peer, "starts": time_of_s(item.starts), "ends": time_of_s(item.ends)}
            for item in installed.maintenance
        ],
    }


async def _peers(place: Installation, installed: Installed) -> dict[str, PeerState]:
    import asyncio

    from gateway.cli.peer_state import state_of
    from gateway.domain.directory import GATEWAY

    directory = installed.directory
    names = [GATEWAY, *sorted(directory.cities)]
    states = await asyncio.gather(*(state_of(place.certificate, directory, name) for name in names))
    return dict(zip(names, states, strict=True))


def _peer_rows(states: Mapping[str, PeerState], installed: Installed) -> list[dict[str, Any]]:
    digest = _digest(installed)
    return [
        {
            "name": name,
            "directory_version": state.version or None,
            "bundle": ("ours" if state.bundle == digest else state.bundle) or None,
            "trouble": state.trouble,
        }
        for name, state in states.items()
    ]


def _tables(document: dict[str, Any]) -> list[Any]:
    bundles = [list(item.values()) for item in document["bundles"]]
    notices = [["removed", name, at] for name, at in document["removed"].items()]
    notices += [
        ["maintenance", item["peer"], f"{item['starts']} to {item['ends']}"] for item in document["maintenance"]
    ]
    peers = [[item["name"], item["directory_version"], item["bundle"] or item["trouble"]] for item in document["peers"]]
    return [
        facts("Root", document["root"]),
        facts("Directory", document["directory"]),
        table("Bundles", ("version", "state", "effective", "grace hours", "expires", "digest"), bundles),
        *([table("Notices", ("what", "whom", "when"), notices)] if notices else []),
        table("Peers", ("peer", "directory", "bundle"), peers),
    ]
