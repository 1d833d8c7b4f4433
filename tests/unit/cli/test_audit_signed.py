"""Whether the authorities signed the bundles that a log published: ``--root`` and ``--signed`` of audit commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.crypto.envelope import BUNDLE_TYPE, DIRECTORY_TYPE, ROOT_TYPE, sign
from gateway.crypto.keys import PrivateKey
from gateway.domain.ids import ScenarioId
from gateway.policy.bundle import digest_of, read_bundle
from tests.unit.cli.conftest import Ran, Run
from tests.unit.consentlog.replayed import (
    LIBRARY,
    MINUTE,
    NOON,
    decided,
    forged,
    policies,
    policy_bytes,
    published,
    registration,
    sound,
    write,
    write_shown,
)
from tests.unit.consentlog.samples import genesis
from tests.unit.policy.installation import CITY_A, CITY_B, PROVINCE, STRANGER, root

COMMANDS = ["verify", "replay"]
ENOUGH = (PROVINCE, CITY_A)


@pytest.fixture
def honest(tmp_path: Path) -> Path:
    """A sound log under the shipped policies."""
    return write(tmp_path / "export", sound())


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """What an auditor has collected: a bundle that was never used, and the one of the sound log. Two must sign."""
    (tmp_path / "root.json").write_bytes(root().to_json())
    folder = tmp_path / "signed"
    folder.mkdir()
    put(folder / "1.json", policy_bytes(1), ENOUGH)
    put(folder / "9.json", policy_bytes(9), ENOUGH)
    return folder


def put(file: Path, payload: bytes, keys: Sequence[PrivateKey], kind: str = BUNDLE_TYPE) -> None:
    file.write_bytes(sign(kind, payload, keys))


def rotate(folder: Path) -> None:
    """Version 2 of the root, in which a city that lost its key is another one."""
    payload = root(PROVINCE, CITY_B, STRANGER, version=2).to_json()
    put(folder / "root.2.json", payload, [PROVINCE, CITY_A, CITY_B], ROOT_TYPE)


def dishonest(folder: Path) -> Path:
    """A log that publishes the forged bundle, and decides under it once."""
    made = digest_of(forged())
    items = [genesis(), published(bundle=made), registration(), decided(bundle=made)]
    return write(folder, items, [forged()])


def audit(run: Run, command: str, export: Path, *more: object) -> Ran:
    return run("audit", command, export, "--trust", export.parent / "trust", *more)


def checked(run: Run, command: str, export: Path, signed: Path, *more: object) -> Ran:
    return audit(run, command, export, "--root", export.parent / "root.json", "--signed", signed, *more)


def signatures(done: Ran) -> Any:
    return done.document["bundle_signatures"]


pytestmark = pytest.mark.usefixtures("trust")


@pytest.mark.parametrize("command", COMMANDS)
def test_bundles_that_the_authorities_signed(run: Run, honest: Path, signed: Path, command: str) -> None:
    done = checked(run, command, honest, signed, "--json")
    assert done.code == 0, done.err
    assert signatures(done) == {
        "checked": True,
        "root": 1,
        "signed": [
            {
                "bundle": policies().digest,
                "version": 1,
                "index": 1,
                "decisions": 4,
                "file": str(signed / "1.json"),
                "root": 1,
                "signed_by": ["a", "province"],
            }
        ],
        "unsigned": [],
    }
    told = checked(run, command, honest, signed)
    assert told.code == 0
    assert "signed by enough authorities of root version 1: all of 1 policy bundle(s)" in told.out
    assert "NOT CHECKED" not in told.out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bundle_that_nobody_signed_is_found(run: Run, tmp_path: Path, signed: Path, command: str) -> None:
    export = dishonest(tmp_path / "dishonest")
    terms = read_bundle(forged()).scenarios[ScenarioId(LIBRARY)].rungs[0].terms
    assert terms != policies().scenarios[ScenarioId(LIBRARY)].rungs[0].terms
    done = checked(run, command, export, signed, "--json")
    assert done.code == 4
    (found,) = signatures(done)["unsigned"]
    assert found == {
        "bundle": digest_of(forged()),
        "version": 1,
        "index": 1,
        "decisions": 1,
        "file": None,
        "root": None,
        "signed_by": [],
    }
    told = checked(run, command, export, signed)
    assert told.code == 4
    assert "DOES NOT VERIFY: of 1 bundle(s) that the log published, 1 not signed" in told.out
    assert digest_of(forged()) in told.out
    assert "verified:" not in told.out


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_root_it_is_said_that_nobody_looked(run: Run, tmp_path: Path, command: str) -> None:
    export = dishonest(tmp_path / "dishonest")
    done = audit(run, command, export, "--json")
    assert done.code == 0
    assert signatures(done) == {"checked": False, "check_with": "--root ROOT --signed FILE_OR_FOLDER"}
    (line,) = (line for line in audit(run, command, export).out.splitlines() if "NOT CHECKED" in line)
    assert "--root ROOT --signed FILE_OR_FOLDER" in line


def test_an_unverified_export_is_not_called_verified(run: Run, tmp_path: Path, signed: Path, honest: Path) -> None:
    export = dishonest(tmp_path / "dishonest")
    assert checked(run, "verify", export, signed, "--json").document["verified"] is False
    assert checked(run, "verify", honest, signed, "--json").document["verified"] is True


def test_a_bundle_that_was_published_and_never_used_must_be_signed_too(run: Run, tmp_path: Path, signed: Path) -> None:
    items = [*sound(), published(2)]
    export = write(tmp_path / "more", items, [policy_bytes(1), policy_bytes(2)])
    done = checked(run, "replay", export, signed, "--json")
    assert done.code == 4
    (found,) = signatures(done)["unsigned"]
    assert (found["bundle"], found["version"], found["index"], found["decisions"]) == (
        policies(2).digest,
        2,
        len(sound()),
        0,
    )
    assert [item["version"] for item in signatures(done)["signed"]] == [1]


@pytest.mark.parametrize("keys", [(PROVINCE,), (PROVINCE, STRANGER), (STRANGER,)], ids=["one", "a stranger", "none"])
def test_too_few_signatures(run: Run, honest: Path, signed: Path, keys: tuple[PrivateKey, ...]) -> None:
    put(signed / "1.json", policy_bytes(1), keys)
    done = checked(run, "replay", honest, signed, "--json")
    assert done.code == 4
    (found,) = signatures(done)["unsigned"]
    names = ["province"] if PROVINCE in keys else []
    assert (found["file"], found["signed_by"]) == (str(signed / "1.json"), names)
    assert "1.json" in checked(run, "verify", honest, signed).out


def test_too_few_signatures_on_what_was_never_published_are_no_matter(run: Run, honest: Path, signed: Path) -> None:
    put(signed / "9.json", policy_bytes(9), [PROVINCE])
    assert checked(run, "replay", honest, signed).code == 0


def test_of_two_files_of_one_bundle_the_better_one_counts(run: Run, honest: Path, signed: Path) -> None:
    put(signed / "0.json", policy_bytes(1), [PROVINCE])
    put(signed / "2.json", policy_bytes(1), [CITY_B])
    assert checked(run, "replay", honest, signed).code == 0


def test_a_bundle_signed_under_an_earlier_root(run: Run, tmp_path: Path, honest: Path, signed: Path) -> None:
    put(signed / "1.json", policy_bytes(1), [CITY_A, CITY_B])
    rotate(tmp_path)
    done = checked(run, "verify", honest, signed, "--json")
    assert done.code == 0, done.err
    found = signatures(done)
    assert (found["root"], found["signed"][0]["root"], found["signed"][0]["signed_by"]) == (2, 1, ["a", "b"])
    told = checked(run, "verify", honest, signed).out
    assert "root version 2: all of 1 policy bundle(s), 1 of them under an earlier root alone" in told


def test_a_bundle_signed_under_both_roots_counts_for_the_newer(
    run: Run, tmp_path: Path, honest: Path, signed: Path
) -> None:
    put(signed / "1.json", policy_bytes(1), [PROVINCE, CITY_A, CITY_B])
    rotate(tmp_path)
    (found,) = signatures(checked(run, "verify", honest, signed, "--json"))["signed"]
    assert (found["root"], found["signed_by"]) == (2, ["b", "province"])


def test_signatures_of_two_roots_are_not_added_up(run: Run, tmp_path: Path, honest: Path, signed: Path) -> None:
    put(signed / "1.json", policy_bytes(1), [CITY_A, STRANGER])
    rotate(tmp_path)
    assert checked(run, "verify", honest, signed).code == 4


def test_a_chain_of_roots_whose_beginning_is_missing_knows_no_earlier_ones(
    run: Run, tmp_path: Path, honest: Path, signed: Path
) -> None:
    put(signed / "1.json", policy_bytes(1), [CITY_A, CITY_B])
    (tmp_path / "root.json").write_bytes(root(PROVINCE, CITY_B, STRANGER, version=2).to_json())
    assert checked(run, "verify", honest, signed).code == 4


def test_roots_and_bundles_that_have_expired_since_are_no_matter(
    run: Run, tmp_path: Path, honest: Path, signed: Path
) -> None:
    (tmp_path / "root.json").write_bytes(root(expires=1).to_json())
    assert checked(run, "verify", honest, signed).code == 0


def test_single_files_and_folders_go_together(run: Run, tmp_path: Path, signed: Path) -> None:
    items = [*sound(), published(2)]
    export = write(tmp_path / "more", items, [policy_bytes(1), policy_bytes(2)])
    second = tmp_path / "second.json"
    put(second, policy_bytes(2), ENOUGH)
    assert checked(run, "replay", export, signed, "--signed", second).code == 0
    assert checked(run, "replay", export, second).code == 4


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("content", [b"", b"{}", b"bundle", policy_bytes()], ids=["empty", "object", "text", "plain"])
def test_a_file_that_is_no_envelope_is_named(
    run: Run, honest: Path, signed: Path, command: str, content: bytes
) -> None:
    (signed / "odd.json").write_bytes(content)
    done = checked(run, command, honest, signed, "--json")
    assert (done.code, done.document["error"]["reason"]) == (4, "SIGNATURE_INVALID")
    (problem,) = done.document["error"]["problems"]
    assert problem["file"] == str(signed / "odd.json")
    assert problem["message"].startswith("is no signed file")


def test_a_signed_file_of_another_kind_is_named(run: Run, honest: Path, signed: Path) -> None:
    put(signed / "directory.json", policy_bytes(1), ENOUGH, DIRECTORY_TYPE)
    done = checked(run, "verify", honest, signed, "--json")
    (problem,) = done.document["error"]["problems"]
    assert (done.code, problem["message"]) == (4, "is signed, and no bundle")
    assert problem["file"].endswith("directory.json")


def test_what_is_not_there(run: Run, tmp_path: Path, honest: Path, signed: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        done = checked(run, "verify", honest, place, "--json")
        assert (done.code, done.document["error"]["problems"][0]["file"]) == (2, str(place))
    (tmp_path / "root.json").unlink()
    assert checked(run, "verify", honest, signed).code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_one_option_alone_is_refused(run: Run, tmp_path: Path, honest: Path, signed: Path, command: str) -> None:
    assert audit(run, command, honest, "--root", tmp_path / "root.json").code == 2
    assert audit(run, command, honest, "--signed", signed).code == 2


def test_differences_are_told_with_an_unsigned_bundle(run: Run, tmp_path: Path, signed: Path) -> None:
    made = digest_of(forged())
    items = [genesis(), published(bundle=made), registration(), decided(bundle=made, valid_until=NOON + 7 * MINUTE)]
    done = checked(run, "replay", write(tmp_path / "worse", items, [forged()]), signed, "--json")
    assert done.code == 4
    assert [item["code"] for item in done.document["differences"]] == ["VALID_UNTIL_TOO_LATE"]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_auditor_of_one_city_checks_signatures_too(run: Run, tmp_path: Path, signed: Path, command: str) -> None:
    made = digest_of(forged())
    items = [genesis(), published(bundle=made), registration(), decided(bundle=made)]
    export = write_shown(tmp_path / "scoped", items, [forged()])
    assert checked(run, command, export, signed).code == 4
    assert checked(run, command, write_shown(tmp_path / "sound", sound()), signed).code == 0
