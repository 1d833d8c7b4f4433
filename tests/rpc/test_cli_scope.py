"""Two auditors of one log, of the whole and of one city, against a real gateway."""

from __future__ import annotations

import json
from pathlib import Path

from gateway.api.audit.v1 import audit_pb2 as pb
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.cli.client import session
from gateway.cli.profile import read_profile
from gateway.consentlog.merkle import leaf_hash
from gateway.domain.audit_scope import AuditScope
from tests.fakes.running import CITY, OPERATOR, Running

PATIENCE_S = 20.0


def city_profile(network: Running) -> Path:
    return network.layout.city_auditor(CITY) / "client.toml"


async def over_ask(network: Running, name: str) -> None:
    """Leave a refusal in the log: an operator asks about a scenario that is not open to it."""
    _, token = await network.granted(name, "--uses", 1)
    profile = network.layout.operator(OPERATOR) / "client.toml"
    done = await network.run("check", "--scenario", "fuzhou-transit", "--token-file", token, "--profile", profile)
    assert done.code != 0


async def test_each_auditor_exports_what_is_in_its_scope(network: Running) -> None:
    _, token = await network.granted("scoped.jwt", "--uses", 1)
    decided = (await network.check(token, "--json")).document["log_index"]
    await over_ask(network, "over-asked.jwt")
    trust = network.layout.shared / "trust"
    folder, whole = network.folder / "scoped-export", network.folder / "whole-export"
    mine = ("--profile", city_profile(network))
    exported = await network.run("audit", "export", "--out", folder, *mine, "--json")
    assert exported.code == 0, exported.err
    assert exported.document["scope"] == [CITY]
    verified = await network.run("audit", "verify", folder, "--trust", trust, "--json")
    assert verified.code == 0, verified.err
    assert verified.document["root"] == exported.document["root"]
    assert "refusal" not in verified.document["entries"]
    assert verified.document["entries"]["audit_read"] >= 1
    assert verified.document["hashes_alone"] >= 1
    assert "hashes alone" in (await network.run("audit", "verify", folder, "--trust", trust)).out
    sampled = await network.run("audit", "sample", folder, "--trust", trust, "--count", 1)
    assert (sampled.code != 0, "AUDIT_SCOPE" in sampled.err) == (True, True)
    assert (await network.run("audit", "export", "--out", folder, *mine)).code == 0  # brought up to date in place
    assert (await network.run("audit", "verify", folder, "--trust", trust)).code == 0

    assert (await network.audit("export", "--out", whole)).code == 0
    full = (await network.run("audit", "verify", whole, "--trust", trust, "--json")).document
    assert (full["scope"], full["hashes_alone"]) == ("all", 0)
    assert full["entries"]["refusal"] >= 1

    listed = (await network.run("audit", "list", "--last", 0, *mine, "--json")).document
    assert listed["outside_scope"] >= 1
    assert decided in {item["index"] for item in listed["entries"]}
    assert "refusal" not in {item["type"] for item in listed["entries"]}
    refusal = (await network.audit("list", "--type", "refusal", "--last", 0, "--json")).document["entries"][0]["index"]
    assert (await network.run("audit", "show", decided, *mine)).code == 0
    hidden = await network.run("audit", "show", refusal, *mine)
    assert (hidden.code != 0, "AUDIT_SCOPE" in hidden.err) == (True, True)
    reads = (await network.audit("list", "--type", "audit_read", "--last", 0, "--json")).document["entries"]
    scope = AuditScope.of([CITY]).digest()
    assert (CITY, refusal, refusal + 1, scope) in {
        (item["auditor"], item["start"], item["end"], item["scope"]) for item in reads
    }
    assert {item["auditor"] for item in reads} == {CITY, "province"}


async def test_the_server_sends_hashes_in_place_of_what_is_out_of_scope(network: Running) -> None:
    await over_ask(network, "over-asked-too.jwt")
    async with (
        session(read_profile(network.layout.auditor / "client.toml", {"auditor"})) as province,
        session(read_profile(city_profile(network), {"auditor"})) as city,
    ):
        whole, part = AuditServiceStub(province.channel), AuditServiceStub(city.channel)
        request = pb.ListEntriesRequest()
        entries = [raw async for run in whole.ListEntries(request, timeout=PATIENCE_S) for raw in run.entries]
        request.end = len(entries)
        runs = [run async for run in part.ListEntries(request, timeout=PATIENCE_S)]
        seen = [raw for run in runs for raw in run.entries]
        hidden = [index for index, raw in enumerate(seen) if not raw]
        assert {json.loads(entries[index])["type"] for index in hidden} == {"refusal"}
        assert [raw for raw in seen if raw] == [raw for index, raw in enumerate(entries) if index not in hidden]
        assert [digest for run in runs for digest in run.leaf_hashes] == [leaf_hash(entries[i]) for i in hidden]
        assert {tuple(run.scope_cities) for run in runs} == {(CITY,)}
        proof = await part.GetInclusionProof(pb.GetInclusionProofRequest(index=hidden[0]), timeout=PATIENCE_S)
        assert (proof.entry, proof.leaf_hash) == (b"", leaf_hash(entries[hidden[0]]))
