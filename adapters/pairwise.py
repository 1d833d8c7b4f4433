"""Pairwise identifiers: each operator sees another identifier of the same resident (I6)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from gateway.crypto.keys import b64url, write_secret
from gateway.domain.ids import OperatorId, ResidentRef
from gateway.errors import Problem, ProblemsError, Reason

SECRET_BYTES = 32


class PairwiseSecret:
    """The city's secret for deriving ``sub``. It has no ``repr`` and is never shown.

    Losing it changes every identifier; leaking it lets operators be compared. It is kept as long as consents are.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != SECRET_BYTES:
            raise ValueError(f"a pairwise secret has {SECRET_BYTES} bytes")
        self._key = key

    def subject(self, operator: OperatorId, resident: ResidentRef) -> str:
        """``sub`` for one operator: HMAC-SHA256 over operator, NUL, reference; base64url, 43 characters.

        Neither part can hold a NUL, so two pairs never make one message.
        """
        message = f"{operator}\0{resident}".encode()
        return b64url(hmac.new(self._key, message, hashlib.sha256).digest())

    def mark(self, purpose: str, text: str) -> bytes:
        """What the city keeps in place of ``text``: HMAC-SHA256, 32 bytes, apart from every other purpose.

        It begins with NUL where a subject's message has an operator, so that no mark is a subject.
        """
        return hmac.digest(self._key, f"\0{purpose}\0{text}".encode(), "sha256")

    @classmethod
    def load(cls, path: Path) -> PairwiseSecret:
        """Read the 32 bytes. Raises ProblemsError (CONFIG_INVALID): absent, of another length, readable by others."""
        try:
            mode = path.stat().st_mode
            with path.open("rb") as file:
                key = file.read(SECRET_BYTES + 1)
        except OSError as error:
            raise _problem(path, f"the pairwise secret cannot be read ({error.strerror})") from error
        if mode & 0o077:
            raise _problem(path, "the pairwise secret can be read by others", "chmod 600")
        if len(key) != SECRET_BYTES:
            raise _problem(path, f"the pairwise secret does not have {SECRET_BYTES} bytes")
        return cls(key)


def write_pairwise_secret(path: Path) -> None:
    """Make a new secret, readable by its owner alone. An existing file is never overwritten (FileExistsError)."""
    write_secret(path, secrets.token_bytes(SECRET_BYTES))


def _problem(path: Path, message: str, remedy: str = "restore it from the city's own backup") -> ProblemsError:
    return ProblemsError(Reason.CONFIG_INVALID, [Problem(str(path), "", message, remedy)])
