"""From pydantic's errors to problems that name file, key path, fault and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    """One problem per fault. ``data`` is what was validated: it tells keys from pydantic's own union labels."""
    return [
        Problem(file, _path(item["loc"], data), _message(item["type"], item["msg"]), _REMEDIES.get(item["type"], _SEE))
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _message(kind: str, text: str) -> str:
    return _MESSAGES.get(kind, text.removeprefix("Value error, "))


def _path(location: Sequence[int | str], data: object) -> str:
    """Dotted path of the keys alone. A label of a tagged union (``kind``) stands in no file and is left out."""
    path: list[str] = []
    here: object = data
    for part in location:
        if isinstance(here, Mapping):
            if part not in here and here.get("kind") == part:
                continue
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        path.append(str(part))
    return ".".join(path)
