"""Where keys are changed: an installation's own files, its directory, and the peers that must have followed it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.cli.installation import Installation
from gateway.cli.key_files import KeySlot
from gateway.cli.output import UsageError
from gateway.cli.peer_state import PeerState, state_of, until_followed
from gateway.crypto.envelope import DIRECTORY_TYPE, sign, verify
from gateway.crypto.keys import PrivateKey
from gateway.crypto.root_files import read_root
from gateway.domain.directory import GATEWAY, Directory, DirectoryKey, KeyPurpose
from gateway.files import write_whole
from gateway.policy.directory import build_directory, check_fresh
from gateway.policy.installed import installed_directory
from gateway.policy.rotation import KeyOwner, keys_of


@dataclass(frozen=True, slots=True, repr=False)
class Publishing:
    """How a change of the directory gets signed: with ``keys`` into ``files``, or as a request to others in ``out``."""

    keys: Sequence[PrivateKey]
    files: Sequence[Path]
    out: Path | None


class KeySite:
    """One city's or operator's keys, and the directory that lists them."""

    def __init__(self, installation: Installation, *, without: Sequence[str] = (), wait_s: float = 0.0) -> None:
        """``without``: peers that are not waited for. ``wait_s``: how long the others are, per step."""
        if installation.role not in ("city", "operator"):
            raise UsageError(
                f"a {installation.role} has no keys that rotate here", "give a city's or an operator's file"
            )
        self.installation = installation
        self.owner = KeyOwner("city" if installation.role == "city" else "operator", installation.name)
        self._without = frozenset(without)
        self._wait_s = wait_s

    def slot(self, purpose: KeyPurpose) -> KeySlot:
        """The files of a purpose's keys. Raises UsageError for a purpose that the installation has no key for."""
        found = self.installation.keys.get(purpose)
        if found is None:
            raise UsageError(f"these settings name no {purpose} key", "name the settings of whoever holds it")
        return KeySlot(found[1], found[0])

    def directory(self) -> Directory:
        """The directory installed here, verified, in force, and without what notices have removed.

        So a later version that is made of it does not bring that back.
        Raises CONFIG_, SIGNATURE_, NOTICE_ or DIRECTORY_INVALID.
        """
        directory = installed_directory(self.installation.root, self.installation.directory)
        return check_fresh(directory, int(time.time()), 0)

    def listed(self, purpose: KeyPurpose) -> list[DirectoryKey]:
        """This owner's keys of a purpose in the installed directory."""
        return [key for key in keys_of(self.directory(), self.owner) if key.purpose == purpose]

    def publish(self, changed: Directory, how: Publishing) -> bool:
        """Sign and install a changed directory, or write it for others to sign; whether it is installed now."""
        payload = build_directory(replace(changed, issued=int(time.time())))
        if how.keys:
            envelope = sign(DIRECTORY_TYPE, payload, how.keys)
            verify(read_root(self.installation.root), DIRECTORY_TYPE, envelope)
            for file in how.files or (self.installation.directory,):
                write_whole(file, envelope)
            return True
        if how.out is None:
            remedy = "give --change-out FILE for the authorities to sign, or --authority-key in a development network"
            raise UsageError(f"version {changed.version} of the directory must be signed", remedy)
        how.out.write_bytes(payload)
        return False

    async def taken(self) -> list[str]:
        """Wait until all who verify this owner's keys work by the installed directory; who does not, after the wait.

        A city's keys are verified by the gateway and by the city itself, an operator's by the gateway and every city.
        """
        version = self.directory().version
        return await self._until(
            [GATEWAY, self.owner.name] if self.owner.kind == "city" else [GATEWAY, *sorted(self.directory().cities)],
            lambda state: state.version >= version,
            f"version {version} of the directory in force",
        )

    async def signed_with(self, purpose: KeyPurpose, kid: str) -> list[str]:
        """Wait until the city's own adapter signs with a key; its name if it does not, after the wait."""
        return await self._until(
            [self.owner.name], lambda state: state.signing.get(purpose) == kid, f"signing with {purpose} key {kid}"
        )

    async def state_of(self, name: str) -> PeerState:
        """What a peer works by now (see ``peer_state.state_of``)."""
        return await state_of(self.installation.certificate, self.directory(), name)

    async def _until(self, names: Sequence[str], holds: Callable[[PeerState], bool], what: str) -> list[str]:
        asked = [name for name in names if name not in self._without]

        async def ask() -> dict[str, PeerState]:
            return dict(zip(asked, await asyncio.gather(*map(self.state_of, asked)), strict=True))

        _, behind = await until_followed(
            ask, asked, holds, self._wait_s, f": {what}; hand over the files and send SIGHUP"
        )
        return behind
