"""The command as residents' apps and operators use it: a process, against a real gateway and a real adapter."""

from __future__ import annotations

import json

import pytest

from tests.fakes.running import LOW, OPERATOR, SCENARIO, TOP, Running

BASE_ZH = "按图书馆普通读者规则借阅，需缴押金"


async def test_a_consent_from_preview_to_withdrawal(network: Running) -> None:
    terms = ("--operator", OPERATOR, "--scenario", SCENARIO, "--days", 7, "--uses", 5)
    preview = await network.consent("preview", *terms)
    assert preview.code == 0
    shown = (await network.consent("preview", *terms, "--json")).document
    assert preview.out.split() == f"{shown['notice_zh']} {shown['notice_en']}".split()  # all of it is under the digest
    for language in ("zh", "en"):
        text = f"text_{language}"
        assert all(shown[kind][text] in shown[f"notice_{language}"] for kind in ("without", "at_best"))

    identifier, token = await network.granted("counted.jwt", "--days", 7, "--uses", 5)
    assert token.stat().st_mode & 0o777 == 0o600

    entitled = await network.check(token, "--json")
    assert entitled.code == 0
    assert entitled.document["outcome"] == "entitled"
    assert entitled.document["illustrative"] is True
    assert {"kind": "extra_quota", "unit": "books", "count": 40} in entitled.document["terms"]["items"]

    listed = await network.consent("list", "--resident", TOP, "--json")
    (record,) = (item for item in listed.document["consents"] if item["consent_id"] == identifier)
    assert (record["state"], record["uses"], record["uses_spent"]) == ("active", 5, 1)

    withdrawn = await network.consent("withdraw", identifier, "--resident", TOP, "--json")
    assert withdrawn.code == 0
    assert withdrawn.document["acknowledged"] is True
    assert withdrawn.document["log_index"] > entitled.document["log_index"]

    ordinary = await network.check(token)
    assert ordinary.code == 0
    assert "ordinary" in ordinary.out
    assert BASE_ZH in ordinary.out
    assert "示意数据" in ordinary.out

    again = await network.consent("withdraw", "no-such-consent-at-all", "--resident", TOP)
    assert again.code == 1
    assert "CONSENT_UNKNOWN" in again.err


async def test_the_token_goes_nowhere_by_itself(network: Running) -> None:
    what = ("--resident", TOP, "--operator", OPERATOR, "--scenario", SCENARIO, "--minutes", 5, "--uses", 1)
    nowhere = await network.consent("grant", *what, "--yes")
    assert nowhere.code == 2
    printed = await network.consent("grant", *what, "--yes", "--print-token")
    assert printed.code == 0
    assert printed.out.strip().splitlines()[-1].count(".") == 2
    existing = network.folder / "existing.jwt"
    existing.write_text("precious", "utf-8")
    assert (await network.consent("grant", *what, "--yes", "--out", existing)).code == 2
    assert existing.read_text("utf-8") == "precious"


async def test_nothing_is_granted_without_a_yes(network: Running) -> None:
    what = ("--resident", LOW, "--operator", OPERATOR, "--scenario", SCENARIO, "--uses", 1)
    out = network.folder / "unconfirmed.jwt"
    done = await network.consent("grant", *what, "--out", out)
    assert done.code == 2
    assert "Does the resident agree?" in done.err
    assert not out.exists()


async def test_a_refused_grant_leaves_no_file(network: Running) -> None:
    what = ("--resident", TOP, "--operator", OPERATOR, "--scenario", SCENARIO, "--days", 399, "--uses", 1)
    out = network.folder / "refused.jwt"
    done = await network.consent("grant", *what, "--yes", "--out", out)
    assert done.code == 1
    assert "CONSENT_LIMITS" in done.err
    assert not out.exists()


@pytest.mark.parametrize(
    "terms",
    [("--days", 1, "--minutes", 1), ("--days", 0), ("--uses", 0), ("--binding", "none")],
    ids=["two lifetimes", "no lifetime", "no use", "unlimited and unbound"],
)
async def test_terms_that_no_consent_has(network: Running, terms: tuple[object, ...]) -> None:
    done = await network.consent("preview", "--operator", OPERATOR, "--scenario", SCENARIO, *terms)
    assert done.code == 2


async def test_a_bound_token_gets_its_proof(network: Running) -> None:
    _, token = await network.granted("bound.jwt", "--days", 7)
    done = await network.check(token, "--json")
    assert done.code == 0, done.err
    assert done.document["outcome"] == "entitled"


