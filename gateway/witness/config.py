"""Settings of a witness (``tiergate witness serve --config FILE``; environment ``TIERGATE_WITNESS_<KEY>``)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from gateway.consentlog.note import COSIGNATURE_MLDSA44, ED25519, VerifierKey
from gateway.errors import TiergateError
from gateway.settings import Address, FilePath, Settings, is_loopback

PREFIX = "TIERGATE_WITNESS_"


class TlsFiles(Settings):
    """Certificate chain and key of this process (PEM); with ``client_ca`` a caller needs a certificate under it."""

    cert: FilePath
    key: FilePath
    client_ca: FilePath | None = None


class KnownLog(Settings):
    """A log that is witnessed: its origin, and a key of it (vkey). A log with several keys has several such tables."""

    origin: str = Field(min_length=1)
    vkey: str

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            kind = VerifierKey.parse(self.vkey).kind
        except TiergateError as error:
            raise ValueError(f"vkey: {error.detail}") from error
        if kind not in (ED25519, COSIGNATURE_MLDSA44):
            raise ValueError("vkey is not a log's key")
        return self


class Limits(Settings):
    """Bounds of the process. ``request_s``: seconds that a request may take to arrive; ``idle_s``: between two.

    There are always fewer than ``connections``: the one that has been idle for longest is closed, and while none is
    idle, a request is refused (503).
    """

    connections: int = Field(default=64, ge=2, le=10_000)
    request_s: float = Field(default=10.0, gt=0, le=300)
    idle_s: int = Field(default=60, ge=1, le=3600)
    unproven_kept: int = Field(default=1000, ge=1)  # newest evidence by log that proves nothing by itself; else all


class WitnessConfig(Settings):
    """Everything a witness needs to start. Relative paths count from the file.

    Without ``tls`` it listens on a loopback address, unless ``plaintext`` says that another one is meant: what counts
    are the signatures, so that a proxy may end TLS before it.
    """

    listen: Address
    key: FilePath
    state_dir: FilePath
    logs: tuple[KnownLog, ...] = Field(min_length=1)
    tls: TlsFiles | None = None
    plaintext: bool = False
    metrics_listen: Address | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _no_plaintext_by_accident(self) -> Self:
        if self.tls is None and not self.plaintext and not is_loopback(self.listen):
            raise ValueError("without tls listen on a loopback address, or say plaintext = true")
        return self

    def keys_of_logs(self) -> dict[str, list[VerifierKey]]:
        """The keys of each log by its origin."""
        found: dict[str, list[VerifierKey]] = {}
        for log in self.logs:
            found.setdefault(log.origin, []).append(VerifierKey.parse(log.vkey))
        return found
