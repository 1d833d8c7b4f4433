from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.cli.localnet.provision import Network
from tests.unit.cli.conftest import Run, signed_by


@pytest.fixture
def copied(tmp_path: Path, policies: Path) -> Path:
    """The shipped policies, to be changed."""
    return Path(shutil.copytree(policies, tmp_path / "policies"))


def build(run: Run, policies: Path, out: Path, expires: str = "2027-12-31") -> str:
    done = run("policy", "build", policies, "--version", "7", "--expires", expires, "--out", out, "--json")
    assert done.code == 0, done.err
    assert done.document["version"] == 7
    digest: str = done.document["digest"]
    return digest


def test_shipped_policies_are_valid(run: Run, policies: Path) -> None:
    assert run("policy", "check", policies).code == 0
    document = run("policy", "check", policies, "--json").document
    assert document["valid"] is True
    assert document["scenarios"] >= 5
    assert document["harmless"]["rungs"] >= document["scenarios"]


def test_every_problem_is_told_with_file_and_key(run: Run, copied: Path) -> None:
    for name in ("fuzhou", "xiamen"):
        path = copied / "cities" / f"{name}.toml"
        path.write_text(f"surplus = 1\n{path.read_text('utf-8')}", "utf-8")
    done = run("policy", "check", copied, "--json")
    assert done.code == 1
    files = {item["file"] for item in done.document["error"]["problems"]}
    assert files == {"cities/fuzhou.toml", "cities/xiamen.toml"}
    assert done.err.count("surplus") == 2


def test_a_rung_that_harms_is_refused_with_its_place_and_remedy(run: Run, copied: Path) -> None:
    path = copied / "scenarios" / "library.toml"
    text = path.read_text("utf-8")
    better = 'text_en = "Ordinary lending rules of the library, with a deposit"\nitems = ['
    assert f"{better}]" in text
    changed = text.replace(f"{better}]", better + '{ kind = "extra_quota", unit = "books", count = 50 }]')
    path.write_text(changed, "utf-8")
    done = run("policy", "check", copied, "--json")
    assert done.code == 1
    (problem,) = done.document["error"]["problems"]
    assert (problem["file"], problem["path"]) == ("scenarios/library.toml", "hosts.0.rungs.0.items")
    assert "worse than in base" in problem["message"]
    assert problem["remedy"]


def test_words_that_sound_like_a_duty_are_warned_of(run: Run, copied: Path) -> None:
    path = copied / "scenarios" / "library.toml"
    path.write_text(path.read_text("utf-8").replace('"No deposit, up', '"You must come twice. No deposit, up'), "utf-8")
    done = run("policy", "check", copied)
    assert done.code == 0
    assert "warning: scenarios/library.toml: hosts.0.rungs.0.text_en: seems to speak of a duty" in done.out
    assert ": must" in done.out


def test_a_folder_that_is_none(run: Run, tmp_path: Path) -> None:
    assert run("policy", "check", tmp_path / "nowhere").code == 2


def test_shipped_cases_pass(run: Run, policies: Path) -> None:
    document = run("policy", "test", policies, "--json").document
    assert document["failed"] == 0
    assert document["passed"] == len(document["cases"]) > 10


def test_a_failed_case_is_shown(run: Run, copied: Path) -> None:
    path = copied / "scenarios" / "library.cases.toml"
    path.write_text(path.read_text("utf-8").replace("count = 40", "count = 41"), "utf-8")
    done = run("policy", "test", copied)
    assert done.code == 1
    assert "library.cases.toml" in done.out
    assert "41" in done.out
    assert run("policy", "test", copied, "--json").document["failed"] >= 1


def test_build_sign_verify_show(run: Run, policies: Path, tmp_path: Path) -> None:
    plain, key, envelope, root = (tmp_path / name for name in ("bundle", "key.pem", "bundle.json", "root.json"))
    digest = build(run, policies, plain)
    made = run("certs", "key", "--purpose", "authority", "--out", key, "--json").document
    arguments = ("policy", "sign", plain, "--type", "bundle", "--key", key, "--out", envelope, "--json")
    signed = run(*arguments).document
    assert signed["signed_by"] == [made["kid"]]
    assert signed["digest"] == digest

    from gateway.crypto.envelope import BUNDLE_TYPE, Authority, Root

    root.write_bytes(Root((Authority("a", made["jwk"], frozenset({BUNDLE_TYPE})),), {BUNDLE_TYPE: 1}).to_json())
    verified = run("policy", "verify", envelope, "--root", root, "--json").document
    assert (verified["verified"], verified["type"], verified["digest"]) == (True, "bundle", digest)
    shown = run("policy", "show", envelope, "--root", root)
    assert shown.code == 0
    assert "signatures verified" in shown.out


