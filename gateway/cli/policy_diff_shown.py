"""How ``tiergate policy diff`` tells people what changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from gateway.cli.output import table
from gateway.cli.policy_matrix import STATES, TILDE
from gateway.cli.policy_source import MARK
from gateway.domain.compare import UNMEASURED

VERDICTS: Mapping[str, str] = {
    "better": "Gain",
    "worse": "Lose",
    "mixed": "Gain in one thing and lose in another",
    "same": "Get the same in other words",
}
_SORTS: Mapping[str, str] = {
    "cut": "Points moved",
    "label": "Names and labels",
    "words": "Texts",
    "source": "Sources and marks",
    "date": "Dates",
    "rule": "Everything else",
}
_CONDITIONS: Mapping[str, str] = {
    "max_lifetime_days": "days that a consent may last",
    "max_uses": "uses of a counted consent",
    "unlimited": "consents without a count",
    "purpose": "consents for {}",
    "time_grain": "times kept by the {} alone",
    "max_age_days": "days that a score may be old",
}
_ALL = "all home cities"


def diff_words(document: Mapping[str, Any], homes: set[str]) -> Iterator[Any]:
    """The document of ``policy diff`` for people. ``homes``: all home cities that either side knows."""
    yield f"old: {document['old']}"
    yield f"new: {document['new']}"
    yield f"compared from {document['from']} on"
    for name, (before, after) in (document["bundle"] or {}).items():
        yield f"  {name}: {before} -> {after}"
    yield from (f"caution: {line}" for line in document["cautions"])
    for effect in document["effects"]:
        yield from _effect(effect, homes)
    if document["access"]:
        yield table(
            "Opens and closes",
            ("from", "until", "for residents of", "before", "after", "scenarios"),
            (
                (
                    item["since"],
                    item["until"] or "",
                    _cities(item["homes"], homes),
                    STATES[item["before"]],
                    STATES[item["after"]],
                    ", ".join(item["scenarios"]),
                )
                for item in document["access"]
            ),
        )
    places = document["places"]
    for what, words in (("hosts", "host cities"), ("scenarios", "scenarios"), ("operators", "operators")):
        yield from (f"{words} {how}: {', '.join(names)}" for how, names in places[what].items() if names)
    for at in places["operators_at"]:
        yield from (f"{at['scenario']} {how} to {', '.join(at[how])}" for how in ("opened", "closed") if at[how])
    for sort, title in _SORTS.items():
        rows = [item for item in document["stated"] if item["sort"] == sort]
        if rows:
            columns = ("part", "of", "key", "before", "after")
            yield table(title, columns, ((i["part"], i["name"], i["key"], *_both(i)) for i in rows))
    if document["illustrative"]:
        yield f"{TILDE} {MARK}: that city's tiers, or the terms or values, rest on figures that nobody has published."
    yield _summary(document)


def is_marked(item: Mapping[str, Any]) -> bool:
    """Whether people, an offer or a value rest on illustrative figures on either side."""
    return bool(item["illustrative_before"] or item["illustrative_after"])


def _both(item: Mapping[str, Any]) -> Iterator[str]:
    """A value that is stated differently, each side with its mark."""
    for side in ("before", "after"):
        value = item[side]
        yield "" if value is None else value + (TILDE if item[f"illustrative_{side}"] else "")


def _effect(effect: Mapping[str, Any], homes: set[str]) -> Iterator[Any]:
    until = f" until {effect['until']}" if effect["until"] else ""
    title = f"{VERDICTS[effect['verdict']]}, from {effect['since']}{until}: {'; '.join(_who(effect['who'], homes))}"
    alike: dict[tuple[str, str, str], list[str]] = {}
    for at in effect["where"]:
        terms = (_terms(at, "before"), _terms(at, "after"), "; ".join(_changes(at)))
        alike.setdefault(terms, []).append(at["scenario"])
    yield table(
        title,
        ("scenario", "before", "after", "change"),
        ((", ".join(names), *terms) for terms, names in alike.items()),
    )


def _who(bands: Sequence[Mapping[str, Any]], homes: set[str]) -> Iterator[str]:
    """The people, those of one tier in several cities together; where a tier changes, by their points."""
    alike: dict[str, list[str]] = {}
    for band in bands:
        alike.setdefault(_label(band), []).append(band["home"])
    marked = {band["home"] for band in bands if is_marked(band)}
    tiers: dict[tuple[str, ...], list[str]] = {}
    for label, cities in alike.items():
        tiers.setdefault(tuple(cities), []).append(label)
    for names, labels in tiers.items():
        yield f"residents of {_cities(names, homes, marked)}, {', '.join(labels)}"


def _label(band: Mapping[str, Any]) -> str:
    before, after = (band[key] or "no tier" for key in ("tier_before", "tier_after"))
    if band["points"] is None:
        return "without a score"
    low, high = band["points"]
    return f"tier {after}" if before == after else f"{low}-{high} points ({before}, then {after})"


def _cities(names: Sequence[str], homes: set[str], marked: AbstractSet[str] = frozenset()) -> str:
    if len(homes) == 1 or set(names) != homes:
        return ", ".join(name + (TILDE if name in marked else "") for name in names)
    return _ALL + (f" ({TILDE} {', '.join(sorted(marked))})" if marked else "")


def _terms(at: Mapping[str, Any], side: str) -> str:
    if at[side] is None:
        return "the same terms"
    terms = at[side]["terms"]
    if terms is None:
        return "no such offer"
    return f"{terms['text_zh']} / {terms['text_en']}" + (TILDE if at[f"illustrative_{side}"] else "")


def _changes(at: Mapping[str, Any]) -> Iterator[str]:
    found = [(item["term"], item) for item in at["terms"]]
    found += [(item["condition"], item) for item in at["conditions"]]
    for name, item in found:
        kind, _, unit = name.partition(" ")
        ends = (_amount(kind, item[side]) for side in ("before", "after"))
        yield f"{_CONDITIONS.get(kind, name).format(unit)}: {' -> '.join(ends)}"


def _amount(kind: str, amount: int) -> str:
    if not amount:
        return "none"
    return "given" if kind in UNMEASURED else str(amount)


def _summary(document: Mapping[str, Any]) -> str:
    counts = dict.fromkeys(VERDICTS, 0)
    for effect in document["effects"]:
        counts[effect["verdict"]] += len(effect["who"]) * len(effect["where"])
    if not document["effects"] and not document["stated"] and not document["access"]:
        return "no difference"
    told = (
        f"{counts['better']} better, {counts['worse']} worse, {counts['mixed']} mixed, {counts['same']} in other words"
    )
    return f"of home city, tier and scenario: {told}; {len(document['stated'])} values stated differently"
