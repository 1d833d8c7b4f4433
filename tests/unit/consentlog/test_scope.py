from __future__ import annotations

import pytest

from gateway.consentlog.entry import SCHEMAS, decode, encode
from gateway.consentlog.scope import SEEN_BY, sees
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from gateway.errors import Reason, TiergateError
from tests.unit.consentlog.samples import entry, erasure
from tests.unit.consentlog.test_entry import SAMPLES

FUZHOU, XIAMEN = AuditScope.of(["fuzhou"]), AuditScope.of(["xiamen"])


def test_every_type_of_entry_has_a_row_and_no_other() -> None:
    assert set(SEEN_BY) == set(SCHEMAS)


def test_what_goes_by_the_city_can_have_one() -> None:
    for kind, rule in SEEN_BY.items():
        named = {field for field in SCHEMAS[kind] if field.rstrip("?") == "city"}
        # the one that may go without: an erasure by age is about no city
        assert named == ({"city?"} if kind == "erasure" else {"city"} if rule == "city" else set()), kind


def test_an_erasure_by_order_is_its_citys_alone_and_one_by_age_everybodys() -> None:
    ordered = decode(encode(erasure(consent=3, city="xiamen")))
    assert (sees(FUZHOU, ordered), sees(XIAMEN, ordered), sees(WHOLE_LOG, ordered)) == (False, True, True)
    aged = decode(encode(entry("erasure", by="retention", consents=0, decisions=2, upto=7)))
    assert sees(FUZHOU, aged)
    assert sees(XIAMEN, aged)


def test_entries_are_seen_by_their_city_and_by_the_whole_log() -> None:
    for sample in SAMPLES:
        read = decode(encode(sample))
        assert sees(WHOLE_LOG, read)
        match SEEN_BY[read.type]:
            case "all":
                assert sees(FUZHOU, read)
                assert sees(XIAMEN, read)
            case "city":
                assert sees(FUZHOU, read) != sees(XIAMEN, read)
                assert sees(AuditScope.of([read.text("city")]), read)
                assert sees(AuditScope.of(["fuzhou", "xiamen"]), read)
            case _:
                assert not sees(FUZHOU, read)
                assert not sees(XIAMEN, read)


@pytest.mark.parametrize("scope", [FUZHOU, WHOLE_LOG, AuditScope.of(["xiamen", "fuzhou"])])
def test_a_scope_is_read_back_from_its_text(scope: AuditScope) -> None:
    assert AuditScope.parse(scope.text()) == scope


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"tiergate-scope/1\n",
        b"tiergate-scope/2\nfuzhou\n",
        b"tiergate-scope/1\nfuzhou",
        b"tiergate-scope/1\n\n",
        b"tiergate-scope/1\nfuzhou\nfuzhou\n",
        b"tiergate-scope/1\nxiamen\nfuzhou\n",
        b"tiergate-scope/1\n*\nfuzhou\n",
        b"tiergate-scope/1\nFuzhou\n",
        b"tiergate-scope/1\r\nfuzhou\n",
        b"tiergate-scope/1\nfuzhou\xff\n",
        b"tiergate-scope/1\n" + b"a\n" * 40_000,
    ],
)
def test_what_is_not_the_text_of_a_scope_is_refused(text: bytes) -> None:
    with pytest.raises(TiergateError) as caught:
        AuditScope.parse(text)
    assert caught.value.reason is Reason.LOG_CORRUPT
