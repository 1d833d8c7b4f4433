"""The policy bundle: all policies in one canonical, content-addressed document (RFC 8785 JSON).

The bundle's bytes are what is signed, stored and named in decisions (I8); they are never re-serialised after signing.
Reading applies the same shape and rules as the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError

from gateway.domain.bundle import Bundle
from gateway.domain.ids import BundleDigest
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy import schema
from gateway.policy.check import check
from gateway.policy.documents import Documents, Located, to_policies
from gateway.policy.load import LoadedPolicies
from gateway.policy.pace import Breathe, at_once, paced
from gateway.policy.problems import problems_of

MAX_BUNDLE_BYTES = 16 * 1024 * 1024
"""A thousand scenarios and three hundred cities, each listing all others, take under 4 MiB."""
MAX_CITIES, MAX_OFFERS = 1000, 10_000
FORMAT: Final = "tiergate-bundle/1"
MAX_GRACE_S = 30 * 86_400
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FILE = "bundle"
Item = TypeVar("Item", bound=schema.Named)


class BundleDoc(schema.Strict):
    """The bundle as JSON. Lists are in order of id."""

    format: Literal["tiergate-bundle/1"]
    version: schema.Version
    expires: date
    effective: Annotated[int, Field(ge=0, le=schema.SAFE_INTEGER)]
    grace_s: Annotated[int, Field(ge=0, le=MAX_GRACE_S)]
    directory_from: schema.Version
    scale: schema.ScaleFile
    cities: Annotated[list[schema.CityFile], Field(max_length=MAX_CITIES)]
    scenarios: Annotated[list[schema.ScenarioFile], Field(max_length=MAX_OFFERS)]
    operators: Annotated[list[schema.OperatorFile], Field(max_length=MAX_OFFERS)]
    acceptance: Annotated[list[schema.AcceptanceFile], Field(max_length=MAX_CITIES)]
    notice: schema.NoticeFile


_LISTS: Mapping[str, tuple[type[schema.Named], int]] = {
    "cities": (schema.CityFile, MAX_CITIES),
    "scenarios": (schema.ScenarioFile, MAX_OFFERS),
    "operators": (schema.OperatorFile, MAX_OFFERS),
    "acceptance": (schema.AcceptanceFile, MAX_CITIES),
}


def build_bundle(
    loaded: LoadedPolicies,
    version: int,
    expires: date,
    *,
    effective: int = 0,
    grace_s: int = 0,
    directory_from: int = 1,
) -> bytes:
    """The canonical bytes of a bundle; ``expires`` is the last day (UTC) on which it may be used.

    ``effective``: from when it is in force (Unix seconds; 0: at once), and ``grace_s``: how long after that the one
    before is still answered under; ``directory_from``: the lowest version of the directory that it goes with.

    Raises BUNDLE_INVALID for a version, a size or times out of range. The same policies and options give the same
    bytes.
    """
    try:
        document = BundleDoc(
            format=FORMAT,
            version=version,
            expires=expires,
            effective=effective,
            grace_s=grace_s,
            directory_from=directory_from,
            scale=loaded.scale,
            cities=_by_id(loaded.cities),
            scenarios=_by_id(loaded.scenarios),
            operators=_by_id(loaded.operators),
            acceptance=_by_id(loaded.acceptance),
            notice=loaded.notice,
        )
    except ValidationError as error:
        raise ProblemsError(Reason.BUNDLE_INVALID, problems_of(_FILE, error, {})) from error
    if problems := list(_times(document)):
        raise ProblemsError(Reason.BUNDLE_INVALID, problems)
    data = _canonical(document)
    if len(data) > MAX_BUNDLE_BYTES:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    return data


def digest_of(data: bytes) -> BundleDigest:
    """Digest of a bundle's exact bytes: SHA-256, 64 lower-case hex digits."""
    return BundleDigest(hashlib.sha256(data).hexdigest())


