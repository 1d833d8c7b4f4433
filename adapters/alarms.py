"""What a city's engineers must look at: counted, and logged at most once a minute per kind; never about whom."""

from __future__ import annotations

from typing import Literal, get_args

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from adapters.clock import Clock

AlarmKind = Literal[
    "stale_record",
    "record_from_the_future",
    "bad_record",
    "export_refused",
    "export_rows_bad",
    "decoy_unusable",
    "event_refused",
    "event_receipt_invalid",
    "event_unlinked",
    "report_unattributed",
    "report_better_than_attested",
    "report_entitled_though_silent",
    "report_lower_than_attested",
    "report_of_another_question",
    "report_on_ended_attestation",
    "attested_not_reported",
    "log_fork",
    "registration_wrong",
    "reference_refused",
    "case_late",
    "case_lapsed",
    "calendar_missing",
    "signing_key_unlisted",
    "handles_guessed",
]
ALARM_KINDS: tuple[AlarmKind, ...] = get_args(AlarmKind)
LOG_INTERVAL_S = 60.0

_log = structlog.get_logger(__name__)


class Alarms:
    """Alarms inside the city. ``raised`` counts by kind, for tests and the health view."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._logged: dict[AlarmKind, float] = {}
        self.raised: dict[AlarmKind, int] = dict.fromkeys(ALARM_KINDS, 0)
        self._counter = Counter(
            "tiergate_adapter_alarms", "Things to look at inside the city, by kind.", ["kind"], registry=registry
        )
        for kind in ALARM_KINDS:
            self._counter.labels(kind)

    def alarm(self, kind: AlarmKind) -> None:
        """Count one, and log it unless the same kind was logged within the last minute."""
        self.raised[kind] += 1
        self._counter.labels(kind).inc()
        now = self._clock.monotonic()
        last = self._logged.get(kind)
        if last is None or now - last >= LOG_INTERVAL_S:
            self._logged[kind] = now
            _log.warning("alarm", kind=kind, count=self.raised[kind])


class Metrics:
    """Load and health of an adapter. No label tells personal outcomes apart."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.attested = Counter("tiergate_adapter_attestations", "Attestations given.", registry=registry)
        self.refused = Counter(
            "tiergate_adapter_refusals", "Questions that got an error, by reason.", ["reason"], registry=registry
        )
        self.platform_s = Histogram(
            "tiergate_adapter_platform_seconds",
            "Time that the score platform takes for one read.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
        )
        self.events_pending = Gauge(
            "tiergate_adapter_events_pending", "Events that the gateway has not acknowledged.", registry=registry
        )
        self.reports = Counter("tiergate_adapter_use_reports", "Use reports taken.", registry=registry)
