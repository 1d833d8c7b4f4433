"""The doctor's checks of peers: who answers where, and whether it goes by the same signed files and time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import grpc.aio

from gateway.api.audit.v1 import audit_pb2
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.api.peer.v1 import status_pb2
from gateway.api.peer.v1.status_pb2_grpc import StatusServiceStub
from gateway.cli.audit import log_trust
from gateway.cli.client import CALL_S
from gateway.cli.findings import Finding, ok, problem, warning
from gateway.cli.installation import Installation
from gateway.crypto.consent import MAX_CLOCK_AHEAD_S
from gateway.domain.bundle import Bundle
from gateway.domain.directory import Directory, Endpoint
from gateway.domain.ids import CityId, PeerIdentity, Role
from gateway.errors import Reason, TiergateError
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.probe import probe_peer
from gateway.transport.tls import WatchedCertificate

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
            if installation.role == "auditor":
                yield await _log(channel, directory, subject)
            async for finding in _in_force(channel, installation.role, directory, bundle, subject):
                yield finding
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error


async def _in_force(
    channel: grpc.aio.Channel, role: Role, directory: Directory, bundle: Bundle | None, subject: str
) -> AsyncIterator[Finding]:
    """Whether the peer goes by the files and the time that we go by."""
    asked = time.time()
    try:
        theirs = await StatusServiceStub(channel).GetInForce(status_pb2.GetInForceRequest(), timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        remedy = "compare the files and the time by hand; tiergate conformance asks it everything else"
        yield warning("peer", subject, "does not say what it goes by (StatusService)", remedy)
        return
    yield compared_clocks(theirs.answered_at.ToMilliseconds(), asked * 1000, time.time() * 1000, subject)
    yield _compared_directories(theirs.directory_version, directory.version, subject)
    if bundle is None and role == "operator":
        remedy = "add the signed bundle to the profile, so that base offers are known while the gateway is away"
        yield warning("bundle", subject, "the profile has no bundle to compare", remedy)
    elif bundle is not None and theirs.bundle_digest == bundle.digest:
        yield ok("bundle", subject, f"goes by the same policy bundle, {bundle.digest}")
    elif bundle is not None:
        remedy = "install the newest signed bundle on both sides"
        yield problem("bundle", subject, f"goes by another policy bundle than ours, {bundle.digest}", remedy)


def compared_clocks(theirs_ms: int, asked_ms: float, answered_ms: float, subject: str) -> Finding:
    """A peer's clock beside ours, which it read at some moment between the two: all in Unix milliseconds."""
    if not theirs_ms:
        return ok("clock", subject, "not compared: it does not say its time")
    ahead_s = (theirs_ms - answered_ms) / 1000
    behind_s = (asked_ms - theirs_ms) / 1000
    off_s = max(ahead_s, behind_s)
    if off_s <= MAX_CLOCK_AHEAD_S:
        return ok("clock", subject, f"differs from ours by less than {MAX_CLOCK_AHEAD_S} s")
    text = f"is {off_s:.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours: what is signed here is refused there"
    return problem("clock", subject, text, "set the clock (NTP), here or there: whichever is off")


def _compared_directories(theirs: int, ours: int, subject: str) -> Finding:
    if theirs == ours:
        return ok("directory", subject, f"goes by the same version of the directory, {ours}")
    text = f"goes by version {theirs} of the directory, ours is {ours}"
    behind = "our" if theirs > ours else "its"
    return warning("directory", subject, text, f"put the newest one in {behind} place; a process takes it on SIGHUP")


async def _log(channel: grpc.aio.Channel, directory: Directory, subject: str) -> Finding:
    request = audit_pb2.GetCheckpointRequest()
    raw = (await AuditServiceStub(channel).GetCheckpoint(request, timeout=CALL_S)).checkpoint
    head = log_trust(directory.gateway).verify(raw.encode()).checkpoint
    text = f"checkpoint of {head.size} entries of {head.origin}, signed with the directory's log key"
    return ok("log", subject, text)
