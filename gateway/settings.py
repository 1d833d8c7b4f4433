"""Reading a process's settings: a TOML file, overridden by environment variables, every problem reported at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from gateway.errors import Problem, ProblemsError, Reason

Model = TypeVar("Model", bound=BaseModel)
_MAX_BYTES = 256 * 1024


def _from_base(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("holds a NUL character")
    base = (info.context or {}).get("base")
    return path if base is None else Path(base) / path


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be host:port; port 0 takes a free one")
    return text


FilePath = Annotated[Path, Field(strict=False), AfterValidator(_from_base)]
"""A path; a relative one starts at the settings file's folder (validation context ``base``)."""
Address = Annotated[str, AfterValidator(_address)]
"""``host:port`` to listen on."""


def is_loopback(address: str) -> bool:
    """Whether a ``host:port`` names a loopback address by its number; a name could be anything."""
    try:
        return ip_address(address.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return False


def _kinds(annotation: Any) -> set[Any]:
    """What a key may hold, beside nothing."""
    return set(get_args(annotation) or (annotation,)) - {type(None)}


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, numbers are finite and no truth values, values are frozen.

    A variable of the environment is text whatever it means, so that text is read as what a key holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[str(info.field_name)].annotation)
        if isinstance(value, bool) and kinds <= {int, float}:
            raise ValueError("must be a number, not true or false")
        if isinstance(value, int | float) and not isinstance(value, bool) and kinds == {bool}:
            raise ValueError("must be true or false")
        return value


def read_settings(
    model: type[Model], path: Path, *, prefix: str, environment: Mapping[str, str] | None = None
) -> Model:
    """Read ``path`` and let ``<prefix>SECTION__KEY`` variables override it; relative paths count from the file.

    Raises CONFIG_INVALID, as a :class:`ProblemsError`, with file, key and remedy of everything that is wrong.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(path), "", "is larger than 256 KiB")])
        data: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        problem = Problem(str(path), "", f"cannot be read ({error.strerror})", "name an existing file with --config")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, a number too long, nested too deeply
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(path), "", f"is not TOML: {error}")]) from error
    for name, value in sorted((environment if environment is not None else os.environ).items()):
        if name.startswith(prefix) and name != prefix:
            _override(data, name.removeprefix(prefix).lower().split("__"), value)
    try:
        return model.model_validate(data, context={"base": path.resolve().parent})
    except ValidationError as error:
        problems = [
            Problem(str(path), ".".join(map(str, item["loc"])), item["msg"], _remedy(item["type"]))
            for item in error.errors(include_input=False, include_url=False)
        ]
        raise ProblemsError(Reason.CONFIG_INVALID, problems) from error


def _override(data: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        inner = data.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # the file has a plain value there; validation will name the unknown shape
        data = inner
    data[keys[-1]] = value


def _remedy(kind: str) -> str:
    match kind:
        case "extra_forbidden":
            return "remove it, or correct its name"
        case "missing":
            return "add it"
        case _:
            return ""
