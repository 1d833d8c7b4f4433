from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.consentlog.entry import Value, decode, encode
from gateway.consentlog.replay import END_MS, LIFETIME_MS, MEANINGS, Code, Replay, Replayed
from gateway.consentlog.shard import PLACES
from gateway.domain.bundle import Bundle
from gateway.domain.evaluate import GRAINS_MS, logged_from, logged_until, utc_day
from gateway.domain.ids import BundleDigest, CityId, ScenarioId
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.replayed import (
    BUS,
    DAY,
    EXPIRES_S,
    LIBRARY,
    MINUTE,
    NOON,
    decided,
    policies,
    published,
    registration,
    sound,
)
from tests.unit.consentlog.samples import genesis

SECOND = PLACES
"""Log index of the second shard's first entry."""


def _read(digest: str) -> Bundle:
    for version in (1, 2, 3):
        if policies(version).digest == digest:
            return policies(version)
    raise TiergateError(Reason.BUNDLE_INVALID, "another bundle")


def replayed(items: Sequence[Mapping[str, Value]]) -> tuple[Replay, list[Replayed]]:
    replay = Replay(_read)
    found = [replay.take(index, decode(encode(item))) for index, item in enumerate(items)]
    return replay, [item for item in found if item is not None]


def codes(items: Sequence[Mapping[str, Value]]) -> list[tuple[int, Code]]:
    return [(item.index, item.code) for found in replayed(items)[1] for item in found.differences]


def test_a_sound_log_has_no_difference() -> None:
    replay, found = replayed(sound())
    assert codes(sound()) == []
    assert replay.decisions == 4
    assert [item.index for item in found] == [3, 4, 6, 8]
    first = found[0]
    assert first.scenario == policies().scenarios[ScenarioId(LIBRARY)]
    assert first.evaluated is not None
    assert first.evaluated.terms == first.scenario.rungs[0].terms
    assert found[1].evaluated is not None
    assert found[1].evaluated.terms == first.scenario.base


