from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from gateway.cli.audit_list import CSV_FIELDS, csv_header, csv_row, print_csv
from gateway.cli.consent_trail import ConsentTrail
from gateway.consentlog.entry import ORIGIN, SCHEMAS, Entry, decode, encode
from gateway.errors import Reason, TiergateError
from tests.unit.cli.conftest import Run
from tests.unit.consentlog.samples import TIME, decision, entry, genesis, published, registered, withdrawn

RECEIPT = encode(decision(2))
LOG = [
    genesis(),
    published(),
    registered(),
    decision(2),
    registered(token="cd" * 32),
    decision(4, token="cd" * 32, id="1f" * 16),
    entry("contest", city="fuzhou", decision=3, step="opened", event="ef" * 32),
    entry("contest", city="fuzhou", decision=5, step="opened", event="ef" * 32),
    withdrawn(),
    entry("consent_paused", city="fuzhou", event="ef" * 32, consent=2),
    entry("consent_resumed", city="fuzhou", event="ef" * 32, consent=2),
    withdrawn(consent=4),
    withdrawn(consent=2),
    decision(2, rung=0, id="2f" * 16),
    entry("contest", city="fuzhou", decision=13, step="flagged", event="ef" * 32),
]


def _belonging(trail: ConsentTrail) -> list[int]:
    raws = [(index, encode(item)) for index, item in enumerate(LOG)]
    return [index for index, raw in raws[trail.registration :] if trail.take(index, raw, decode(raw))]


def test_what_hangs_on_the_consent_of_a_decision() -> None:
    trail = ConsentTrail(RECEIPT, 2)
    assert _belonging(trail) == [2, 3, 6, 9, 10, 12, 13, 14]
    trail.require_found()
    assert trail.found == 3


def test_a_decision_that_the_log_does_not_tell() -> None:
    trail = ConsentTrail(encode(decision(2, id="3f" * 16)), 2)
    assert _belonging(trail)
    with pytest.raises(TiergateError) as failure:
        trail.require_found()
    assert failure.value.reason is Reason.PROOF_OF_LOG_INVALID


async def test_a_line_is_out_before_the_next_entry_comes(capsys: pytest.CaptureFixture[str]) -> None:
    class Arriving:
        async def entries(self) -> AsyncIterator[tuple[int, Entry, dict[str, bool | None]]]:
            for index, item in enumerate(LOG):
                yield index, decode(encode(item)), {}
                (line,) = capsys.readouterr().out.splitlines()[-1:]
                assert line.startswith(f"{index},")

    await print_csv(Arriving())
    assert capsys.readouterr().out == ""


def test_csv_rows_have_the_header_s_columns_and_times_their_zone() -> None:
    header = csv_header()
    row = dict(zip(header, csv_row(2, decode(encode(registered())), {}), strict=True))
    assert {name: row[name] for name in ("index", "type", "city", "bound")} == {
        "index": "2",
        "type": "consent_registered",
        "city": "fuzhou",
        "bound": "operator",
    }
    assert row["time (UTC)"] == "2025-10-09T08:53:20.000Z"
    assert row["expires (UTC)"] == "2026-09-21T14:13:20.000Z"
    assert row["scenario"] == ""
    decided = dict(zip(header, csv_row(3, decode(RECEIPT), {"illustrative": True}), strict=True))
    assert decided["valid_until (UTC)"] == "2025-10-09T08:58:20.000Z"
    assert (decided["rung"], decided["consent"], decided["illustrative"]) == ("2", "2", "yes")
    assert TIME == 1_760_000_000_000


@pytest.mark.parametrize("item", [entry("genesis", origin="=1+1".replace("+", "-"), deployment="minnan"), *LOG])
def test_no_cell_begins_like_a_formula(item: dict[str, str | int]) -> None:
    for cell in csv_row(0, decode(encode(item)), {"illustrative": None}):
        assert not re.match(r"[=+\-@\t\r\n]", cell)
        assert not re.search(r'[",\r\n]', cell)


def test_no_column_can_hold_a_formula() -> None:
    kinds = {kind for schema in SCHEMAS.values() for name, kind in schema.items() if name.rstrip("?") in CSV_FIELDS}
    formulas = [json.dumps(sign + rest) for sign in "=+-@\t\r" for rest in ("", "1", "a", "A1-1")] + ["-1"]
    assert not [kind.name for kind in kinds for formula in formulas if re.fullmatch(kind.pattern, formula)]
    assert any(re.fullmatch(ORIGIN.pattern, formula) for formula in formulas)  # which is why it has no column


@pytest.mark.parametrize(("option", "word"), [("--type", "decisions"), ("--outcome", "refused")])
def test_a_word_that_no_entry_has_is_refused_and_not_an_empty_list(run: Run, option: str, word: str) -> None:
    done = run("audit", "list", option, word)
    assert done.code == 2
    assert f"{option} {word}" in done.err
    assert "one of " in done.err
