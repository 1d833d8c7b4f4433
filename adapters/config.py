"""The adapter's settings: a TOML file, overlaid by the environment, every problem reported at once.

``TIERGATE_ADAPTER_<KEY>`` overrides a key, ``__`` stands between a table and its key
(``TIERGATE_ADAPTER_ANSWERS__TIME_GRID_S=0``). Relative paths start at the file's folder. Secrets stand in files of
their own, never in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, StringConstraints, model_validator

from adapters.casework import Deadlines
from adapters.custody import CityKeys, SigningKey
from adapters.pairwise import PairwiseSecret
from adapters.sources.settings import SourceSettings
from gateway.crypto.attestation import MAX_LIFETIME_S
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.rates import KeyRates
from gateway.settings import Address, FilePath, Settings, read_settings

ENV_PREFIX: Final = "TIERGATE_ADAPTER_"


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$")]
ResidentRefText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Kid = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class TlsFiles(Settings):
    """PEM files of this adapter's mutual TLS: its certificate and key, and the authorities of its peers."""

    cert: FilePath
    key: FilePath
    ca: FilePath


class KeyFile(Settings):
    """A signing key (PEM PKCS #8, mode 0600), and its key id in the directory if that is not its thumbprint.

    Without ``kid`` the key is renewed by replacing its file, as ``tiergate keys rotate`` does.
    """

    kid: Kid | None = None
    file: FilePath


class KeyFiles(Settings):
    """One key per purpose, and the 32 bytes that pairwise identifiers are derived with (mode 0600)."""

    consent: KeyFile
    attestation: KeyFile
    event: KeyFile
    pairwise_secret: FilePath


class Answers(Settings):
    """How attestations are given. Seconds throughout.

    ``lifetime_s``: of an attestation. ``deadline_s``: for the platform to answer. ``time_grid_s``: answers leave at its
    multiples, so that their time says nothing about a person; 0 = at once.
    """

    lifetime_s: int = Field(default=MAX_LIFETIME_S, ge=1, le=MAX_LIFETIME_S)
    deadline_s: float = Field(default=2.0, gt=0, le=30)
    time_grid_s: float = Field(default=0.005, ge=0, le=1)


class Cases(Settings):
    """Deadlines of cases about contested decisions, in working days after the day of opening.

    ``holidays``: days from Monday to Friday that are free; ``workdays``: days of a weekend that are not; both from the
    State Council's notice on the year's holidays.
    """

    flag_days: int = Field(default=1, ge=0, le=60)
    forward_days: int = Field(default=2, ge=0, le=60)
    decide_days: int = Field(default=5, ge=1, le=60)
    lapse_days: int = Field(default=20, ge=1, le=60)
    holidays: frozenset[date] = frozenset()
    workdays: frozenset[date] = frozenset()

    @model_validator(mode="after")
    def _in_order(self) -> Cases:
        if not self.flag_days <= self.forward_days <= self.decide_days <= self.lapse_days:
            raise ValueError("flag_days, forward_days, decide_days and lapse_days must not fall")
        return self

    def deadlines(self) -> Deadlines:
        """As the desk takes them."""
        return Deadlines(
            self.flag_days, self.forward_days, self.decide_days, self.lapse_days, self.holidays, self.workdays
        )


class Limits(Settings):
    """Bounds of the process: calls at once, calls per second and caller, seconds that calls have to end at a stop.

    ``per_consent_per_h``, ``consent_burst``: questions per hour and at once about one consent, retries not counted.
    Twice what a gateway lets through by default: an honest one does not meet it, one that plays along with an operator
    does. ``consents_rated``: consents whose rate is kept, about 150 bytes each.
    """

    in_flight: int = Field(default=512, ge=1, le=100_000)
    per_caller_per_s: float = Field(default=5000.0, gt=0)
    burst: int = Field(default=10_000, ge=1)
    per_consent_per_h: float = Field(default=12.0, ge=1)
    consent_burst: int = Field(default=60, ge=1)
    consents_rated: int = Field(default=200_000, ge=2)
    stop_grace_s: float = Field(default=10.0, ge=0, le=60)

    def consent_rates(self) -> KeyRates:
        """The rates of consents, all full."""
        return KeyRates(per_h=self.per_consent_per_h, burst=self.consent_burst, max_keys=self.consents_rated)


class AdapterSettings(Settings):
    """Everything an adapter is told. ``decoy_resident``: a record kept for no person, read in place of a person's.

    ``listen`` and ``metrics_listen`` (absent: no metrics port) are ``host:port``. ``withdrawal_wait_s``: how long a
    withdrawal waits for the gateway's acknowledgement before it returns without. ``declined_quiet_days``: for how long
    nobody is asked again for what she has refused. ``retention_days``: for how long the rows of a resident who has
    asked for erasure are kept, locked.
    """

    city: Slug
    listen: Address
    metrics_listen: Address | None = None
    data_dir: FilePath
    root: FilePath
    directory: FilePath
    bundle: FilePath
    decoy_resident: ResidentRefText
    withdrawal_wait_s: float = Field(default=2.0, ge=0, le=2)
    tls: TlsFiles
    keys: KeyFiles
    declined_quiet_days: int = Field(default=30, ge=0, le=365)
    retention_days: int = Field(default=1096, ge=401, le=36_600)  # longer than any consent
    answers: Answers = Answers()
    cases: Cases = Cases()
    limits: Limits = Limits()
    source: SourceSettings


def load_settings(file: Path, environment: Mapping[str, str] | None = None) -> AdapterSettings:
    """Read the file and the environment. Raises ProblemsError (CONFIG_INVALID) with every problem and its key."""
    return read_settings(AdapterSettings, file, prefix=ENV_PREFIX, environment=environment)


def load_keys(files: KeyFiles) -> CityKeys:
    """Load every key, as the files are now. Raises ProblemsError (KEY_INVALID) naming each file that cannot be used."""
    problems: list[Problem] = []
    loaded: dict[str, SigningKey] = {}
    for purpose, item in (("consent", files.consent), ("attestation", files.attestation), ("event", files.event)):
        try:
            loaded[purpose] = SigningKey.load(item.kid, item.file)
        except TiergateError as error:
            problems.append(Problem(str(item.file), f"keys.{purpose}", error.detail, "a PEM PKCS #8 key, chmod 600"))
    pairwise: PairwiseSecret | None = None
    try:
        pairwise = PairwiseSecret.load(files.pairwise_secret)
    except ProblemsError as error:
        problems += error.problems
    if problems or pairwise is None:
        raise ProblemsError(Reason.KEY_INVALID, problems)
    return CityKeys(loaded["consent"], loaded["attestation"], loaded["event"], pairwise)
