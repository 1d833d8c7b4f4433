"""Roots as files: the first one comes out of band, each later one is signed by the one before it and by itself.

As in TUF (The Update Framework, section 5.3): ``root.json`` is the anchor that people handed over; ``root.2.json`` is
version 2 in an envelope that enough authorities of version 1 and enough of version 2 have signed; and so on, none left
out. Whoever holds an older root so finds the way to the newest, and a lost key of an authority can be replaced without
visiting every peer. An expired root may lead to a newer one; nothing else is accepted under it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.crypto.envelope import (
    MAX_ENVELOPE_BYTES,
    NEVER_S,
    PAYLOAD_TYPES,
    ROOT_FORMAT,
    ROOT_TYPE,
    Authority,
    Root,
    verify,
)
from gateway.crypto.jws import strict_object
from gateway.crypto.keys import parse_jwk, thumbprint
from gateway.errors import Problem, ProblemsError, Reason, TiergateError

MAX_ROOT_BYTES = 64 * 1024
MAX_ROOT_VERSION = 1_000_000
_MEMBERS = {"format", "version", "expires", "authorities", "thresholds"}


def read_root(path: Path) -> Root:
    """The newest root that ``path`` leads to. Whether it is in force is :func:`check_root`.

    Raises CONFIG_INVALID, as a :class:`ProblemsError`, naming each problem of the anchor or of a later root.
    """
    anchor = _contents(path, MAX_ROOT_BYTES)
    if anchor is None:
        raise _root_error(path, "", "cannot be read (No such file or directory)")
    root = parse_root(anchor, path)
    while (envelope := _contents(next_root(path, root), MAX_ENVELOPE_BYTES)) is not None:
        root = succeed(root, envelope, next_root(path, root))
    return root


def next_root(anchor: Path, root: Root) -> Path:
    """Where the root after ``root`` is looked for: ``root.json`` is followed by ``root.2.json`` beside it."""
    return anchor.with_name(f"{anchor.stem}.{root.version + 1}{anchor.suffix}")


def succeed(root: Root, envelope: bytes, path: Path) -> Root:
    """The root in ``envelope``, if it may follow ``root``: the next version, signed under both.

    Raises CONFIG_INVALID, as a :class:`ProblemsError` naming ``path``.
    """
    try:
        payload = verify(root, ROOT_TYPE, envelope)
        following = parse_root(payload, path)
        verify(following, ROOT_TYPE, envelope)
    except ProblemsError:
        raise
    except TiergateError as error:
        remedy = f"have it signed under version {root.version} and under itself, or take the file away"
        problem = Problem(
            str(path), "", f"is not a root signed by its authorities and its forerunner's: {error.detail}", remedy
        )
        raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
    if following.version != root.version + 1:
        raise _root_error(path, "version", f"is {following.version}; after {root.version} comes {root.version + 1}")
    return following


def check_root(root: Root, now_s: int, newest_seen: int = 0) -> Root:
    """The root, if it is in force at ``now_s`` (Unix seconds) and not older than the newest version seen, or 0.

    Raises SIGNATURE_INVALID: a root before could bring back an authority that has lost its key.
    """
    if now_s >= root.expires:
        raise TiergateError(Reason.SIGNATURE_INVALID, f"root version {root.version} has expired; install the next one")
    if root.version < newest_seen:
        detail = f"root version {root.version} is older than version {newest_seen}, seen before"
        raise TiergateError(Reason.SIGNATURE_INVALID, detail)
    return root


def _contents(path: Path, limit: int) -> bytes | None:
    """A file's bytes, one more than ``limit`` at most; None when it does not exist. Raises CONFIG_INVALID."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _root_error(path, "", f"cannot be read ({error.strerror})") from error


def parse_root(data: bytes, path: Path) -> Root:
    """A root's document. Raises CONFIG_INVALID, as a :class:`ProblemsError` naming ``path`` and each problem."""
    if len(data) > MAX_ROOT_BYTES:
        raise _root_error(path, "", f"is larger than {MAX_ROOT_BYTES} bytes")
    try:
        document = strict_object(data)
    except ValueError as error:
        raise _root_error(path, "", f"is not a JSON object: {error}") from error
    if document.get("format") != ROOT_FORMAT or set(document) != _MEMBERS:
        raise _root_error(path, "", f'must have just format "{ROOT_FORMAT}", version, expires, authorities, thresholds')
    for name, highest in (("version", MAX_ROOT_VERSION), ("expires", NEVER_S)):
        if type(document[name]) is not int or not 1 <= document[name] <= highest:
            raise _root_error(path, name, f"must be a whole number from 1 to {highest}")
    authorities, thresholds = document["authorities"], document["thresholds"]
    if not isinstance(authorities, list) or not authorities or not isinstance(thresholds, dict):
        raise _root_error(path, "authorities", "at least one authority and its thresholds are needed")
    items = tuple(_authority(path, place, item) for place, item in enumerate(authorities))
    problems = _root_problems(path, items, thresholds)
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)
    return Root(items, thresholds, document["version"], document["expires"])


def _authority(path: Path, place: int, item: Any) -> Authority:
    where = f"authorities.{place}"
    if not isinstance(item, dict) or set(item) != {"name", "keyid", "jwk", "payload_types"}:
        raise _root_error(path, where, "must have just name, keyid, jwk, payload_types")
    name, jwk, types = item["name"], item["jwk"], item["payload_types"]
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
        raise _root_error(path, f"{where}.name", "must be 1 to 64 printable characters")
    if not isinstance(types, list) or not types or not all(kind in sorted(PAYLOAD_TYPES) for kind in types):
        raise _root_error(path, f"{where}.payload_types", f"must be some of {', '.join(sorted(PAYLOAD_TYPES))}")
    if not isinstance(jwk, dict) or not all(isinstance(value, str) for value in jwk.values()):
        raise _root_error(path, f"{where}.jwk", "must be a public key")
    try:
        parse_jwk(jwk)
    except TiergateError as error:
        raise _root_error(
            path, f"{where}.jwk", "must be a public P-256 or Ed25519 key without other members"
        ) from error
    if item["keyid"] != thumbprint(jwk):
        raise _root_error(path, f"{where}.keyid", "is not the key's thumbprint (RFC 7638)")
    return Authority(name, jwk, frozenset(types))


def _root_problems(path: Path, authorities: Sequence[Authority], thresholds: Mapping[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    if len({item.keyid for item in authorities}) != len(authorities):
        # under two names one key would count as two authorities
        problems.append(Problem(path.name, "authorities", "a key is listed twice"))
    if not thresholds:
        problems.append(Problem(path.name, "thresholds", "is empty"))
    for kind, threshold in thresholds.items():
        able = len({item.name for item in authorities if kind in item.payload_types})
        if kind not in PAYLOAD_TYPES:
            # strict JSON can hold lone surrogates, which no terminal can be sent
            shown = f".{kind}" if kind.isprintable() else ""
            problems.append(Problem(path.name, f"thresholds{shown}", "unknown payload type"))
        elif type(threshold) is not int or not 1 <= threshold <= able:
            problems.append(
                Problem(path.name, f"thresholds.{kind}", f"must be 1 to {able}, the authorities that may sign")
            )
    return problems


def _root_error(path: Path, where: str, message: str) -> ProblemsError:
    return ProblemsError(
        Reason.CONFIG_INVALID,
        [Problem(path.name, where, message, "install the root file that the authorities handed over")],
    )
