"""``tiergate audit replay``: every decision of an export recomputed from the log and the bundle that it names (I8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from gateway.cli.audit import (
    entry_document,
    hashes_alone,
    head_document,
    read_trust,
    require_export,
    scope_document,
    unchecked_of,
    verified_export,
)
from gateway.cli.audit_signed import Publications, read_authorities
from gateway.cli.client import read_file
from gateway.cli.messages import ILLUSTRATIVE, terms_document, terms_lines
from gateway.cli.options import LOG_INDEX, AuthoritiesRoot, Json, SignedBundles, TrustFile
from gateway.cli.output import EXIT_OK, EXIT_REFUSED, EXIT_UNVERIFIED, UsageError, facts, show, table
from gateway.consentlog.export import SHARDS, policy_path
from gateway.consentlog.replay import MEANINGS, Code, Difference, Replay, Replayed
from gateway.domain.bundle import Bundle
from gateway.domain.ids import CityId
from gateway.domain.tier import Source
from gateway.errors import Reason, TiergateError
from gateway.policy.bundle import MAX_BUNDLE_BYTES, read_bundle

SHOWN = 50
"""Differences that people are shown; programs get all."""


def bundle_reader(directory: Path) -> Callable[[str], Bundle]:
    """How a replay reads the bundles of an export. What it gives raises CONFIG_INVALID or BUNDLE_INVALID."""

    def read(digest: str) -> Bundle:
        places = (directory, *sorted((directory / SHARDS).glob("*")))
        place = next((place for place in places if (place / policy_path(digest)).exists()), directory)
        bundle = read_bundle(read_file(place / policy_path(digest), MAX_BUNDLE_BYTES))
        if bundle.digest != digest:
            raise TiergateError(Reason.BUNDLE_INVALID, "a policy bundle does not match its digest")
        return bundle

    return read


def replay(
    directory: Annotated[Path, Parameter(help="Folder that `audit export` wrote.")],
    *,
    trust: TrustFile,
    decision: Annotated[
        int | None,
        Parameter(
            name="--decision",
            validator=LOG_INDEX,
            help="Also say in words why this decision (log index) gave its terms.",
        ),
    ] = None,
    root: AuthoritiesRoot = None,
    signed: SignedBundles = None,
    json: Json = False,
) -> int:
    """Verify an export, then recompute every decision from the log and the policy bundle that it names.

    Of a scoped export the decisions in scope. A difference is told with the entry's index and a code. With --root and
    --signed also a bundle that the authorities have not signed. Exit code 1 when there is any difference, 4 when there
    is such a bundle, and when the export does not verify: then nothing is said about its decisions.
    """
    require_export(directory)
    data = read_trust(trust)
    published = Publications(read_authorities(root, signed))
    replayed = Replay(bundle_reader(directory))
    differences: list[Difference] = []
    asked: list[Replayed] = []

    def take(index: int, entry: Any) -> None:
        published.take(index, entry)
        found = replayed.take(index, entry)
        if found is not None:
            differences.extend(found.differences)
            if found.index == decision and entry.type == "decision":
                asked.append(found)

    verified, scope = verified_export(directory, data, take)
    if decision is not None and not asked:
        raise UsageError(f"entry {decision} is not a decision in the export", "see `audit list --type decision`")
    hidden = hashes_alone(verified)
    document: dict[str, Any] = {
        "verified": head_document(verified) | {"witnesses": verified.witnesses},
        "shards": [head_document(shard) for shard in verified.shards],
        "unchecked": unchecked_of(verified),
        "scope": scope_document(scope),
        "hashes_alone": hidden,
        "bundle_signatures": published.document(),
        "decisions": replayed.decisions,
        "counts": {code.value: replayed.counts[code] for code in sorted(replayed.counts)},
        "differences": [
            {"index": item.index, "code": item.code.value, "meaning": MEANINGS[item.code]} for item in differences
        ],
    }
    if asked:
        document["decision"] = _explained(asked[0])
    last = f"{replayed.decisions} decisions of {verified.origin} recomputed, {len(differences)} difference(s)"
    if scope.cities is not None:
        last += f"; those about {', '.join(scope.cities)} alone: of {hidden} other entries the export has the hashes"
    show(
        document,
        lambda: [
            *(_words(document["decision"]) if asked else []),
            *_differences(differences, replayed.counts),
            last,
            *published.words(),
        ],
        as_json=json,
    )
    if published.unsigned:
        return EXIT_UNVERIFIED
    return EXIT_REFUSED if differences else EXIT_OK


def _differences(found: Sequence[Difference], counts: dict[Code, int]) -> list[str | Table]:
    if not found:
        return []
    shown = [(item.index, item.code.value, MEANINGS[item.code]) for item in found[:SHOWN]]
    tables = [table("Differences", ("index", "code", "meaning"), shown)]
    if len(found) > SHOWN:
        tables.append(
            facts(f"the first {SHOWN} of {len(found)}; by code", {c.value: counts[c] for c in sorted(counts)})
        )
    return [*tables]


def _explained(found: Replayed) -> dict[str, Any]:
    """Why one decision gave these terms, from log and bundle alone."""
    bundle, scenario = found.bundle, found.scenario
    document: dict[str, Any] = {
        "entry": entry_document(found.index, found.entry),
        "differences": [item.code.value for item in found.differences],
    }
    if bundle is not None:
        document["bundle"] = {"digest": bundle.digest, "version": bundle.version, "expires": str(bundle.expires)}
        concordance = bundle.concordances.get(CityId(found.entry.text("city")))
        if concordance is not None:
            document["home_city"] = {
                "city": concordance.city,
                "score_zh": concordance.score_name_zh,
                "score_en": concordance.score_name_en,
                "version": concordance.version,
                "illustrative": concordance.illustrative,
                "source": _source(concordance.source),
            }
    if scenario is not None:
        document["scenario"] = {
            "id": scenario.id,
            "version": scenario.version,
            "name_zh": scenario.name_zh,
            "name_en": scenario.name_en,
            "rungs": len(scenario.rungs),
            "illustrative": scenario.illustrative,
            "source": _source(scenario.source),
        }
    if found.evaluated is not None:
        document["terms"] = terms_document(found.evaluated.terms)
        document["illustrative"] = found.evaluated.illustrative
    return document


def _source(source: Source) -> dict[str, str]:
    return {
        "url": source.url,
        "published": source.published,
        "confidence": source.confidence,
        "note": source.note,
    }


def _words(document: dict[str, Any]) -> list[str | Table]:
    entry = document["entry"]
    named: dict[str, object] = {
        "decided": f"{entry['time']} (rounded down to the scenario's grain), {entry['outcome']}",
        "operator": entry["operator"],
    }
    if "scenario" in document:
        scenario = document["scenario"]
        named["scenario"] = (
            f"{scenario['id']}, version {scenario['version']}: {scenario['name_zh']} / {scenario['name_en']}"
        )
        named["rung"] = f"{entry['rung']} of {scenario['rungs']}" + (", the base offer" if entry["rung"] == 0 else "")
    if "terms" in document:
        named |= terms_lines(document["terms"], illustrative=document["illustrative"])
    if "bundle" in document:
        bundle = document["bundle"]
        named["rules"] = f"bundle version {bundle['version']} ({bundle['digest']}), in use until {bundle['expires']}"
    if "scenario" in document:
        named["source of the terms"] = _source_words(document["scenario"])
    if "home_city" in document:
        home = document["home_city"]
        named["home city"] = f"{home['city']}: {home['score_zh']} / {home['score_en']}, concordance {home['version']}"
        named["source of its tiers"] = _source_words(home)
    named["differences"] = ", ".join(document["differences"]) or "none"
    why = "the rung is what the home city attested; the terms follow from scenario and rung"
    return [facts(f"Decision {entry['index']}", named), why]


def _source_words(item: dict[str, Any]) -> str:
    source = item["source"]
    words = f"{source['url']}, published {source['published']}, confidence {source['confidence']}"
    return f"{words}; {ILLUSTRATIVE}" if item["illustrative"] else words
