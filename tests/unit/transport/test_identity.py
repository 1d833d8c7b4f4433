from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from gateway.domain.directory import Directory
from gateway.domain.ids import PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Callers, identify_by_certificate
from gateway.transport.unsafe_plaintext import IDENTITY_KEY, UnsafePlaintext
from tests.fakes.ca import TRUST_DOMAIN, identity
from tests.rpc.harness import GATEWAY, directory

FUZHOU = identity("city", "fuzhou")


def unknown(callers: Callers, uri: str) -> str:
    """What the log says of a stranger."""
    with pytest.raises(TiergateError) as caught:
        callers.resolve(uri.encode())
    assert caught.value.reason is Reason.CALLER_UNKNOWN
    return caught.value.detail


def test_everybody_in_the_directory_is_known_by_the_exact_uri() -> None:
    known = directory()
    callers = Callers(lambda: known, GATEWAY)
    for peer in (
        GATEWAY,
        FUZHOU,
        identity("operator", "library"),
        identity("auditor", "office"),
        identity("witness", "xiamen"),
    ):
        caller = callers.resolve(peer.uri.encode())
        assert (caller.identity, caller.uri) == (peer, peer.uri)


def test_a_city_s_own_app_is_known_to_that_city_alone() -> None:
    app, other = identity("city-app", "fuzhou"), identity("city-app", "xiamen")
    callers = Callers(directory, FUZHOU)
    assert callers.resolve(app.uri.encode()).identity == app
    unknown(callers, other.uri)
    unknown(Callers(directory, GATEWAY), app.uri)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (identity("operator", "nobody").uri, "not in the directory"),
        (PeerIdentity("elsewhere.example", "operator", "library").uri, "of another trust domain"),
        (f"spiffe://{TRUST_DOMAIN}/root", "known shape"),
        ("spiffe://榕城/operator/library", "known shape"),
        ("", "known shape"),
    ],
)
def test_a_stranger_is_refused_and_the_log_says_what_kind(uri: str, why: str) -> None:
    assert why in unknown(Callers(directory, GATEWAY), uri)


def test_a_new_directory_counts_at_once() -> None:
    versions: list[Directory] = [directory()]
    callers = Callers(lambda: versions[-1], GATEWAY)
    library = identity("operator", "library").uri
    callers.resolve(library.encode())
    versions.append(dataclasses.replace(versions[0], version=2, operators={}))
    unknown(callers, library)


def test_without_a_directory_nobody_is_known() -> None:
    def expired() -> Directory:
        raise TiergateError(Reason.DIRECTORY_INVALID, "expired")

    with pytest.raises(TiergateError) as caught:
        Callers(expired, GATEWAY).resolve(GATEWAY.uri.encode())
    assert caught.value.reason is Reason.DIRECTORY_INVALID


class Context:
    """As much of a call's context as identity looks at."""

    def __init__(self, uris: list[bytes] | None = None, metadata: list[tuple[str, str]] | None = None) -> None:
        self._uris = uris
        self._metadata = metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {} if self._uris is None else {"peer_uri": self._uris}

    def invocation_metadata(self) -> list[tuple[str, str]] | None:
        return self._metadata


@pytest.mark.parametrize("uris", [None, [], [GATEWAY.uri.encode(), GATEWAY.uri.encode()]])
def test_one_uri_is_needed_in_the_certificate(uris: list[bytes] | None) -> None:
    identify = identify_by_certificate(Callers(directory, GATEWAY).resolve)
    with pytest.raises(TiergateError) as caught:
        identify(cast("Any", Context(uris)))
    assert caught.value.reason is Reason.CALLER_UNKNOWN


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:7000", "127.9.9.9:1"])
def test_plaintext_is_granted_on_loopback(address: str) -> None:
    assert UnsafePlaintext(address, allow=True).address == address


@pytest.mark.parametrize(
    ("address", "allow"),
    [("127.0.0.1:0", False), ("0.0.0.0:1", True), ("10.0.0.1:1", True), ("localhost:1", True), ("[::]:1", True)],
)
def test_plaintext_is_refused_otherwise(address: str, allow: bool) -> None:
    with pytest.raises(TiergateError) as caught:
        UnsafePlaintext(address, allow=allow)
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_plaintext_takes_the_claimed_identity_if_the_directory_has_it() -> None:
    identify = UnsafePlaintext.identify(Callers(directory, GATEWAY).resolve)
    library = identity("operator", "library")
    claimed = Context(metadata=[("user-agent", "x"), (IDENTITY_KEY, library.uri)])
    assert identify(cast("Any", claimed)).identity == library
    for metadata in (None, [], [(IDENTITY_KEY, "x"), (IDENTITY_KEY, library.uri)], [(IDENTITY_KEY, "stranger")]):
        with pytest.raises(TiergateError) as caught:
            identify(cast("Any", Context(metadata=metadata)))
        assert caught.value.reason is Reason.CALLER_UNKNOWN
