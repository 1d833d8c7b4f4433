from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rfc8785

from gateway.crypto.keys import Algorithm, algorithm_of, generate_signing_key, public_jwk, thumbprint
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.domain.directory import (
    CityPeer,
    Directory,
    DirectoryKey,
    Endpoint,
    GatewayPeer,
    KeyPurpose,
    OperatorPeer,
    PassportEntry,
)
from gateway.domain.ids import CityId, OperatorId, PeerIdentity
from gateway.errors import ProblemsError, Reason, TiergateError
from gateway.policy.directory import MAX_DIRECTORY_BYTES, build_directory, check_fresh, read_directory

DOMAIN = "province.example.invalid"


def key(purpose: KeyPurpose, alg: Algorithm = "ES256") -> DirectoryKey:
    public = generate_signing_key(alg).public_key()
    jwk = public_jwk(public)
    return DirectoryKey(thumbprint(jwk), purpose, algorithm_of(public), jwk)


def city(name: str) -> CityPeer:
    keys = (key("consent"), key("attestation", "EdDSA"), key("event"))
    place = Endpoint("127.0.0.1:7001", f"{name}.{DOMAIN}")
    return CityPeer(CityId(name), "城", "City", PeerIdentity(DOMAIN, "city", name), place, keys)


def operator(name: str, *keys: DirectoryKey) -> OperatorPeer:
    return OperatorPeer(OperatorId(name), PeerIdentity(DOMAIN, "operator", name), keys)


@pytest.fixture(scope="module")
def directory() -> Directory:
    return Directory(
        version=3,
        issued=1_000,
        expires=2_000,
        trust_domain=DOMAIN,
        gateway=GatewayPeer(
            "province",
            PeerIdentity(DOMAIN, "gateway", ""),
            Endpoint("[::1]:7000", f"gateway.{DOMAIN}"),
            "log.example.invalid/2026q4",
            "log.example.invalid/2026q4+0123abcd+AQIDBA==",
        ),
        cities={CityId(name): city(name) for name in ("alpha", "beta")},
        operators={OperatorId("desk"): operator("desk", key("proof")), OperatorId("gate"): operator("gate")},
        auditors={"bureau": PeerIdentity(DOMAIN, "auditor", "bureau")},
        witnesses={"beta": PeerIdentity(DOMAIN, "witness", "beta")},
        auditor_scopes={"bureau": AuditScope.of(["alpha", "gone"])},
    )


def changed(directory: Directory, change: Callable[[Any], object]) -> bytes:
    document = json.loads(build_directory(directory))
    change(document)
    return rfc8785.dumps(document)


def problem_paths(data: bytes) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        read_directory(data)
    assert caught.value.reason is Reason.DIRECTORY_INVALID
    return [problem.path for problem in caught.value.problems]


def test_what_is_built_is_read_back(directory: Directory) -> None:
    data = build_directory(directory)
    assert read_directory(data) == directory
    assert build_directory(read_directory(data)) == data


def test_an_empty_directory_is_one(directory: Directory) -> None:
    bare = replace(directory, cities={}, operators={}, auditors={}, witnesses={}, auditor_scopes={})
    assert read_directory(build_directory(bare)) == bare


def test_a_directory_without_scopes_has_the_form_that_it_had_before_there_were_any(directory: Directory) -> None:
    bare = build_directory(replace(directory, auditor_scopes={}))
    assert b"auditor_scopes" not in bare
    assert read_directory(bare).auditor_scopes == {}
    whole = build_directory(replace(directory, auditor_scopes={"bureau": WHOLE_LOG}))
    assert b'"auditor_scopes":{"bureau":"all"}' in whole
    assert read_directory(whole).auditor_scopes == {"bureau": WHOLE_LOG}


def test_no_city_bears_the_name_by_which_notices_call_the_gateway(directory: Directory) -> None:
    def named(document: Any) -> None:
        document["cities"][1] |= {"id": "gateway", "identity": PeerIdentity(DOMAIN, "city", "gateway").uri}

    assert problem_paths(changed(directory, named)) == ["cities.1.id"]


@pytest.mark.parametrize("scope", ["alpha", "", None, [], 1, ["Alpha"], ["all", 1], {"cities": ["alpha"]}])
def test_what_is_no_scope_is_refused(directory: Directory, scope: object) -> None:
    paths = problem_paths(changed(directory, lambda d: d["auditor_scopes"].update(bureau=scope)))
    assert all(path.startswith("auditor_scopes.bureau") for path in paths)


PASSPORTS = {CityId("alpha"): PassportEntry("a" * 64, 2_000), CityId("beta"): PassportEntry("b" * 64, 9_000)}


@pytest.fixture(scope="module")
def admitted(directory: Directory) -> Directory:
    """A directory that requires passports, of cities that have one."""
    cities = {name: replace(peer, passport=PASSPORTS[name]) for name, peer in directory.cities.items()}
    return replace(directory, cities=cities, require_passports=True)


