"""``tiergate policy show``: policies as tables, with every figure that nobody has published marked as such."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.client import read_file
from gateway.cli.messages import terms_document
from gateway.cli.options import Json
from gateway.cli.output import UsageError, show, table
from gateway.cli.policy import load
from gateway.cli.policy_sign import payload_type_of, unverified_payload
from gateway.crypto.envelope import MAX_ENVELOPE_BYTES
from gateway.crypto.envelope import verify as verify_envelope
from gateway.crypto.root_files import read_root
from gateway.domain.scenario import Scenario
from gateway.domain.tier import Concordance, TierScale
from gateway.policy.bundle import read_bundle

_MARK = "示意 illustrative"


def show_policies(
    source: Annotated[Path, Parameter(help="Folder of policy files, or a signed bundle.")] = Path("policies"),
    *,
    root: Annotated[
        Path | None, Parameter(name="--root", help="Verify the signed bundle under this root before showing it.")
    ] = None,
    json: Json = False,
) -> None:
    """Show the tiers, how each city's score maps to them, and the scenarios with their terms."""
    if source.is_dir():
        if root is not None:
            raise UsageError("--root is for signed bundles; files in a folder have no signature")
        policies = load(source).policies
        scale, concordances, scenarios = policies.scale, policies.concordances, policies.scenarios
        origin = f"files in {source}, not signed"
    else:
        data = read_file(source, MAX_ENVELOPE_BYTES, "name a folder or a signed bundle")
        kind, payload = unverified_payload(data)
        if kind != "bundle":
            raise UsageError(f"{source} is a signed {kind}", "name a signed bundle; `policy verify` describes both")
        if root is not None:
            payload = verify_envelope(read_root(root), payload_type_of(kind), data)
        bundle = read_bundle(payload)
        scale, concordances, scenarios = bundle.scale, bundle.concordances, bundle.scenarios
        state = "signatures not checked, give --root to check them" if root is None else "signatures verified"
        origin = f"bundle {bundle.digest}, version {bundle.version}, to {bundle.expires}; {state}"
    document = _document(scale, concordances, scenarios) | {"source": origin}
    show(document, lambda: _tables(document), as_json=json)


def _document(
    scale: TierScale, concordances: Mapping[Any, Concordance], scenarios: Mapping[Any, Scenario]
) -> dict[str, Any]:
    names = {tier.level: tier.id for tier in scale.tiers}
    return {
        "tiers": [
            {"id": tier.id, "level": tier.level, "name_zh": tier.name_zh, "name_en": tier.name_en}
            for tier in scale.tiers
        ],
        "concordances": [
            {
                "city": city,
                "version": item.version,
                "score_name_zh": item.score_name_zh,
                "score_name_en": item.score_name_en,
                "score_min": item.score_min,
                "score_max": item.score_max,
                "design": item.design,
                "cuts": {names[cut.level]: cut.minimum for cut in item.cuts},
                "illustrative": item.illustrative,
                "source": item.source.url,
                "published": item.source.published,
            }
            for city, item in sorted(concordances.items())
        ],
        "scenarios": [
            {
                "id": name,
                "version": item.version,
                "host_city": item.host_city,
                "name_zh": item.name_zh,
                "name_en": item.name_en,
                "operators": list(item.operators),
                "base": terms_document(item.base),
                "rungs": [{"tier": names[rung.level]} | terms_document(rung.terms) for rung in item.rungs],
                "illustrative": item.illustrative,
                "source": item.source.url,
                "published": item.source.published,
            }
            for name, item in sorted(scenarios.items())
        ],
    }


def _tables(document: Mapping[str, Any]) -> Iterator[Any]:
    tiers = document["tiers"]
    yield table(
        "Tiers", ("level", "id", "name"), ((t["level"], t["id"], f"{t['name_zh']} / {t['name_en']}") for t in tiers)
    )
    positive = [tier["id"] for tier in tiers if tier["level"]]
    yield table(
        "Concordances (from how many points a score reaches a tier)",
        ("city", "score", "range", *positive, "", "source"),
        (
            (
                item["city"],
                f"{item['score_name_zh']} / {item['score_name_en']}",
                f"{item['score_min']}-{item['score_max']}",
                *(item["cuts"].get(tier, "-") for tier in positive),
                _MARK if item["illustrative"] else "",
                f"{item['source']} ({item['published']})",
            )
            for item in document["concordances"]
        ),
    )
    yield table("Scenarios", ("id", "for", "terms", ""), _scenario_rows(document["scenarios"]))
    yield document["source"]


def _scenario_rows(scenarios: list[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    for item in scenarios:
        mark = _MARK if item["illustrative"] else ""
        yield item["id"], "everybody", f"{item['base']['text_zh']} / {item['base']['text_en']}", mark
        for rung in item["rungs"]:
            yield "", rung["tier"], f"{rung['text_zh']} / {rung['text_en']}", ""
