"""What retiring a key ends: how many of what, and from when on nothing would be lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.key_site import KeySite
from gateway.cli.messages import time_of_s
from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.crypto.root_files import read_root
from gateway.domain.directory import KeyPurpose
from gateway.domain.ids import OperatorId
from gateway.policy.installed import read_bundles
from gateway.sqlite.connect import connect_reader

if TYPE_CHECKING:
    from adapters.store.signing import KeyUse


@dataclass(frozen=True, slots=True)
class Effect:
    """``affected``: how many consents end with the key (None: cannot be known here). ``until_s``: when none would."""

    text: str
    affected: int | None = None
    until_s: int | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        until = None if self.until_s is None else time_of_s(self.until_s)
        return {"effect": self.text, "affected_consents": self.affected, "without_loss_from": until}


def effect_of(site: KeySite, purpose: KeyPurpose, kid: str) -> Effect:
    """What retiring a key would end now. Raises CONFIG_INVALID or STORE_FAILED if it cannot be found out."""
    now_s = int(time.time())
    match purpose:
        case "consent":
            return _consent(site, kid, now_s)
        case "attestation":
            return _attestation(site, kid)
        case "event":
            return Effect("nothing ends: events that still wait are signed anew with the key in use")
        case "proof":
            return _proof(site, kid)


def key_uses(site: KeySite) -> list[KeyUse]:
    """Which key this city has signed with since when; nothing if its adapter has never run here."""
    from adapters.store.signing import key_uses as read

    found: list[KeyUse] = _read(site, read, [])
    return found


def consents_of(site: KeySite, kid: str, now_s: int) -> tuple[int, int | None]:
    """How many consents that a key signed still hold, and when the last of them ends (Unix seconds)."""
    from adapters.store.signing import outstanding

    found = _read(site, lambda connection: outstanding(connection, kid, now_s), None)
    return (0, None) if found is None else (found.consents, found.until_s)


def _consent(site: KeySite, kid: str, now_s: int) -> Effect:
    count, until_s = consents_of(site, kid, now_s)
    if not count:
        return Effect("nothing ends: no consent that this key signed still holds", 0)
    text = (
        f"{count} consents that this key signed still hold: their tokens would be refused from then on "
        "(TOKEN_KEY_UNKNOWN), and their residents would have to consent anew; their record stays"
    )
    return Effect(text, count, until_s)


def _attestation(site: KeySite, kid: str) -> Effect:
    uses = [use for use in key_uses(site) if use.purpose == "attestation"]
    after = [later.since_s for use, later in pairwise(uses) if use.kid == kid]
    text = (
        "attestations that this key signed are asked for anew; a check that holds one at this moment may have to retry"
    )
    return Effect(text, None, after[-1] + MAX_LIFETIME_S if after else None)


def _proof(site: KeySite, kid: str) -> Effect:
    since_s = site.slot("proof").unused_since(kid)
    longest_s = _longest_bound(site)
    text = (
        "tokens that cities have bound to this key can be proved by nobody any more (PROOF_INVALID): which of the "
        "tokens you hold these are stands in their cnf; their residents would have to consent anew"
    )
    return Effect(text, None, None if since_s is None else since_s + longest_s)


def _longest_bound(site: KeySite) -> int:
    """The longest life, in seconds, of a token that may be bound to this operator's key."""
    installation = site.installation
    if installation.bundle is None:
        raise _no_bundle()
    bundles, _ = read_bundles(read_root(installation.root), installation.bundle)
    bundle = bundles[-1]
    mine = [item for item in bundle.scenarios.values() if OperatorId(installation.name) in item.operators]
    return max((item.consent.max_lifetime_s for item in mine if item.consent.unlimited), default=0)


def _no_bundle() -> Exception:
    from gateway.cli.output import UsageError

    return UsageError("how long tokens live stands in the policy bundle", "add bundle = … to the profile")


def _read(site: KeySite, query: Callable[[Any], Any], without: Any) -> Any:
    from adapters.store.city_store import FILE_NAME

    folder = site.installation.data_dir
    file: Path | None = None if folder is None else folder / FILE_NAME
    if file is None or not file.exists():
        return without
    with closing(connect_reader(file)) as connection:
        return query(connection)
