"""Roots as files: the first one comes out of band, each later one is signed by the one before it and by itself.

As in TUF (The Update Framework, section 5.3): ``root.json`` is the anchor that people handed over; ``root.2.json`` is
version 2 in an envelope that enough authorities of version 1 and enough of version 2 have signed; and so on, none left
out. Whoever holds an older root so finds the way to the newest, and a lost key of an authority can be replaced without
visiting every peer. An expired root may lead to a newer one; nothing else is accepted under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gateway.crypto.envelope import (
    MAX_ENVELOPE_BYTES,
    ROOT_TYPE,
    Authority,
    Root,
    verify,
)
from gateway.crypto.jws import strict_object
from gateway.crypto.keys import parse_jwk, thumbprint
from gateway.crypto.signed_schema import AuthorityDoc, RootDoc
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.files import bytes_of

MAX_ROOT_BYTES = 64 * 1024
_REMEDY = "install the root file that the authorities handed over"


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
    return replace(following, before=root)


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
        return bytes_of(path, limit + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _root_error(path, "", f"cannot be read ({error.strerror})") from error


def parse_root(data: bytes, path: Path) -> Root:
    """A root's document. Raises CONFIG_INVALID, as a :class:`ProblemsError` naming ``path`` and each problem."""
    if len(data) > MAX_ROOT_BYTES:
        raise _root_error(path, "", f"is larger than {MAX_ROOT_BYTES} bytes")
    try:
        plain = strict_object(data)
    except ValueError as error:
        raise _root_error(path, "", f"is not a JSON object: {error}") from error
    try:
        document = RootDoc.model_validate(plain)
    except ValidationError as error:
        problems = [
            Problem(path.name, _shown(item["loc"]), item["msg"], _REMEDY)
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ProblemsError(Reason.CONFIG_INVALID, problems) from error
    problems = [item for place, doc in enumerate(document.authorities) for item in _key_problems(path, place, doc)]
    authorities = tuple(Authority(item.name, item.jwk, frozenset(item.payload_types)) for item in document.authorities)
    thresholds = {str(kind): count for kind, count in document.thresholds.items()}
    problems = problems or _root_problems(path, authorities, thresholds)
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)
    return Root(authorities, thresholds, document.version, document.expires)


def _shown(location: Sequence[int | str]) -> str:
    """Dotted path. Strict JSON can hold lone surrogates, which no terminal can be sent."""
    parts = [str(part) for part in location if part != "[key]"]
    return ".".join(part for part in parts if part.isprintable())


def _key_problems(path: Path, place: int, doc: AuthorityDoc) -> Iterator[Problem]:
    where = f"authorities.{place}"
    try:
        parse_jwk(doc.jwk)
    except TiergateError:
        message = "must be a public P-256 or Ed25519 key without other members"
        yield Problem(path.name, f"{where}.jwk", message, _REMEDY)
        return
    if doc.keyid != thumbprint(doc.jwk):
        yield Problem(path.name, f"{where}.keyid", "is not the key's thumbprint (RFC 7638)", _REMEDY)


def _root_problems(path: Path, authorities: Sequence[Authority], thresholds: Mapping[str, int]) -> list[Problem]:
    problems: list[Problem] = []
    if len({item.keyid for item in authorities}) != len(authorities):
        # under two names one key would count as two authorities
        problems.append(Problem(path.name, "authorities", "a key is listed twice", _REMEDY))
    for kind, threshold in thresholds.items():
        able = len({item.name for item in authorities if kind in item.payload_types})
        if threshold > able:
            message = f"must be 1 to {able}, the authorities that may sign"
            problems.append(Problem(path.name, f"thresholds.{kind}", message, _REMEDY))
    return problems


def _root_error(path: Path, where: str, message: str) -> ProblemsError:
    return ProblemsError(Reason.CONFIG_INVALID, [Problem(path.name, where, message, _REMEDY)])
