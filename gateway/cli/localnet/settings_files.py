"""The settings files of a local network's processes and clients."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gateway.cli.localnet.plan import SOURCE_KINDS, Layout, Options
from gateway.domain.directory import KeyPurpose
from gateway.domain.ids import Role

CITY_PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event")
PLATFORM_PORT = "@PLATFORM_PORT@"
"""Stands in Fuzhou's settings until its platform runs and has told its port."""


def write_client(layout: Layout, folder: Path, role: Role, name: str, *, proves: bool = False) -> None:
    """A profile for ``--profile``."""
    shared = os.path.relpath(layout.shared if role != "city-app" else layout.installed(folder.parent), folder)
    text = f"""# Client settings of {role} {name}, for tiergate's --profile. Relative paths start here.
role = "{role}"
name = "{name}"
root = "{shared}/root.json"
directory = "{shared}/directory.json"
bundle = "{shared}/bundle.json"
"""
    if proves:
        text += 'proof_key = "proof.key"\n'
    text += '\n[tls]\ncert = "tls/cert.pem"\nkey = "tls/key.pem"\nca = "tls/ca.pem"\n'
    (folder / "client.toml").write_text(text, "utf-8")


def write_gateway(layout: Layout, options: Options, listen: str) -> None:
    """The gateway's settings."""
    shared = os.path.relpath(layout.installed(layout.gateway), layout.gateway)
    limits = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.gateway_limits.items())
    (layout.gateway / "gateway.toml").write_text(
        f"""environment = "development"
listen = "{listen}"
data_dir = "data"
root = "{shared}/root.json"
directory = "{shared}/directory.json"
bundle = "{shared}/bundle.json"
log_key = "log.key"
log_mark = "log.mark"
bench_plaintext = {json.dumps(options.bench_plaintext)}

[tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
ca = "tls/ca.pem"

[limits]
{limits}""",
        "utf-8",
    )


def write_adapter(layout: Layout, options: Options, city: str, listen: str) -> None:
    """A city adapter's settings; the platform's port is put in once it is known."""
    folder = layout.city(city)
    shared = os.path.relpath(layout.installed(folder), folder)
    keys = "".join(f'{purpose} = {{ file = "keys/{purpose}.key" }}\n' for purpose in CITY_PURPOSES)
    limits = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.adapter_limits.items())
    (folder / "adapter.toml").write_text(
        f"""city = "{city}"
listen = "{listen}"
data_dir = "data"
root = "{shared}/root.json"
directory = "{shared}/directory.json"
bundle = "{shared}/bundle.json"
decoy_resident = "{decoy_of(city)}"

[tls]
cert = "tls/cert.pem"
key = "tls/key.pem"
ca = "tls/ca.pem"

[keys]
{keys}pairwise_secret = "keys/pairwise.secret"

[answers]
lifetime_s = {options.attestation_lifetime_s}
time_grid_s = {options.time_grid_s}

[limits]
{limits}
[source]
{_source(options, city)}""",
        "utf-8",
    )


def synthetic(city: str, number: int) -> str:
    """The reference of one of the dozen invented residents that each city's platform is filled with."""
    return f"synthetic-{ {'fuzhou': 'fz', 'xiamen': 'xm', 'quanzhou': 'qz'}.get(city, city) }-{number:04d}"


def decoy_of(city: str) -> str:
    """A synthetic record that stands for nobody."""
    return synthetic(city, 8)


SOURCES = {
    "http": """kind = "http"
base_url = "http://127.0.0.1:@PLATFORM_PORT@"
path = "/api/v1/residents/{resident}/score"

[source.auth]
kind = "bearer"
token = { file = "platform/token" }

[source.result]
path = "code"
ok = [0]
unknown = [1404]

[source.fields]
resident = "data.residentNo"
score = "data.score"
as_of = "data.evalTime"
as_of_format = "%Y-%m-%d %H:%M:%S"
utc_offset = "+08:00"
""",
    "sql": """kind = "sql"
sqlite_file = "platform/scores.sqlite3"
query = "SELECT resident_no, egret_points, computed_on FROM egret_score WHERE resident_no = :resident"

[source.fields]
resident = "resident_no"
score = "egret_points"
as_of = "computed_on"
as_of_format = "iso8601"
utc_offset = "+08:00"
""",
    "csv": """kind = "csv"
path = "platform/export.csv"
encoding = "gb18030"

[source.fields]
resident = "居民编号"
score = "信用分"
as_of = "评估日期"
as_of_format = "%Y-%m-%d"
utc_offset = "+08:00"
""",
}
"""Source settings by kind, in the shapes of the sandbox platforms."""


def _source(options: Options, city: str) -> str:
    text = SOURCES[SOURCE_KINDS[city]]
    return text if options.platform_port is None else text.replace(PLATFORM_PORT, str(options.platform_port))