def test_same_files_give_the_same_digest(run: Run, policies: Path, tmp_path: Path) -> None:
    assert build(run, policies, tmp_path / "a") == build(run, policies, tmp_path / "b")


@pytest.mark.parametrize("day", ["soon", "2027-13-01"])
def test_a_day_that_is_none(run: Run, policies: Path, tmp_path: Path, day: str) -> None:
    done = run("policy", "build", policies, "--version", "1", "--expires", day, "--out", tmp_path / "b")
    assert done.code == 2
    assert not (tmp_path / "b").exists()


def test_what_is_no_bundle_is_not_signed(run: Run, tmp_path: Path) -> None:
    key, out = tmp_path / "key.pem", tmp_path / "out"
    run("certs", "key", "--purpose", "authority", "--out", key)
    (tmp_path / "file").write_text("{}", "utf-8")
    done = run("policy", "sign", tmp_path / "file", "--type", "bundle", "--key", key, "--out", out)
    assert done.code == 4
    assert not out.exists()


def test_a_key_that_others_can_read_is_refused(run: Run, policies: Path, tmp_path: Path) -> None:
    plain, key = tmp_path / "bundle", tmp_path / "key.pem"
    build(run, policies, plain)
    run("certs", "key", "--purpose", "authority", "--out", key)
    key.chmod(0o644)
    done = run("policy", "sign", plain, "--type", "bundle", "--key", key, "--out", tmp_path / "out")
    assert done.code == 2
    assert "chmod 600" in done.err


def test_a_network_s_files_verify(run: Run, network: Network) -> None:
    shared = network.layout.shared
    directory = run("policy", "verify", shared / "directory.json", "--root", shared / "root.json", "--json").document
    assert directory["cities"] == ["quanzhou"]
    assert run("policy", "verify", shared / "bundle.json", "--root", shared / "root.json").code == 0


def test_a_changed_envelope_does_not_verify(run: Run, network: Network) -> None:
    path = network.layout.shared / "bundle.json"
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AA'))
    done = run("policy", "verify", path, "--root", network.layout.shared / "root.json", "--json")
    assert done.code == 4
    assert done.document["error"]["reason"] == "SIGNATURE_INVALID"


def test_an_expired_bundle_does_not_verify(run: Run, policies: Path, network: Network, tmp_path: Path) -> None:
    plain, envelope = tmp_path / "bundle", tmp_path / "signed"
    build(run, policies, plain, expires="2026-01-01")
    keys = signed_by(network, "--key")
    assert run("policy", "sign", plain, "--type", "bundle", *keys, "--out", envelope).code == 0
    done = run("policy", "verify", envelope, "--root", network.layout.shared / "root.json")
    assert done.code == 4
    assert "expired" in done.err


@pytest.mark.parametrize("content", [b"", b"[]", b'{"payloadType": "letter", "payload": ""}', b"\xff"])
def test_what_is_no_envelope(run: Run, network: Network, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    done = run("policy", "verify", tmp_path / "file", "--root", network.layout.shared / "root.json")
    assert done.code == 4


def test_show_marks_what_nobody_has_published(run: Run, policies: Path) -> None:
    document = run("policy", "show", policies, "--json").document
    marked = {item["city"]: item["illustrative"] for item in document["concordances"]}
    assert marked["xiamen"] is True
    assert marked["fuzhou"] is False
    shown = run("policy", "show", policies)
    assert "illustrative" in shown.out
    assert "茉莉分" in shown.out


def test_show_says_that_signatures_were_not_checked(run: Run, network: Network) -> None:
    assert "signatures not checked" in run("policy", "show", network.layout.shared / "bundle.json").out


def test_show_takes_no_root_for_a_folder_and_no_directory(run: Run, network: Network, policies: Path) -> None:
    shared = network.layout.shared
    assert run("policy", "show", policies, "--root", shared / "root.json").code == 2
    assert run("policy", "show", shared / "directory.json").code == 2
