"""When what a process runs on ends, as a metric: an expired file stops it, and a calm operator renews before that.

``tiergate_expires_timestamp_seconds`` (gauge, Unix seconds, UTC; by ``what``): ``certificate`` (our own, in use),
``directory``, ``bundle`` (the end of its last day). Read when metrics are collected, at no cost to a call.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

from prometheus_client import CollectorRegistry, Gauge

from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory
from gateway.transport.tls import WatchedCertificate


def watch_expiries(
    registry: CollectorRegistry, certificate: WatchedCertificate, in_force: Callable[[], tuple[Directory, Bundle]]
) -> None:
    """Publish the metric. ``in_force`` and the certificate are asked anew each time, so that renewals show."""
    gauge = Gauge(
        "tiergate_expires_timestamp_seconds",
        "When what this process runs on ends: certificate, directory, bundle.",
        ["what"],
        registry=registry,
    )

    def end_of_bundle() -> float:
        day = in_force()[1].expires + timedelta(days=1)
        return datetime.combine(day, time(), UTC).timestamp()

    gauge.labels("certificate").set_function(lambda: certificate.expires_at)
    gauge.labels("directory").set_function(lambda: in_force()[0].expires)
    gauge.labels("bundle").set_function(end_of_bundle)