def read_bundle(data: bytes, breathe: Breathe = at_once) -> Bundle:
    """Read a bundle whose signature has been verified. Raises BUNDLE_INVALID with every problem.

    Only the canonical form is taken, so that one set of policies has one digest. Whether the bundle is still in force
    on a day is :func:`check_in_force`. ``breathe`` is called between the policies, for a reader that others wait for.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    document = _document(data, breathe)
    if _canonical(document, breathe) != data:
        raise TiergateError(Reason.BUNDLE_INVALID, "bundle is not in canonical form")
    problems = [*_times(document), *check(_documents(document), breathe).errors]
    for kind, items in (
        ("cities", document.cities),
        ("scenarios", document.scenarios),
        ("operators", document.operators),
        ("acceptance", document.acceptance),
    ):
        ids = [item.id for item in items]
        if ids != sorted(ids):
            problems.append(Problem(_FILE, kind, "is not in order of id"))
    if problems:
        raise ProblemsError(Reason.BUNDLE_INVALID, problems)
    policies = to_policies(
        document.scale,
        document.cities,
        document.scenarios,
        document.operators,
        document.acceptance,
        document.notice,
        breathe,
    )
    return Bundle(
        digest_of(data),
        document.version,
        document.expires,
        policies.scale,
        policies.concordances,
        policies.scenarios,
        policies.operators,
        policies.acceptance,
        policies.notice,
        document.effective,
        document.grace_s,
        document.directory_from,
    )


def _times(document: BundleDoc) -> Iterator[Problem]:
    """What its times say about one another: a grace that no time begins would have ended in 1970."""
    if document.grace_s and not document.effective:
        remedy = "name the time: policy build --effective"
        yield Problem(_FILE, "grace_s", "is counted from effective, and the bundle is effective at once", remedy)
    if document.effective >= (document.expires.toordinal() + 1 - _EPOCH_DAY) * 86_400:
        yield Problem(_FILE, "effective", "is after the bundle's last day", "it would never be in force")


def check_in_force(bundle: Bundle, day: date) -> Bundle:
    """The bundle, if ``day`` (UTC) is not after its last day. Raises BUNDLE_INVALID."""
    if day > bundle.expires:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle version {bundle.version} expired on {bundle.expires}")
    return bundle


def _by_id(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.id)


def _document(data: bytes, breathe: Breathe) -> BundleDoc:
    """The bundle as a document. Its policies are validated one by one, which together is one long call otherwise."""
    plain = _plain(data, breathe)
    problems: list[Problem] = []
    lists: dict[str, list[Any]] = {}
    for kind, (model, most) in _LISTS.items():
        items = plain.get(kind) if plain else None
        if not isinstance(items, list) or len(items) > most:
            continue  # the whole says what is wrong with it
        lists[kind] = []
        for place, item in enumerate(paced(items, breathe)):
            try:
                lists[kind].append(model.model_validate_json(json.dumps(item)))
            except ValidationError as error:
                at = Located(_FILE, None, f"{kind}.{place}")
                problems += [replace(found, path=at.place_of(found.path)) for found in problems_of(_FILE, error, item)]
    try:
        rest = data if plain is None else json.dumps({**plain, **{kind: [] for kind in lists}})
        document = BundleDoc.model_validate_json(rest)
    except ValidationError as error:
        problems += problems_of(_FILE, error, plain)
        raise ProblemsError(Reason.BUNDLE_INVALID, problems) from error
    if problems:
        raise ProblemsError(Reason.BUNDLE_INVALID, problems)
    return document.model_copy(update=lists)


def _canonical(document: BundleDoc, breathe: Breathe = at_once) -> bytes:
    """RFC 8785 form; a value that is not set is left out, never null."""
    members = document.model_dump(mode="json", exclude_none=True, exclude=set(_LISTS))
    parts = {name: _json(value) for name, value in members.items()}
    for kind in _LISTS:
        items = paced(getattr(document, kind), breathe)
        parts[kind] = b"[%b]" % b",".join(_json(item.model_dump(mode="json", exclude_none=True)) for item in items)
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), parts[name]) for name in sorted(parts))


def _json(value: object) -> bytes:
    """What ``rfc8785`` makes of values without floats, whose keys are ASCII, in a tenth of the time."""
    return _ENCODER.encode(value).encode()


def _plain(data: bytes, breathe: Breathe) -> dict[str, Any] | None:
    """The JSON object as plain values; nothing when it is none."""

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        breathe()  # the parser would make of them the same, and let nobody else have a turn before its end
        return dict(pairs)

    try:
        plain = json.loads(data, object_pairs_hook=made)
    except (ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) else None


def _documents(document: BundleDoc) -> Documents:
    return Documents(
        Located(_FILE, document.scale, "scale"),
        _members("cities", document.cities),
        _members("scenarios", document.scenarios),
        _members("operators", document.operators),
        _members("acceptance", document.acceptance),
        Located(_FILE, document.notice, "notice"),
    )


def _members(kind: str, items: Sequence[Item]) -> list[Located[Item]]:
    return [Located(_FILE, item, f"{kind}.{place}") for place, item in enumerate(items)]
