from __future__ import annotations

from bench.asked import ASKED, GATEWAY_RSS_LIMIT, Asked
from bench.measure import Sample
from bench.report import Report, document, memory_verdicts, ratios_of, table


def sample(
    throughput: float, p50_ms: float = 1.0, *, errors: int = 0, notes: tuple[str, ...] = (), other_load: float = 0.0
) -> Sample:
    return Sample(throughput, p50_ms, 2.0, {"gateway": 10.0}, {"gateway": 12.0}, 5.0, other_load, 100, errors, notes)


def report_of(rounds: dict[str, list[Sample]]) -> Report:
    return Report(rounds, ratios_of(rounds))


def test_the_median_is_taken_of_the_rounds_own_ratios() -> None:
    # the medians of the columns are 100 and 100; that no round saw a ratio of 1 must show
    rounds = {"naive": [sample(50), sample(100), sample(400)], "echo-64": [sample(100), sample(50), sample(1000)]}
    (ratio,) = ratios_of(rounds)
    assert ratio.per_round == (0.5, 2.0, 0.4)
    assert ratio.median == 0.5


def test_a_ratio_whose_base_was_not_measured_is_left_out() -> None:
    assert ratios_of({"naive": [sample(50)]}) == ()


def test_a_hobbled_yardstick_makes_the_run_invalid() -> None:
    report = report_of({"naive": [sample(9)], "echo-64": [sample(100)]})
    assert report.faults == ["naive reached 0.09 of echo-64, less than 0.10"]
    assert "INVALID RUN" in table(report)
    assert document(report)["valid"] is False


def test_a_yardstick_at_its_bound_is_valid() -> None:
    assert report_of({"naive": [sample(10)], "echo-64": [sample(100)]}).faults == []


def test_a_missed_ratio_is_told_and_leaves_the_run_valid() -> None:
    report = report_of({"anew-64": [sample(30)], "echo-64": [sample(100)]})
    assert report.faults == []
    assert "MISS throughput" in table(report)
    found = document(report)
    assert found["valid"] is True
    assert [ratio["met"] for ratio in found["ratios"]] == [False, True, True]


def test_failed_calls_make_the_run_invalid() -> None:
    report = report_of({"echo-64": [sample(100), sample(100, errors=3, notes=("3 × UNAVAILABLE",))]})
    assert report.faults == ["echo-64: 3 calls failed (3 × UNAVAILABLE)"]


def test_latencies_are_bounded_from_above() -> None:
    asked = Asked("a", "b", "p50_ms", 2.2)
    assert asked.met(2.2)
    assert not asked.met(2.21)


def test_every_asked_ratio_has_its_own_key() -> None:
    keys = [asked.key for asked in ASKED]
    assert len(set(keys)) == len(keys)


def test_memory_that_grows_with_the_log_is_told() -> None:
    verdicts = memory_verdicts({"empty log": GATEWAY_RSS_LIMIT, "a million": int(GATEWAY_RSS_LIMIT * 1.2)})
    assert [met for _, met in verdicts] == [True, False]


def test_a_machine_that_does_other_things_is_told() -> None:
    assert "not quiet" in table(report_of({"echo-64": [sample(100, other_load=0.5)]}))
    assert "not quiet" not in table(report_of({"echo-64": [sample(100)]}))
