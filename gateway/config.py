"""Settings of the gateway process (``tiergate serve --config FILE``; environment ``TIERGATE_GATEWAY_<KEY>``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from gateway.errors import Problem, ProblemsError, Reason
from gateway.files import bytes_of
from gateway.rates import KeyRates
from gateway.settings import Address, FilePath, Settings, is_loopback

PREFIX = "TIERGATE_GATEWAY_"
_MADE = frozenset({"data_dir", "log_mark"})
_MOST, _KEPT = 1_000_000_000, 10_000_000


class TlsFiles(Settings):
    """Certificate chain and key of this process, and the CA bundle that peers' certificates must lead to (PEM)."""

    cert: FilePath
    key: FilePath
    ca: FilePath


class Limits(Settings):
    """Bounds of the process.

    What is kept in memory has a highest bound of its own, beyond which no machine could keep it: 100 million rates of
    consents (15 GB), 10 million attestations (25 GB), tokens (30 GB) and proofs (30 GB). So have rates (10⁹: as good as
    none) and the grace at a stop (10 minutes: nobody waits longer for a process to end).
    """

    in_flight: int = Field(default=512, ge=1, le=100_000)  # calls; more are refused with BUSY
    per_operator_per_s: float = Field(default=2000.0, gt=0, le=_MOST)  # calls per second and caller, sustained
    burst: int = Field(default=4000, ge=1, le=_MOST)  # calls at once and caller
    per_consent_per_h: float = Field(default=6.0, ge=1, le=_MOST)  # checks per hour and consent; retries are free
    consent_burst: int = Field(default=30, ge=1, le=_MOST)  # checks at once and consent
    consents_rated: int = Field(default=200_000, ge=2, le=100_000_000)  # whose rate is kept; about 150 bytes each
    city_deadline_s: float = Field(default=3.0, gt=0, le=30)  # seconds a home city has; more than it gives its platform
    attestations: int = Field(default=100_000, ge=0, le=_KEPT)  # live attestations kept; about 2.5 KiB each
    remember_tokens: int = Field(default=10_000, ge=0, le=_KEPT)  # verified tokens kept as read; 3 KiB each, 10 at most
    trust_remembered: bool = False  # True: the signature of a remembered token is not verified again
    remember_proofs: int = Field(default=10_000, ge=0, le=_KEPT)  # operators' proofs (1 KiB), devices' keys (3 KiB)
    stop_grace_s: float = Field(default=10.0, ge=0, le=600)  # seconds that calls in flight have to finish at a stop

    def consent_rates(self) -> KeyRates:
        """The rates of consents, all full."""
        return KeyRates(per_h=self.per_consent_per_h, burst=self.consent_burst, max_keys=self.consents_rated)


class WitnessAt(Settings):
    """A witness: its name in the trust file, which gives its key, and the URL under which it takes add-checkpoint."""

    name: str = Field(min_length=1)
    url: str = Field(pattern=r"^https?://\S+$")


class Witnessing(Settings):
    """Witnesses that cosign the log, and the trust file (C2SP tlog-policy) whose quorum must be met.

    Seconds throughout. ``ca``: authorities of https witnesses (PEM; default: the system). ``interval_s``: of rounds.
    ``refresh_s``: an unchanged checkpoint is cosigned anew after that. ``alarm_after_s``: without a quorum.
    """

    trust: FilePath
    witnesses: tuple[WitnessAt, ...] = Field(min_length=1)
    ca: FilePath | None = None
    deadline_s: float = Field(default=5.0, gt=0, le=60)
    interval_s: float = Field(default=1.0, gt=0, le=3600)
    refresh_s: float = Field(default=30.0, gt=0, le=86_400)
    alarm_after_s: float = Field(default=120.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.alarm_after_s <= self.refresh_s + self.interval_s:
            raise ValueError("alarm_after_s must be longer than refresh_s and interval_s together")
        if len({at.name for at in self.witnesses}) < len(self.witnesses):
            raise ValueError("a witness is named twice")
        return self


class Retention(Settings):
    """How long what can be erased is kept, and when files are written anew after an erasure."""

    days: int = Field(default=1096, ge=401, le=36_600)  # private payload, from the decision; longer than any consent
    rewrite_hour: int = Field(default=19, ge=0, le=23)  # UTC hour; nothing can be decided while the file is written


class GatewayConfig(Settings):
    """Everything the gateway needs to start. Relative paths count from the file."""

    environment: Literal["production", "development"] = "production"
    listen: Address
    data_dir: FilePath
    tls: TlsFiles
    root: FilePath
    directory: FilePath
    bundle: FilePath
    log_key: FilePath
    log_mark: FilePath  # how far the log has been signed; outside data_dir, and never part of a backup
    metrics_listen: Address | None = None
    bench_plaintext: bool = False
    limits: Limits = Limits()
    witnessing: Witnessing | None = None
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _mark_apart(self) -> Self:
        if Path(os.path.realpath(self.data_dir)) in Path(os.path.realpath(self.log_mark)).parents:
            raise ValueError("log_mark lies in data_dir: whoever puts back an older copy would put back its mark, too")
        return self

    @model_validator(mode="after")
    def _no_plaintext_outside_loopback(self) -> Self:
        if self.bench_plaintext and (not is_loopback(self.listen) or self.environment != "development"):
            raise ValueError("bench_plaintext works on a loopback address in development only")
        return self


def require_files(settings: GatewayConfig, file: Path) -> None:
    """Return if every file that the settings in ``file`` name can be read, and what is to be made can be made there.

    Raises CONFIG_INVALID, as a :class:`ProblemsError` that names all that are missing at once, by their keys: whoever
    installs a gateway must not learn of them one start after the other. What the files hold is for their readers.
    """
    problems = [
        Problem(str(file), key, f"{path} {fault}", "put it there, or name another place")
        for key, path in _paths(settings)
        if (fault := _fault(key, path))
    ]
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)


def _paths(settings: Settings, before: str = "") -> Iterator[tuple[str, Path]]:
    for name, value in settings:
        if isinstance(value, Path):
            yield before + name, value
        elif isinstance(value, Settings):
            yield from _paths(value, f"{before}{name}.")


def _fault(key: str, path: Path) -> str:
    """What is wrong with a path; nothing, if nothing is."""
    try:
        if key in _MADE:
            return _fault_of_made(key, path)
        if key == "bundle" and path.is_dir():
            list(path.iterdir())
        else:
            bytes_of(path, 0)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


def _fault_of_made(key: str, path: Path) -> str:
    """Of what the gateway makes where there is nothing yet, with the folders above."""
    if key == "log_mark" and os.path.lexists(path):
        return "" if path.is_file() else "is not a file"
    there = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if there.is_dir():
        return ""
    return "is not a folder" if there == path else f"cannot be made ({there} is not a folder)"
