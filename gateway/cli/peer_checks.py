"""The doctor's checks of peers: who answers where, and whether it goes by the same policy bundle and time."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator

import grpc.aio

from gateway.api.audit.v1 import audit_pb2
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.api.operator.v1 import operator_pb2
from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
from gateway.api.peer.v1 import peer_pb2
from gateway.api.peer.v1.peer_pb2_grpc import AttestationServiceStub
from gateway.cli.audit import log_trust
from gateway.cli.client import CALL_S
from gateway.cli.downloads import download_bundle
from gateway.cli.findings import Finding, ok, problem, warning
from gateway.cli.installation import Installation
from gateway.cli.messages import time_of_ms
from gateway.consentlog.entry import decode
from gateway.consentlog.shard import place_of
from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory, Endpoint
from gateway.domain.ids import BundleDigest, CityId, PeerIdentity
from gateway.errors import Reason, TiergateError
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.probe import probe_peer
from gateway.transport.tls import WatchedCertificate

AHEAD_MS = 10_000
_REMEDIES = {
    Reason.PEER_UNREACHABLE: "is the peer running, the address in the directory right, the port open?",
    Reason.PEER_WRONG: "another process answers there, or the ca file is not the network's: correct address or ca file",
    Reason.CERTIFICATE_INVALID: "whoever's certificate it is must renew it; if it is not expired, look at the clock",
    Reason.KEY_INVALID: "mend our own key file first",
    Reason.CALLER_UNKNOWN: "the peer's directory does not list us: compare directory versions",
    Reason.CALLER_NOT_PERMITTED: "our certificate is of another role: compare it with the profile",
}


async def examine_peers(installation: Installation, directory: Directory, bundle: Bundle | None) -> list[Finding]:
    """Every peer that this installation calls."""
    findings: list[Finding] = []
    for name, endpoint, identity in _peers(installation, directory):
        subject = f"{name} at {endpoint.address}"
        try:
            await probe_peer(endpoint, installation.certificate, identity)
            findings.append(ok("peer", subject, f"answers as {identity.uri}, and takes our certificate"))
            findings += [item async for item in _ask(installation, directory, bundle, subject, endpoint)]
        except TiergateError as error:
            remedy = _REMEDIES.get(error.reason, "see the peer's log")
            findings.append(problem("peer", subject, f"{error.reason.value}: {error.detail}", remedy))
    return findings


def _peers(installation: Installation, directory: Directory) -> Iterator[tuple[str, Endpoint, PeerIdentity]]:
    match installation.role:
        case "gateway":
            for name, city in sorted(directory.cities.items()):
                yield name, city.endpoint, city.identity
        case "city-app":
            own = directory.cities.get(CityId(installation.name))
            if own is not None:
                yield own.id, own.endpoint, own.identity
        case _:
            yield "gateway", directory.gateway.endpoint, directory.gateway.identity


async def _ask(
    installation: Installation, directory: Directory, bundle: Bundle | None, subject: str, endpoint: Endpoint
) -> AsyncIterator[Finding]:
    """What the peer itself says. Raises typed errors."""
    async with open_channel(endpoint, WatchedCertificate(installation.certificate)) as channel:
        try:
            match installation.role:
                case "operator":
                    yield await _operator(channel, bundle, subject)
                case "auditor":
                    async for finding in _auditor(channel, directory, bundle, subject):
                        yield finding
                case "gateway" if bundle is not None:
                    yield await _city(channel, bundle, subject)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error


def _compared(ours: BundleDigest, same: bool, subject: str) -> Finding:  # noqa: FBT001 - the comparison's result
    if same:
        return ok("bundle", subject, f"goes by the same policy bundle, {ours}")
    remedy = "install the newest signed bundle on both sides"
    return problem("bundle", subject, f"goes by another policy bundle than ours, {ours}", remedy)


async def _operator(channel: grpc.aio.Channel, bundle: Bundle | None, subject: str) -> Finding:
    request = operator_pb2.ListScenariosRequest()
    answer = await EligibilityServiceStub(channel).ListScenarios(request, timeout=CALL_S)
    if bundle is None:
        remedy = "add the signed bundle to the profile, so that base offers are known while the gateway is away"
        return warning("bundle", subject, "the profile has no bundle to compare", remedy)
    return _compared(bundle.digest, answer.bundle_digest == bundle.digest, subject)


async def _auditor(
    channel: grpc.aio.Channel, directory: Directory, bundle: Bundle | None, subject: str
) -> AsyncIterator[Finding]:
    stub = AuditServiceStub(channel)
    raw = (await stub.GetCheckpoint(audit_pb2.GetCheckpointRequest(), timeout=CALL_S)).checkpoint
    head = log_trust(directory.gateway).verify(raw.encode()).checkpoint
    yield ok("log", subject, f"checkpoint of {head.size} entries of {head.origin}, signed with the directory's log key")
    newest = audit_pb2.GetInclusionProofRequest(index=place_of(head.origin, head.size - 1), size=head.size)
    yield _clock((await stub.GetInclusionProof(newest, timeout=CALL_S)).entry, subject)
    if bundle is not None:
        try:
            await download_bundle(stub, bundle.digest)
            yield _compared(bundle.digest, same=True, subject=subject)
        except grpc.aio.AioRpcError as error:
            if error_from_rpc(error).reason is not Reason.NOT_FOUND:
                raise
            yield _compared(bundle.digest, same=False, subject=subject)


def _clock(newest: bytes, subject: str) -> Finding:
    """Compare clocks by the log's newest entry."""
    if not newest:
        return ok("clock", subject, "not compared: its newest entry is outside this auditor's scope")
    entry = decode(newest)
    written = time_of_ms(entry.time)
    if entry.time > time.time() * 1000 + AHEAD_MS:
        text = f"its newest entry is of {written}, which is in our future"
        return problem("clock", subject, text, "set the clock (NTP), here or at the gateway")
    return ok("clock", subject, f"ours is not behind its newest entry, of {written}")


async def _city(channel: grpc.aio.Channel, bundle: Bundle, subject: str) -> Finding:
    """Compare bundles with a city: it looks at the digest first, so a question without a token is answered to that."""
    scenario = min(bundle.scenarios)
    request = peer_pb2.AttestTierRequest(
        request_id=secrets.token_urlsafe(24),
        operator=bundle.scenarios[scenario].operators[0],
        scenario=scenario,
        bundle_digest=bundle.digest,
        token="no-token-only-a-question-about-the-bundle",  # noqa: S106 - and so it is
    )
    try:
        await AttestationServiceStub(channel).AttestTier(request, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        found = error_from_rpc(error)
        if found.reason in {Reason.TOKEN_MALFORMED, Reason.BUNDLE_MISMATCH}:
            return _compared(bundle.digest, found.reason is Reason.TOKEN_MALFORMED, subject)
        raise found from error
    raise TiergateError(Reason.ATTESTATION_INVALID, "the city attests without a token")
