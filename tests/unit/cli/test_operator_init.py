"""What an operator starts from is whole, private where it must be, and good as it stands."""

from __future__ import annotations

import shutil
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway.cli.profile import read_profile
from gateway.crypto.keys import load_private_key, public_jwk, thumbprint
from gateway.policy.entries import read_entry
from tests.unit.cli.conftest import Ran, Run

OPERATOR, DOMAIN = "fuzhou-desk", "province.example.invalid"


def init(
    run: Run, folder: Path, *more: str, operator: str = OPERATOR, host: str = "fuzhou", domain: str = DOMAIN
) -> Ran:
    words = (operator, "--host-city", host, "--trust-domain", domain, "--into", folder)
    return run("operator", "init", *words, *more, "--json")


@pytest.fixture
def made(run: Run, tmp_path: Path) -> Path:
    done = init(run, tmp_path / "desk", "--name-zh", "福州“示例”服务台", "--contact", 'a "quoted" contact')
    assert done.code == 0, done.err
    return tmp_path / "desk"


def test_the_profile_is_one_and_its_keys_are_there(made: Path) -> None:
    profile = read_profile(made / "client.toml", {"operator"})
    assert (profile.name, profile.tls.key) == (OPERATOR, made / "tls" / "key.pem")
    assert profile.proof_key is not None
    jwk = public_jwk(load_private_key(profile.proof_key))
    entry: Any = read_entry("operator", (made / "entry.json").read_bytes(), "entry.json").document
    assert [(key.purpose, key.kid, key.jwk.plain()) for key in entry.keys] == [("proof", thumbprint(jwk), jwk)]
    assert entry.identity == f"spiffe://{DOMAIN}/operator/{OPERATOR}"


def test_private_parts_are_their_owners_alone(made: Path) -> None:
    files = {path.relative_to(made).as_posix(): path for path in made.rglob("*") if path.is_file()}
    private = {name for name, path in files.items() if stat.S_IMODE(path.stat().st_mode) == 0o600}
    begins = "PRIVATE" + " KEY"
    assert (
        private
        == {name for name, path in files.items() if begins in path.read_text("utf-8")}
        == {
            "proof.pem",
            "tls/key.pem",
        }
    )


def test_the_request_asks_for_the_operators_identity_and_no_name(made: Path) -> None:
    request = x509.load_pem_x509_csr((made / "tls" / "request.csr").read_bytes())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://{DOMAIN}/operator/{OPERATOR}"]
    assert len(list(names)) == 1


def test_the_policy_file_holds_beside_the_shipped_ones(made: Path, run: Run, policies: Path, tmp_path: Path) -> None:
    shutil.copytree(policies, tmp_path / "policies")
    shutil.copytree(made / "policies", tmp_path / "policies", dirs_exist_ok=True)
    before = run("policy", "check", policies, "--json").document["operators"]
    done = run("policy", "check", tmp_path / "policies", "--json")
    assert (done.code, done.document["operators"]) == (0, before + 1)
    draft = tomllib.loads((made / "policies" / "operators" / f"{OPERATOR}.toml").read_text("utf-8"))
    assert (draft["name_zh"], draft["contact"], draft["illustrative"]) == (
        "福州“示例”服务台",
        'a "quoted" contact',
        True,
    )


@pytest.mark.parametrize(
    ("more", "changes", "said"),
    [
        ((), {"operator": "Desk"}, "a-z, 0-9 and hyphens"),
        ((), {"host": "Fu zhou"}, "--host-city"),
        ((), {"domain": "x y"}, "--trust-domain"),
        (("--name-en", " padded"), {}, "--name-en"),
        (("--contact", "two\nlines"), {}, "--contact"),
    ],
)
def test_what_cannot_be_meant_is_told_and_leaves_nothing(
    run: Run, tmp_path: Path, more: tuple[str, ...], changes: dict[str, str], said: str
) -> None:
    done = init(run, tmp_path / "desk", *more, **changes)
    assert done.code == 2
    assert said in done.err
    assert done.document["error"]["reason"] == "USAGE"
    assert not list(tmp_path.iterdir())


def test_nothing_is_ever_overwritten(run: Run, made: Path) -> None:
    before = (made / "proof.pem").read_bytes()
    assert init(run, made).code == 2
    assert (made / "proof.pem").read_bytes() == before


@pytest.mark.parametrize("missing", ["--host-city", "--trust-domain"])
def test_what_must_be_said(run: Run, tmp_path: Path, missing: str) -> None:
    words = {"--host-city": "fuzhou", "--trust-domain": DOMAIN}
    given = [word for name, value in words.items() if name != missing for word in (name, value)]
    done = run("operator", "init", OPERATOR, *given, "--into", tmp_path / "desk")
    assert done.code == 2
    assert missing in done.err
