"""Notices: short signed documents that take something away at once, with the signature of any one authority.

A notice removes keys or peers from every directory that was issued before it, or announces the maintenance of a city or
of the gateway. It can add nothing: a directory that is issued later, and takes the threshold of signatures, may list
again what was removed. Their files lie in the folder ``notices`` beside the directory; their order means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import rfc8785
from pydantic import Field, StringConstraints, ValidationError

from gateway.crypto.keys import thumbprint
from gateway.domain.directory import GATEWAY, CityPeer, Directory, DirectoryKey, Maintenance, OperatorPeer
from gateway.domain.ids import PeerIdentity
from gateway.errors import Problem, ProblemsError, Reason
from gateway.policy.directory_schema import Identity, Seconds
from gateway.policy.problems import problems_of
from gateway.policy.schema import Slug, Strict

MAX_NOTICE_BYTES = 64 * 1024
MAX_MAINTENANCE_S = 3 * 86_400
_FILE = "notice"


class MaintenanceDoc(Strict):
    """From when until when a city (its id), or the gateway ("gateway"), does not answer."""

    peer: Slug
    starts: Seconds
    ends: Seconds


Thumbprint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


class NoticeDoc(Strict):
    """The notice as JSON; of the three lists, at least one holds something."""

    format: Literal["tiergate-notice/1"]
    issued: Seconds
    keys: Annotated[list[Thumbprint], Field(max_length=64)]
    peers: Annotated[list[Identity], Field(max_length=64)]
    maintenance: Annotated[list[MaintenanceDoc], Field(max_length=64)]


@dataclass(frozen=True, slots=True)
class Notice:
    """What is taken away. ``keys`` are RFC 7638 thumbprints, ``peers`` SPIFFE ids; ``issued`` Unix seconds."""

    issued: int
    keys: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()

    @property
    def removed(self) -> Mapping[str, int]:
        """What is removed (thumbprint or SPIFFE id), and when the notice was issued."""
        return dict.fromkeys((*self.keys, *self.peers), self.issued)


def build_notice(notice: Notice) -> bytes:
    """The canonical bytes (RFC 8785 JSON) of a notice, to be signed. Raises NOTICE_INVALID with every problem."""
    data = rfc8785.dumps(
        {
            "format": "tiergate-notice/1",
            "issued": notice.issued,
            "keys": list(notice.keys),
            "peers": list(notice.peers),
            "maintenance": [
                {"peer": item.peer, "starts": item.starts, "ends": item.ends} for item in notice.maintenance
            ],
        }
    )
    read_notice(data)
    return data


def read_notice(data: bytes) -> Notice:
    """Read a notice whose signature has been verified. Raises NOTICE_INVALID with every problem."""
    if len(data) > MAX_NOTICE_BYTES:
        raise _invalid([Problem(_FILE, "", f"is larger than {MAX_NOTICE_BYTES} bytes")])
    try:
        document = NoticeDoc.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(problems_of(_FILE, error, None)) from error
    if rfc8785.dumps(document.model_dump(mode="json")) != data:
        raise _invalid([Problem(_FILE, "", "is not in canonical form")])
    if not (document.keys or document.peers or document.maintenance):
        raise _invalid([Problem(_FILE, "", "takes nothing away", "name a key, a peer or a maintenance")])
    wrong = [
        Problem(
            _FILE,
            f"maintenance.{place}",
            f"does not last from 1 second to {MAX_MAINTENANCE_S // 3600} hours",
            "announce a longer one bit by bit",
        )
        for place, item in enumerate(document.maintenance)
        if not 0 < item.ends - item.starts <= MAX_MAINTENANCE_S
    ]
    if wrong:
        raise _invalid(wrong)
    planned = (Maintenance(item.peer, item.starts, item.ends) for item in document.maintenance)
    return Notice(document.issued, tuple(document.keys), tuple(document.peers), tuple(planned))


def without(directory: Directory, removed: Mapping[str, int]) -> Directory:
    """The directory without the keys and peers that were removed after it was issued.

    ``removed`` gives, by thumbprint or SPIFFE id, the newest time of removal (Unix seconds). A removal of the very
    second of issue counts: when in doubt, a key verifies nothing. Who is no member of it, the gateway or a city's own
    app, is kept out by ``Directory.removed``.
    """
    gone = {name for name, at in removed.items() if at >= directory.issued}
    if not gone:
        return directory

    def stays(identity: PeerIdentity) -> bool:
        return identity.uri not in gone

    def kept(keys: Sequence[DirectoryKey]) -> tuple[DirectoryKey, ...]:
        return tuple(key for key in keys if thumbprint(key.jwk) not in gone)

    return replace(
        directory,
        removed=frozenset(gone),
        cities={
            name: replace(peer, keys=kept(peer.keys)) for name, peer in directory.cities.items() if stays(peer.identity)
        },
        operators={
            name: replace(peer, keys=kept(peer.keys))
            for name, peer in directory.operators.items()
            if stays(peer.identity)
        },
        auditors={name: identity for name, identity in directory.auditors.items() if stays(identity)},
        auditor_scopes={
            name: scope for name, scope in directory.auditor_scopes.items() if stays(directory.auditors[name])
        },
        witnesses={name: identity for name, identity in directory.witnesses.items() if stays(identity)},
    )


def unlisted(notice: Notice, directory: Directory) -> list[str]:
    """What a notice names and a directory, as it was signed, does not: taking that away changes nothing."""
    peers: list[CityPeer | OperatorPeer] = [*directory.cities.values(), *directory.operators.values()]
    keys = {thumbprint(key.jwk) for peer in peers for key in peer.keys}
    others = (directory.gateway.identity, *directory.auditors.values(), *directory.witnesses.values())
    apps = (city.identity.app for city in directory.cities.values())
    identities = {identity.uri for identity in (*(peer.identity for peer in peers), *others, *apps)}
    names = {GATEWAY, *directory.cities}
    return [
        *(key for key in notice.keys if key not in keys),
        *(peer for peer in notice.peers if peer not in identities),
        *(item.peer for item in notice.maintenance if item.peer not in names),
    ]


def newest_removals(notices: Iterable[Notice], before: Mapping[str, int]) -> dict[str, int]:
    """All that is removed, with the newest time of each; ``before`` is what was known already."""
    removed = dict(before)
    for notice in notices:
        for name, at in notice.removed.items():
            removed[name] = max(at, removed.get(name, 0))
    return removed


def _invalid(problems: list[Problem]) -> ProblemsError:
    return ProblemsError(Reason.NOTICE_INVALID, problems)
