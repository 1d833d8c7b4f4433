"""``tiergate keys``: which signing keys are in force, and their change with overlap, without a restart."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from gateway.cli.options import Json, ProfileFile
from gateway.cli.output import EXIT_OK, EXIT_UNAVAILABLE, RefusedError, UsageError, facts, show, table

if TYPE_CHECKING:
    from gateway.cli.installation import Installation
    from gateway.cli.key_site import KeySite, Publishing
    from gateway.cli.key_steps import Progress
    from gateway.domain.directory import KeyPurpose

app = App(name="keys", help="Signing keys: list, rotate with overlap, retire.")

Config = Annotated[Path | None, Parameter(name="--config", help="Settings of the adapter (or, to list, the gateway).")]
Purpose = Annotated[
    Literal["consent", "attestation", "event", "proof", "log", "tls"],
    Parameter(
        name="--purpose",
        help="consent, attestation, event: a city's (--config). proof: an operator's (--profile). log and tls change "
        "in other ways, which are told.",
    ),
]
AuthorityKey = Annotated[
    list[Path] | None,
    Parameter(
        name="--authority-key",
        negative="",
        help="Development: sign the changed directory with this key; may be repeated. Else the authorities sign.",
    ),
]
PublishTo = Annotated[
    list[Path] | None,
    Parameter(
        name="--publish",
        negative="",
        help="With --authority-key: where to put the signed directory; may be repeated. Default: as in the settings.",
    ),
]
ChangeOut = Annotated[
    Path | None,
    Parameter(name="--change-out", help="Where to write the changed directory, unsigned, for the authorities to sign."),
]
Without = Annotated[
    list[str] | None,
    Parameter(name="--without", negative="", help="A peer that is not waited for; its checks may fail meanwhile."),
]
Wait = Annotated[float, Parameter(name="--wait", help="Seconds to wait for peers, per step; then run it again.")]

_ELSEWHERE = {
    "log": (
        "a log key belongs to its shard: receipts and checkpoints are verified by it for as long as they are kept",
        "it changes with the shard: the next one lies beside it as log.key.next; gateway/consentlog/README.md, Shards",
    ),
    "tls": (
        "a certificate has no entry in the directory: it is renewed by replacing its files",
        "make key and request with `tiergate certs request`, put both files in place; the process sees them by itself",
    ),
}


@app.command(name="list")
async def list_keys(
    *,
    config: Config = None,
    profile: ProfileFile = None,
    peers: Annotated[
        bool, Parameter(name="--peers", negative="", show_default=False, help="Ask the peers what they work by, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the keys of a city or an operator: purpose, id, algorithm, what each is used for, and since when.

    `signing` is the key in use, `next` one that has been made and is not used yet, `kept` one that was used before,
    `elsewhere` one that the directory lists and this machine does not hold. A key that is not listed verifies nowhere.
    """
    from gateway.cli.key_list import describe

    document = await describe(_installation(config, profile), ask_peers=peers)
    columns = ("purpose", "kid", "alg", "state", "listed", "since", "consents")
    rows = [[item[name] for name in columns] for item in document["keys"]]
    told: list[Any] = [table(f"Keys of {document['owner']}", columns, rows), facts("Certificate", document["tls"])]
    if document["peers"]:
        known = [
            (item["name"], item["directory_version"], item["signing"] or item["trouble"]) for item in document["peers"]
        ]
        told.append(table("Peers", ("peer", "directory", "signs with"), known))
    version = document["directory_version"]
    show(document, lambda: [*told, f"directory version {version}"], as_json=json)


