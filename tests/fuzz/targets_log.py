"""The formats of the consent log: notes, checkpoints, keys, proofs, trust files, entries, tiles, exports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from gateway.consentlog import (
    audit,
    checkpoint,
    cosignature,
    encoding,
    entry,
    export,
    merkle,
    note,
    private,
    proof,
    tiles,
    trust,
)
from gateway.consentlog.verify import verify_export
from gateway.errors import TiergateError
from tests.fuzz import world
from tests.fuzz.harness import Harness, documented, file_of, framed, scratch, text_of
from tests.fuzz.log_world import (
    BUNDLE,
    BUNDLE_BYTES,
    entries,
    later_genesis,
    leaves,
    log_proof,
    signed_checkpoint,
    subtree,
    trust_file,
)


def _note(data: bytes) -> bool:
    found = note.parse_note(data)
    lines = (f"— {s.name} {encoding.encode_base64(s.key_id + s.signature)}\n" for s in found.signatures)
    assert f"{found.text}\n{''.join(lines)}".encode() == data
    opened = note.open_note(data, [world.LOG.verifier, note.VerifierKey.parse(_mldsa_vkey())])
    assert opened.text == found.text
    trust.TrustPolicy.parse(trust_file()).verify(data)
    return True


@cache
def _mldsa_vkey() -> str:
    return str(note.VerifierKey("pq", note.COSIGNATURE_MLDSA44, bytes(1312)))


def _vkey(data: bytes) -> bool:
    text = text_of(data)
    found: note.VerifierKey | note.SignerKey
    if text.startswith("PRIVATE"):
        found = note.SignerKey.parse(text)
        assert found.to_secret_text() == text
        found = found.verifier
    else:
        found = note.VerifierKey.parse(text)
        assert str(found) == text
    with suppress(TiergateError):
        found.verify(f"origin\n0\n{encoding.encode_base64(merkle.EMPTY_ROOT)}\n", bytes(72))
    return True


def _checkpoint(data: bytes) -> bool:
    text = text_of(data)
    found = checkpoint.Checkpoint.parse(text)
    assert found.body() == text
    with documented(ValueError):
        text.encode()
        cosignature.ed25519_message(text, 0)
        cosignature.mldsa44_message("witness", text, 0)
    return True


def _cosignature(data: bytes) -> bool:
    with documented(ValueError):
        time, inner = cosignature.split_timestamp(data)
    assert cosignature.join_timestamp(time, inner) == data
    return True


def _log_proof(data: bytes) -> bool:
    found = proof.LogProof.parse(data)
    assert found.to_bytes() == data
    found.verify(entries()[3], world.TRUST)
    return True


WINDOW = b"# tiergate-valid 2020-01-01T00:00:00Z -\n"


def _trust(data: bytes) -> bool:
    policy = trust.TrustPolicy.parse(data)
    policy.verify(signed_checkpoint())
    return True


def _entry(data: bytes) -> bool:
    found = entry.decode(data)
    assert entry.encode({"v": 1, "type": found.type, "time": found.time, **found.fields}) == data
    assert json.loads(data)["type"] == found.type
    return True


def _entries(data: bytes) -> bool:
    """A log, one entry a line."""
    auditor = audit.EntryAuditor(world.ORIGIN)
    for line in data.split(b"\n"):
        auditor.add(line)
    return True


def _bundle(data: bytes) -> bool:
    width, rest = framed(data, tiles.TILE_WIDTH)
    found = tiles.parse_bundle(rest, width)
    assert tiles.encode_bundle(found) == rest
    return True


def _frontier(data: bytes) -> bool:
    found = merkle.Frontier.from_bytes(data)
    assert found.to_bytes() == data
    found.root()
    return True


def _merkle(data: bytes) -> bool:
    """Two numbers, then hashes: an inclusion proof or a consistency proof."""
    kind, rest = framed(data, 2)
    first, second = int.from_bytes(rest[:8], "big"), int.from_bytes(rest[8:16], "big")
    hashes = [rest[at : at + 32] for at in range(16, len(rest), 32)]
    root = merkle.root_of(leaves())
    if kind:
        merkle.verify_consistency(first, second, merkle.root_of(leaves()[:4]), root, hashes)
    else:
        merkle.verify_inclusion(first, second, leaves()[3], hashes, root)
    return True


def _merkle_seeds() -> Iterator[bytes]:
    size = len(leaves())
    proofs = ((3, merkle.inclusion_proof(3, size, subtree)), (4, merkle.consistency_proof(4, size, subtree)))
    for kind, (first, hashes) in enumerate(proofs):
        yield bytes([kind]) + first.to_bytes(8, "big") + size.to_bytes(8, "big") + b"".join(hashes)


def _texts(data: bytes) -> bool:
    kind, rest = framed(data, 2)
    text = text_of(rest)
    with documented(ValueError):
        if kind:
            assert str(encoding.decode_decimal(text)) == text
        else:
            assert encoding.encode_base64(encoding.decode_base64(text)) == text
    return True


TILE = tiles.tile_path(tiles.Tile(0, 0, len(entries())))
ENTRY_BUNDLE = tiles.bundle_path(tiles.Bundle(0, len(entries())))
EXPORTED = ("checkpoint", "trust", TILE, ENTRY_BUNDLE, export.policy_path(BUNDLE), "stranger")


@cache
def _export_folder() -> Path:
    folder = scratch() / "export"
    for name, data in _export().items():
        file_of(f"export/{name}", data)
    return folder


@cache
def _export() -> dict[str, bytes]:
    return {
        "checkpoint": signed_checkpoint(),
        "trust": trust_file(),
        TILE: b"".join(leaves()),
        ENTRY_BUNDLE: tiles.encode_bundle(entries()),
        export.policy_path(BUNDLE): BUNDLE_BYTES,
    }


def _verify_export(data: bytes) -> bool:
    """An export with one file changed, or one too many."""
    kind, rest = framed(data, len(EXPORTED))
    folder, name = _export_folder(), EXPORTED[kind]
    path = folder / name
    path.write_bytes(rest)
    try:
        verify_export(folder, trust_file())
    finally:
        if name in _export():
            path.write_bytes(_export()[name])
        else:
            path.unlink()
    return True


def _export_seeds() -> Iterator[bytes]:
    for kind, name in enumerate(EXPORTED):
        yield bytes([kind]) + _export().get(name, b"x")


PAYLOAD = private.PrivatePayload(b"\1" * 32, 1_800_000_000_000, b"\2" * 32, b"\3" * 32, 1_800_000_300_000)
SALT = b"\4" * 32


def _opening(data: bytes) -> bool:
    """What opens the commitment is one of its fields as it is, and nothing else."""
    found = private.decode_opening(data)
    assert private.encode_opening(found) == data
    value = private.verify_opening(found, private.commit(SALT, PAYLOAD))
    assert value == private.open_field(SALT, PAYLOAD, found.field).value
    return True


def _opening_seeds() -> Iterator[bytes]:
    return (private.encode_opening(private.open_field(SALT, PAYLOAD, name)) for name in private.FIELDS)


HARNESSES = (
    Harness("private-opening", (private.decode_opening, private.verify_opening), _opening, _opening_seeds),
    Harness(
        "note",
        (note.parse_note, note.open_note, trust.TrustPolicy.verify, note.VerifierKey.verify),
        _note,
        lambda: (signed_checkpoint(),),
    ),
    Harness(
        "vkey",
        (note.VerifierKey.parse, note.SignerKey.parse),
        _vkey,
        lambda: (str(world.LOG.verifier).encode(), _mldsa_vkey().encode(), world.LOG.to_secret_text().encode()),
        stored=False,
    ),
    Harness(
        "checkpoint",
        (checkpoint.Checkpoint.parse,),
        _checkpoint,
        lambda: (signed_checkpoint().partition(b"\n\n")[0] + b"\n",),
    ),
    Harness("cosignature", (cosignature.split_timestamp,), _cosignature, lambda: (bytes(72),), 128),
    Harness(
        "log-proof",
        (proof.LogProof.parse, proof.LogProof.verify, merkle.verify_inclusion),
        _log_proof,
        lambda: (log_proof(),),
    ),
    Harness("trust", (trust.TrustPolicy.parse,), _trust, lambda: (trust_file(), WINDOW + trust_file())),
    Harness("log-entry", (entry.decode,), _entry, lambda: (*entries(), later_genesis())),
    Harness("log", (audit.EntryAuditor.add,), _entries, lambda: (b"\n".join(entries()),), 16_384),
    Harness(
        "entry-bundle",
        (tiles.parse_bundle,),
        _bundle,
        lambda: (bytes([len(entries())]) + tiles.encode_bundle(entries()),),
        16_384,
    ),
    Harness("frontier", (merkle.Frontier.from_bytes,), _frontier, lambda: ((7).to_bytes(8, "big") + bytes(96),), 2100),
    Harness("merkle", (merkle.verify_inclusion, merkle.verify_consistency), _merkle, _merkle_seeds, 2100),
    Harness("log-export", (verify_export,), _verify_export, _export_seeds, 16_384),
    Harness(
        "encodings",
        (encoding.decode_base64, encoding.decode_decimal),
        _texts,
        lambda: (b"\0AAECAw==", b"\x011234567890"),
        512,
    ),
)
