"""The life of a consent and the resident's desk, by the command, against a real gateway and a real adapter."""

from __future__ import annotations

import pytest

from gateway.consentlog.note import VerifierKey
from gateway.consentlog.proof import LogProof
from gateway.consentlog.trust import NONE, TrustPolicy
from gateway.crypto.envelope import DIRECTORY_TYPE, verify
from gateway.crypto.root_files import read_root
from gateway.policy.directory import read_directory
from tests.fakes.running import LOW, OPERATOR, PEOPLE, SCENARIO, TOP, Running


async def _outcome(network: Running, token: object) -> str:
    done = await network.check(token, "--json")  # type: ignore[arg-type]  # a path
    assert done.code == 0, done.err
    return str(done.document["outcome"])


async def test_a_pause_is_felt_at_the_desk_and_ends(network: Running) -> None:
    identifier, token = await network.granted("paused.jwt", "--uses", 9)
    assert await _outcome(network, token) == "entitled"
    paused = await network.consent("pause", identifier, "--resident", TOP, "--json")
    assert (paused.code, paused.document["acknowledged"]) == (0, True)
    assert await _outcome(network, token) == "ordinary"
    again = await network.consent("pause", identifier, "--resident", TOP)
    assert again.code == 0
    listed = await network.consent("list", "--resident", TOP, "--json")
    (record,) = (item for item in listed.document["consents"] if item["consent_id"] == identifier)
    assert record["state"] == "paused"
    resumed = await network.consent("resume", identifier, "--resident", TOP)
    assert resumed.code == 0
    assert "acknowledged" in resumed.out
    assert await _outcome(network, token) == "entitled"
    twice = await network.consent("resume", identifier, "--resident", TOP)
    assert (twice.code, "CONSENT_STATE" in twice.err) == (1, True)


async def test_a_pause_reaches_live_attestations_of_an_account(network: Running) -> None:
    identifier, token = await network.granted("account.jwt", "--days", 7)
    assert await _outcome(network, token) == "entitled"  # now live at the gateway
    await network.consent("pause", identifier, "--resident", TOP)
    assert await _outcome(network, token) == "ordinary"
    await network.consent("resume", identifier, "--resident", TOP)
    assert await _outcome(network, token) == "entitled"


async def test_narrower_then_renewed(network: Running) -> None:
    identifier, token = await network.granted("wide.jwt", "--uses", 5)
    out = network.folder / "narrow.jwt"
    unsaid = await network.consent("narrow", identifier, "--resident", TOP, "--out", out, "--yes")
    assert unsaid.code == 2
    narrowed = await network.consent(
        "narrow", identifier, "--resident", TOP, "--uses", 2, "--out", out, "--yes", "--json"
    )
    assert narrowed.code == 0, narrowed.err
    assert narrowed.document["replaced"]["consent_id"] == identifier
    assert await _outcome(network, token) == "ordinary"
    assert await _outcome(network, out) == "entitled"
    wider = await network.consent(
        "narrow", narrowed.document["consent_id"], "--resident", TOP, "--uses", 4, "--yes", "--json"
    )
    assert (wider.code, wider.document["error"]["reason"]) == (1, "CONSENT_LIMITS")
    renewed = await network.consent(
        "renew", narrowed.document["consent_id"], "--resident", TOP, "--yes", "--print-token"
    )
    assert renewed.code == 0, renewed.err
    listed = await network.consent("list", "--resident", TOP, "--json")
    states = [item["state"] for item in listed.document["consents"][:3]]
    assert states == ["active", "replaced", "replaced"]


@pytest.mark.parametrize("act", ["narrow", "renew"])
async def test_no_uses_is_no_number_of_uses(network: Running, act: str) -> None:
    done = await network.consent(act, "A" * 22, "--resident", TOP, "--uses", 0, "--yes", "--json")
    assert done.code == 2


async def test_a_refusal_is_kept_and_who_has_refused_is_not_asked_again(network: Running) -> None:
    what = ("--operator", OPERATOR, "--scenario", SCENARIO)
    done = await network.consent("decline", "--resident", LOW, *what, "--json")
    assert done.code == 0
    assert done.document["quiet_until"].endswith("Z")
    asked = await network.consent("preview", *what, "--uses", 1, "--asked-of", LOW, "--json")
    assert (asked.code, asked.document["error"]["reason"]) == (1, "CONSENT_DECLINED")
    assert (await network.consent("preview", *what, "--uses", 1, "--asked-of", TOP)).code == 0
    assert (await network.consent("preview", *what, "--uses", 1)).code == 0  # it is she who asks
    nothing = await network.consent("decline", "--resident", LOW, "--operator", OPERATOR, "--scenario", "no-such")
    assert (nothing.code, "SCENARIO_UNKNOWN" in nothing.err) == (1, True)


