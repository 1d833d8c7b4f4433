from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.localnet.provision import Network
from gateway.cli.options import PROFILE_VARIABLE
from gateway.cli.profile import read_profile
from gateway.errors import ProblemsError, Reason
from tests.unit.cli.conftest import Run

GOOD = """
role = "operator"
name = "xiamen-library"
root = "root.json"
directory = "directory.json"
proof_key = "proof.key"

[tls]
cert = "cert.pem"
key = "key.pem"
ca = "/etc/ca.pem"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "client.toml"
    path.write_text(text, "utf-8")
    return path


def refused(path: Path | None) -> str:
    with pytest.raises(ProblemsError) as caught:
        read_profile(path, {"operator"})
    assert caught.value.reason is Reason.CONFIG_INVALID
    return str(caught.value)


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    profile = read_profile(written(tmp_path, GOOD), {"operator"})
    assert profile.root == tmp_path / "root.json"
    assert profile.tls.cert == tmp_path / "cert.pem"
    assert profile.tls.ca == Path("/etc/ca.pem")
    assert profile.proof_key == tmp_path / "proof.key"
    assert profile.bundle is None


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE_VARIABLE, str(written(tmp_path, GOOD)))
    assert read_profile(None, {"operator"}).name == "xiamen-library"


def test_the_environment_overrides_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PROFILE_VARIABLE}_TLS__CA", "other.pem")
    assert read_profile(written(tmp_path, GOOD), {"operator"}).tls.ca == tmp_path / "other.pem"


def test_no_profile_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PROFILE_VARIABLE, raising=False)
    assert "--profile" in refused(None)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "is not a file" in refused(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('role = "operator"', 'role = "king"', "role"),
        ('role = "operator"', "role = operator", "is not TOML"),
        ('name = "xiamen-library"', 'name = "Xiamen Library"', "must be a slug"),
        ('name = "xiamen-library"', "", "name"),
        ('root = "root.json"', 'root = "root.json"\nroute = "x"', "route"),
        ('proof_key = "proof.key"', 'proof_kid = "abc"', "proof_kid without proof_key"),
        ("[tls]", "[tls]\nport = 1", "tls.port"),
    ],
)
def test_every_fault_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in refused(written(tmp_path, GOOD.replace(old, new)))


def test_only_operators_make_proofs(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace('role = "operator"', 'role = "auditor"'))
    with pytest.raises(ProblemsError, match="operators alone"):
        read_profile(path, {"auditor"})


@pytest.mark.parametrize(
    "command",
    [
        ("scenarios",),
        ("check", "--scenario", "xiamen-library", "--token-file", "token"),
        ("consent", "list", "--resident", "synthetic-1"),
        ("consent", "withdraw", "consent-id", "--resident", "synthetic-1"),
        ("consent", "preview", "--operator", "a", "--scenario", "b", "--uses", "1"),
        ("audit", "list"),
        ("audit", "show", "1"),
        ("audit", "export", "folder"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_commands_refuse_to_run_without_a_profile(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command, "--json")
    assert done.code == 2
    assert done.document["error"]["reason"] == "CONFIG_INVALID"
    assert done.document["error"]["problems"][0]["remedy"]


def test_a_profile_of_another_role_is_refused(run: Run, network: Network) -> None:
    done = run("scenarios", "--profile", network.layout.auditor / "client.toml")
    assert done.code == 2
    assert "this command is for operator" in done.err


def test_an_unsigned_directory_is_refused(run: Run, network: Network) -> None:
    path = network.layout.shared / "directory.json"
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AA'))
    done = run("scenarios", "--profile", network.layout.operator("xiamen-library") / "client.toml")
    assert done.code == 4
    assert "SIGNATURE_INVALID" in done.err


def test_a_peer_that_is_not_there_is_unavailable(run: Run, network: Network) -> None:
    done = run("scenarios", "--profile", network.layout.operator("xiamen-library") / "client.toml", "--json")
    assert done.code == 3
    assert done.document["error"]["reason"] == "PEER_UNREACHABLE"


def test_a_city_that_the_directory_does_not_list(run: Run, network: Network) -> None:
    path = network.layout.app("quanzhou") / "client.toml"
    path.write_text(path.read_text("utf-8").replace('name = "quanzhou"', 'name = "atlantis"'), "utf-8")
    done = run("consent", "list", "--resident", "synthetic-1", "--profile", path)
    assert done.code == 2
    assert 'no city "atlantis"' in done.err
