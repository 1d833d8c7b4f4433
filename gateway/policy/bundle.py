"""The policy bundle: all policies in one canonical, content-addressed document (RFC 8785 JSON).

The bundle's bytes are what is signed, stored and named in decisions (I8); they are never re-serialised after signing.
Reading applies the same shape and rules as the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal, TypeVar

import rfc8785
from pydantic import Field, TypeAdapter, ValidationError

from gateway.domain.bundle import Bundle
from gateway.domain.ids import BundleDigest
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.policy import schema
from gateway.policy.check import check
from gateway.policy.documents import Documents, Located, to_policies
from gateway.policy.load import LoadedPolicies
from gateway.policy.problems import problems_of

MAX_BUNDLE_BYTES = 16 * 1024 * 1024
"""A thousand scenarios and three hundred cities, each listing all others, take under 4 MiB."""
DEFAULT_GRACE_S = 86_400
MAX_GRACE_S = 30 * 86_400
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
    cities: Annotated[list[schema.CityFile], Field(max_length=1000)]
    scenarios: Annotated[list[schema.ScenarioFile], Field(max_length=10_000)]
    operators: Annotated[list[schema.OperatorFile], Field(max_length=10_000)]
    acceptance: Annotated[list[schema.AcceptanceFile], Field(max_length=1000)]
    notice: schema.NoticeFile


def build_bundle(
    loaded: LoadedPolicies,
    version: int,
    expires: date,
    *,
    effective: int = 0,
    grace_s: int = DEFAULT_GRACE_S,
    directory_from: int = 1,
) -> bytes:
    """The canonical bytes of a bundle; ``expires`` is the last day (UTC) on which it may be used.

    ``effective``: from when it is in force (Unix seconds; 0: at once), and ``grace_s``: how long the one before is
    still answered under; ``directory_from``: the lowest version of the directory that it goes with.

    Raises BUNDLE_INVALID for a version or size out of range. The same policies, version and day give the same bytes.
    """
    try:
        document = BundleDoc(
            format="tiergate-bundle/1",
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
    data = _canonical(document)
    if len(data) > MAX_BUNDLE_BYTES:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    return data


def digest_of(data: bytes) -> BundleDigest:
    """Digest of a bundle's exact bytes: SHA-256, 64 lower-case hex digits."""
    return BundleDigest(hashlib.sha256(data).hexdigest())


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle whose signature has been verified. Raises BUNDLE_INVALID with every problem.

    Only the canonical form is taken, so that one set of policies has one digest. Whether the bundle is still in force
    on a day is :func:`check_in_force`.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle is larger than {MAX_BUNDLE_BYTES} bytes")
    try:
        document = BundleDoc.model_validate_json(data)
    except ValidationError as error:
        raise ProblemsError(Reason.BUNDLE_INVALID, problems_of(_FILE, error, _plain(data))) from error
    if _canonical(document) != data:
        raise TiergateError(Reason.BUNDLE_INVALID, "bundle is not in canonical form")
    problems = list(check(_documents(document)).errors)
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


def check_in_force(bundle: Bundle, day: date) -> Bundle:
    """The bundle, if ``day`` (UTC) is not after its last day. Raises BUNDLE_INVALID."""
    if day > bundle.expires:
        raise TiergateError(Reason.BUNDLE_INVALID, f"bundle version {bundle.version} expired on {bundle.expires}")
    return bundle


def _by_id(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda item: item.id)


def _canonical(document: BundleDoc) -> bytes:
    """RFC 8785 form; a value that is not set is left out, never null."""
    return rfc8785.dumps(document.model_dump(mode="json", exclude_none=True))


def _plain(data: bytes) -> object:
    """The JSON as plain values, for the paths of problems; nothing when it is not JSON at all."""
    try:
        return TypeAdapter(object).validate_json(data)
    except ValidationError:
        return None


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
