"""The order of a rotation, as steps that look at what is there and do what is missing.

Nothing is remembered between two runs: files, directory and peers say how far it has come. So a run that was killed, or
that had to wait for an authority's signature, is continued by the same command.

1 make the key, 2 publish it (both verify), 3 wait until all who verify have taken that directory, 4 put it into use,
5 wait until it signs. Retiring: 6 nothing that the old key signed is alive, 7 remove it from the directory, 8 wait
until all have taken that, 9 delete it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.cli.key_effects import Effect
from gateway.cli.key_files import HeldKey
from gateway.cli.key_site import KeySite, Publishing
from gateway.cli.messages import time_of_s
from gateway.cli.output import RefusedError
from gateway.crypto.keys import Algorithm
from gateway.domain.directory import Directory, DirectoryKey, KeyPurpose
from gateway.policy.rotation import with_first, with_key, without_key

Step = Literal["publish", "taken", "signing", "done"]


@dataclass(slots=True)
class Progress:
    """How far a change has come. ``step``: the one that is waited for; ``waiting_for``: whom, ``done`` if nobody."""

    purpose: KeyPurpose
    kid: str
    step: Step = "done"
    waiting_for: Sequence[str] = ()
    directory_version: int = 0
    key: DirectoryKey | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return self.step == "done"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {
            "purpose": self.purpose,
            "kid": self.kid,
            "done": self.done,
            "waiting": None if self.done else self.step,
            "waiting_for": list(self.waiting_for),
            "directory_version": self.directory_version,
        }
        if self.key is not None:
            document |= {"alg": self.key.alg, "jwk": dict(self.key.jwk)}
        return document | self.notes


async def rotate(site: KeySite, purpose: KeyPurpose, alg: Algorithm | None, how: Publishing) -> Progress:
    """Bring a rotation as far as it gets now. ``alg`` None: that of the key in use."""
    slot = site.slot(purpose)
    current = slot.current()
    if slot.pinned:
        text = f"the settings name the {purpose} key's id ({slot.pinned}), and a key that replaces its file has another"
        remedy = (
            "take the id out of the settings if it is the key's thumbprint; else enter a new id and a new file there"
        )
        raise RefusedError("KEY_ID_FIXED", text, remedy)
    listed = {key.kid for key in site.listed(purpose)}
    made = slot.next()
    if made is None and not any(held.kid in listed for held in slot.kept()):
        made = slot.make_next(alg or current.public(purpose).alg)
    progress = Progress(purpose, (made or current).kid, key=(made or current).public(purpose))
    if made is not None:
        if not await _publish_and_wait(site, progress, made, how):
            return progress
        slot.switch()
    if purpose == "proof":
        directory = site.directory()
        if not await _install(site, progress, with_first(directory, site.owner, purpose, progress.kid), how):
            return progress
        slot.mark_unused()
    else:
        await _signs(site, progress, progress.kid)
    progress.notes["to_retire"] = [held.kid for held in slot.kept()]
    return progress


async def _publish_and_wait(site: KeySite, progress: Progress, made: HeldKey, how: Publishing) -> bool:
    return await _install(site, progress, with_key(site.directory(), site.owner, made.public(progress.purpose)), how)


async def _install(site: KeySite, progress: Progress, wanted: Directory, how: Publishing) -> bool:
    """Steps 2 and 3, or 7 and 8: whether the wanted directory is in force everywhere."""
    progress.directory_version = wanted.version
    if wanted.version != site.directory().version and not site.publish(wanted, how):
        progress.step, progress.waiting_for = "publish", ["authority"]
        progress.notes["change"] = str(how.out)
        return False
    behind = await site.taken()
    if behind:
        progress.step, progress.waiting_for = "taken", behind
    return not behind


async def _signs(site: KeySite, progress: Progress, kid: str) -> bool:
    """Step 5: whether the city's adapter signs with a key."""
    behind = await site.signed_with(progress.purpose, kid)
    if behind:
        progress.step, progress.waiting_for = "signing", behind
    return not behind


async def retire(
    site: KeySite,
    purpose: KeyPurpose,
    kid: str | None,
    effect_of: Callable[[str], Effect],
    how: Publishing,
    *,
    at_once: bool,
) -> Progress:
    """Bring a retirement as far as it gets now. ``at_once``: also if what the key signed is still in use."""
    slot = site.slot(purpose)
    listed = [key.kid for key in site.listed(purpose)]
    in_use = slot.current().kid
    chosen = kid or _only_kept([held.kid for held in slot.kept()], purpose)
    if chosen == in_use:
        text = f"{chosen} is the {purpose} key in use"
        raise RefusedError("KEY_IN_USE", text, "rotate first; then retire the one before, with --now if it was stolen")
    if chosen not in listed and chosen not in [held.kid for held in slot.kept()]:
        raise RefusedError("KEY_UNKNOWN", f"there is no {purpose} key {chosen}", "see `tiergate keys list`")
    effect = effect_of(chosen)
    if chosen in listed and not at_once and effect.until_s is not None and effect.until_s > time.time():
        until = time_of_s(effect.until_s)
        raise RefusedError("KEY_STILL_NEEDED", effect.text, f"wait until {until}, or add --now to end it at once")
    progress = Progress(purpose, chosen, notes=effect.document())
    if purpose != "proof" and not await _signs(site, progress, in_use):
        return progress  # it may still sign with the key that is to go
    if not await _install(site, progress, without_key(site.directory(), site.owner, purpose, chosen), how):
        return progress
    slot.drop(chosen)
    return progress


def _only_kept(kept: Sequence[str], purpose: KeyPurpose) -> str:
    if len(kept) != 1:
        raise RefusedError("KEY_UNKNOWN", f"{len(kept)} {purpose} keys are kept here", "name one with --kid")
    return kept[0]
