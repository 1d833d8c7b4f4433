"""Rotation step by step, on the files alone: nothing of the network runs, and no peer is waited for."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from adapters.store.city_store import FILE_NAME
from adapters.store.migrations import MIGRATIONS
from gateway.cli.key_files import KeySlot, proof_key
from gateway.cli.localnet.provision import Network
from gateway.crypto.envelope import DIRECTORY_TYPE
from gateway.crypto.envelope import sign as sign_envelope
from gateway.crypto.keys import load_private_key
from gateway.domain.directory import Directory, KeyPurpose
from gateway.domain.ids import CityId, OperatorId
from gateway.policy.directory import read_directory
from gateway.policy.installed import installed_directory
from gateway.sqlite.connect import connect_writer
from gateway.sqlite.migrate import migrate
from tests.unit.cli.conftest import Ran, Run, signed_by

CITY, OPERATOR = "quanzhou", "xiamen-library"
ALONE = ("--without", "gateway", "--without", CITY, "--wait", "0")


def directory(network: Network) -> Directory:
    return installed_directory(network.layout.shared / "root.json", network.layout.shared / "directory.json")


def listed(network: Network, purpose: KeyPurpose) -> list[str]:
    owner: Any = directory(network).cities[CityId(CITY)]
    if purpose == "proof":
        owner = directory(network).operators[OperatorId(OPERATOR)]
    return [key.kid for key in owner.keys if key.purpose == purpose]


def slot(network: Network, purpose: KeyPurpose) -> KeySlot:
    if purpose == "proof":
        return KeySlot(network.layout.operator(OPERATOR) / "proof.key")
    return KeySlot(network.layout.city(CITY) / "keys" / f"{purpose}.key")


def whose(network: Network, purpose: KeyPurpose) -> tuple[object, ...]:
    if purpose == "proof":
        return ("--profile", network.layout.operator(OPERATOR) / "client.toml")
    return ("--config", network.layout.city(CITY) / "adapter.toml")


@pytest.fixture
def keys(run: Run, network: Network) -> Any:
    """``tiergate keys WHAT --purpose PURPOSE``, as the owner, with as many authorities as must sign."""
    file = network.layout.city(CITY) / "adapter.toml"
    file.write_text(file.read_text("utf-8").replace("@PLATFORM_PORT@", "1"), "utf-8")

    def run_keys(what: str, purpose: KeyPurpose, *more: object, signed: bool = True) -> Ran:
        authority = signed_by(network) if signed else ()
        return run("keys", what, "--purpose", purpose, *whose(network, purpose), *ALONE, *authority, *more, "--json")

    return run_keys


PURPOSES: list[KeyPurpose] = ["consent", "attestation", "event", "proof"]


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("alg", ["ES256", "EdDSA"])
def test_a_key_is_replaced_and_the_one_before_retired(
    network: Network, keys: Any, purpose: KeyPurpose, alg: str
) -> None:
    (before,) = listed(network, purpose)
    done = keys("rotate", purpose, "--alg", alg)
    assert done.code == 0, done.err
    new = done.document["kid"]
    assert done.document["alg"] == alg
    assert done.document["to_retire"] == [before]
    assert slot(network, purpose).current().kid == new
    # the first of an operator's keys is the one that cities bind new tokens to
    assert listed(network, purpose) == ([new, before] if purpose == "proof" else [before, new])
    done = keys("retire", purpose, "--now")
    assert done.code == 0, done.err
    assert done.document["kid"] == before
    assert done.document["effect"]
    assert listed(network, purpose) == [new]
    assert not slot(network, purpose).kept()


def test_a_second_rotation_waits_for_the_retirement_of_the_first(network: Network, keys: Any) -> None:
    first = keys("rotate", "consent").document
    again = keys("rotate", "consent")
    assert again.code == 0
    assert again.document["kid"] == first["kid"]
    assert len(listed(network, "consent")) == 2
    keys("retire", "consent", "--now")
    assert keys("rotate", "consent").document["kid"] != first["kid"]


@pytest.mark.parametrize("purpose", ["consent", "proof"])
@pytest.mark.parametrize("kill", ["made in part", "made", "published", "kept", "in use"])
def test_a_rotation_that_was_killed_goes_on_where_it_was(
    network: Network, keys: Any, purpose: KeyPurpose, kill: str, tmp_path: Path
) -> None:
    (before,) = listed(network, purpose)
    held = slot(network, purpose)
    file = held.file
    match kill:
        case "made in part":
            file.with_name(f"{file.name}.next.part").write_text("torn", "utf-8")
            expected = None
        case "made":
            expected = held.make_next("ES256").kid
        case "published" | "kept":
            # an authority that has yet to sign stops it here; the signed change then comes by hand
            waiting = keys("rotate", purpose, "--change-out", tmp_path / "change.json", signed=False)
            assert waiting.code == 3
            sign(network, tmp_path / "change.json")
            expected = waiting.document["kid"]
            if kill == "kept":
                os.link(file, file.with_name(f"{file.name}.kept-{before}"))
        case _:
            expected = held.make_next("ES256").kid
            assert keys("rotate", purpose).code == 0
    done = keys("rotate", purpose)
    assert done.code == 0, done.err
    assert expected in (None, done.document["kid"])
    assert held.current().kid == done.document["kid"]
    assert [item.kid for item in held.kept()] == [before]
    assert sorted(listed(network, purpose)) == sorted([before, done.document["kid"]])


def sign(network: Network, change: Path) -> None:
    keys = [load_private_key(key) for key in network.layout.signing_keys]
    (network.layout.shared / "directory.json").write_bytes(sign_envelope(DIRECTORY_TYPE, change.read_bytes(), keys))


def test_without_the_authoritys_key_the_change_is_written_for_signing(
    network: Network, run: Run, keys: Any, tmp_path: Path
) -> None:
    before = directory(network)
    done = keys("rotate", "event", "--change-out", tmp_path / "change.json", signed=False)
    assert done.code == 3
    assert done.document["waiting_for"] == ["authority"]
    assert directory(network) == before
    assert slot(network, "event").current().kid in listed(network, "event")
    changed = read_directory((tmp_path / "change.json").read_bytes())
    assert changed.version == before.version + 1
    signed = (*signed_by(network, "--key"), "--out", tmp_path / "signed.json")
    assert run("policy", "sign", tmp_path / "change.json", "--type", "directory", *signed).code == 0
    shutil.copy(tmp_path / "signed.json", network.layout.shared / "directory.json")
    assert keys("rotate", "event", signed=False).code == 0


def test_nothing_is_switched_before_the_peers_have_followed(network: Network, run: Run, keys: Any) -> None:
    before = slot(network, "consent").current().kid
    authority = signed_by(network)
    done = run(
        "keys", "rotate", "--purpose", "consent", *whose(network, "consent"), *authority, "--wait", "0", "--json"
    )
    assert done.code == 3
    assert done.document["waiting"] == "taken"
    assert done.document["waiting_for"] == ["gateway", CITY]
    assert slot(network, "consent").current().kid == before
    assert keys("rotate", "consent").document["kid"] == done.document["kid"]


def test_nothing_is_retired_before_the_adapter_signs_with_the_new_key(network: Network, run: Run, keys: Any) -> None:
    before = slot(network, "event").current().kid
    keys("rotate", "event")
    authority = signed_by(network)
    done = run("keys", "retire", "--purpose", "event", *whose(network, "event"), *authority, "--wait", "0", "--json")
    assert done.code == 3
    assert (done.document["waiting"], done.document["waiting_for"]) == ("signing", [CITY])
    assert before in listed(network, "event")


def test_the_key_in_use_and_an_unknown_one_are_not_retired(network: Network, keys: Any) -> None:
    (in_use,) = listed(network, "consent")
    tried = [keys("retire", "consent", *more, "--now").code for more in (("--kid", in_use), ("--kid", "unknown"), ())]
    assert tried == [1, 1, 1]
    assert listed(network, "consent") == [in_use]


def city_database(network: Network) -> Any:
    folder = network.layout.city(CITY) / "data"
    folder.mkdir()
    connection = connect_writer(folder / FILE_NAME)
    migrate(connection, MIGRATIONS)
    return connection


def test_retiring_a_consent_key_says_how_many_consents_end_with_it(network: Network, keys: Any) -> None:
    (before,) = listed(network, "consent")
    new = keys("rotate", "consent").document["kid"]
    now_s = int(time.time())
    minute = now_s - now_s % 60
    connection = city_database(network)
    connection.executemany(
        "INSERT INTO signing_keys (purpose, kid, since) VALUES ('consent', ?, ?)",
        [(before, minute - 7200), (new, minute - 3600)],
    )
    rows = [  # id, granted, expires, withdrawn, uses: what was signed with the key before and holds is the first two
        ("unlimited", minute - 6000, minute + 600, None, None),
        ("counted", minute - 5000, minute + 900, None, 3),
        ("ended", minute - 6000, minute - 60, None, 3),
        ("withdrawn", minute - 6000, minute + 600, 1, 3),
        ("used up", minute - 6000, minute + 600, None, 2),
        ("of the new key", minute - 600, minute + 6000, None, 3),
    ]
    for name, granted, expires, withdrawn, uses in rows:
        connection.execute(
            "INSERT INTO consents (id, resident, operator, scenario, purpose, token_hash, bound, uses, notice,"
            " granted_at, expires_at, withdrawn_at_ms) VALUES (?,'r','o','s','p',?,0,?,'n',?,?,?)",
            (name, name.encode(), uses, granted, expires, withdrawn),
        )
    connection.execute("INSERT INTO tallies (token_hash, spent) VALUES (?, 2)", (b"used up",))
    connection.close()

    refused = keys("retire", "consent")
    assert refused.code == 1
    assert "2 consents that this key signed still hold" in refused.document["error"]["message"]
    assert listed(network, "consent") == [before, new]
    done = keys("retire", "consent", "--now")
    assert done.document["affected_consents"] == 2
    assert listed(network, "consent") == [new]


def test_an_attestation_key_is_needed_for_one_lifetime_after_the_change(network: Network, keys: Any) -> None:
    (before,) = listed(network, "attestation")
    new = keys("rotate", "attestation").document["kid"]
    now_s = int(time.time())
    connection = city_database(network)
    connection.executemany(
        "INSERT INTO signing_keys (purpose, kid, since) VALUES ('attestation', ?, ?)",
        [(before, now_s - 7200), (new, now_s - 200)],
    )
    assert keys("retire", "attestation").code == 1
    connection.execute("UPDATE signing_keys SET since = ? WHERE kid = ?", (now_s - 301, new))
    connection.close()
    assert keys("retire", "attestation").code == 0


def test_an_operators_key_is_needed_as_long_as_tokens_may_be_bound_to_it(network: Network, keys: Any) -> None:
    (before,) = listed(network, "proof")
    keys("rotate", "proof")
    assert "bound to this key" in keys("retire", "proof").document["error"]["message"]
    held = slot(network, "proof")
    assert proof_key(held, before).kid == before
    assert proof_key(held, "unknown").kid == held.current().kid


def test_keys_are_listed_with_what_they_are_used_for(network: Network, run: Run, keys: Any) -> None:
    keys("rotate", "consent")
    slot(network, "event").make_next("EdDSA")
    done = run("keys", "list", *whose(network, "consent"), "--peers", "--json")
    assert done.code == 0, done.err
    shown = {(item["purpose"], item["state"], item["listed"]) for item in done.document["keys"]}
    assert shown == {
        ("consent", "signing", True),
        ("consent", "kept", True),
        ("attestation", "signing", True),
        ("event", "signing", True),
        ("event", "next", False),
    }
    assert [(item["name"], item["trouble"]) for item in done.document["peers"]] == [
        ("gateway", "PEER_UNREACHABLE"),
        (CITY, "PEER_UNREACHABLE"),
    ]
    assert done.document["tls"]["until"].endswith("Z")
    assert "of city quanzhou" in run("keys", "list", *whose(network, "consent")).out
    (log,) = run("keys", "list", "--config", network.layout.gateway / "gateway.toml", "--json").document["keys"]
    assert (log["purpose"], log["listed"]) == ("log", True)


@pytest.mark.parametrize(("purpose", "where"), [("log", "log.key.next"), ("tls", "certs request")])
def test_what_changes_elsewhere_says_where(run: Run, network: Network, purpose: str, where: str) -> None:
    done = run("keys", "rotate", "--purpose", purpose, *whose(network, "consent"))
    assert done.code == 1
    assert where in done.err


def test_an_id_that_the_settings_fix_keeps_the_key(run: Run, network: Network, keys: Any) -> None:
    file = network.layout.city(CITY) / "adapter.toml"
    file.write_text(file.read_text("utf-8").replace("consent = { ", 'consent = { kid = "k1", '), "utf-8")
    done = keys("rotate", "consent")
    assert done.code == 1
    assert done.document["error"]["reason"] == "KEY_ID_FIXED"


def test_owners_and_options_that_do_not_fit(run: Run, network: Network, keys: Any) -> None:
    assert run("keys", "list", *whose(network, "consent"), *whose(network, "proof")).code == 2
    assert run("keys", "rotate", "--purpose", "proof", *whose(network, "consent")).code == 2
    assert run("keys", "rotate", "--purpose", "event", "--config", network.layout.gateway / "gateway.toml").code == 2
    assert keys("rotate", "event", "--publish", "x", signed=False).code == 2
    assert keys("rotate", "event", signed=False).code == 2
