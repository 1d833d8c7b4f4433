"""Every RPC of both kinds of server, called by every role over mutual TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has none
from prometheus_client import CollectorRegistry

from gateway.api.audit.v1 import audit_pb2
from gateway.api.consent.v1 import consent_pb2, resident_pb2
from gateway.api.operator.v1 import operator_pb2
from gateway.api.peer.v1 import peer_pb2, status_pb2
from gateway.domain.directory import Endpoint
from gateway.domain.ids import ROLES, PeerIdentity, Role
from gateway.errors import ProblemsError, Reason
from gateway.transport.access import ADAPTER_ACCESS, GATEWAY_ACCESS, AccessTable
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.identity import Caller, Callers
from gateway.transport.server import ServerLimits, ServiceBinding, build_server
from tests.fakes.ca import LOOPBACK, FakeCa, identity, server_name
from tests.rpc.access_matrix import Decision, decide
from tests.rpc.harness import DEADLINE_S, GATEWAY, Willing, directory, watched

FUZHOU = identity("city", "fuzhou")
PEERS: dict[Role, PeerIdentity] = {
    "city": FUZHOU,
    "city-app": identity("city-app", "fuzhou"),
    "operator": identity("operator", "library"),
    "auditor": identity("auditor", "office"),
    "witness": identity("witness", "xiamen"),
    "gateway": GATEWAY,
}
HEALTH: ServiceDescriptor = health_pb2.DESCRIPTOR.services_by_name["Health"]
GATEWAY_SERVICES = [
    operator_pb2.DESCRIPTOR.services_by_name["EligibilityService"],
    peer_pb2.DESCRIPTOR.services_by_name["ConsentEventService"],
    audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
    status_pb2.DESCRIPTOR.services_by_name["StatusService"],
]
ADAPTER_SERVICES = [
    peer_pb2.DESCRIPTOR.services_by_name["AttestationService"],
    peer_pb2.DESCRIPTOR.services_by_name["UseReportService"],
    consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
    resident_pb2.DESCRIPTOR.services_by_name["ResidentService"],
    status_pb2.DESCRIPTOR.services_by_name["StatusService"],
]


def rows(service: str, methods: str, *roles: Role) -> dict[str, frozenset[Role]]:
    return {f"/{service}/{method}": frozenset(roles) for method in methods.split()}


# written out a second time on purpose: a change of the tables has to be meant
HEALTH_ALONE = rows("grpc.health.v1.Health", "Check List Watch", *ROLES)
ANYBODY = {**HEALTH_ALONE, **rows("gateway.api.peer.v1.StatusService", "GetInForce", *ROLES)}
AT_THE_GATEWAY = {
    **rows(
        "gateway.api.operator.v1.EligibilityService",
        "CheckEligibility BatchCheckEligibility ListScenarios GetReceipt",
        "operator",
    ),
    **rows("gateway.api.peer.v1.ConsentEventService", "PushConsentEvents", "city"),
    **rows("gateway.api.audit.v1.AuditService", "GetCheckpoint", "auditor", "witness"),
    **rows(
        "gateway.api.audit.v1.AuditService",
        "ListEntries GetInclusionProof GetConsistencyProof GetBundle",
        "auditor",
    ),
    **ANYBODY,
}
AT_THE_ADAPTER = {
    **rows("gateway.api.peer.v1.AttestationService", "AttestTier BatchAttestTier", "gateway"),
    **rows("gateway.api.peer.v1.UseReportService", "ReportUses", "gateway"),
    **rows(
        "gateway.api.consent.v1.ConsentService",
        "PreviewConsent GrantConsent WithdrawConsent ListConsents PauseConsent ResumeConsent NarrowConsent RenewConsent"
        " DeclineConsent GetConsentReceipt IssueHandle",
        "city-app",
    ),
    **rows(
        "gateway.api.consent.v1.ResidentService",
        "ListUses ExplainDecision ContestDecision AdvanceCase ListCases FreezeResident UnfreezeResident EraseResident"
        " CorrectResident",
        "city-app",
    ),
    **ANYBODY,
}


async def reached(channel: grpc.aio.Channel, method: str, *, streaming: bool) -> bool:
    """Whether an empty request gets past the access step: it is answered, or found malformed behind it."""
    call: Any = (channel.unary_stream if streaming else channel.unary_unary)(method)
    try:
        if streaming:
            answers = call(b"", timeout=DEADLINE_S)
            await answers.read()
            answers.cancel()  # a watch does not end by itself
        else:
            await call(b"", timeout=DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        reason = error_from_rpc(error).reason
        assert reason in {Reason.CALLER_NOT_PERMITTED, Reason.CALLER_UNKNOWN, Reason.MALFORMED_REQUEST}
        return reason is Reason.MALFORMED_REQUEST
    return True


@pytest.mark.parametrize(
    ("own", "services", "access", "expected"),
    [
        (GATEWAY, GATEWAY_SERVICES, GATEWAY_ACCESS, AT_THE_GATEWAY),
        (FUZHOU, ADAPTER_SERVICES, ADAPTER_ACCESS, AT_THE_ADAPTER),
    ],
    ids=["gateway", "adapter"],
)
async def test_every_role_reaches_what_it_may_and_nothing_else(
    tmp_path: Path,
    own: PeerIdentity,
    services: Sequence[ServiceDescriptor],
    access: AccessTable,
    expected: Mapping[str, frozenset[Role]],
) -> None:
    decisions = decide([*services, HEALTH], expected)
    ca, known = FakeCa(tmp_path), directory()
    server = build_server(
        [ServiceBinding(service, Willing(services)) for service in services],
        address=f"{LOOPBACK}:0",
        security=watched(ca.sound(own)),
        resolve=Callers(lambda: known, own).resolve,
        access=access,
        limits=ServerLimits(8, 1e6, 1_000_000),
        registry=CollectorRegistry(),
    )
    await server.start()
    endpoint = Endpoint(f"{LOOPBACK}:{server.port}", server_name(own))
    channels = {role: open_channel(endpoint, watched(ca.sound(peer))) for role, peer in PEERS.items()}
    streaming = {
        f"/{service.full_name}/{method.name}": method.server_streaming
        for service in (*services, HEALTH)
        for method in service.methods
    }
    if own.role == "gateway":  # the city's app is nobody to the gateway
        decisions = [(name, role, admitted and role != "city-app") for name, role, admitted in decisions]
    found: list[Decision] = [
        (name, role, await reached(channels[role], name, streaming=streaming[name])) for name, role, _ in decisions
    ]
    for channel in channels.values():
        await channel.close()
    await server.stop(0.0)
    assert found == decisions


async def build(access: AccessTable, servicer: object, tmp_path: Path) -> list[str]:
    """The problems that building a server with these finds."""
    with pytest.raises(ProblemsError) as caught:
        build_server(
            [ServiceBinding(GATEWAY_SERVICES[1], servicer)],
            address=f"{LOOPBACK}:0",
            security=watched(FakeCa(tmp_path).sound(GATEWAY)),
            resolve=Callers(directory, GATEWAY).resolve,
            access=access,
            limits=ServerLimits(8, 1, 1),
            registry=CollectorRegistry(),
        )
    assert caught.value.reason is Reason.CONFIG_INVALID
    return [str(problem) for problem in caught.value.problems]


PUSH = "/gateway.api.peer.v1.ConsentEventService/PushConsentEvents"


async def test_a_server_with_an_undecided_method_is_not_built(tmp_path: Path) -> None:
    (problem,) = await build(HEALTH_ALONE, Willing(GATEWAY_SERVICES), tmp_path)
    assert PUSH in problem


async def test_a_server_with_a_row_for_no_method_is_not_built(tmp_path: Path) -> None:
    access = {**HEALTH_ALONE, PUSH: frozenset({"city"}), "/old.v1.Service/Call": frozenset({"city"})}
    (problem,) = await build(access, Willing(GATEWAY_SERVICES), tmp_path)  # type: ignore[arg-type]  # literals
    assert "/old.v1.Service/Call" in problem


async def test_a_server_with_an_empty_row_is_not_built(tmp_path: Path) -> None:
    (problem,) = await build({**HEALTH_ALONE, PUSH: frozenset()}, Willing(GATEWAY_SERVICES), tmp_path)
    assert "admits nobody" in problem


class Silent:
    """Implements nothing, or in the wrong way."""

    def PushConsentEvents(self, _request: Message, _caller: Caller) -> Message:  # noqa: N802 - the RPC's name
        raise AssertionError


@pytest.mark.parametrize("servicer", [object(), Silent()], ids=["absent", "not a coroutine"])
async def test_a_server_whose_servicer_lacks_a_method_is_not_built(tmp_path: Path, servicer: object) -> None:
    access: AccessTable = {**HEALTH_ALONE, PUSH: frozenset[Role]({"city"})}
    (problem,) = await build(access, servicer, tmp_path)
    assert "is not implemented as a coroutine function" in problem