def test_every_code_says_what_it_means() -> None:
    assert set(MEANINGS) == set(Code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scenario": "no-such-scenario"}, Code.SCENARIO_UNKNOWN),
        ({"scenario": BUS}, Code.SCENARIO_NOT_OPEN),
        ({"operator": "fuzhou-metro"}, Code.SCENARIO_NOT_OPEN),
        (
            {"time": 1_600_000_000_000 // DAY * DAY, "valid_until": 1_600_000_000_000 // DAY * DAY + MINUTE},
            Code.SCENARIO_NOT_OPEN,
        ),
        ({"city": "atlantis"}, Code.CITY_UNKNOWN),
        ({"rung": 3}, Code.RUNG_NOT_DISTINGUISHED),
        ({"time": NOON + 1}, Code.TIME_OFF_GRAIN),
        ({"valid_until": NOON + MINUTE + 1}, Code.VALID_UNTIL_OFF_GRAIN),
        ({"valid_until": NOON}, Code.VALID_UNTIL_TOO_EARLY),
        ({"valid_until": NOON + 7 * MINUTE}, Code.VALID_UNTIL_TOO_LATE),
        ({"bundle": "ab" * 32}, Code.BUNDLE_UNREADABLE),
        ({"time": END_MS, "valid_until": END_MS + MINUTE}, Code.TIME_OUT_OF_RANGE),
        (
            {
                "time": (EXPIRES_S * 1000 // MINUTE) * MINUTE,
                "valid_until": EXPIRES_S * 1000 // MINUTE * MINUTE + MINUTE,
            },
            Code.OUTLIVES_CONSENT,
        ),
        ({"time": 1_893_456_000_000, "valid_until": 1_893_456_060_000}, Code.BUNDLE_EXPIRED),
    ],
    ids=str,
)
def test_a_decision_that_its_bundle_does_not_make(changes: dict[str, Value], code: Code) -> None:
    assert (3, code) in codes([*sound()[:3], decided() | changes])


def test_every_rung_of_every_scenario_is_held_against_the_city() -> None:
    """A rung that no score of the city reaches: here, of a city whose concordance has lost its upper cuts."""
    bundle = policies()
    city = CityId("fuzhou")
    concordance = bundle.concordances[city]
    poorer = replace(bundle, concordances={city: replace(concordance, cuts=())})
    replay = Replay(lambda _digest: poorer)
    found = [replay.take(index, decode(encode(item))) for index, item in enumerate(sound()[:5])]
    assert [(code.index, code.code) for item in found if item for code in item.differences] == [
        (3, Code.RUNG_OUT_OF_REACH)
    ]


def test_a_rung_whose_terms_are_the_base_offer_entitles_to_nothing() -> None:
    bundle = policies()
    library = bundle.scenarios[ScenarioId(LIBRARY)]
    empty = replace(library, rungs=tuple(replace(rung, terms=library.base) for rung in library.rungs))
    replay = Replay(lambda _digest: replace(bundle, scenarios={library.id: empty}))
    found = [replay.take(index, decode(encode(item))) for index, item in enumerate(sound()[:5])]
    assert [(code.index, code.code) for item in found if item for code in item.differences] == [
        (3, Code.ENTITLED_TO_BASE)
    ]


def test_a_concordance_may_end_while_its_attestation_lives() -> None:
    bundle = policies()
    city = CityId("fuzhou")
    concordance = bundle.concordances[city]
    midnight = NOON // DAY * DAY
    yesterday = utc_day(midnight - 1)
    ended = replace(bundle, concordances={city: replace(concordance, effective_until=yesterday)})

    def at(time: int) -> set[Code]:
        replay = Replay(lambda _digest: ended)
        items = [*sound()[:3], decided(time=time, valid_until=time + MINUTE)]
        return {
            d.code
            for index, item in enumerate(items)
            if (r := replay.take(index, decode(encode(item))))
            for d in r.differences
        }

    assert Code.CONCORDANCE_NOT_IN_FORCE not in at(midnight + LIFETIME_MS - MINUTE)
    assert Code.CONCORDANCE_NOT_IN_FORCE in at(midnight + LIFETIME_MS)


def test_a_superseded_bundle_is_good_for_one_lifetime_more() -> None:
    head = [genesis(), published(1), registration(), published(2, time=NOON + MINUTE)]
    within = decided(time=NOON + 6 * MINUTE, valid_until=NOON + 8 * MINUTE)
    late = decided(time=NOON + 7 * MINUTE, valid_until=NOON + 8 * MINUTE)
    assert codes([*head, within, late]) == [(5, Code.BUNDLE_SUPERSEDED)]


def test_a_bundle_that_was_published_early_is_in_force_from_its_own_time_on() -> None:
    later = policies(2, NOON // 1000 + 3600)
    early = published(2) | {"bundle": later.digest}
    effective = NOON + 3_600_000

    def under(bundle: Bundle, at: int) -> dict[str, Value]:
        return decided(bundle=bundle.digest, time=at, valid_until=at + MINUTE)

    def found(*items: dict[str, Value]) -> list[tuple[int, Code]]:
        data = {policies().digest: policies(), later.digest: later}
        replay = Replay(lambda digest: data[BundleDigest(digest)])
        taken = [
            replay.take(index, decode(encode(item)))
            for index, item in enumerate((genesis(), published(1), registration(), early, *items))
        ]
        return [(item.index, item.code) for one in taken if one is not None for item in one.differences]

    assert found(under(policies(), effective - MINUTE), under(policies(), effective + 5 * MINUTE)) == []
    assert found(under(policies(), effective + 6 * MINUTE)) == [(4, Code.BUNDLE_SUPERSEDED)]
    assert found(under(later, effective - MINUTE)) == [(4, Code.BUNDLE_NOT_EFFECTIVE)]
    assert found(under(later, effective)) == []


def test_publications_are_compared_with_their_bundles() -> None:
    assert codes([genesis(), published(2, version=3)]) == [(1, Code.VERSION_DIFFERS)]
    assert codes([genesis(), published(2), published(1)]) == [(2, Code.VERSION_FALLS)]
    assert codes([genesis(), published(1), published(1), published(2)]) == []
    assert codes([genesis(), published() | {"bundle": "ab" * 32}]) == [(1, Code.BUNDLE_UNREADABLE)]


@pytest.mark.parametrize("effective_after_ms", [0, 2 * 3_600_000], ids=["one in grace", "one to come"])
def test_bundles_that_the_next_shard_restates_are_nothing_new(effective_after_ms: int) -> None:
    hour = 3_600_000
    effective_s = (NOON + effective_after_ms) // 1000 if effective_after_ms else 0
    one, two = policies(1), policies(2, effective_s)
    bundles: dict[str, Bundle] = {one.digest: one, two.digest: two}
    replay = Replay(bundles.__getitem__)

    def publication(bundle: Bundle, time: int) -> Mapping[str, Value]:
        return {"v": 1, "type": "policy_published", "bundle": bundle.digest, "version": bundle.version, "time": time}

    late = NOON + 3 * hour
    items = {
        0: genesis(), 1: publication(one, NOON), 2: publication(two, NOON), 3: registration(),
        SECOND + 1: publication(one, NOON + hour), SECOND + 2: publication(two, NOON + hour),
        SECOND + 3: decided(1, 3, time=late, valid_until=late + 5 * MINUTE, bundle=two.digest),
    }  # fmt: skip
    for index, item in items.items():
        replay.take(index, decode(encode(item)))
    assert dict(replay.counts) == {}
    replay.take(SECOND + 4, decode(encode(publication(one, late))))  # once more, and nobody has sealed anything
    assert dict(replay.counts) == {Code.VERSION_FALLS: 1}


def test_what_fails_while_a_bundle_is_read_is_not_taken_for_a_difference() -> None:
    def fails(_digest: str) -> Bundle:
        raise TiergateError(Reason.CONFIG_INVALID, "cannot be read")

    with pytest.raises(TiergateError):
        Replay(fails).take(1, decode(encode(published())))


@given(
    at=st.integers(NOON, NOON + DAY),
    life=st.integers(1, LIFETIME_MS),
    scenario=st.sampled_from([LIBRARY, BUS]),
)
def test_what_the_gateway_writes_is_never_a_difference(at: int, life: int, scenario: str) -> None:
    """Whatever the moment and the attestation's end, the times as they are rounded for the log are accepted."""
    found = policies().scenarios[ScenarioId(scenario)]
    grain = GRAINS_MS[found.time_grain]
    operator = found.operators[0]
    times = {"time": logged_from(at, grain), "valid_until": logged_until(at + life, grain)}
    written = decided(operator=operator, scenario=scenario, city="fuzhou", **times)
    assert codes([genesis(), published(), registration(operator), written]) == []


def test_a_decision_about_a_city_that_was_not_accepted_is_a_difference() -> None:
    name = ScenarioId("putian-rental-housing")
    (operator, *_) = policies().scenarios[name].operators

    def of(city: str) -> list[Code]:
        changes: dict[str, Value] = {"scenario": name, "operator": operator, "city": city}
        grain = GRAINS_MS[policies().scenarios[name].time_grain]
        start = NOON - NOON % grain
        times: dict[str, Value] = {"time": start, "valid_until": start + grain}
        decision = decided(0, 2, **changes, **times)
        return [code for _, code in codes([genesis(), published(time=start), registration(operator), decision])]

    assert of("xiamen") == [Code.CITY_NOT_ACCEPTED]
    assert Code.CITY_NOT_ACCEPTED not in of("fuzhou")