@app.command
async def rotate(
    *,
    purpose: Purpose,
    config: Config = None,
    profile: ProfileFile = None,
    alg: Annotated[
        Literal["ES256", "EdDSA"] | None, Parameter(name="--alg", help="Of the new key. Default: as the one in use.")
    ] = None,
    authority_key: AuthorityKey = None,
    publish: PublishTo = None,
    change_out: ChangeOut = None,
    without: Without = None,
    wait: Wait = 30.0,
    json: Json = False,
) -> int:
    """Replace the key in use by a new one; the one before stays listed until `keys retire`.

    Makes the key, has it listed, waits until all who verify it have taken that directory, puts it into use, and waits
    until it signs. The same command goes on where it had to stop (exit code 3), also after it was killed.
    """
    from gateway.cli.key_steps import rotate as run

    site, how = _site(purpose, config, profile, without, wait), _publishing(authority_key, publish, change_out)
    return _tell(await run(site, _rotating(purpose), alg, how), "in use", as_json=json)


@app.command
async def retire(
    *,
    purpose: Purpose,
    config: Config = None,
    profile: ProfileFile = None,
    kid: Annotated[
        str | None,
        Parameter(name="--kid", allow_leading_hyphen=True, help="Which key. Default: the one that was in use before."),
    ] = None,
    now: Annotated[
        bool,
        Parameter(
            name="--now", negative="", show_default=False, help="Also if what it signed still holds: for a stolen key."
        ),
    ] = False,
    authority_key: AuthorityKey = None,
    publish: PublishTo = None,
    change_out: ChangeOut = None,
    without: Without = None,
    wait: Wait = 30.0,
    json: Json = False,
) -> int:
    """Remove a key that is not in use any more from the directory, and then from this machine.

    Says what ends with it, and refuses while anything does, unless --now is given. Everything that the key signed is
    refused from the moment a process has taken the new directory.
    """
    from gateway.cli.key_effects import effect_of
    from gateway.cli.key_steps import retire as run

    site, how = _site(purpose, config, profile, without, wait), _publishing(authority_key, publish, change_out)
    kind = _rotating(purpose)
    done = await run(site, kind, kid, lambda chosen: effect_of(site, kind, chosen), how, at_once=now)
    return _tell(done, "retired", as_json=json)


def _installation(config: Path | None, profile: Path | None) -> Installation:
    from gateway.cli.installation import of_config, of_profile
    from gateway.cli.profile import read_profile

    if config is not None and profile is not None:
        raise UsageError("--config and --profile are two owners", "give one of them")
    return of_config(config) if config is not None else of_profile(read_profile(profile, {"operator"}))


def _site(purpose: str, config: Path | None, profile: Path | None, without: list[str] | None, wait_s: float) -> KeySite:
    from gateway.cli.key_site import KeySite

    if purpose in _ELSEWHERE:
        text, remedy = _ELSEWHERE[purpose]
        raise RefusedError("KEY_CHANGES_ELSEWHERE", text, remedy)
    return KeySite(_installation(config, profile), without=without or (), wait_s=wait_s)


def _rotating(purpose: str) -> KeyPurpose:
    kinds: dict[str, KeyPurpose] = {name: name for name in ("consent", "attestation", "event", "proof")}
    return kinds[purpose]


def _publishing(keys: list[Path] | None, files: list[Path] | None, out: Path | None) -> Publishing:
    from gateway.cli.key_site import Publishing
    from gateway.crypto.keys import load_private_key

    if files and not keys:
        raise UsageError("--publish needs --authority-key", "in operation the authorities sign: give --change-out")
    return Publishing([load_private_key(file) for file in keys or ()], files or (), out)


def _tell(progress: Progress, outcome: str, *, as_json: bool) -> int:
    document = progress.document()
    waits = {
        "publish": "have the changed directory signed (tiergate policy sign --type directory), then run this again",
        "taken": "hand the directory to these peers and send them SIGHUP, then run this again",
        "signing": "send the adapter SIGHUP, then run this again",
    }
    shown = {name: value for name, value in document.items() if value not in (None, [], {})}
    last = outcome if progress.done else f"not yet {outcome}: {waits[progress.step]}"
    show(document | {"at": int(time.time())}, lambda: [facts("Key", shown), last], as_json=as_json)
    return EXIT_OK if progress.done else EXIT_UNAVAILABLE
