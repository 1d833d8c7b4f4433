from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory
from gateway.domain.ids import PeerIdentity
from gateway.transport.expiries import watch_expiries
from gateway.transport.tls import WatchedCertificate
from tests.fakes.ca import FakeCa, identity
from tests.rpc.harness import directory
from tests.unit.domain.samples import bundle

GATEWAY: PeerIdentity = identity("gateway")


@dataclass
class Files:
    directory: Directory
    bundle: Bundle


def test_what_ends_is_told_and_so_is_a_renewal(tmp_path: Path) -> None:
    ca, seconds, registry = FakeCa(tmp_path), iter(range(0, 1000, 10)), CollectorRegistry()
    files = ca.sound(GATEWAY, days=30)
    certificate = WatchedCertificate(files, monotonic=lambda: next(seconds))
    in_force = Files(directory(), bundle(expires=date(2026, 12, 31)))
    watch_expiries(registry, certificate, lambda: (in_force.directory, in_force.bundle))

    def told(what: str) -> float | None:
        return registry.get_sample_value("tiergate_expires_timestamp_seconds", {"what": what})

    assert told("certificate") == files.facts().not_after.timestamp()
    assert told("directory") == in_force.directory.expires
    assert told("bundle") == datetime(2027, 1, 1, tzinfo=UTC).timestamp()  # good through its last day

    before = told("certificate")
    ca.sound(GATEWAY, folder=files.cert.parent, days=60)
    in_force.directory = dataclasses.replace(in_force.directory, expires=in_force.directory.expires + 1)
    in_force.bundle = bundle(expires=date(2027, 12, 31))
    assert told("certificate") == files.facts().not_after.timestamp() != before
    assert told("directory") == in_force.directory.expires
    assert told("bundle") == datetime(2028, 1, 1, tzinfo=UTC).timestamp()
