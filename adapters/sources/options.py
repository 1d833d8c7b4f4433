"""Settings that all kinds of sources share: strict models, paths, secrets, and the mapping of a record's fields."""

from __future__ import annotations

import functools
import os
import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from adapters.score import MAX_ABSOLUTE_POINTS, RawScore, ScoreRecord
from adapters.sources.port import bad_record
from gateway.errors import Problem, ProblemsError, Reason
from gateway.settings import FilePath

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,16}(?:\.0{1,6})?\Z")
_OFFSET: Final = re.compile(r"([+-])([01][0-9]):([0-5][0-9])\Z")
_SECRET_BYTES: Final = 8192


class Strict(BaseModel):
    """A settings table: unknown keys, wrong types and later changes are refused; values stay out of error texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Secret(Strict):
    """Where a secret lies: exactly one of a file and an environment variable. The settings never hold it."""

    file: FilePath | None = None
    env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("name exactly one of file and env")
        return self

    def read(self) -> str:
        """The secret without its line end. Missing, empty, too long or not text: ProblemsError (CONFIG_INVALID)."""
        place = str(self.file) if self.file is not None else f"environment variable {self.env}"
        try:
            text = self._content().rstrip("\r\n")
        except (OSError, KeyError, UnicodeDecodeError) as error:
            raise _secret_problem(place, f"the secret cannot be read ({type(error).__name__})") from error
        if not text or len(text) > _SECRET_BYTES or not text.isprintable():
            raise _secret_problem(place, "the secret is empty, too long, or holds control characters")
        return text

    def _content(self) -> str:
        if self.env is not None:
            return os.environ[self.env]
        assert self.file is not None  # _one_place
        with self.file.open("rb") as file:
            return file.read(_SECRET_BYTES + 3).decode("utf-8")


def _secret_problem(place: str, message: str) -> ProblemsError:
    remedy = "put the secret there, readable by the adapter's user alone"
    return ProblemsError(Reason.CONFIG_INVALID, [Problem(place, "", message, remedy)])


def _as_of_format(text: str) -> str:
    if text in {"iso8601", "epoch_s", "epoch_ms"}:
        return text
    if "%" not in text or not all(part in text for part in ("%Y", "%m", "%d")):
        raise ValueError("must be iso8601, epoch_s, epoch_ms, or a strptime pattern with %Y, %m and %d")
    return text


def _utc_offset(text: str) -> str:
    if not _OFFSET.match(text):
        raise ValueError("must be written like +08:00")
    return text


class Fields(Strict):
    """Where a record holds its parts: dotted paths in JSON, column names in a query's result or an export's header.

    ``resident``: whose record it is; where set, a record of somebody else is refused. ``as_of_format``: ``iso8601``,
    ``epoch_s``, ``epoch_ms`` or a strptime pattern. ``utc_offset`` holds for times that carry none; a fixed offset is
    exact for China, which has had no summer time since 1991, and needs no time zone data on the machine.
    """

    score: str = Field(min_length=1)
    as_of: str = Field(min_length=1)
    resident: str | None = Field(default=None, min_length=1)
    as_of_format: Annotated[str, AfterValidator(_as_of_format)] = "iso8601"
    utc_offset: Annotated[str, AfterValidator(_utc_offset)] = "+08:00"

    def record(self, score: object, as_of: object) -> ScoreRecord | None:
        """The record of two values as the platform gave them; None if there is no score.

        Raises SOURCE_INVALID: a score that is no whole number, ``as_of`` missing or not of the format.
        """
        boxed = to_score(score)
        return None if boxed is None else ScoreRecord(boxed, self.time_of(as_of))

    def time_of(self, value: object) -> datetime:
        """``as_of`` as a UTC time. A date alone means its first moment. Raises SOURCE_INVALID."""
        try:
            found = self._time_of(value)
            if found.tzinfo is None:
                found = found.replace(tzinfo=_zone(self.utc_offset))
            return found.astimezone(UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise bad_record("as_of is not of the declared format") from error

    def _time_of(self, value: object) -> datetime:
        match value:
            case datetime():  # databases give times as such, whatever the format says
                return value
            case date():
                return datetime.combine(value, time.min)
            case None | "" | bool():
                raise bad_record("as_of is missing")
        if self.as_of_format in {"epoch_s", "epoch_ms"}:
            if not isinstance(value, int | float | Decimal | str):
                raise bad_record("as_of is not a number")
            seconds = float(value) / (1000 if self.as_of_format == "epoch_ms" else 1)
            return datetime.fromtimestamp(seconds, UTC)
        if not isinstance(value, str):
            raise bad_record("as_of is not text")
        if self.as_of_format == "iso8601":
            return datetime.fromisoformat(value)
        return datetime.strptime(value, self.as_of_format)  # noqa: DTZ007  # the offset is applied by the caller


@functools.cache
def _zone(utc_offset: str) -> timezone:
    match = _OFFSET.match(utc_offset)
    assert match is not None  # checked when the settings were read
    shift = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-shift if match[1] == "-" else shift)


def to_score(value: object) -> RawScore | None:
    """Box the points that a platform gave: a whole number in any usual shape. None or blank: there is no score.

    Raises SOURCE_INVALID for anything else; a fraction is refused, for how to round one is the city's to say.
    """
    match value:
        case None:
            return None
        case str() if value.strip() == "":
            return None
        case str() if _WHOLE_NUMBER.match(value.strip()):
            return RawScore(int(value.strip().partition(".")[0]))
        case bool():
            raise bad_record("the score is not a number")
        case int():
            return RawScore(value)
        case float() if value.is_integer():
            return RawScore(int(value))
        # bounded first: a decimal of a few characters can be a whole number that fills the memory
        case Decimal() if value.is_finite() and _is_bounded(value) and value == value.to_integral_value():
            return RawScore(int(value))
    raise bad_record("the score is not a whole number")


def _is_bounded(value: Decimal) -> bool:
    return -MAX_ABSOLUTE_POINTS <= value <= MAX_ABSOLUTE_POINTS


class SourceOptions(Strict):
    """Bounds that every source keeps. Times in seconds.

    ``deadline_s``: for one read, waiting included. ``max_in_flight``: reads at once; more wait. ``breaker_failures``
    residents for whom the platform failed in a row stop the asking for ``breaker_open_s``. ``probe_ref``: a reference
    that the platform accepts and does not know, for health checks.
    """

    deadline_s: float = Field(default=2.0, gt=0, le=30)
    max_in_flight: int = Field(default=64, ge=1, le=1024)
    breaker_failures: int = Field(default=5, ge=1, le=1000)
    breaker_open_s: float = Field(default=5.0, gt=0, le=300)
    probe_ref: str = Field(default="tiergate-probe", min_length=1, max_length=128)
    fields: Fields