def test_a_directory_with_passports_is_read_back(directory: Directory, admitted: Directory) -> None:
    data = build_directory(admitted)
    assert read_directory(data) == admitted
    assert build_directory(read_directory(data)) == data
    assert read_directory(build_directory(replace(admitted, require_passports=False))).cities == admitted.cities
    assert b"passport" not in build_directory(directory)  # what was signed before stays canonical


BAD_PASSPORTS: list[tuple[Callable[[Any], object], str]] = [
    (lambda d: d["cities"][1].pop("passport"), "cities.1.passport"),
    (lambda d: d["cities"][1]["passport"].update(expires=1_999), "cities.1.passport.expires"),
    (lambda d: d["cities"][1]["passport"].update(digest="a" * 64), "cities.1.passport.digest"),
    (lambda d: d["cities"][0]["passport"].update(digest="A" * 64), "cities.0.passport.digest"),
    (lambda d: d["cities"][0]["passport"].update(digest="a" * 63), "cities.0.passport.digest"),
    (lambda d: d["cities"][0]["passport"].update(runner="somebody"), "cities.0.passport.runner"),
    (lambda d: d["cities"][0]["passport"].pop("expires"), "cities.0.passport.expires"),
    (lambda d: d["cities"][0].update(passport="a" * 64), "cities.0.passport"),
    (lambda d: d.update(require_passports=False), "require_passports"),
    (lambda d: d.update(require_passports="yes"), "require_passports"),
]


@pytest.mark.parametrize(("change", "path"), BAD_PASSPORTS)
def test_a_passport_that_does_not_do_is_reported(
    admitted: Directory, change: Callable[[Any], object], path: str
) -> None:
    assert problem_paths(changed(admitted, change)) == [path]


def test_a_passport_that_ends_first_is_refused_where_none_is_required(admitted: Directory) -> None:
    def early(document: Any) -> None:
        del document["require_passports"]
        document["cities"][0]["passport"]["expires"] = 1_999

    assert problem_paths(changed(admitted, early)) == ["cities.0.passport.expires"]


@pytest.mark.parametrize("spelling", [b"1", b"null", b"false"])
def test_one_spelling_of_requiring(admitted: Directory, spelling: bytes) -> None:
    data = build_directory(admitted).replace(b'"require_passports":true', b'"require_passports":' + spelling)
    with pytest.raises(TiergateError) as caught:
        read_directory(data)
    assert caught.value.reason is Reason.DIRECTORY_INVALID


MALFORMED: list[tuple[Callable[[Any], object], str]] = [
    (lambda d: d.update(colour=1), "colour"),
    (lambda d: d.pop("gateway"), "gateway"),
    (lambda d: d.update(format="x"), "format"),
    (lambda d: d.update(version=True), "version"),
    (lambda d: d.update(version="3"), "version"),
    (lambda d: d.update(expires=1_000), "expires"),
    (lambda d: d.update(issued=-1), "issued"),
    (lambda d: d.update(trust_domain="Upper.case"), "trust_domain"),
    (lambda d: d["gateway"].update(log_vkey="other+0123abcd+AQIDBA=="), "gateway.log_vkey"),
    (lambda d: d["gateway"].update(log_vkey="no key"), "gateway.log_vkey"),
    (lambda d: d["gateway"].update(identity=f"spiffe://{DOMAIN}/city/alpha"), "gateway.identity"),
    (lambda d: d["gateway"]["endpoint"].update(address="nowhere"), "gateway.endpoint.address"),
    (lambda d: d["gateway"]["endpoint"].update(address="host:0"), "gateway.endpoint.address"),
    (lambda d: d["gateway"]["endpoint"].update(address="host:65536"), "gateway.endpoint.address"),
    (lambda d: d["gateway"]["endpoint"].update(server_name="a b"), "gateway.endpoint.server_name"),
    (lambda d: d["cities"][0].update(identity=f"spiffe://{DOMAIN}/city/beta"), "cities.0.identity"),
    (lambda d: d["cities"][0].update(identity="spiffe://elsewhere.invalid/city/alpha"), "cities.0.identity"),
    (lambda d: d["cities"][0].update(identity="https://alpha"), "cities.0.identity"),
    (lambda d: d["cities"][0].update(id="Alpha"), "cities.0.id"),
    (lambda d: d["cities"][0]["keys"][0].update(purpose="proof"), "cities.0.keys.0.purpose"),
    (lambda d: d["cities"][0]["keys"][0].update(alg="HS256"), "cities.0.keys.0.alg"),
    (lambda d: d["cities"][0]["keys"][0].update(alg="EdDSA"), "cities.0.keys.0.jwk"),
    (lambda d: d["cities"][0]["keys"][1]["jwk"].update(y="A" * 43), "cities.0.keys.1.jwk"),
    (lambda d: d["cities"][0]["keys"][0]["jwk"].pop("y"), "cities.0.keys.0.jwk"),
    (lambda d: d["cities"][0]["keys"][0]["jwk"].update(d="A" * 43), "cities.0.keys.0.jwk.d"),
    (lambda d: d["cities"][0]["keys"][0]["jwk"].update(x="A" * 42), "cities.0.keys.0.jwk.x"),
    (lambda d: d["cities"][0]["keys"][0]["jwk"].update(x="A" * 42 + "B"), "cities.0.keys.0.jwk.x"),
    (lambda d: d["cities"][0]["keys"][0].update(kid="a b"), "cities.0.keys.0.kid"),
    (lambda d: d["cities"][1]["keys"][0].update(jwk=d["cities"][0]["keys"][2]["jwk"]), "cities.1.keys.0.jwk"),
    (lambda d: d["cities"].reverse(), "cities"),
    (lambda d: d["operators"].append(d["operators"][1]), "operators"),
    (lambda d: d["operators"][0]["keys"][0].update(purpose="consent"), "operators.0.keys.0.purpose"),
    (lambda d: d["operators"][0]["keys"][0].update(kid="mine"), "operators.0.keys.0.kid"),
    (lambda d: d["operators"][0]["keys"].append(d["operators"][0]["keys"][0]), "operators.0.keys.1.kid"),
    (lambda d: d["auditors"].update(bureau=f"spiffe://{DOMAIN}/auditor/other"), "auditors.bureau"),
    (lambda d: d.update(auditor_scopes={}), "auditor_scopes"),
    (lambda d: d["auditor_scopes"].update(stranger="all"), "auditor_scopes.stranger"),
    (lambda d: d["auditor_scopes"].update(bureau=["beta", "alpha"]), "auditor_scopes.bureau"),
    (lambda d: d["auditor_scopes"].update(bureau=["alpha", "alpha"]), "auditor_scopes.bureau"),
    (lambda d: d["witnesses"].update(beta=f"spiffe://{DOMAIN}/city/beta"), "witnesses.beta"),
]


