"""A real adapter on loopback, with the files that it starts from, and its peers: app, gateway, operator."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import grpc.aio

from adapters.app import Adapter
from adapters.config import AdapterSettings, load_settings
from adapters.sandbox import quanzhou
from gateway.domain.directory import Endpoint
from gateway.domain.ids import CityId, PeerIdentity
from gateway.transport.channel import open_channel
from gateway.transport.tls import WatchedCertificate
from tests.fakes.files import write_city_keys, write_signed_files
from tests.fakes.network import DOMAIN, FUZHOU, Network
from tests.fakes.peer_ca import PeerCa

DECOY = "synthetic-fz-0001"
CSV: dict[str, Any] = {
    "kind": "csv",
    "path": "scores.csv",
    "check_interval_s": 0,
    "fields": {
        "resident": quanzhou.HEADER[0],
        "score": quanzhou.HEADER[2],
        "as_of": quanzhou.HEADER[3],
        "as_of_format": "%Y-%m-%d",
    },
}
"""The ``[source]`` table of the sandbox export, for a file beside the settings."""


def toml(table: dict[str, Any], prefix: str = "") -> str:
    """A table of plain values as TOML."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{prefix}]"] if prefix else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines.append(toml(value, f"{prefix}.{key}" if prefix else key))
    return "\n".join(lines) + "\n"


class AdapterFiles:
    """Everything that one city's adapter is started from, in ``folder``; scores come from ``source`` (its table)."""

    def __init__(
        self,
        folder: Path,
        source: dict[str, Any],
        *,
        city: CityId = FUZHOU,
        decoy: str = DECOY,
        gateway: str | None = None,
    ) -> None:
        self.folder = folder
        self.city = city
        self.network = Network(now_s=int(time.time()), addresses={} if gateway is None else {"gateway": gateway})
        self.ca = PeerCa(folder)
        write_signed_files(self.network, folder)
        write_city_keys(self.network, city, folder)
        own = self.ca.issue(PeerIdentity(DOMAIN, "city", city), f"{city}.tiergate.test")
        self.table: dict[str, Any] = {
            "city": city,
            "listen": "127.0.0.1:0",
            "data_dir": "data",
            "root": "root.json",
            "directory": "directory.json",
            "bundle": "bundle.json",
            "decoy_resident": decoy,
            "withdrawal_wait_s": 0,
            "tls": {"cert": own.cert.name, "key": own.key.name, "ca": own.ca.name},
            "keys": {
                "pairwise_secret": "pairwise.key",
                **{
                    purpose: {"kid": f"{city}-{purpose}-1", "file": f"{purpose}.pem"}
                    for purpose in ("consent", "attestation", "event")
                },
            },
            "answers": {"time_grid_s": 0},
            "source": source,
        }
        self._clients: dict[PeerIdentity, WatchedCertificate] = {}

    @property
    def file(self) -> Path:
        """The settings file."""
        return self.folder / "adapter.toml"

    def settings(self, **changes: Any) -> AdapterSettings:
        """The settings, written and read as the program does."""
        self.file.write_text(toml({**self.table, **changes}), encoding="utf-8")
        return load_settings(self.file, {})

    def channel(self, address: str, identity: PeerIdentity) -> grpc.aio.Channel:
        """A peer's channel to the adapter."""
        if identity not in self._clients:
            self._clients[identity] = WatchedCertificate(self.ca.issue(identity))
        return open_channel(Endpoint(address, f"{self.city}.tiergate.test"), self._clients[identity])

    def gateway(self, adapter: Adapter) -> grpc.aio.Channel:
        """The gateway's channel."""
        return self.channel(adapter.address, PeerIdentity(DOMAIN, "gateway", ""))

    def app(self, adapter: Adapter) -> grpc.aio.Channel:
        """The channel of the city's own app."""
        return self.channel(adapter.address, PeerIdentity(DOMAIN, "city-app", self.city))
