"""What a scoped auditor reads: scopes, entries in scope, scoped exports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from gateway.consentlog import entry, export, merkle, note, scoped, tiles
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.scope import Leaf
from gateway.consentlog.scope import scoped as shown
from gateway.domain.audit_scope import WHOLE_LOG, AuditScope
from tests.fuzz import world
from tests.fuzz.harness import Harness, file_of, framed, scratch
from tests.fuzz.log_world import BUNDLE, BUNDLE_BYTES, TIME, entries, trust_file

SCOPE = AuditScope.of([world.CITY])


def _scope(data: bytes) -> bool:
    assert AuditScope.parse(data).text() == data
    return True


def _entries(data: bytes) -> bool:
    width, rest = framed(data, tiles.TILE_WIDTH)
    found = scoped.parse_scoped(rest, width)
    assert scoped.encode_scoped([Leaf(bytes(32), found.get(place)) for place in range(width)]) == rest
    return True


@cache
def _leaves() -> tuple[Leaf, ...]:
    """The log of the other harnesses, and the record of a read of it."""
    size = len(entries()) - 1  # the seal comes last
    read: dict[str, entry.Value] = {"type": "audit_read", "auditor": "office", "start": 0, "end": size}
    record = entry.encode({"v": 1, "time": TIME, "scope": SCOPE.digest(), **read})
    return tuple(shown(SCOPE, raw) for raw in (*entries()[:-1], record, entries()[-1]))


@cache
def _files() -> dict[str, bytes]:
    size = len(_leaves())
    hashes = [leaf.hash for leaf in _leaves()]
    witness = note.SignerKey("witness", world.key("witness"), note.COSIGNATURE_V1)
    head = Checkpoint(world.ORIGIN, size, merkle.root_of(hashes))
    return {
        "checkpoint": note.sign_note(head.body(), [world.LOG, witness], world.NOW),
        "trust": trust_file(),
        tiles.tile_path(tiles.Tile(0, 0, size)): b"".join(hashes),
        scoped.scoped_path(tiles.Bundle(0, size)): scoped.encode_scoped(_leaves()),
        scoped.CITIES: SCOPE.text(),
        export.policy_path(BUNDLE): BUNDLE_BYTES,
    }


@cache
def _folder() -> Path:
    for name, data in _files().items():
        file_of(f"scoped/{name}", data)
    return scratch() / "scoped"


def _export(data: bytes) -> bool:
    """A scoped export with one file changed."""
    kind, rest = framed(data, len(_files()))
    name = list(_files())[kind]
    path = _folder() / name
    path.write_bytes(rest)
    try:
        scoped.verify_scoped(_folder(), trust_file())
    finally:
        path.write_bytes(_files()[name])
    return True


def _export_seeds() -> Iterator[bytes]:
    for kind, data in enumerate(_files().values()):
        yield bytes([kind]) + data


HARNESSES = (
    Harness("scope", (AuditScope.parse,), _scope, lambda: (SCOPE.text(), WHOLE_LOG.text()), 1024, stored=False),
    Harness(
        "scoped-entries",
        (scoped.parse_scoped,),
        _entries,
        lambda: (bytes([len(_leaves())]) + scoped.encode_scoped(_leaves()),),
        16_384,
        stored=False,
    ),
    Harness("scoped-export", (scoped.verify_scoped,), _export, _export_seeds, 16_384, stored=False),
)
