"""A log under the shipped policies, every decision of which is what they make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path

import rfc8785

from gateway.consentlog.entry import Value, encode
from gateway.consentlog.export import write_export
from gateway.consentlog.scoped import write_scoped
from gateway.domain.bundle import Bundle
from gateway.domain.ids import ScenarioId
from gateway.policy.bundle import build_bundle, digest_of, read_bundle
from gateway.policy.load import load_policies
from tests.unit.consentlog.samples import TRUST, MemoryLog, decision, entry, genesis, registered, withdrawn
from tests.unit.consentlog.test_scoped import FUZHOU, Shown, read_entry

MINUTE, DAY = 60_000, 86_400_000
NOON = 1_793_491_200_000 // DAY * DAY + DAY // 2
"""A day on which the shipped policies are in force, Unix milliseconds."""
LIBRARY, BUS = "xiamen-library", "fuzhou-transit"
"""Scenarios by the minute and by the day."""
EXPIRES_S = NOON // 1000 + 30 * 86_400

Item = Mapping[str, Value]


@cache
def policy_bytes(version: int = 1, expires: date = date(2027, 12, 31), effective: int = 0) -> bytes:
    return build_bundle(load_policies(Path(__file__).parents[3] / "policies"), version, expires, effective=effective)


def forged() -> bytes:
    """A bundle that follows its schema, and that nobody has signed: the library lends 9999 of whatever it counts."""
    document = json.loads(policy_bytes())
    (library,) = (item for item in document["scenarios"] if item["id"] == LIBRARY)
    counts = [item for rung in library["rungs"] for item in rung["items"] if "count" in item]
    assert counts
    for item in counts:
        item["count"] = 9999
    return rfc8785.dumps(document)


@cache
def policies(version: int = 1, effective: int = 0) -> Bundle:
    return read_bundle(policy_bytes(version, effective=effective))


def published(number: int = 1, **changes: Value) -> dict[str, Value]:
    return entry("policy_published", bundle=policies(number).digest, version=number) | {"time": NOON} | changes


def registration(operator: str = LIBRARY, **changes: Value) -> dict[str, Value]:
    return registered(operator=operator) | {"expires": EXPIRES_S, "time": NOON} | changes


def decided(rung: int = 1, consent: int = 2, **changes: Value) -> dict[str, Value]:
    """A decision on the library scenario."""
    fields: dict[str, Value] = {"scenario": LIBRARY, "operator": LIBRARY, "bundle": policies().digest}
    times: dict[str, Value] = {"time": NOON, "valid_until": NOON + 5 * MINUTE}
    return decision(consent, rung, **fields) | times | changes


def sound() -> list[dict[str, Value]]:
    """0 genesis, 1 policy, 2 consent, 3 entitled, 4 ordinary, 5 consent, 6 by the day, 7 its withdrawal, 8 ordinary."""
    operator = policies().scenarios[ScenarioId(BUS)].operators[0]
    by_day: dict[str, Value] = {
        "scenario": BUS,
        "city": "xiamen",
        "operator": operator,
        "time": NOON - DAY // 2,
        "valid_until": NOON + DAY // 2,
    }
    return [
        genesis(),
        published(),
        registration(),
        decided(1),
        decided(0),
        registration(operator, city="xiamen"),
        decided(1, 5, **by_day),
        withdrawn(consent=5) | {"city": "xiamen", "time": NOON},
        decided(0, 5, **by_day),
    ]


def write(folder: Path, items: Sequence[Item], bundles: Sequence[bytes] = ()) -> Path:
    """An export of the log."""
    write_export(MemoryLog([encode(item) for item in items]), folder, _files(bundles), TRUST)
    return folder


def write_shown(folder: Path, items: Sequence[Item], bundles: Sequence[bytes] = ()) -> Path:
    """What an auditor of Fuzhou has of the log, in which that read is recorded last."""
    log = [encode(item) for item in (*items, read_entry(len(items)))]
    write_scoped(Shown(log), FUZHOU, folder, _files(bundles), TRUST)
    return folder


def _files(bundles: Sequence[bytes]) -> dict[str, bytes]:
    return {digest_of(data): data for data in bundles or (policy_bytes(),)}
