"""From pydantic's errors to problems that name file, key path, fault and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from gateway.errors import Problem

_REMEDIES = {
    "extra_forbidden": "remove the key or correct its spelling",
    "missing": "add the key",
}
_SEE = "correct the value; `tiergate policy schema` says what each key may hold"
_MESSAGES = {
    "extra_forbidden": "unknown key",
    "missing": "required key is missing",
    "union_tag_not_found": 'required key "kind" is missing',
    "union_tag_invalid": "unknown kind",
}


def problems_of(file: str, error: ValidationError, data: object) -> list[Problem]:
    """One problem per place, and what each form that its value may have asks for.

    ``data`` is what was validated, None where it is not at hand: it tells keys from pydantic's own labels.
    """
    found: dict[str, list[Problem]] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        path, message = _path(item["loc"], data), _message(item["type"], item["msg"])
        found.setdefault(path, []).append(Problem(file, path, message, _REMEDIES.get(item["type"], _SEE)))
    return [replace(items[0], message=", or ".join(item.message for item in items)) for items in found.values()]


def _message(kind: str, text: str) -> str:
    return _MESSAGES.get(kind, text.removeprefix("Value error, ").replace("Input should be", "must be"))


def _path(location: Sequence[int | str], data: object) -> str:
    """Dotted path of the keys alone."""
    path: list[str] = []
    here: object = data
    for part in location:
        if isinstance(part, str) and _is_label(part, here):
            continue
        if isinstance(here, Mapping):
            here = here.get(part)
        else:
            here = here[part] if isinstance(here, list) and isinstance(part, int) and part < len(here) else None
        path.append(str(part))
    return ".".join(path)


def _is_label(part: str, here: object) -> bool:
    """Whether a part of a location stands in no file: the ``kind`` of a tagged union, or the form that was tried."""
    if here is None:
        return "[" in part  # nothing to compare with; keys of ours have no brackets
    return not isinstance(here, Mapping) or (part not in here and ("[" in part or here.get("kind") == part))
