"""Entries of the peer directory: what a city or an operator hands over, and the next version that lists it.

An entry (``entry.json``) is the member of the directory itself, public parts alone, so that what is handed over, read
by people and signed is one text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import rfc8785
from pydantic import ValidationError

from gateway.domain.directory import Directory, PassportEntry
from gateway.errors import ProblemsError, Reason
from gateway.policy.directory import build_directory, read_directory
from gateway.policy.directory_schema import CityDoc, OperatorDoc
from gateway.policy.problems import problems_of

MAX_ENTRY_BYTES = 64 * 1024
EntryKind = Literal["city", "operator"]
_MEMBERS = {"city": "cities", "operator": "operators"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One city or operator, as the directory will list it."""

    kind: EntryKind
    document: CityDoc | OperatorDoc

    @property
    def id(self) -> str:
        """Its id."""
        return self.document.id


def read_entry(kind: EntryKind, data: bytes, file: str) -> Entry:
    """An entry that was handed over. Raises DIRECTORY_INVALID with every problem of its shape.

    What needs the directory, such as its trust domain, is judged when it is entered.
    """
    try:
        model = CityDoc if kind == "city" else OperatorDoc
        return Entry(kind, model.model_validate_json(data))
    except ValidationError as error:
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems_of(file, error, None)) from error


def entry_text(kind: EntryKind, plain: dict[str, Any]) -> bytes:
    """The text of an entry, to be handed over. Raises DIRECTORY_INVALID."""
    data = json.dumps(plain, ensure_ascii=False, indent=2).encode() + b"\n"
    read_entry(kind, data, "entry")
    return data


def enter(
    directory: Directory,
    entry: Entry,
    passport: PassportEntry | None,
    *,
    issued: int,
    expires: int,
    require_passports: bool = False,
) -> tuple[bytes, bool]:
    """The next version of a directory with the entry, canonical and still to be signed; whether it replaces one.

    ``passport``: of a city, in place of one that its entry names. ``issued``, ``expires``: Unix seconds.
    ``require_passports``: of every city from this version on; where it holds already it goes on to hold.
    Raises DIRECTORY_INVALID with every problem.
    """
    plain: dict[str, Any] = json.loads(build_directory(directory))
    mine = entry.document.model_dump(mode="json", exclude_none=True)
    if passport is not None:
        mine["passport"] = {"digest": passport.digest, "expires": passport.expires}
    members = _MEMBERS[entry.kind]
    others = [item for item in plain[members] if item["id"] != entry.id]
    replaced = len(others) < len(plain[members])
    plain |= {"version": directory.version + 1, "issued": issued, "expires": expires}
    if require_passports:
        plain["require_passports"] = True
    plain[members] = sorted([*others, mine], key=lambda item: str(item["id"]))
    data = rfc8785.dumps(plain)
    _require_valid(data, entry)
    return data, replaced


def _require_valid(data: bytes, entry: Entry) -> None:
    try:
        read_directory(data)
    except ProblemsError as error:
        remedy = f"have the {entry.kind}'s entry corrected and handed over anew"
        problems = [replace(item, remedy=item.remedy or remedy) for item in error.problems]
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems) from error
