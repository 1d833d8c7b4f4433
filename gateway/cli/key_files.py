"""The files of one signing key: the one in use, the one that is next, and those that are kept until they are retired.

All stand beside the file that the settings name: ``consent.key``, ``consent.key.next``, ``consent.key.kept-<kid>``.
Each step is one rename or link: a kill leaves the state before it or the one after, and every step can be repeated.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.crypto.keys import (
    Algorithm,
    PrivateKey,
    algorithm_of,
    generate_signing_key,
    load_private_key,
    public_jwk,
    thumbprint,
    write_private_key,
)
from gateway.domain.directory import DirectoryKey, KeyPurpose


@dataclass(frozen=True, slots=True, repr=False)
class HeldKey:
    """A private key in its file, with its id in the directory. It has no ``repr``."""

    kid: str
    key: PrivateKey
    file: Path

    def public(self, purpose: KeyPurpose) -> DirectoryKey:
        """What the directory lists of it."""
        return DirectoryKey(self.kid, purpose, algorithm_of(self.key), public_jwk(self.key))


def _load(file: Path, kid: str = "") -> HeldKey:
    key = load_private_key(file)
    return HeldKey(kid or thumbprint(public_jwk(key)), key, file)


class KeySlot:
    """The keys of one purpose. ``kid``: the id of the key in use, if the settings give it one (else its thumbprint)."""

    def __init__(self, file: Path, kid: str = "") -> None:
        self.file = file
        self.pinned = kid
        self._next = file.with_name(f"{file.name}.next")

    def current(self) -> HeldKey:
        """The key in use. Raises KEY_INVALID."""
        return _load(self.file, self.pinned)

    def next(self) -> HeldKey | None:
        """The key that is to be used next, if one has been made. Raises KEY_INVALID."""
        return _load(self._next) if self._next.exists() else None

    def kept(self) -> list[HeldKey]:
        """Keys that were in use before, still on this machine. Raises KEY_INVALID."""
        files = self.file.parent.glob(f"{self.file.name}.kept-*")
        return [_load(file, file.name.partition(".kept-")[2]) for file in sorted(files)]

    def all(self) -> Iterator[HeldKey]:
        """Every key that can still sign: in use, next, kept. Raises KEY_INVALID."""
        yield self.current()
        made = self.next()
        if made is not None:
            yield made
        yield from self.kept()

    def make_next(self, alg: Algorithm) -> HeldKey:
        """Make the next key, whole or not at all; one that is there already stays."""
        if not self._next.exists():
            part = self._next.with_name(f"{self._next.name}.part")
            part.unlink(missing_ok=True)
            write_private_key(part, generate_signing_key(alg))
            part.rename(self._next)
        return _load(self._next)

    def switch(self) -> None:
        """Put the next key into use and keep the one before. FileNotFoundError if there is no next one."""
        kept = self._kept(self.current().kid)
        self._next.stat()
        kept.unlink(missing_ok=True)
        os.link(self.file, kept)
        self._next.replace(self.file)

    def mark_unused(self) -> None:
        """Note on the kept keys that from now on nothing is bound to them any more; see :meth:`unused_since`."""
        for held in self.kept():
            os.utime(held.file)

    def unused_since(self, kid: str) -> int | None:
        """Unix seconds at which a kept key's file was last touched, which is no earlier than its last use."""
        file = self._kept(kid)
        return int(file.stat().st_ctime) if file.exists() else None

    def drop(self, kid: str) -> None:
        """Delete a kept key; nothing if it is gone."""
        self._kept(kid).unlink(missing_ok=True)

    def _kept(self, kid: str) -> Path:
        return self.file.with_name(f"{self.file.name}.kept-{kid}")


def proof_key(slot: KeySlot, bound_to: str) -> HeldKey:
    """The operator's key that a token is bound to (``bound_to``: its thumbprint), or else the one in use.

    A token names its key for as long as it lives, so that an operator proves older tokens with the key before.
    Raises KEY_INVALID.
    """
    return next((held for held in slot.all() if held.kid == bound_to), slot.current())