async def test_a_person_below_the_tier_is_no_error(network: Running) -> None:
    _, token = await network.granted("low.jwt", "--uses", 1, resident=LOW)
    done = await network.check(token, "--json")
    assert done.code == 0
    assert done.document["outcome"] == "ordinary"


async def test_the_same_request_gets_the_same_decision(network: Running) -> None:
    _, token = await network.granted("repeated.jwt", "--uses", 1)
    first = await network.check(token, "--request-id", "request-of-the-test", "--json")
    second = await network.check(token, "--request-id", "request-of-the-test", "--json")
    assert first.document["decision_id"] == second.document["decision_id"]
    spent = await network.check(token)
    assert spent.code == 1
    assert "USES_EXHAUSTED" in spent.err


async def test_another_operator_s_token_is_refused(network: Running) -> None:
    _, token = await network.granted("foreign.jwt", "--uses", 1)
    done = await network.check(token, "--json", operator="xiamen-parking")
    assert done.code == 1
    assert done.document["error"]["reason"] in {"TOKEN_OTHER_OPERATOR", "SCENARIO_NOT_OPEN"}


@pytest.mark.parametrize("content", ["", "no token", "a.b.c"])
async def test_what_is_no_token(network: Running, content: str) -> None:
    path = network.folder / "no.jwt"
    path.write_text(content, "utf-8")
    done = await network.check(path)
    assert done.code == 1
    assert "TOKEN_MALFORMED" in done.err


async def test_a_token_file_that_is_missing(network: Running) -> None:
    assert (await network.check(network.folder / "nowhere.jwt")).code == 2


async def test_a_receipt_verifies_offline(network: Running) -> None:
    _, token = await network.granted("receipt.jwt", "--uses", 1)
    base = network.folder / "receipt"
    done = await network.check(token, "--receipt", "--receipt-out", base, "--json")
    assert done.document["receipt_files"] == [f"{base}.entry", f"{base}.proof"]
    assert json.loads(done.document["receipt"]["entry"])["outcome"] == "entitled"
    trust = network.layout.shared / "trust"
    files = ("--entry", f"{base}.entry", "--proof", f"{base}.proof")
    verified = await network.run("audit", "verify-receipt", "--trust", trust, *files, "--json")
    assert verified.code == 0
    assert verified.document["entry"]["index"] == done.document["log_index"]


async def test_scenarios(network: Running) -> None:
    profile = network.layout.operator(OPERATOR) / "client.toml"
    done = await network.run("scenarios", "--profile", profile, "--json")
    (scenario,) = done.document["scenarios"]
    assert scenario["id"] == SCENARIO
    assert scenario["base"]["text_zh"] == BASE_ZH
    assert BASE_ZH in (await network.run("scenarios", "--profile", profile)).out


async def test_no_answer_means_the_base_offer_and_a_retry(network: Running) -> None:
    _, token = await network.granted("away.jwt", "--uses", 1)
    network.processes.stop_one(network.adapter)
    try:
        away = await network.check(token, "--json")
        assert away.code == 3
        document = away.document
        assert document["outcome"] is None
        assert document["apply"]["text_zh"] == BASE_ZH
        assert document["retry_after_s"] > 0
        assert document["error"]["reason"] == "HOME_CITY_UNAVAILABLE"
        told = await network.check(token)
        assert told.code == 3
        assert BASE_ZH in told.out
        assert "retry after" in told.out
        assert "--request-id" in told.out
    finally:
        network.start_adapter()
    retried = away
    for _ in range(30):  # as told: until the gateway has dialled the city again
        retried = await network.check(token, "--request-id", document["request_id"], "--json")
        if retried.code != 3:
            break
    assert retried.code == 0
    assert retried.document["outcome"] == "entitled"


async def test_a_check_whose_answer_has_nowhere_to_go_takes_no_use(network: Running) -> None:
    _, token = await network.granted("nowhere-to-go.jwt", "--uses", 1)
    assert (await network.check(token, "--receipt-out", network.folder / "absent" / "receipt")).code == 1
    (network.folder / "kept.proof").write_text("of another check")
    assert (await network.check(token, "--receipt-out", network.folder / "kept")).code == 2
    done = await network.check(token, "--receipt-out", network.folder / "new")
    assert done.code == 0, done.err
    assert (network.folder / "new.entry").stat().st_mode & 0o777 == 0o600
