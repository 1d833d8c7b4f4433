"""For random logs and scopes: a scoped export verifies, and shows no byte of an entry that is outside the scope."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.consentlog.entry import Value, decode, encode
from gateway.consentlog.scope import sees
from gateway.consentlog.scoped import verify_scoped
from gateway.domain.audit_scope import AuditScope
from tests.unit.consentlog.samples import TRUST, decision, genesis, published, refusal, registered, withdrawn
from tests.unit.consentlog.test_export import files
from tests.unit.consentlog.test_scoped import read_entry, scoped_export

CITIES = ("fuzhou", "quanzhou", "xiamen")


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Value]]:
    """A log in which every city's entries carry values of their own, so that a search for them means something."""
    made = [genesis(), published()]
    consents: dict[str, int] = {}
    for number, city in enumerate(draw(st.lists(st.sampled_from((*CITIES, "")), max_size=40))):
        mark = f"{number + 1:064x}"[::-1]
        if not city:
            made.append(refusal() | {"scenario": f"refused-{number}"})
        elif city not in consents:
            consents[city] = len(made)
            made.append(registered(city=city, token=mark))
        elif draw(st.integers(0, 9)) == 0:
            made.append(withdrawn(consent=consents.pop(city)) | {"city": city, "event": mark})
        else:
            token = made[consents[city]]["token"]
            made.append(decision(consents[city], city=city, token=token, id=mark[:32], private=mark))
    return made


@settings(deadline=None, max_examples=60)
@given(logs(), st.sets(st.sampled_from(CITIES), min_size=1))
def test_a_scoped_export_verifies_and_shows_nothing_else(made: list[dict[str, Value]], cities: set[str]) -> None:
    scope = AuditScope.of(cities)
    log = [encode(item) for item in (*made, read_entry(len(made), scope))]
    with TemporaryDirectory() as folder:
        scoped_export(Path(folder), log, scope)
        verified = verify_scoped(Path(folder), TRUST)
        held = files(Path(folder))
    hidden = [decode(raw) for raw in log if not sees(scope, decode(raw))]
    assert sum(verified.entries.values()) + len(hidden) == len(log) == verified.size
    everything = b"\n".join(held.values())
    for item in hidden:
        own = ("private", "event", "token") if item.type != "refusal" else ("scenario",)
        for name in own:
            if name in item.fields:
                assert item.text(name).encode() not in everything
                assert bytes.fromhex(item.text(name) if item.type != "refusal" else "ff" * 32) not in everything
        if "city" in item.fields:
            assert b'"city":"%s"' % item.text("city").encode() not in everything
