"""Entries of the peer directory: what a city or an operator hands over, and the next version of the directory.

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
from gateway.domain.ids import CityId
from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy.directory import CITY_PURPOSES, build_directory, read_directory
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
        entry = Entry(kind, model.model_validate_json(data))
    except ValidationError as error:
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems_of(file, error, None)) from error
    lacking = CITY_PURPOSES.difference(key.purpose for key in entry.document.keys) if kind == "city" else ()
    if lacking:
        remedy = "a city signs consents, attestations and events, each with a key of its own"
        problem = Problem(file, "keys", f"no key of purpose {', '.join(sorted(lacking))}", remedy)
        raise ProblemsError(Reason.DIRECTORY_INVALID, [problem])
    return entry


def entry_text(kind: EntryKind, plain: dict[str, Any]) -> bytes:
    """The text of an entry, to be handed over. Raises DIRECTORY_INVALID."""
    data = json.dumps(plain, ensure_ascii=False, indent=2).encode() + b"\n"
    read_entry(kind, data, "entry")
    return data


def next_directory(
    directory: Directory,
    entry: Entry | None,
    passport: PassportEntry | None,
    *,
    issued: int,
    expires: int,
    require_passports: bool = False,
) -> bytes:
    """The next version of a directory, canonical and still to be signed, with the entry, if there is one.

    ``directory``: without what is to be left out. An entry takes the place of one of its id. ``passport``: that a city
    is admitted with; without one it keeps the one that it is listed with, and no other. ``issued``, ``expires``: Unix
    seconds. ``require_passports``: of every city from this version on; where it holds already it goes on to hold.
    Raises DIRECTORY_INVALID with every problem.
    """
    rest = directory if entry is None else _without_entry(directory, entry)
    plain: dict[str, Any] = json.loads(build_directory(rest))
    plain |= {"version": directory.version + 1, "issued": issued, "expires": expires}
    if require_passports:
        plain["require_passports"] = True
    if entry is not None:
        members = _MEMBERS[entry.kind]
        plain[members] = sorted([*plain[members], _member(directory, entry, passport)], key=lambda item: item["id"])
    data = rfc8785.dumps(plain)
    try:
        read_directory(data)
    except ProblemsError as error:
        whose = "the directory" if entry is None else f"the {entry.kind}'s entry"
        remedy = f"have {whose} corrected and handed over anew"
        problems = [replace(item, remedy=item.remedy or remedy) for item in error.problems]
        raise ProblemsError(Reason.DIRECTORY_INVALID, problems) from error
    return data


def _without_entry(directory: Directory, entry: Entry) -> Directory:
    if entry.kind == "city":
        return replace(directory, cities={k: v for k, v in directory.cities.items() if k != entry.id})
    return replace(directory, operators={k: v for k, v in directory.operators.items() if k != entry.id})


def _member(directory: Directory, entry: Entry, passport: PassportEntry | None) -> dict[str, Any]:
    """The entry as the directory lists it. Raises DIRECTORY_INVALID for a passport that nobody has verified."""
    mine = entry.document.model_dump(mode="json", exclude_none=True)
    listed = directory.cities.get(CityId(entry.id)) if entry.kind == "city" else None
    admitted = passport or (None if listed is None else listed.passport)
    known = None if admitted is None else {"digest": admitted.digest, "expires": admitted.expires}
    if mine.setdefault("passport", known) != known and passport is None:
        problem = Problem("entry", "passport", "is one that nobody here has verified", "give the passport itself")
        raise ProblemsError(Reason.DIRECTORY_INVALID, [problem])
    return {name: value for name, value in (mine | {"passport": known}).items() if value is not None}