@pytest.mark.parametrize(("change", "path"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_fault_is_reported_where_it_is(directory: Directory, change: Callable[[Any], object], path: str) -> None:
    assert path in problem_paths(changed(directory, change))


def test_a_city_may_be_left_without_a_key(directory: Directory) -> None:
    raw = changed(directory, lambda d: d["cities"][0].update(keys=[]))
    assert read_directory(raw).cities[CityId("alpha")].keys == ()


def test_all_faults_are_reported_at_once(directory: Directory) -> None:
    def change(document: Any) -> None:
        document["expires"] = 1
        document["cities"][0]["keys"][0]["purpose"] = "proof"
        document["operators"][0]["keys"][0]["kid"] = "mine"

    assert problem_paths(changed(directory, change)) == ["expires", "cities.0.keys.0.purpose", "operators.0.keys.0.kid"]


def test_a_directory_with_a_fault_is_not_built(directory: Directory) -> None:
    with pytest.raises(ProblemsError) as caught:
        build_directory(replace(directory, expires=directory.issued))
    assert [problem.path for problem in caught.value.problems] == ["expires"]


def test_a_number_that_json_cannot_carry_is_not_built(directory: Directory) -> None:
    with pytest.raises(TiergateError) as caught:
        build_directory(replace(directory, expires=2**60))
    assert caught.value.reason is Reason.DIRECTORY_INVALID


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"version":3', b'"version": 3'), (b'"version":3', b'"version":3,"version":3'), ("城".encode(), b"\\u57ce")],
    ids=["space", "doubled member", "escaped text"],
)
def test_another_spelling_of_the_same_directory(directory: Directory, old: bytes, new: bytes) -> None:
    data = build_directory(directory)
    assert old in data
    with pytest.raises(TiergateError) as caught:
        read_directory(data.replace(old, new, 1))
    assert caught.value.reason is Reason.DIRECTORY_INVALID
    assert "canonical" in caught.value.detail


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=range(5))
def test_garbage(garbage: bytes) -> None:
    assert problem_paths(garbage) == [""]


def test_an_oversized_directory() -> None:
    with pytest.raises(TiergateError) as caught:
        read_directory(b" " * (MAX_DIRECTORY_BYTES + 1))
    assert caught.value.reason is Reason.DIRECTORY_INVALID


def test_a_fresh_directory_is_returned(directory: Directory) -> None:
    assert check_fresh(directory, 1_999, 0) is directory
    assert check_fresh(directory, 1_999, 3) is directory


@pytest.mark.parametrize(("now", "newest"), [(2_000, 0), (1_500, 4)], ids=["expired", "older than one seen"])
def test_a_stale_directory_is_refused(directory: Directory, now: int, newest: int) -> None:
    with pytest.raises(TiergateError) as caught:
        check_fresh(directory, now, newest)
    assert caught.value.reason is Reason.DIRECTORY_INVALID
