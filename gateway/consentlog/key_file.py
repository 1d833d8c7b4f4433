"""A note signer's key in a file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from gateway.consentlog.note import SignerKey
from gateway.errors import Reason, TiergateError


def read_signer(path: Path) -> SignerKey:
    """The key. Raises KEY_INVALID, also for a file that others can read."""
    try:
        if path.stat().st_mode & 0o077:
            raise TiergateError(Reason.KEY_INVALID, f"{path.name} can be read by others; chmod 600")
        return SignerKey.parse(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise TiergateError(Reason.KEY_INVALID, f"{path.name} is not a readable log key or witness key") from error
