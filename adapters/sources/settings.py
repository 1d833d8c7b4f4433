"""From a settings table to an open source: the kinds by name, and every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from adapters.alarms import AlarmKind
from adapters.sources.csv import CsvSettings, CsvSource
from adapters.sources.http import HttpSource
from adapters.sources.http_settings import HttpSettings
from adapters.sources.port import ScoreSource
from adapters.sources.sql import SqlSettings, SqlSource
from gateway.errors import Problem, ProblemsError, Reason

SourceSettings = Annotated[HttpSettings | SqlSettings | CsvSettings, Field(discriminator="kind")]
"""Settings of one source, told apart by ``kind``; usable as a field of a larger settings model."""

_ADAPTER: TypeAdapter[HttpSettings | SqlSettings | CsvSettings] = TypeAdapter(SourceSettings)


def parse_source(table: Mapping[str, object], file: Path) -> HttpSettings | SqlSettings | CsvSettings:
    """Settings from the ``[source]`` table of a settings file; relative paths start at the file's folder.

    Raises ProblemsError (CONFIG_INVALID) with every problem, its key path, and never a value.
    """
    try:
        return _ADAPTER.validate_python(dict(table), context={"base": file.parent})
    except ValidationError as error:
        problems = [
            Problem(str(file), ".".join(["source", *(str(part) for part in item["loc"])]), item["msg"])
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    raise ProblemsError(Reason.CONFIG_INVALID, problems)


def open_source(
    settings: HttpSettings | SqlSettings | CsvSettings, on_alarm: Callable[[AlarmKind], None] | None = None
) -> ScoreSource:
    """Open the source. Nothing is asked of the platform yet; ``ping`` does that.

    ``on_alarm`` is told what no read shows: an export that is refused, bad rows in one that is taken.

    Raises ProblemsError (CONFIG_INVALID, CERTIFICATE_INVALID) if a secret or TLS file cannot be used.
    """
    match settings:
        case HttpSettings():
            return HttpSource(settings)
        case SqlSettings():
            return SqlSource(settings)
        case CsvSettings():
            return CsvSource(settings, on_alarm=on_alarm)
