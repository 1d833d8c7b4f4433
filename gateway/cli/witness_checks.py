"""The doctor's checks of a gateway's witnesses: who cosigns under which key, and whether the quorum is met."""

from __future__ import annotations

import asyncio
import time

from gateway.cli.findings import Finding, of_error, ok, problem, warning
from gateway.cli.installation import Installation
from gateway.config import WitnessAt, Witnessing
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.note import VerifierKey, open_note
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.witness import log_id
from gateway.domain.directory import Directory
from gateway.errors import TiergateError
from gateway.witness.client import WitnessClient
from gateway.witnessed import read_policy

_REACH = "is `tiergate witness serve` running there, the url in [[witnessing.witnesses]] right, the ca file its own?"
_KEY = "compare `tiergate witness status` there with its line in the trust file: take the key that it really has"
_QUORUM = "mend the witnesses above, or agree with auditors on a trust file with another quorum"
_LOG = "have the witness's operator enter this log: `[[logs]]` with its origin and vkey"


async def examine_witnesses(installation: Installation, directory: Directory) -> list[Finding]:
    """The trust file and every witness of a gateway's settings; nothing for whoever has none."""
    settings = installation.witnessing
    if settings is None:
        return []
    log = VerifierKey.parse(directory.gateway.log_vkey)
    try:
        policy = read_policy(settings, log)
    except TiergateError as error:
        return of_error("witness", str(settings.trust), error, "take the trust file that the auditors have")
    findings = await asyncio.gather(*(_examine(at, settings, policy, log) for at in settings.witnesses))
    cosigned = {at.name.encode() for at, found in zip(settings.witnesses, findings, strict=True) if found.state == "ok"}
    return [*findings, _quorum(settings, policy, cosigned)]


async def _examine(at: WitnessAt, settings: Witnessing, policy: TrustPolicy, log: VerifierKey) -> Finding:
    """One witness, by the newest checkpoint of this log that it shows as cosigned."""
    subject = f"{at.name} at {at.url}"
    try:
        client = WitnessClient(at.url, deadline_s=settings.deadline_s, ca=settings.ca)
    except TiergateError as error:
        return of_error("witness", subject, error, "name a PEM file of authorities")[0]
    try:
        answer = await client.cosigned(log_id(log.name))
    except TiergateError as error:
        return problem("witness", subject, f"{error.reason.value}: {error.detail}", _REACH)
    finally:
        await client.close()
    if answer.status == 404:
        return warning("witness", subject, "answers, but shows no checkpoint of this log", _LOG)
    if answer.status != 200:
        return problem("witness", subject, f"answers with status {answer.status}", _REACH)
    try:
        note = open_note(answer.body, [log])
        size = Checkpoint.parse(note.text).size
    except TiergateError:
        return problem("witness", subject, "shows what this log's key has not signed", _LOG)
    try:
        (signed,) = open_note(answer.body, [policy.witnesses[at.name.encode()]]).signed_by
    except TiergateError:
        return problem("witness", subject, "has not cosigned with the key that the trust file names", _KEY)
    age = "" if signed[1] is None else f", {max(0, int(time.time()) - signed[1])} s ago"
    return ok("witness", subject, f"has cosigned {size} entries{age}")


def _quorum(settings: Witnessing, policy: TrustPolicy, cosigned: set[bytes]) -> Finding:
    subject, text = str(settings.trust), f"{len(cosigned)} of {len(settings.witnesses)} witnesses cosign, which is"
    try:
        policy.require_quorum(cosigned)
    except TiergateError:
        return problem("quorum", subject, f"{text} no quorum: nothing new is published", _QUORUM)
    return ok("quorum", subject, f"{text} a quorum")
