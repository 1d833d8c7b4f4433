"""``tiergate policy publish``: put a signed file where a process reads it, if the process can then start."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from cyclopts import Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import RefusedError, UsageError, facts, show

if TYPE_CHECKING:
    from gateway.cli.installation import Installation
    from gateway.cli.policy_sign import Kind
    from gateway.crypto.envelope import Root
    from gateway.domain.bundle import Bundle
    from gateway.domain.directory import Directory

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
    version with another content; and whatever would keep the process from starting on all that is then installed.
    A process takes it on SIGHUP; a bundle that is effective later waits until then. What has served is taken away.
    What a notice names and the installed directory does not is told: a wrong name takes nothing away.
    """
    from gateway.cli.client import read_file
    from gateway.cli.policy_sign import describe, verified_payload
    from gateway.cli.policy_trial import trouble_with
    from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
    from gateway.crypto.root_files import read_root
    from gateway.files import write_whole
    from gateway.policy.notices import read_notice, unlisted

    place = installation(config, profile)
    data = read_file(envelope, MAX_ENVELOPE_BYTES)
    kind, payload, signed_by = verified_payload(place.root, data, str(envelope))
    described = describe(kind, payload, in_force=True)
    root = read_root(place.root)
    file = _target(place, root, kind, payload)
    same = file.exists() and file.read_bytes() == data
    if not same and kind in ("directory", "bundle"):
        _require_newer(place, root, kind, payload, described["version"])
    trouble = trouble_with(place, file, data)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, data)
    listed = next(iter(_installed_directory(place, root).values()), None) if kind in ("directory", "notice") else None
    gone = _tidy(place, root, kind, listed)
    document = {"file": str(file), "signed_by": signed_by, **described, "removed": [str(item) for item in gone]}
    told = ["the process takes it on SIGHUP"]
    if trouble:
        document["trouble"] = trouble
        told = [f"published, and the process still cannot start: {trouble}"]
    if kind == "notice":
        document["unlisted"] = unlisted(read_notice(payload), listed) if listed else []
        told += [f"not in the installed directory, so nothing of it goes: {name}" for name in document["unlisted"]]
    show(document, lambda: [facts("Published", document), *told], as_json=json)


def installation(config: Path | None, profile: Path | None) -> Installation:
    """The installation of settings or of a profile. Raises :class:`UsageError` for both at once, CONFIG_INVALID."""
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
    found = _installed_directory(place, root) if kind == "directory" else _installed_bundles(place, root)
    installed = {digest: item.version for digest, item in found.items()}
    if hashlib.sha256(payload).hexdigest() not in installed and version <= max(installed.values(), default=0):
        text = f"{kind} version {version} is not newer than version {max(installed.values())}, which is installed"
        raise RefusedError("VERSION_NOT_NEWER", text, "build it with a higher version, and have it signed again")


def _installed_directory(place: Installation, root: Root) -> dict[str, Directory]:
    """The directory as it was signed, by its digest: more signatures do not make another one of it. Empty for none."""
    from gateway.crypto.envelope import DIRECTORY_TYPE, verify
    from gateway.policy.directory import read_directory

    if not place.directory.exists():
        return {}
    payload = verify(root, DIRECTORY_TYPE, place.directory.read_bytes())
    return {hashlib.sha256(payload).hexdigest(): read_directory(payload)}


def _installed_bundles(place: Installation, root: Root) -> dict[str, Bundle]:
    """The installed bundles by digest."""
    from gateway.policy.installed import read_bundles

    path = place.bundle
    if path is None or not path.exists() or (path.is_dir() and not any(path.glob("*.json"))):
        return {}
    return {str(item.digest): item for item in read_bundles(root, path)[0]}


def _tidy(place: Installation, root: Root, kind: Kind, listed: Directory | None) -> list[Path]:
    """Take away what has served: bundles of a folder that are neither in force, nor in grace, nor to come; notices."""
    from gateway.policy.installed import read_bundles, served_notices

    gone, folder, now_s = [], place.bundle, time.time()
    if kind == "bundle" and folder is not None and folder.is_dir():
        files = {file: read_bundles(root, file)[0][0] for file in folder.glob("*.json")}
        bundles = tuple(sorted(files.values(), key=lambda item: item.version))
        gone = [file for file, bundle in files.items() if state_of_bundle(bundles, bundle, now_s) == "ended"]
    elif listed is not None:
        gone = served_notices(root, place.directory, listed, int(now_s))
    for file in gone:
        file.unlink()
    return gone


def state_of_bundle(bundles: tuple[Bundle, ...], bundle: Bundle, now_s: float) -> str:
    """What one of the installed bundles (in order of version) is at ``now_s`` (Unix seconds), in a word or two."""
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
