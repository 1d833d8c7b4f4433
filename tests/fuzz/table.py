"""All harnesses, and what needs none, with the reason; a test holds both against the code."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz import (
    targets_audit,
    targets_files,
    targets_log,
    targets_passport,
    targets_scope,
    targets_shown,
    targets_signed,
    targets_sources,
    targets_tokens,
    targets_wire,
    targets_witness,
)
from tests.fuzz.harness import Harness

HARNESSES: Mapping[str, Harness] = {
    harness.name: harness
    for module in (
        targets_tokens,
        targets_log,
        targets_passport,
        targets_signed,
        targets_files,
        targets_sources,
        targets_wire,
        targets_shown,
        targets_witness,
        targets_scope,
        targets_audit,
    )
    for harness in module.HARNESSES
}

READS_FROM_OUTSIDE = r"(parse|decode|read|verify|load|open|split|strict|from|check_seal|error|request_id|resolve|facts)"
"""How a function's name begins that takes bytes, or text, from somewhere else."""

_PARTS = "only calls others, which have harnesses"
_OWN = "reads what this process, or its installer, wrote itself"

EXEMPT: Mapping[str, str] = {
    "adapters.config.load_keys": _PARTS,
    "adapters.handles._Seal.open": "opens what this city sealed and kept; the cipher refuses anything else",
    "adapters.sandbox.residents.read_dataset": "part of the invented platforms, which no city runs",
    "adapters.sources.base.GuardedSource.read": "turns every exception into one of two reasons; harnesses go below it",
    "adapters.sources.port.ScoreSource.read": "a protocol, without code",
    "adapters.sources.settings.open_source": "takes settings that were read already",
    "adapters.sources.sqlite.open_read_only": "opens a database; SQLite judges what lies there",
    "adapters.store.city_store.open_store": "opens a database; SQLite judges what lies there",
    "gateway.cli.audit.read_trust": _PARTS,
    "gateway.cli.audit.verify": _PARTS,
    "gateway.cli.audit.verify_receipt": _PARTS,
    "gateway.cli.consent_trail.ConsentTrail.read": _PARTS,
    "gateway.cli.audit_open.open_entry": _PARTS,
    "gateway.cli.audit_open.verify_opening": _PARTS,
    "gateway.cli.audit_signed.read_authorities": _PARTS,
    "gateway.cli.certs.parse_identity": _PARTS,
    "gateway.cli.client.read_file": "returns the bytes of a file as they are",
    "gateway.cli.consent.read_terms": "takes options that the command line has read",
    "gateway.cli.localnet.demo.verify_log": _PARTS,
    "gateway.cli.policy_source.read_source": _PARTS,
    "gateway.cli.output.error_document": "writes, and reads nothing",
    "gateway.cli.output.facts": "writes, and reads nothing",
    "gateway.cli.policy.load": _PARTS,
    "gateway.cli.policy_sign.verify": _PARTS,
    "gateway.cli.secret_file.SecretFiles.open": "makes a new file; reads nothing",
    "gateway.cli.stored_log.StoredLog.read_tile": _OWN,
    "gateway.conformance.deployment.load_deployment": _OWN,
    "gateway.consentlog.merkle.Frontier.from_subtrees": _OWN,
    "gateway.consentlog.private.open_field": "makes an opening of what this process stored; reads nothing",
    "gateway.consentlog.watch_state.WatchStore.load": _PARTS,
    "gateway.consentlog.trust._Reader.read": "a step of TrustPolicy.parse, which has a harness",
    "gateway.consentlog.key_file.read_signer": "reads its key by SignerKey.parse, which has a harness",
    "gateway.crypto.consent.read_consent": _PARTS,
    "gateway.storage.cosigned.read_cosigned": _OWN,
    "gateway.witness.state.read_rows": _OWN,
    "gateway.witnessed.read_policy": _PARTS,
    "gateway.consentlog.verify.read_part": "returns the bytes of a file as they are",
    "gateway.consentlog.verify.verify_form": "a step of verify_export and verify_scoped, which have harnesses",
    "gateway.transport.channel.open_channel": "opens a connection; takes no bytes",
}
"""Functions of such a name that need no harness, with the reason."""
