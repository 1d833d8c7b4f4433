"""No raw score leaves the home city's domain (I1): canary cities, and all that is sent, said and kept is searched.

What would be a leak is proved to be found by ``test_planted_leaks``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.api.operator.v1 import operator_pb2 as pb
from gateway.cli.localnet.plan import Layout, Options
from tests.e2e.canary_cities import CITIES, CanaryResident, canaries, residents, write_dataset, write_policies
from tests.e2e.harness import UNHURRIED, running
from tests.e2e.search import link, search
from tests.e2e.story import Story, tell
from tests.fakes.canary import Scanner
from tests.fakes.relay import Recording

OUTSIDE = {
    "link:operator/xiamen-library>gateway",
    "link:operator/fuzhou-metro>gateway",
    "link:auditor/province>gateway",
    "link:city/fuzhou>gateway",
    "link:city/xiamen>gateway",
    "link:gateway>fuzhou",
    "link:gateway>xiamen",
}
INSIDE = {"link:city/fuzhou/app>fuzhou", "link:city/xiamen/app>xiamen"}


@dataclass(frozen=True)
class Told:
    """A run that is over: all processes have ended."""

    layout: Layout
    people: list[CanaryResident]
    story: Story
    recordings: list[Recording]


@pytest.fixture(scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Told:
    base = tmp_path_factory.mktemp("canaries")
    policies = base / "policies"
    write_policies(checkout / "policies", policies)
    people = {city: residents(city, policies) for city in CITIES}
    datasets = {city: base / f"{city}.json" for city in CITIES}
    for city, file in datasets.items():
        write_dataset(people[city], file)
    everybody = [person for city in CITIES for person in people[city]]
    options = Options(policies=policies, datasets=datasets, gateway_limits=UNHURRIED)
    async with running(base / "network", options, relayed=True) as network:
        story = await tell(network, everybody, base)
        network.check()
    return Told(network.layout, everybody, story, network.recordings)


def test_no_score_is_found_in_anything_that_was_sent_said_or_kept(told: Told) -> None:
    scanner = Scanner(canaries(told.people))
    assert search(scanner, told.layout, recordings=told.recordings, said=told.story.said) == set()


def test_the_platforms_themselves_hold_the_scores_so_the_search_can_find_them(told: Told) -> None:
    scanner = Scanner(canaries(told.people))
    data = (told.layout.city("xiamen") / "platform" / "scores.sqlite3").read_bytes()
    found = {item.canary for item in scanner.scan("platform", data)}
    assert found == {name for name in canaries(told.people) if name.startswith("xiamen")}


def test_every_link_was_recorded_both_ways(told: Told) -> None:
    recorded = {link(item) for item in told.recordings if item.exchanges() and item.received}
    assert recorded >= OUTSIDE | INSIDE


def test_the_recordings_hold_what_was_said(told: Told) -> None:
    """What everybody may know is found by the same means as a score would be."""
    sent: dict[str, bytes] = dict.fromkeys(OUTSIDE, b"")
    received = dict(sent)
    methods: set[str] = set()
    for recording in told.recordings:
        for exchange in recording.exchanges():
            name = link(recording)
            methods.add(exchange.method.rpartition("/")[2])
            sent[name] = sent.get(name, b"") + b"".join(exchange.request.messages())
            received[name] = received.get(name, b"") + b"".join(exchange.answer.messages())
    answers = b"".join(received.values())
    assert all(decision.decision_id.encode() in answers for decision in told.story.decisions)
    assert b"xiamen-library" in sent["link:operator/xiamen-library>gateway"]
    assert b"fuzhou-transit" in sent["link:gateway>xiamen"]
    assert b'"type":"decision"' in received["link:auditor/province>gateway"]
    assert methods >= {
        "CheckEligibility", "BatchCheckEligibility", "ListScenarios", "GetReceipt",
        "AttestTier", "BatchAttestTier", "ReportUses", "PushConsentEvents",
        "GrantConsent", "WithdrawConsent", "ListConsents", "ListEntries", "GetBundle",
    }  # fmt: skip


def test_the_run_had_both_outcomes_errors_and_every_kind_of_word(told: Told) -> None:
    outcomes = {decision.outcome for decision in told.story.decisions}
    assert outcomes == {pb.OUTCOME_ENTITLED, pb.OUTCOME_ORDINARY}
    kinds = {channel.partition(":")[0] for channel in told.story.said}
    assert kinds == {"app", "batch", "command", "error", "metrics"}
    assert b"USES_EXHAUSTED" in told.story.said["error:0"]
    for page in ("metrics:fuzhou", "metrics:gateway"):
        for what in (b"bundle", b"certificate", b"directory"):
            assert b'tiergate_expires_timestamp_seconds{what="%s"}' % what in told.story.said[page]


def test_scores_that_no_tier_is_given_for_alarm_the_city_alone(told: Told) -> None:
    log = told.layout.log("fuzhou").read_text("utf-8")
    assert "bad_record" in log
    assert "bad_record" not in told.layout.log("gateway").read_text("utf-8")
