"""Changes of one owner's keys in the peer directory: pure, each gives the next version, or the same one if it is there.

The order in which keys of one purpose are listed means something for proofs alone: a city binds new tokens to the
first one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from gateway.domain.directory import Directory, DirectoryKey, KeyPurpose
from gateway.domain.ids import CityId, OperatorId
from gateway.errors import Problem, ProblemsError, Reason


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """A city or an operator of the directory."""

    kind: Literal["city", "operator"]
    name: str


def keys_of(directory: Directory, owner: KeyOwner) -> tuple[DirectoryKey, ...]:
    """The keys that the directory lists for an owner. Raises DIRECTORY_INVALID if it does not list the owner."""
    if owner.kind == "city":
        city = directory.cities.get(CityId(owner.name))
        if city is not None:
            return city.keys
    else:
        operator = directory.operators.get(OperatorId(owner.name))
        if operator is not None:
            return operator.keys
    problem = Problem("directory", "", f"lists no {owner.kind} {owner.name}", "have yourself entered first")
    raise ProblemsError(Reason.DIRECTORY_INVALID, [problem])


def with_key(directory: Directory, owner: KeyOwner, key: DirectoryKey) -> Directory:
    """The key listed beside the others, after them."""
    return _changed(directory, owner, lambda keys: keys if key in keys else (*keys, key))


def with_first(directory: Directory, owner: KeyOwner, purpose: KeyPurpose, kid: str) -> Directory:
    """A listed key before the others of its purpose."""

    def moved(keys: tuple[DirectoryKey, ...]) -> tuple[DirectoryKey, ...]:
        return tuple(sorted(keys, key=lambda item: (item.purpose, item.kid) != (purpose, kid)))

    same = [key.kid for key in keys_of(directory, owner) if key.purpose == purpose]
    return directory if same[:1] == [kid] else _changed(directory, owner, moved)


def without_key(directory: Directory, owner: KeyOwner, purpose: KeyPurpose, kid: str) -> Directory:
    """The key removed. Raises DIRECTORY_INVALID for a city's last one of the purpose: a new one comes first."""
    rest = [key for key in keys_of(directory, owner) if key.purpose == purpose and key.kid != kid]
    if owner.kind == "city" and not rest:
        problem = Problem("directory", f"cities.{owner.name}.keys", f"no key of purpose {purpose} would be left")
        raise ProblemsError(Reason.DIRECTORY_INVALID, [problem])
    return _changed(
        directory, owner, lambda keys: tuple(key for key in keys if (key.purpose, key.kid) != (purpose, kid))
    )


def _changed(
    directory: Directory,
    owner: KeyOwner,
    change: Callable[[tuple[DirectoryKey, ...]], tuple[DirectoryKey, ...]],
) -> Directory:
    before = keys_of(directory, owner)
    keys = change(before)
    if keys == before:
        return directory
    version = directory.version + 1
    if owner.kind == "city":
        city = directory.cities[CityId(owner.name)]
        return replace(directory, version=version, cities={**directory.cities, city.id: replace(city, keys=keys)})
    operator = directory.operators[OperatorId(owner.name)]
    operators = {**directory.operators, operator.id: replace(operator, keys=keys)}
    return replace(directory, version=version, operators=operators)
