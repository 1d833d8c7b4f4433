"""``tiergate adapter init``: what a city's engineer starts from, settings, draft policies, keys and a sample export."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import adapters.templates
from adapters.config import load_settings
from adapters.sources.csv_export import write_export
from gateway.cli.new_folder import (
    make_certificate_request,
    make_listed_key,
    new_folder,
    quoted,
    rendered,
    require_domain,
    require_slug,
)
from gateway.cli.options import Json
from gateway.cli.output import UsageError, facts, show
from gateway.crypto.keys import write_secret
from gateway.domain.directory import GATEWAY, KeyPurpose
from gateway.domain.ids import PeerIdentity
from gateway.errors import ProblemsError
from gateway.policy.entries import entry_text
from gateway.settings import is_loopback

TEMPLATES = Path(adapters.templates.__file__).parent
CUTS = (600, 700, 800)
"""Those of the concordance's template, for the sample; a test holds them together."""
_PURPOSES: tuple[KeyPurpose, ...] = ("consent", "attestation", "event")
_PORT = 7443


def init(
    city: Annotated[str, Parameter(help="Id of the city, a slug such as longyan.")],
    *,
    source: Annotated[
        Literal["csv", "sql", "http"],
        Parameter(name="--source", help="How scores are read: the standard export, your database, or your HTTP API."),
    ] = "csv",
    trust_domain: Annotated[
        str, Parameter(name="--trust-domain", help="Trust domain of the network, as the province says it.")
    ],
    address: Annotated[
        str | None,
        Parameter(name="--address", help="Where the province reaches the adapter. Default: CITY.TRUST-DOMAIN:7443."),
    ] = None,
    url: Annotated[
        str | None, Parameter(name="--url", help="With --source http: base address of your API. Default: a stand-in.")
    ] = None,
    name_zh: Annotated[str | None, Parameter(name="--name-zh", help="Name of the place in Chinese.")] = None,
    name_en: Annotated[str | None, Parameter(name="--name-en", help="Name of the place in English.")] = None,
    into: Annotated[
        Path | None, Parameter(name="--into", help="New folder. Default: one named after the city.")
    ] = None,
    json: Json = False,
) -> None:
    """Write what a city starts from: settings with every value explained, draft policies, keys, certificate requests.

    Private keys are made here, readable by their owner alone, and never leave. Nothing is sent anywhere. The folder's
    README says what comes next, and adapters/README.md shows every step.
    """
    if require_slug(city, "the city") == GATEWAY:
        raise UsageError(f'"{GATEWAY}" is what notices call the gateway', "give the city another id")
    holder = PeerIdentity(require_domain(trust_domain), "city", city)
    server_name = f"{city}.{trust_domain}"
    reached = address or f"{server_name}:{_PORT}"
    if url is not None and source != "http":
        raise UsageError("--url is for --source http", f"leave it out; --source is {source}")
    marks = {
        "CITY": city,
        "NAME_ZH": quoted(name_zh or city),
        "NAME_EN": quoted(name_en or city),
        "LISTEN": quoted(_listen(reached)),
        "ADDRESS": reached,
        "URL": quoted(url or "http://127.0.0.1:8080"),
        "IDENTITY": holder.uri,
        "DNS": server_name,
        "TODAY": datetime.now(UTC).date().isoformat(),
    }
    marks["SOURCE"] = rendered((TEMPLATES / f"source-{source}.toml").read_text("utf-8"), marks).rstrip()
    folder = into or Path(city)
    with new_folder(folder) as draft:
        keys = [make_listed_key(draft / "keys" / f"{purpose}.pem", purpose) for purpose in _PURPOSES]
        write_secret(draft / "keys" / "pairwise.secret", secrets.token_bytes(32))
        (draft / "bundles").mkdir()
        make_certificate_request(draft / "tls", holder, server_name)
        make_certificate_request(draft / "app" / "tls", PeerIdentity(trust_domain, "city-app", city), None)
        entry: dict[str, object] = {
            "id": city,
            "name_zh": name_zh or city,
            "name_en": name_en or city,
            "identity": holder.uri,
            "endpoint": {"address": reached, "server_name": server_name},
            "keys": keys,
        }
        (draft / "entry.json").write_bytes(_entry(entry))
        _write_files(draft, city, marks)
        _write_sample(draft / "sample.csv", city)
        _require_settings(draft / "adapter.toml")
    document = {
        "folder": str(folder),
        "city": city,
        "identity": holder.uri,
        "address": reached,
        "server_name": server_name,
        "source": source,
        "requests": [str(folder / "tls" / "request.csr"), str(folder / "app" / "tls" / "request.csr")],
        "entry": str(folder / "entry.json"),
    }
    last = f"what comes next: {folder / 'README.md'}"
    named = {**document, "requests": ", ".join(document["requests"])}
    show(document, lambda: [facts("A city that joins", named), last], as_json=json)


def _entry(plain: dict[str, object]) -> bytes:
    try:
        return entry_text("city", plain)
    except ProblemsError as error:
        told = "; ".join(f"{item.path} {item.message}" for item in error.problems)
        raise UsageError(f"no entry for the directory: {told}", "see --address, --name-zh and --name-en") from error


def _require_settings(file: Path) -> None:
    """Return if the settings can be read; what the command line put into them and nobody judged yet is the address."""
    try:
        load_settings(file, {})
    except ProblemsError as error:
        told = "; ".join(f"{item.path}: {item.message}" for item in error.problems)
        raise UsageError(
            f"no settings can be made of this: {told}", "correct --url, such as https://HOST/api"
        ) from error


def _listen(address: str) -> str:
    """Where to listen for what is reached at ``address``: on this machine alone, or everywhere."""
    return address if is_loopback(address) else f"0.0.0.0:{address.rpartition(':')[2]}"


def _write_files(draft: Path, city: str, marks: Mapping[str, str]) -> None:
    places = {
        "README.md": draft / "README.md",
        "adapter.toml": draft / "adapter.toml",
        "app.toml": draft / "app" / "client.toml",
        "city.toml": draft / "policies" / "cities" / f"{city}.toml",
        "city.cases.toml": draft / "policies" / "cities" / f"{city}.cases.toml",
        "acceptance.toml": draft / "policies" / "acceptance" / f"{city}.toml",
    }
    for template, file in places.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rendered((TEMPLATES / template).read_text("utf-8"), marks), "utf-8")


def _write_sample(file: Path, city: str) -> None:
    """A standard export of invented residents: both sides of each cut, no score, a stale one, and the decoy."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    points: list[tuple[int | None, date]] = [(score, yesterday) for cut in CUTS for score in (cut - 1, cut)]
    points += [(1000, yesterday), (0, yesterday), (None, yesterday), (900, yesterday - timedelta(days=400))]
    rows = [
        (f"synthetic-{city}-{number:04d}", "" if score is None else score, day.isoformat())
        for number, (score, day) in enumerate(points, start=1)
    ]
    rows.append((f"synthetic-{city}-decoy", 1000, yesterday.isoformat()))
    write_export(file, ("resident", "score", "as_of"), rows)
