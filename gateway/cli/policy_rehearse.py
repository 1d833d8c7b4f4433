"""``tiergate policy rehearse``: a draft against the decisions of a log, without anything about a person.

Decisions are counted by what they have in common while the log is read; each such kind is evaluated once under the
draft. What is held in memory grows with the catalogue and not with the number of decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from gateway.cli.audit import head_document, read_trust, require_export, scope_document, verified_export
from gateway.cli.audit_replay import bundle_reader
from gateway.cli.options import Json, TrustFile
from gateway.cli.output import show, table
from gateway.cli.policy import load
from gateway.cli.policy_source import MARK, RootFile, day_of, read_source
from gateway.consentlog.entry import Entry
from gateway.domain.bundle import Bundle
from gateway.domain.decision import Outcome
from gateway.domain.ids import CityId, OperatorId, ScenarioId
from gateway.domain.rehearsal import Decided, Rehearsed, comparable, rehearse
from gateway.domain.tier import Concordance
from gateway.errors import TiergateError
from gateway.policy.bundle import build_bundle, read_bundle

ALWAYS = (
    "The log holds no scores: where a city's cuts move, only what every possible score leads to is told.",
    "Who is refused leaves no decision: what the draft opens for others cannot be rehearsed.",
    "Whether a score is too old is not in the log; a draft that shortens a maximum age is named below.",
)
_COUNTS = (
    "decisions",
    "outcome_changes",
    "better",
    "worse",
    "mixed",
    "other_words",
    "refused",
    "unknown",
    "unreadable",
)


class _Kind(NamedTuple):
    bundle: str
    decided: Decided


class Tally:
    """Counts decisions by kind."""

    def __init__(self) -> None:
        self.kinds: Counter[_Kind] = Counter()

    def take(self, entry: Entry) -> None:
        """The next entry."""
        if entry.type == "decision":
            decided = Decided(
                OperatorId(entry.text("operator")),
                CityId(entry.text("city")),
                ScenarioId(entry.text("scenario")),
                entry.number("rung"),
            )
            self.kinds[_Kind(entry.text("bundle"), decided)] += 1


def rehearsal(
    draft: Annotated[Path, Parameter(help="The draft: folder of policy files, or a bundle.")],
    *,
    export: Annotated[Path, Parameter(name="--export", help="Folder that `audit export` wrote.")],
    trust: TrustFile,
    on: Annotated[
        str | None,
        Parameter(
            name="--on",
            help="As if asked on this day (UTC). Default: today, or the day the draft takes effect, if later.",
        ),
    ] = None,
    root: RootFile = None,
    json: Json = False,
) -> None:
    """Say what a draft would have made of the decisions of a log: how many outcomes and terms change, where.

    The export is verified, then each decision is asked for again under the draft, from its rung: the log has no
    scores, and what it therefore cannot know is said. Whom the draft refuses is counted as refused, and not as a
    changed outcome. Exit code 4 when the export does not verify.
    """
    require_export(export)
    data = read_trust(trust)
    rules, origin = _draft(draft, root)
    day = day_of(on, rules)
    tally = Tally()
    verified, scope = verified_export(export, data, lambda _index, entry: tally.take(entry))
    found = Rehearsal(bundle_reader(export), rules, day)
    for kind, count in tally.kinds.items():
        found.take(kind, count)
    document = {
        "draft": origin,
        "on": day.isoformat(),
        "verified": head_document(verified),
        "scope": scope_document(scope),
        **{name: found.total[name] for name in _COUNTS},
        "by_scenario_and_city": found.rows(),
        "cannot_be_known": [*ALWAYS, *sorted(found.caveats)],
    }
    show(document, lambda: _words(document), as_json=json)


def _draft(source: Path, root: Path | None) -> tuple[Bundle, str]:
    """The draft as the bundle that it would be."""
    rules, origin = read_source(source, root)
    if isinstance(rules, Bundle):
        return rules, origin
    return read_bundle(build_bundle(load(source), 1, date.max)), origin


class Rehearsal:
    """Evaluates kinds of decisions under a draft and counts what becomes of them."""

    def __init__(self, read: Any, draft: Bundle, day: date) -> None:
        self._read, self._draft, self._day = read, draft, day
        self._bundles: dict[str, Bundle | None] = {}
        self._rows: dict[tuple[str, str], Counter[str]] = {}
        self._reasons: dict[tuple[str, str], Counter[str]] = {}
        self._illustrative: set[tuple[str, str]] = set()
        self.total: Counter[str] = Counter()
        self.caveats: set[str] = set()

    def take(self, kind: _Kind, count: int) -> None:
        """So many decisions of a kind."""
        place = (kind.decided.scenario, kind.decided.city)
        row = self._rows.setdefault(place, Counter())
        old = self._bundle(kind.bundle)
        names = ["decisions"]
        try:
            if old is None:
                raise KeyError(kind.bundle)
            found = rehearse(old, self._draft, kind.decided, self._day)
        except (KeyError, IndexError):
            names.append("unreadable")
        else:
            names += _told(found, kind.decided.rung)
            if found.illustrative:
                self._illustrative.add(place)
            if found.refused is not None:
                self._reasons.setdefault(place, Counter())[found.refused.value] += count
            self.caveats.update(_caveats(old.concordances.get(kind.decided.city), self._draft, kind.decided.city))
        for name in names:
            row[name] += count
            self.total[name] += count

    def rows(self) -> list[dict[str, Any]]:
        """Counts by scenario and home city, in order."""
        return [
            {
                "scenario": scenario,
                "city": city,
                **{name: row[name] for name in _COUNTS},
                "refused_by": dict(sorted(self._reasons.get((scenario, city), {}).items())),
                "illustrative": (scenario, city) in self._illustrative,
            }
            for (scenario, city), row in sorted(self._rows.items())
        ]

    def _bundle(self, digest: str) -> Bundle | None:
        if digest not in self._bundles:
            try:
                self._bundles[digest] = self._read(digest)
            except TiergateError:
                self._bundles[digest] = None
        return self._bundles[digest]


def _told(found: Rehearsed, rung: int) -> Iterator[str]:
    """Under which headings a decision counts; of the verdicts, one."""
    verdicts = found.verdicts
    if found.refused is not None:
        yield "refused"
    elif Outcome.of(rung) not in found.outcomes:
        yield "outcome_changes"
    if len(verdicts) > 1 or len(found.outcomes) > 1:
        yield "unknown"
        return
    (verdict,) = verdicts
    if verdict != "same":
        yield verdict
    elif found.terms and found.before not in found.terms:
        yield "other_words"


def _caveats(old: Concordance | None, draft: Bundle, city: CityId) -> Iterator[str]:
    new = draft.concordances.get(city)
    if old is None or new is None:
        return
    names = {tier.level: tier.id for tier in draft.scale.tiers}
    if not comparable(old, new):
        yield f"{city}: the score's name or range changes, so that nothing follows from the old points"
    before, after = ({cut.level: cut.minimum for cut in side.cuts} for side in (old, new))
    for level in sorted(before.keys() | after.keys()):
        if before.get(level) != after.get(level):
            ends = " to ".join(
                f"{side[level]}{_mark(item)}" if level in side else "none"
                for side, item in ((before, old), (after, new))
            )
            yield f"{city}: the cut of {names[level]} moves from {ends}; between them, the log cannot tell who is where"
    if new.max_age_days < old.max_age_days:
        yield f"{city}: scores may be {new.max_age_days} days old, {old.max_age_days} before; who falls out is unknown"


def _mark(item: Concordance) -> str:
    return f" ({MARK})" if item.illustrative else ""


def _words(document: Mapping[str, Any]) -> Iterator[Any]:
    yield f"draft: {document['draft']}"
    yield f"asked as on {document['on']}, of {document['verified']['origin']}"
    columns = {name: name.replace("_", " ") for name in _COUNTS}
    rows = document["by_scenario_and_city"]
    if rows:
        yield table(
            "Decisions, and what the draft makes of them",
            ("scenario", "home city", *columns.values(), "refused by", ""),
            (
                (
                    row["scenario"],
                    row["city"],
                    *(row[name] or "" for name in columns),
                    ", ".join(row["refused_by"]),
                    MARK if row["illustrative"] else "",
                )
                for row in rows
            ),
        )
    if any(row["illustrative"] for row in rows):
        yield f"{MARK}: what was given there, or would be, rests on figures that no city has published."
    yield from document["cannot_be_known"]
    counts = ", ".join(f"{document[name]} {words}" for name, words in columns.items() if name != "decisions")
    yield f"{document['decisions']} decisions: {counts}"
