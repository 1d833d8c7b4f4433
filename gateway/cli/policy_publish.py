"""``tiergate policy publish`` and ``status``: put a signed file where a process reads it; see what is in force."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import Parameter

from gateway.cli.messages import time_of_s
from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import EXIT_OK, EXIT_UNAVAILABLE, RefusedError, UsageError, facts, show, table

if TYPE_CHECKING:
    from gateway.cli.installation import Installation
    from gateway.cli.peer_state import PeerState
    from gateway.cli.policy_sign import Kind
    from gateway.crypto.envelope import Root
    from gateway.domain.bundle import Bundle
    from gateway.policy.installed import Installed

Config = Annotated[Path | None, Parameter(name="--config", help="Settings of a gateway or an adapter.")]


def publish(
    envelope: Annotated[Path, Parameter(help="Signed bundle, directory, root or notice.")],
    *,
    config: Config = None,
    profile: ProfileFile = None,
    json: Json = False,
) -> None:
    """Verify a signed file under the installed root, and put it where the process of these settings reads it.

    Refused, with nothing changed: what does not verify, has expired, is older than what is installed, or has its
    version with another content. A process takes it on SIGHUP; a bundle that is effective later waits until then.
    What a notice names and the installed directory does not is told: a wrong name takes nothing away.
    """
    from gateway.cli.client import read_file
    from gateway.cli.policy_sign import describe, verified_payload
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
    from gateway.crypto.root_files import read_root
    from gateway.process import write_whole

    place = _installation(config, profile)
    data = read_file(envelope, MAX_ENVELOPE_BYTES)
    kind, payload, signed_by = verified_payload(place.root, data, str(envelope))
    described = describe(kind, payload, in_force=True)
    root = read_root(place.root)
    file = _target(place, root, kind, payload)
    same = file.exists() and file.read_bytes() == data
    if not same and kind in ("directory", "bundle"):
        _require_newer(place, root, kind, payload, described["version"])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, data)
    gone = _tidy(file.parent, root) if kind == "bundle" and file.parent == place.bundle else []
    document = {"file": str(file), "signed_by": signed_by, **described, "removed": [str(item) for item in gone]}
    told = ["the process takes it on SIGHUP"]
    if kind == "notice":
        document["unlisted"] = _unlisted(place, root, payload)
        told += [f"not in the installed directory, so nothing of it goes: {name}" for name in document["unlisted"]]
    show(document, lambda: [facts("Published", document), *told], as_json=json)


def _installation(config: Path | None, profile: Path | None) -> Installation:
    from gateway.cli.installation import of_config, of_profile
    from gateway.cli.profile import ClientRole, read_profile

    if config is not None and profile is not None:
        raise UsageError("--config and --profile are both given", "name one of them")
    return of_config(config) if config is not None else of_profile(read_profile(profile, get_args(ClientRole)))


def _target(place: Installation, root: Root, kind: Kind, payload: bytes) -> Path:
    from gateway.crypto.root_files import next_root
    from gateway.policy.installed import NOTICES

    digest = hashlib.sha256(payload).hexdigest()
    match kind:
        case "root":
            return next_root(place.root, root)
        case "notice":
            return place.directory.parent / NOTICES / f"{digest[:32]}.json"
        case "directory":
            return place.directory
    if place.bundle is None:
        raise UsageError("these settings name no bundle", "enter its path there")
    return place.bundle / f"{digest}.json" if place.bundle.is_dir() else place.bundle


def _require_newer(place: Installation, root: Root, kind: Kind, payload: bytes, version: int) -> None:
    """Return unless what is installed is of this version or a newer one. Raises :class:`RefusedError`."""
    installed = _installed_directory(place, root) if kind == "directory" else _installed_bundles(place, root)
    if hashlib.sha256(payload).hexdigest() not in installed and version <= max(installed.values(), default=0):
        text = f"{kind} version {version} is not newer than version {max(installed.values())}, which is installed"
        raise RefusedError("VERSION_NOT_NEWER", text, "build it with a higher version, and have it signed again")


def _unlisted(place: Installation, root: Root, payload: bytes) -> list[str]:
    from gateway.crypto.envelope import DIRECTORY_TYPE, verify
    from gateway.policy.directory import read_directory
    from gateway.policy.notices import read_notice, unlisted

    if not place.directory.exists():
        return []
    return unlisted(read_notice(payload), read_directory(verify(root, DIRECTORY_TYPE, place.directory.read_bytes())))


def _installed_directory(place: Installation, root: Root) -> dict[str, int]:
    """The installed directory's version; one of the same version must be the same file, signatures included."""
    from gateway.crypto.envelope import DIRECTORY_TYPE, verify
    from gateway.policy.directory import read_directory

    if not place.directory.exists():
        return {}
    return {"": read_directory(verify(root, DIRECTORY_TYPE, place.directory.read_bytes())).version}


def _installed_bundles(place: Installation, root: Root) -> dict[str, int]:
    """Versions of the installed bundles by digest."""
    from gateway.policy.installed import read_bundles

    path = place.bundle
    if path is None or not path.exists() or (path.is_dir() and not any(path.glob("*.json"))):
        return {}
    return {str(item.digest): item.version for item in read_bundles(root, path)[0]}


def _tidy(folder: Path, root: Root) -> list[Path]:
    """Take away the bundles of a folder that can answer nothing more: neither in force, nor in grace, nor to come."""
    from gateway.policy.installed import read_bundles

    files = {file: read_bundles(root, file)[0][0] for file in folder.glob("*.json")}
    bundles = tuple(sorted(files.values(), key=lambda item: item.version))
    now_s = time.time()
    gone = [file for file, bundle in files.items() if _state(bundles, bundle, now_s) == "ended"]
    for file in gone:
        file.unlink()
    return gone


def _state(bundles: tuple[Bundle, ...], bundle: Bundle, now_s: float) -> str:
    from gateway.domain.bundle import Timeline
    from gateway.errors import TiergateError

    timeline = Timeline(bundles)
    if bundle.effective > now_s:
        return "to come"
    if timeline.at(now_s) is bundle:
        return "in force"
    try:
        timeline.named(bundle.digest, now_s)
    except TiergateError:
        return "ended"
    return "in grace"


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

    place = _installation(config, profile)
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
                "state": _state(bundles, item, now_s),
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
