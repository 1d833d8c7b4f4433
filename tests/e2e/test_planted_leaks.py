"""One leak is planted in each channel, each takes one resident's canary, and the search finds every one where it is.

The gateway and Fuzhou's adapter run with the leaks; what is searched, and how, is what ``test_canaries`` does.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from gateway.cli.localnet.plan import Options
from gateway.errors import TiergateError
from tests.e2e.canary_cities import residents, write_dataset, write_policies
from tests.e2e.harness import UNHURRIED, running
from tests.e2e.leaky.plant import LEAKS, VARIABLE, Leak
from tests.e2e.search import error_text, search
from tests.e2e.story import ABROAD
from tests.fakes.canary import Finding, Scanner

KEPT = "kept in the city"
ERROR = "error:operator"
# where each leak must be found, and in which form; a leak of an error's text shows on both hops and at its end
WHERE: dict[Leak, set[tuple[str, str]]] = {
    "field": {("link:gateway>fuzhou:received:message", "zigzag varint field")},
    "claim": {
        ("link:gateway>fuzhou:received:message", "decimal, in base64"),
        ("database:gateway/data/gateway.db:attestation", "decimal"),
    },
    "metadata": {("link:gateway>fuzhou:received:metadata", "float, little-endian")},
    "log": {("log:logs/fuzhou.log", "hex")},
    "metric": {("metrics:fuzhou", "decimal, with exponent")},
    "trace": {("log:logs/fuzhou.log", "decimal")},
    "error": {
        ("link:gateway>fuzhou:received:metadata", "decimal"),
        ("link:operator/xiamen-library>gateway:received:metadata", "decimal"),
        (ERROR, "decimal"),
    },
    "database": {("database:cities/fuzhou/data/city.db:attestations", "decimal")},
}


@pytest.fixture(scope="module")
async def findings(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> set[Finding]:
    base = tmp_path_factory.mktemp("leaks")
    write_policies(checkout / "policies", base / "policies")
    people = residents("fuzhou", base / "policies")
    write_dataset(people, base / "fuzhou.json")
    asking = [person for person in people if person.points and person.about not in {"nobody", "beyond any score"}]
    given = dict(zip((*LEAKS, KEPT), asking, strict=True))
    points = {name: person.points for name, person in given.items() if person.points is not None}
    planted = json.dumps({str(points[leak]): leak for leak in LEAKS})
    options = Options(
        cities=("fuzhou",),
        policies=base / "policies",
        datasets={"fuzhou": base / "fuzhou.json"},
        gateway_limits=UNHURRIED,
    )
    said: dict[str, bytes] = {}
    operator, scenario, _ = ABROAD["fuzhou"]
    with patch.dict(os.environ, {VARIABLE: planted}):
        async with running(base / "network", options, relayed=True, module="tests.e2e.leaky") as network:
            for name, person in given.items():
                consent = await network.clients.grant("fuzhou", person.ref, operator, scenario, uses=1)
                try:
                    await network.clients.check(consent)
                except TiergateError as error:
                    assert name == "error"
                    said[ERROR] = error_text(error)
            said["metrics:fuzhou"] = await network.scrape("fuzhou")
    return search(Scanner(points), network.layout, recordings=network.recordings, said=said)


@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found_in_its_channel(findings: set[Finding], leak: Leak) -> None:
    found = {(item.channel, item.form) for item in findings if item.canary == leak}
    assert found >= WHERE[leak]


def test_a_score_that_was_not_leaked_is_not_found(findings: set[Finding]) -> None:
    assert {item.canary for item in findings} == set(LEAKS)
