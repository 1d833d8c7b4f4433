"""What the local network consists of."""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

TRUST_DOMAIN = "fujian.tiergate.invalid"
DEPLOYMENT = "fujian"
CITY_NAMES = {
    "fuzhou": ("福州", "Fuzhou"),
    "xiamen": ("厦门", "Xiamen"),
    "zhangzhou": ("漳州", "Zhangzhou"),
    "quanzhou": ("泉州", "Quanzhou"),
    "sanming": ("三明", "Sanming"),
    "putian": ("莆田", "Putian"),
    "nanping": ("南平", "Nanping"),
    "longyan": ("龙岩", "Longyan"),
    "ningde": ("宁德", "Ningde"),
    "pingtan": ("平潭", "Pingtan"),
}
AUTHORITIES = ("province", "fuzhou", "xiamen")
SIGNERS = 2
"""How many of the authorities must sign a bundle, a directory or a new root."""
SOURCE_KINDS = {city: {"fuzhou": "http", "xiamen": "sql"}.get(city, "csv") for city in CITY_NAMES}


PORTS = range(20_000, 32_000)
"""Below those that systems hand out by themselves (Linux: from 32768): nobody gets one by chance while it is free."""


class ReservedPort:
    """A free loopback port, held until the process that needs it is about to start. OSError if there is none."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self.port = self._take()

    def _take(self) -> int:
        for _ in range(100):
            port = secrets.choice(PORTS)
            with contextlib.suppress(OSError):  # somebody has it
                self._socket.bind(("127.0.0.1", port))
                return port
        self._socket.bind(("127.0.0.1", 0))
        taken: int = self._socket.getsockname()[1]
        return taken

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def release(self) -> None:
        """Let the process have it."""
        self._socket.close()


@dataclass(frozen=True)
class Layout:
    """Where everything lies under one folder. One subfolder per trust domain: nobody reads another's."""

    base: Path

    @property
    def authority(self) -> Path:
        """The authorities' private side: a folder each, and the development CA's."""
        return self.base / "authority"

    def signing_key(self, authority: str) -> Path:
        """What one authority signs with."""
        return self.authority / authority / "signing.key"

    @property
    def signing_keys(self) -> tuple[Path, ...]:
        """Keys of as many authorities as must sign."""
        return tuple(self.signing_key(name) for name in AUTHORITIES[:SIGNERS])

    @property
    def shared(self) -> Path:
        """What every participant gets: CA, root, directory, bundle."""
        return self.base / "shared"

    @property
    def gateway(self) -> Path:
        """The gateway's own folder."""
        return self.base / "gateway"

    def city(self, city: str) -> Path:
        """A city's own folder."""
        return self.base / "cities" / city

    def app(self, city: str) -> Path:
        """The backend of a city's app."""
        return self.base / "cities" / city / "app"

    def operator(self, operator: str) -> Path:
        """An operator's own folder."""
        return self.base / "operators" / operator

    @property
    def auditor(self) -> Path:
        """The provincial auditor's folder."""
        return self.base / "auditors" / "province"

    def city_auditor(self, city: str) -> Path:
        """The folder of an auditor who sees one city."""
        return self.auditor.with_name(self.auditor.name.replace("province", city))

    def installed(self, folder: Path) -> Path:
        """Where the process of ``folder`` finds root, directory and bundle."""
        del folder
        return self.shared

    def log(self, process: str) -> Path:
        """Standard error of a process."""
        return self.base / "logs" / f"{process}.log"


@dataclass(frozen=True)
class ContainerLayout(Layout):
    """One volume per trust domain under ``base``: each holds its own copy of the signed files."""

    private: Path = Path("authority")
    """The authorities' private side: outside every volume."""

    @property
    def authority(self) -> Path:
        """The authorities' private side."""
        return self.private

    @property
    def shared(self) -> Path:
        """What clients get; processes have copies of their own."""
        return self.base / "operators" / "shared"

    def city(self, city: str) -> Path:
        """A city's volume."""
        return self.base / city

    def app(self, city: str) -> Path:
        """The backend of a city's app."""
        return self.base / city / "app"

    @property
    def auditor(self) -> Path:
        """The provincial auditor's folder."""
        return self.base / "operators" / "auditor-province"

    def installed(self, folder: Path) -> Path:
        """The folder's own copies."""
        return folder


@dataclass(frozen=True)
class Options:
    """How a local network may differ from the demo's; tests and bench use these.

    ``datasets``: synthetic residents per city, in place of the shipped ones. ``announced``: the address that the
    directory names for a process, if it is not the one that it listens on. ``listen``: addresses to listen on, in place
    of free loopback ports. ``platform_port``: of Fuzhou's platform, if it is fixed.
    """

    cities: tuple[str, ...] = ("fuzhou", "xiamen")
    policies: Path = Path("policies")
    attestation_lifetime_s: int = 300
    time_grid_s: float = 0.005
    gateway_limits: dict[str, int | float | bool] = field(default_factory=dict)
    adapter_limits: dict[str, int | float] = field(default_factory=dict)
    datasets: dict[str, Path] = field(default_factory=dict)
    bench_plaintext: bool = False
    announced: dict[str, str] = field(default_factory=dict)
    listen: dict[str, str] = field(default_factory=dict)
    platform_port: int | None = None
