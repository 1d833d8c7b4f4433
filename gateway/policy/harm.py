"""That no policy harms anybody: the proof of invariant I2 over a scenario, and the rule for visitors and locals.

Whatever tier somebody has, the terms are those of the base offer or of a rung. Each rung gives at least what the base
offer gives, and at least what the rung below it gives, of every kind of term; rungs rise with the tiers; and every kind
of term is something given (``gateway.domain.compare.measure``), so none is a duty. Hence a tier never gets less than a
lower one, nor than a person without any score. What is said in words cannot be proven, and is warned of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

from gateway.domain.compare import measure
from gateway.domain.tier import MAX_LEVEL
from gateway.errors import Problem
from gateway.policy import schema
from gateway.policy.documents import Located, to_term

_DUTIES = re.compile(
    r"(?<![无不])须|必须|(?<![无不])需要|不得|禁止|罚款|违约金|滞纳金|手续费|加收|另付|担保人|扣分"
    r"|\b(?:must|shall|obliged|required|forbidden|penalty|fined|surcharge|forfeit|guarantor)\b",
    re.IGNORECASE,
)
"""Words with which a text usually lays a duty on somebody."""


def positive_tier(item: Located[object], path: str, tier: str, levels: Mapping[str, int] | None) -> Iterator[Problem]:
    """A tier that is named where better terms or a cut begin is one of the scale, above what everybody has."""
    if levels is None:
        return
    if tier not in levels:
        yield item.problem(path, f'unknown tier "{tier}"', "tiers are in tier-scale.toml")
    elif levels[tier] == 0:
        yield item.problem(path, f'"{tier}" is what everybody has; name a positive tier', "name a positive tier")


def rungs(scenario: Located[schema.ScenarioFile], levels: Mapping[str, int] | None) -> Iterator[Problem]:
    """Each step of the proof that fails. ``levels``: of the tiers by id; None: they are not known."""
    steps: list[tuple[str, schema.TermsDoc]] = [("base", scenario.doc.base)]
    steps += [(f"rungs.{place}", rung) for place, rung in enumerate(scenario.doc.rungs)]
    for path, step in steps:
        keys = [measure(to_term(item))[0] for item in step.items]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                yield scenario.problem(f"{path}.items.{place}", "this kind of term is given twice", "give it once")
    for (lower_path, lower), (path, upper) in pairwise(steps):
        yield from _not_worse(scenario, lower_path, lower, path, upper)
    for place, rung in enumerate(scenario.doc.rungs):
        yield from positive_tier(scenario, f"rungs.{place}.tier", rung.tier, levels)
    if levels is not None:
        for place, (below, above) in enumerate(pairwise(scenario.doc.rungs), start=1):
            if levels.get(above.tier, MAX_LEVEL + 1) <= levels.get(below.tier, -1):
                yield scenario.problem(
                    f"rungs.{place}.tier",
                    "is not above the tier of the rung before it",
                    "list rungs from the lowest tier on",
                )


def _not_worse(
    scenario: Located[schema.ScenarioFile], lower_path: str, lower: schema.TermsDoc, path: str, upper: schema.TermsDoc
) -> Iterator[Problem]:
    before = dict(measure(to_term(item)) for item in lower.items)
    after = dict(measure(to_term(item)) for item in upper.items)
    for item in lower.items:
        key, value = measure(to_term(item))
        if after.get(key, 0) < value:
            yield scenario.problem(
                f"{path}.items", f"{item.kind} is worse than in {lower_path}", "a rung may only add or improve"
            )
    if before == after:
        yield scenario.problem(
            f"{path}.items", f"gives nothing beyond {lower_path}", "a rung that changes nothing only reveals a tier"
        )


def doubtful_words(scenario: Located[schema.ScenarioFile]) -> Iterator[Problem]:
    """Words of a rung that a person has to look at: of a duty that the base offer does not have; the base offer's."""
    base = scenario.doc.base
    for place, rung in enumerate(scenario.doc.rungs):
        for key in ("text_zh", "text_en"):
            text, ordinary = getattr(rung, key), getattr(base, key)
            added = {word.lower() for word in _DUTIES.findall(text)} - {w.lower() for w in _DUTIES.findall(ordinary)}
            if added:
                named = ", ".join(sorted(added))
                yield scenario.problem(
                    f"rungs.{place}.{key}",
                    f"seems to speak of a duty that the base offer does not have: {named}",
                    "a rung may only add or improve: say it in the base offer, or in other words",
                )
            if text == ordinary:
                yield scenario.problem(
                    f"rungs.{place}.{key}",
                    "has the words of the base offer, which the desk would then apply",
                    "say what the rung gives",
                )


def local_threshold(
    scenario: Located[schema.ScenarioFile], host: schema.CityFile, levels: Mapping[str, int] | None
) -> Iterator[Problem]:
    """A visitor is not better off than a local: a rung's cut, in the host's points, is not below its threshold."""
    threshold = scenario.doc.local_threshold
    if threshold is None or levels is None:
        return
    if not host.score_min <= threshold <= host.score_max:
        yield scenario.problem(
            "local_threshold", f"lies outside the range of the score of {host.id}", "state it in the host's own points"
        )
        return
    minimum = {cut.tier: cut.minimum for cut in host.cuts}
    for place, rung in enumerate(scenario.doc.rungs):
        if rung.tier not in levels or levels[rung.tier] == 0:
            continue
        path = f"rungs.{place}.tier"
        if rung.tier not in minimum:
            yield scenario.problem(
                path, f'"{rung.tier}" has no cut in the concordance of {host.id}', "name a tier that has one"
            )
        elif minimum[rung.tier] < threshold:
            yield scenario.problem(
                path,
                f'"{rung.tier}" begins at {minimum[rung.tier]} in {host.id}, below the local threshold {threshold}',
                "name a higher tier: a visitor must not be better off than a local",
            )
