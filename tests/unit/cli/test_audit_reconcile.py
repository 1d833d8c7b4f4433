from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.consentlog.scope import Leaf, scoped
from gateway.consentlog.scoped import write_scoped
from gateway.domain.audit_scope import AuditScope
from tests.fakes.audited import Audited
from tests.fakes.city import FakeCity
from tests.fakes.log import FakeLog
from tests.fakes.network import Network, bundle_bytes
from tests.unit.cli.conftest import Ran, Run


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    folder = tmp_path / "city"
    folder.mkdir()
    async with FakeCity(Network(), folder) as city:
        yield Audited(city)


@dataclass
class Reconciled:
    """Runs the command over what an auditor has."""

    run: Run
    folder: Path
    audited: Audited

    def __call__(self, *more: object) -> Ran:
        root, directory = self.audited.directory(self.folder)
        trust, journal, export = self.folder / "trust", self.folder / "journal", self.folder / "export"
        trust.write_bytes(self.audited.trust)
        if not journal.exists():
            self.audited.journal(journal)
            self.audited.export(export)
        given = ("--journal", journal, "--trust", trust, "--directory", directory, "--root", root)
        return self.run("audit", "reconcile", export, *given, *more)


@pytest.fixture
def reconcile(run: Run, tmp_path: Path, audited: Audited) -> Reconciled:
    return Reconciled(run, tmp_path, audited)


async def test_log_and_journal_agree(reconcile: Reconciled, audited: Audited) -> None:
    await audited.decided()
    done = reconcile("--json")
    assert done.code == 0, done.err
    document = done.document
    assert (document["compared"], document["findings"], document["counts"]) == (1, [], {})
    assert (document["journal"]["city"], document["journal"]["reported"]) == ("fuzhou", len(audited.log.entries))
    assert document["verified"]["size"] == len(audited.log.entries)
    told = reconcile()
    assert told.code == 0
    assert "0 disagreement(s)" in told.out


async def test_what_disagrees_is_told(reconcile: Reconciled, audited: Audited) -> None:
    indices = [await audited.decided(rung=0) for _ in range(60)]
    await audited.attest()
    done = reconcile("--json")
    assert done.code == 1
    assert done.document["counts"] == {"LOWER_THAN_ATTESTED": 60, "NOT_DECIDED": 1}
    assert [item["index"] for item in done.document["findings"]] == [*indices, None]
    assert len(done.document["findings"][-1]["attestation"]) == 64
    told = reconcile()
    assert told.code == 1
    assert "the first 50 of 61" in told.out
    assert "lower than attested" in told.out


async def test_nothing_is_said_when_one_of_the_two_does_not_verify(reconcile: Reconciled, audited: Audited) -> None:
    index = await audited.decided(rung=0)
    assert reconcile().code == 1
    journal = reconcile.folder / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b'"rung":1', b'"rung":0'))
    done = reconcile("--json")
    assert (done.code, done.document["error"]["reason"]) == (4, "SIGNATURE_INVALID")
    journal.write_bytes(whole)
    entries = reconcile.folder / "export" / "tile" / "entries" / "000.p" / str(index + 1)
    entries.write_bytes(entries.read_bytes().replace(b'"rung":0', b'"rung":1'))
    done = reconcile("--json")
    assert done.code == 4


def _scoped(reconcile: Reconciled, *cities: str) -> None:
    """Put a scoped export, read under that scope, in place of the whole one."""
    audited, scope = reconcile.audited, AuditScope.of(cities)
    audited.log.read_under(scope.digest())
    source = _Scoped(audited.log, scope)
    export = reconcile.folder / "export"
    shutil.rmtree(export, ignore_errors=True)
    write_scoped(source, scope, export, {audited.city.reference.bundle.digest: bundle_bytes()}, audited.trust)


@dataclass
class _Scoped:
    log: FakeLog
    scope: AuditScope

    def checkpoint(self) -> str:
        return self.log.checkpoint()

    def leaves(self) -> Iterator[Leaf]:
        return (scoped(self.scope, raw) for raw in self.log.entries)


async def test_a_citys_auditor_has_enough_with_its_scoped_export(reconcile: Reconciled, audited: Audited) -> None:
    audited.log.refuse()
    index = await audited.decided(rung=0)
    assert reconcile().code == 1
    _scoped(reconcile, "fuzhou")
    done = reconcile("--json")
    assert done.code == 1, done.err
    assert [(item["code"], item["index"]) for item in done.document["findings"]] == [("LOWER_THAN_ATTESTED", index)]
    _scoped(reconcile, "xiamen")
    assert reconcile().code == 2


async def test_files_that_are_not_there(reconcile: Reconciled, audited: Audited, tmp_path: Path) -> None:
    await audited.decided()
    assert reconcile().code == 0
    assert reconcile("--journal", tmp_path / "none").code == 2
    assert reconcile("--directory", tmp_path / "none").code == 2
    assert reconcile("--root", tmp_path / "none").code == 2
