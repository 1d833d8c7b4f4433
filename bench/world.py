"""What the processes of a run need to know of one network: PEM files, signing keys, and the names that tokens carry.

Made from a local network as the demo provisions it, and written beside it, so that every process reads the same files.
Yardsticks and stub use the same certificates and keys as the product does.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.localnet.plan import DEPLOYMENT, TRUST_DOMAIN, Layout
from gateway.cli.localnet.provision import Network
from gateway.crypto.envelope import BUNDLE_TYPE, verify
from gateway.crypto.keys import load_private_key, public_jwk, thumbprint
from gateway.crypto.root_files import read_root
from gateway.domain.ids import PeerIdentity, ScenarioId
from gateway.policy.bundle import read_bundle

CITY = "xiamen"
OPERATOR = "fuzhou-metro"
SCENARIO = "fuzhou-transit"
_FILE = "world.json"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of one end: the authority it trusts, its certificate, its key."""

    authority: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class World:
    """One network. ``server`` is the gateway's end, ``city`` the home city's, ``client`` the operator's.

    ``keys``, ``kids`` and ``jwks`` (public) are by purpose: consent, attestation, proof.
    """

    server: Tls
    city: Tls
    client: Tls
    server_name: str
    city_name: str
    client_identity: str
    keys: dict[str, Path]
    kids: dict[str, str]
    jwks: dict[str, dict[str, str]]
    deployment: str
    city_id: str
    operator: str
    scenario: str
    purpose: str
    bundle: str
    notice: str = "0" * 64  # of tokens that no city ever showed a notice for

    def write(self, path: Path) -> None:
        """Write as JSON, for the processes of the run."""
        path.write_text(json.dumps(dataclasses.asdict(self), default=str, indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> World:
        """Read what ``write`` wrote."""
        members: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in ("server", "city", "client"):
            members[name] = Tls(**{part: Path(value) for part, value in members[name].items()})
        members["keys"] = {purpose: Path(value) for purpose, value in members["keys"].items()}
        return cls(**members)


def world_file(layout: Layout) -> Path:
    """Where a network's world is written."""
    return layout.base / _FILE


def make_world(network: Network) -> World:
    """Read a provisioned network, and write what was read to ``world_file``."""
    layout = network.layout
    shared = layout.shared
    bundle = read_bundle(verify(read_root(shared / "root.json"), BUNDLE_TYPE, (shared / "bundle.json").read_bytes()))
    keys = {purpose: layout.city(CITY) / "keys" / f"{purpose}.key" for purpose in ("consent", "attestation")}
    keys["proof"] = layout.operator(OPERATOR) / "proof.key"
    jwks = {purpose: public_jwk(load_private_key(path)) for purpose, path in keys.items()}
    world = World(
        server=tls_of(layout.gateway),
        city=tls_of(layout.city(CITY)),
        client=tls_of(layout.operator(OPERATOR)),
        server_name=f"gateway.{TRUST_DOMAIN}",
        city_name=f"{CITY}.{TRUST_DOMAIN}",
        client_identity=PeerIdentity(TRUST_DOMAIN, "operator", OPERATOR).uri,
        keys=keys,
        kids={purpose: thumbprint(jwk) for purpose, jwk in jwks.items()},
        jwks=jwks,
        deployment=DEPLOYMENT,
        city_id=CITY,
        operator=OPERATOR,
        scenario=SCENARIO,
        purpose=bundle.scenarios[ScenarioId(SCENARIO)].purpose,
        bundle=bundle.digest,
    )
    world.write(world_file(layout))
    return world


def tls_of(folder: Path) -> Tls:
    """The PEM files of a participant with this folder."""
    return Tls(folder / "tls" / "ca.pem", folder / "tls" / "cert.pem", folder / "tls" / "key.pem")
