"""Who is calling: the one URI SAN of the client's certificate, looked up in the peer directory.

The TLS library has verified the chain. Here the certificate must carry exactly one URI SAN, and that URI must be,
byte for byte, the SPIFFE ID of an entry of the directory. The entry gives role and name; nothing that the caller sends
inside a message ever does. Identity belongs to a call's own connection and is asked of it on every call (10 µs): an
address and port are reused by others, so nothing is remembered under them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from gateway.domain.directory import Directory
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError

Context = grpc.aio.ServicerContext[Any, Any]
Resolve = Callable[[bytes], "Caller"]
"""From the bytes of a URI SAN to the caller; raises CALLER_UNKNOWN for everything that is not in the directory."""
Identify = Callable[[Context], "Caller"]
"""From a call's context to the caller; raises CALLER_UNKNOWN."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated peer: an entry of the directory that proved its key in the TLS handshake."""

    identity: PeerIdentity
    uri: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uri", self.identity.uri)


class Callers:
    """The directory as an index from SPIFFE ID to caller, made anew when the directory is another one.

    ``directory`` returns the version in force (and may raise when none is). ``own`` is this process's identity: the
    city's own app is known to its city alone, from the city's name, and does not stand in the directory.
    """

    def __init__(self, directory: Callable[[], Directory], own: PeerIdentity) -> None:
        self._directory = directory
        self._own = own
        self._seen: Directory | None = None
        self._index: dict[bytes, Caller] = {}

    def resolve(self, uri: bytes) -> Caller:
        """The caller of a SPIFFE ID. Raises CALLER_UNKNOWN."""
        directory = self._directory()
        if directory is not self._seen:
            known = (item for item in self._known(directory) if item.uri not in directory.removed)
            self._index = {item.uri.encode(): Caller(item) for item in known}
            self._seen = directory
        caller = self._index.get(uri)
        if caller is None:
            raise TiergateError(Reason.CALLER_UNKNOWN, self._why_unknown(uri, directory))
        return caller

    def _known(self, directory: Directory) -> Iterator[PeerIdentity]:
        yield directory.gateway.identity
        for city in directory.cities.values():
            yield city.identity
        for operator in directory.operators.values():
            yield operator.identity
        yield from directory.auditors.values()
        yield from directory.witnesses.values()
        if self._own.role == "city":
            yield self._own.app

    @staticmethod
    def _why_unknown(uri: bytes, directory: Directory) -> str:
        """For the log: which kind of stranger it was. The certificate is valid, so its URI is no free text."""
        try:
            identity = PeerIdentity.parse(uri.decode("ascii"))
        except (TiergateError, UnicodeDecodeError):
            return "the certificate's URI is not a SPIFFE id of a known shape"
        if identity.trust_domain != directory.trust_domain:
            return f"of another trust domain: {identity.uri}"
        return f"not in the directory: {identity.uri}"


def identify_by_certificate(resolve: Resolve) -> Identify:
    """The identity step of a server with mutual TLS."""

    def identify(context: Context) -> Caller:
        uris = tuple(context.auth_context().get("peer_uri", ()))
        if len(uris) != 1:
            raise TiergateError(Reason.CALLER_UNKNOWN, f"{len(uris)} URI SANs where there must be one")
        return resolve(uris[0])

    return identify
