"""``tiergate keys list``: the keys of one installation, as its files, the directory and its peers know them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from gateway.cli.installation import Installation
from gateway.cli.key_effects import consents_of, key_uses
from gateway.cli.key_site import KeySite
from gateway.cli.messages import time_of_s
from gateway.consentlog.note import SignerKey
from gateway.domain.directory import GATEWAY, Directory
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy.installed import installed_directory

Row = dict[str, Any]


async def describe(installation: Installation, *, ask_peers: bool) -> dict[str, Any]:
    """The document of ``keys list``. Raises what keeps the files from being read."""
    directory = installed_directory(installation.root, installation.directory)
    facts = installation.certificate.facts()
    document: dict[str, Any] = {
        "owner": " ".join(part for part in (installation.role, installation.name) if part),
        "directory_version": directory.version,
        "tls": {
            "identity": ", ".join(facts.uris),
            "since": facts.not_before.isoformat().replace("+00:00", "Z"),
            "until": facts.not_after.isoformat().replace("+00:00", "Z"),
        },
        "peers": [],
    }
    if installation.role == "gateway":
        return document | {"keys": [_log_key(installation, directory)]}
    site = KeySite(installation)
    if ask_peers:
        names = [GATEWAY, *sorted(directory.cities)]
        states = await asyncio.gather(*map(site.state_of, names))
        document["peers"] = [
            {
                "name": name,
                "directory_version": state.version or None,
                "signing": dict(state.signing),
                "trouble": state.trouble,
            }
            for name, state in zip(names, states, strict=True)
        ]
    return document | {"keys": _rows(site)}


def _rows(site: KeySite) -> list[Row]:
    now_s = int(time.time())
    since = {(use.purpose, use.kid): use.since_s for use in key_uses(site)}
    rows: list[Row] = []
    for purpose in site.installation.keys:
        slot = site.slot(purpose)
        made, kept = slot.next(), slot.kept()
        held = {item.kid: (item, "kept") for item in kept}
        if made is not None:
            held[made.kid] = (made, "next")
        current = slot.current()
        held[current.kid] = (current, "signing")
        listed = {key.kid: key for key in site.listed(purpose)}
        for kid in dict.fromkeys([*listed, *held]):
            item, state = held.get(kid, (None, "elsewhere"))
            key = listed.get(kid) or (None if item is None else item.public(purpose))
            at = since.get((purpose, kid))
            rows.append(
                {
                    "purpose": purpose,
                    "kid": kid,
                    "alg": None if key is None else key.alg,
                    "state": state,
                    "listed": kid in listed,
                    "since": None if at is None else time_of_s(at),
                    "consents": consents_of(site, kid, now_s)[0] if purpose == "consent" else None,
                }
            )
    return rows


def _log_key(installation: Installation, directory: Directory) -> Row:
    file = installation.log_key
    try:
        signer = SignerKey.parse("" if file is None else file.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, TiergateError) as error:
        raise ProblemsError(Reason.KEY_INVALID, [Problem(str(file), "", "is not a readable log key")]) from error
    return {
        "purpose": "log",
        "kid": signer.verifier.id.hex(),
        "alg": "Ed25519",
        "state": "signing",
        "listed": str(signer.verifier) == directory.gateway.log_vkey,
        "since": None,
        "consents": None,
    }
