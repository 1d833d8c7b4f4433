"""What is counted of calls: how many, how they ended, how long they took, how many are in hand. Never by whom.

A successful call costs one observation on a child that was looked up when the server was built. Metrics:
``tiergate_rpc_seconds`` (histogram by method and gRPC status; its count is the number of calls),
``tiergate_rpc_failures_total`` (by method and reason), ``tiergate_rpc_in_flight``.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class CallMetrics:
    """The metrics of one server in one registry; a second server in the same registry is a ValueError."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "tiergate_rpc_seconds",
            "Seconds from a request's arrival to its answer.",
            ["method", "status"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._failures = Counter(
            "tiergate_rpc_failures_total", "Calls that failed.", ["method", "reason"], registry=registry
        )
        self._in_flight = Gauge("tiergate_rpc_in_flight", "Calls in hand.", registry=registry)

    def watch_in_flight(self, read: Callable[[], int]) -> None:
        """Read the number of calls in hand when metrics are collected, at no cost to a call."""
        self._in_flight.set_function(read)

    def succeeded(self, method: str) -> Callable[[float], None]:
        """What to call with the seconds that a successful call of ``method`` took."""
        return self._seconds.labels(method, "OK").observe

    def failed(self, method: str, status: str, reason: str, seconds: float) -> None:
        """Count a call that did not succeed."""
        self._seconds.labels(method, status).observe(seconds)
        self._failures.labels(method, reason).inc()