@pytest.mark.parametrize("index", [-1, 2**63])
async def test_a_position_that_no_log_has_is_wrong_usage(network: Running, index: int) -> None:
    for command in (("contest", "--decision"), ("explain", "--decision"), ("uses", "--before")):
        done = await network.resident(command[0], "--resident", LOW, command[1], index)
        assert done.code == 2, done.err


async def test_uses_are_listed_with_proofs_explained_and_contested(network: Running) -> None:
    identifier, token = await network.granted("low-uses.jwt", "--uses", 3, resident=LOW)
    decided = await network.check(token, "--json")
    index = decided.document["log_index"]
    folder = network.folder / "uses"
    told: dict[str, object] = {}
    for _ in range(200):  # reports are on their way; each look is a process, so nothing spins
        seen = await network.resident("uses", "--resident", LOW, "--consent", identifier, "--out", folder, "--json")
        assert seen.code == 0, seen.err
        if seen.document["uses"]:
            (told,) = seen.document["uses"]
            break
    assert (told["log_index"], told["outcome"], told["operator"]) == (index, "ordinary", OPERATOR)
    proof = (folder / f"{index}.tlog-proof").read_bytes()
    entry = (folder / f"{index}.entry.json").read_bytes()
    shared = network.layout.shared
    envelope = (shared / "directory.json").read_bytes()
    directory = read_directory(verify(read_root(shared / "root.json"), DIRECTORY_TYPE, envelope))
    LogProof.parse(proof).verify(entry, TrustPolicy((VerifierKey.parse(directory.gateway.log_vkey),), {}, {}, NONE))

    assert "--before" not in (await network.resident("uses", "--resident", LOW, "--consent", identifier)).out
    assert (await network.check(token)).code == 0
    page = "the gateway has not"
    while f"--before {index + 1}" not in page:  # the second report is on its way
        page = (await network.resident("uses", "--resident", LOW, "--consent", identifier, "--limit", 1)).out
    assert "older" in page

    explained = await network.resident("explain", "--resident", LOW, "--decision", index, "--json")
    assert explained.document["reason"] == "score"
    assert explained.document["distance_en"]
    not_hers = await network.resident("explain", "--resident", TOP, "--decision", index)
    assert (not_hers.code, "DECISION_UNKNOWN" in not_hers.err) == (1, True)

    case = await network.resident("contest", "--resident", LOW, "--decision", index, "--json")
    assert (case.code, case.document["step"]) == (0, "opened")
    advanced = await network.resident("advance", case.document["case_id"], "corrected", "--json")
    assert advanced.document["step"] == "corrected"
    cases = await network.resident("cases", "--resident", LOW)
    assert "corrected" in cases.out
    steps: list[str] = []
    while steps != ["opened", "corrected"]:  # events are on their way; each look is a process, so nothing spins
        audited = await network.audit("list", "--type", "contest", "--json")
        assert audited.code == 0
        found = [item for item in audited.document["entries"] if item["decision"] == index]
        steps = [item["step"] for item in found]


@pytest.mark.parametrize("act", ["freeze", "correct"])
async def test_a_correction_reaches_live_attestations_of_an_account(network: Running, act: str) -> None:
    _, token = await network.granted(f"{act}.jwt", "--days", 7)
    assert await _outcome(network, token) == "entitled"
    done = await network.resident(act, "--resident", TOP, "--json")
    assert (done.code, done.document["acknowledged"]) == (0, True)
    assert await _outcome(network, token) == ("ordinary" if act == "freeze" else "entitled")
    if act == "freeze":
        assert (await network.resident("unfreeze", "--resident", TOP)).code == 0
        assert await _outcome(network, token) == "entitled"


async def test_an_erasure_is_felt_at_the_desk_logged_and_ordered(network: Running) -> None:
    whose = PEOPLE[1].ref
    identifier, token = await network.granted("erased.jwt", "--days", 7, resident=whose)
    assert await _outcome(network, token) == "entitled"  # now live at the gateway
    locked = await network.resident("erase", "--resident", whose, "--json")
    assert (locked.code, locked.document["acknowledged"], locked.document["deleted"]) == (0, True, False)
    assert await _outcome(network, token) == "ordinary"
    again = await network.resident("erase", "--resident", whose)
    assert (again.code, "locked until retention ends" in again.out) == (0, True)
    assert (await network.consent("list", "--resident", whose, "--json")).document["consents"] == []
    gone = await network.consent("withdraw", identifier, "--resident", whose)
    assert (gone.code, "CONSENT_UNKNOWN" in gone.err) == (1, True)
    audited = await network.audit("list", "--type", "erasure_requested", "--json")
    assert locked.document["log_index"] in {item["index"] for item in audited.document["entries"]}
    assert (await network.resident("erase", "--resident", whose, "--order", "0d" * 32)).code == 2
    order = ("--authority", "fuzhou-court", "--order", "0d" * 32)
    deleted = await network.resident("erase", "--resident", whose, *order, "--json")
    assert (deleted.code, deleted.document["deleted"], deleted.document["consents"]) == (0, True, 1)
    assert await _outcome(network, token) == "ordinary"
