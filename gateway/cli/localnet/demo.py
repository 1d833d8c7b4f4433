"""The story that ``./dev demo`` tells: two cities honour each other's residents, and an auditor believes it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from gateway.api.operator.v1 import operator_pb2
from gateway.cli.localnet.clients import Clients, Consent
from gateway.cli.localnet.plan import Layout
from gateway.consentlog.export import write_export
from gateway.consentlog.verify import VerifiedExport, verify_export
from gateway.domain.ids import OperatorId, ScenarioId

OUTCOMES = {operator_pb2.OUTCOME_ENTITLED: "ENTITLED", operator_pb2.OUTCOME_ORDINARY: "ORDINARY"}


@dataclass(frozen=True)
class Wish:
    """A consent that a synthetic resident gives. ``uses`` 0: unlimited, bound to the operator's key."""

    who: str
    home_city: str
    resident: str
    operator: str
    scenario: str
    uses: int


WISHES = (
    Wish("top of her city's scale", "fuzhou", "synthetic-fz-0001", "xiamen-library", "xiamen-library", 0),
    Wish(
        "the same, for another operator", "fuzhou", "synthetic-fz-0001", "xiamen-parking", "xiamen-roadside-parking", 3
    ),
    Wish("just below the cut", "fuzhou", "synthetic-fz-0007", "xiamen-library", "xiamen-library", 3),
    Wish("no score at all", "fuzhou", "synthetic-fz-0010", "xiamen-library", "xiamen-library", 3),
    Wish("top of her city's scale", "xiamen", "synthetic-xm-0001", "fuzhou-metro", "fuzhou-transit", 0),
    Wish("one tier too low for this one", "xiamen", "synthetic-xm-0006", "fuzhou-metro", "fuzhou-transit", 3),
    Wish(
        "the same resident, a lower cut", "xiamen", "synthetic-xm-0006", "fuzhou-sanfang-rental", "fuzhou-power-bank", 3
    ),
    Wish("middle of the scale", "xiamen", "synthetic-xm-0008", "fuzhou-sanfang-rental", "fuzhou-scooter", 3),
)


@dataclass(frozen=True)
class Row:
    """One check as it is shown. ``who`` is said of the synthetic resident; no operator ever learns it."""

    who: str
    home_city: str
    host_city: str
    operator: str
    scenario: str
    outcome: str
    terms: dict[str, Any]
    log_index: int
    illustrative: bool

    def public(self) -> dict[str, Any]:
        """As a member of ``checks`` in the JSON document."""
        return {
            "home_city": self.home_city,
            "host_city": self.host_city,
            "operator": self.operator,
            "scenario": self.scenario,
            "outcome": self.outcome,
            "terms": self.terms,
            "log_index": self.log_index,
            "illustrative": self.illustrative,
        }


@dataclass(frozen=True)
class Told:
    """Everything that happened."""

    rows: list[Row]
    withdrawal: str
    verified: VerifiedExport

    def document(self) -> dict[str, Any]:
        """The JSON document of ``--json``."""
        return {
            "checks": [row.public() for row in self.rows],
            "log": {
                "size": self.verified.size,
                "root": base64.b64encode(self.verified.root).decode(),
                "verified": True,
            },
        }


async def tell(
    layout: Layout, hosts: dict[str, str], say: Callable[[str], None], wishes: Iterable[Wish] = WISHES
) -> Told:
    """Play the story against a running network. Raises TiergateError at the first thing that is not as it must be."""
    clients = Clients(layout)
    try:
        say("asking for consents at the home cities, and checking at the host cities")
        rows: list[Row] = []
        given: list[tuple[Wish, Consent]] = []
        for wish in wishes:
            consent = await clients.grant(wish.home_city, wish.resident, wish.operator, wish.scenario, uses=wish.uses)
            given.append((wish, consent))
            rows.append(_row(wish, hosts, await clients.check(consent)))
        say("withdrawing the first consent")
        wish, consent = given[0]
        answer = await clients.withdraw(consent)
        withdrawal = f"effective in {wish.home_city} at {answer.effective_at.ToJsonString()}" + (
            f", acknowledged by the gateway with log entry {answer.log_index}"
            if answer.acknowledged
            else f", on its way to the gateway; exposed until {answer.exposed_until.ToJsonString()}"
        )
        rows.append(_row(wish, hosts, await clients.check(consent), who="the first one, after she withdrew"))
        say("exporting the consent log and verifying it offline")
        verified = await verify_log(clients, layout)
        return Told(rows, withdrawal, verified)
    finally:
        await clients.close()


async def verify_log(clients: Clients, layout: Layout) -> VerifiedExport:
    """Export the log and verify it offline."""
    log = await clients.download()
    digests = {
        entry.partition('"bundle":"')[2][:64]
        for entry in (item.decode("ascii") for item in log.items)
        if '"type":"policy_published"' in entry
    }
    bundles = {digest: await clients.bundle(digest) for digest in sorted(digests)}
    trust = (layout.shared / "trust").read_bytes()
    target: Path = layout.base / "export"
    write_export(log, target, bundles, trust)
    return verify_export(target, trust)


def _row(wish: Wish, hosts: dict[str, str], decision: operator_pb2.Decision, who: str = "") -> Row:
    terms = decision.terms
    return Row(
        who=who or wish.who,
        home_city=wish.home_city,
        host_city=hosts[OperatorId(wish.operator)],
        operator=OperatorId(wish.operator),
        scenario=ScenarioId(wish.scenario),
        outcome=OUTCOMES[decision.outcome],
        terms={
            "text_zh": terms.text_zh,
            "text_en": terms.text_en,
            "items": [MessageToDict(item, preserving_proto_field_name=True) for item in terms.items],
        },
        log_index=decision.log_index,
        illustrative=decision.illustrative,
    )
