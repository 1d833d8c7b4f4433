"""A real gateway and a real adapter over mTLS, and the hands of those who use them: operator, city's app, auditor."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from bench.leak.gate import Gate
from bench.material import Consent, Issuer, check_request
from bench.network import NO_CONSENT_LIMIT, NO_RATE_LIMIT, POLICIES
from bench.processes import BenchError, Server
from bench.serving import dial
from bench.world import CITY, World, make_world, tls_of
from gateway.api.audit.v1 import audit_pb2
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.api.consent.v1 import consent_pb2, resident_pb2
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.consent.v1.resident_pb2_grpc import ResidentServiceStub
from gateway.api.operator.v1 import operator_pb2
from gateway.cli.localnet.network import LocalNetwork
from gateway.cli.localnet.plan import Layout, Options
from gateway.cli.localnet.processes import Processes as Children
from gateway.cli.localnet.provision import Network, provision

CHECK = "/gateway.api.operator.v1.EligibilityService/CheckEligibility"
_CALL_S = 20.0
_PUSH_S = 60.0
_LIFETIME_S = 30 * 86_400


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """A consent that the city has on record."""

    resident: str
    id: str
    consent: Consent


@dataclass(frozen=True, slots=True)
class Reply:
    """All that an operator can see of an answer but its time: status, text, both metadata, bytes (none on failure)."""

    status: str
    text: str
    initial: tuple[tuple[str, str | bytes], ...]
    trailing: tuple[tuple[str, str | bytes], ...]
    payload: bytes


class Stage:
    """A running network. Made by :func:`set_up`."""

    def __init__(
        self, world: World, gate: Gate, channels: tuple[grpc.aio.Channel, ...], local: LocalNetwork, address: str
    ) -> None:
        self.world = world
        self.gate = gate
        self._operator, app, auditor = channels
        self._consents = ConsentServiceStub(app)
        self._residents = ResidentServiceStub(app)
        self._audit = AuditServiceStub(auditor)
        self._issuer = Issuer(world)
        self._notices: dict[int, str] = {}
        self._frozen: set[str] = set()
        self._freezing = asyncio.Lock()
        gateway, city = local.children["gateway"].process, local.children[CITY].process
        self.servers = (Server("gateway", gateway, address), Server("adapter", city, ""))

    # -- the city's app ------------------------------------------------------------------------------------------

    async def grant(self, resident: str, uses: int) -> Granted:
        """A consent of hers; with ``uses`` 0 it is unlimited. Unless for one use it is presented with a fresh proof."""
        terms, notice = await self._shown(uses)
        request = consent_pb2.GrantConsentRequest(resident_ref=resident, terms=terms, notice_digest=notice)
        given = await self._consents.GrantConsent(request, timeout=_CALL_S)
        consent = Consent(given.token, "") if uses == 1 else self._issuer.proved(given.token, int(time.time()))
        return Granted(resident, given.consent_id, consent)

    async def _shown(self, uses: int) -> tuple[consent_pb2.ConsentTerms, str]:
        """Terms, and the digest of their notice."""
        terms = consent_pb2.ConsentTerms(
            operator=self.world.operator,
            scenario=self.world.scenario,
            lifetime_s=_LIFETIME_S,
            uses=uses,
            binding=consent_pb2.BINDING_NONE if uses == 1 else consent_pb2.BINDING_OPERATOR,
        )
        if uses not in self._notices:
            request = consent_pb2.PreviewConsentRequest(terms=terms)
            self._notices[uses] = (await self._consents.PreviewConsent(request, timeout=_CALL_S)).notice_digest
        return terms, self._notices[uses]

    async def withdraw(self, granted: Granted) -> None:
        """End a consent. As all changes, with the gate open it returns when the gateway has taken it."""
        request = consent_pb2.WithdrawConsentRequest(resident_ref=granted.resident, consent_id=granted.id)

        async def change() -> bool:
            return (await self._consents.WithdrawConsent(request, timeout=_CALL_S)).acknowledged

        await self._told(change)

    async def pause(self, granted: Granted) -> None:
        """Let a consent rest."""
        request = consent_pb2.PauseConsentRequest(resident_ref=granted.resident, consent_id=granted.id)

        async def change() -> bool:
            return (await self._consents.PauseConsent(request, timeout=_CALL_S)).change.acknowledged

        await self._told(change)

    async def replace(self, granted: Granted, uses: int) -> None:
        """Put a new consent in the place of an old one, which is then as if withdrawn."""
        terms, notice = await self._shown(uses)
        request = consent_pb2.RenewConsentRequest(
            resident_ref=granted.resident, consent_id=granted.id, terms=terms, notice_digest=notice
        )
        await self._consents.RenewConsent(request, timeout=_CALL_S)
        await self.withdraw(granted)  # what is replaced stays so; this waits for the gateway

    async def freeze(self, resident: str) -> None:
        """Freeze a resident, once. It is told as a correction, which ends all live attestations of the city."""
        request = resident_pb2.FreezeResidentRequest(resident_ref=resident)

        async def change() -> bool:
            return (await self._residents.FreezeResident(request, timeout=_CALL_S)).change.acknowledged

        async with self._freezing:
            if resident not in self._frozen:
                await self._told(change)
                self._frozen.add(resident)

    async def erase(self, resident: str) -> None:
        """Have a resident ask for erasure; all her consents are locked."""
        request = resident_pb2.EraseResidentRequest(resident_ref=resident)

        async def change() -> bool:
            return (await self._residents.EraseResident(request, timeout=_CALL_S)).change.acknowledged

        await self._told(change)

    async def _told(self, change: Callable[[], Awaitable[bool]]) -> None:
        """Make a change, and again until the gateway has it. Raises BenchError if it has it with the gate shut."""
        deadline = time.monotonic() + _PUSH_S
        while (acknowledged := await change()) != self.gate.is_open:
            if acknowledged or time.monotonic() > deadline:
                raise BenchError("a change reached the gateway when it should not, or did not when it should")

    def unrecorded(self, uses: int) -> Consent:
        """A consent with the city's signature of which the city has no record."""
        return self._issuer.consent(int(time.time()), uses=uses or None)

    # -- the operator --------------------------------------------------------------------------------------------

    def request(self, consent: Consent, request_id: str = "", *, receipt: bool = False) -> bytes:
        """A check as it goes over the wire."""
        message = check_request(self.world, consent)
        message.request_id = request_id or secrets.token_urlsafe(16)
        message.want_receipt = receipt
        return message.SerializeToString()

    def caller(self, method: str = CHECK) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """A method of the operators' API, bytes to bytes."""
        return self._operator.unary_unary(method)

    async def call(self, request: bytes, method: str = CHECK) -> Reply:
        """One call with everything that can be seen of its answer."""
        call = self.caller(method)(request, timeout=_CALL_S)
        payload = b""
        try:
            payload = await call
        except grpc.aio.AioRpcError as error:
            return _reply(error.code(), error.details(), error.initial_metadata(), error.trailing_metadata(), payload)
        return _reply(
            await call.code(), await call.details(), await call.initial_metadata(), await call.trailing_metadata(),
            payload,
        )  # fmt: skip

    async def check(self, consent: Consent) -> operator_pb2.Decision:
        """One check that must be answered. Raises BenchError."""
        reply = await self.call(self.request(consent))
        if reply.status != "OK":
            raise BenchError(f"a check was refused: {reply.status} {reply.text}")
        return operator_pb2.CheckEligibilityResponse.FromString(reply.payload).decision

    # -- the auditor ---------------------------------------------------------------------------------------------

    async def log(self) -> list[bytes]:
        """All entries."""
        head = await self._audit.GetCheckpoint(audit_pb2.GetCheckpointRequest(), timeout=_CALL_S)
        size = int(head.checkpoint.split("\n", 2)[1])
        entries: list[bytes] = []
        async for run in self._audit.ListEntries(audit_pb2.ListEntriesRequest(end=size), timeout=_CALL_S):
            entries.extend(run.entries)
        return entries


def _reply(code: grpc.StatusCode, text: str | None, initial: object, trailing: object, payload: bytes) -> Reply:
    def pairs(metadata: object) -> tuple[tuple[str, str | bytes], ...]:
        return tuple((key, value) for key, value in metadata or ())  # type: ignore[attr-defined]  # untyped in its stubs

    return Reply(code.name, text or "", pairs(initial), pairs(trailing), payload)


class _Local(LocalNetwork):
    """A local network whose gateway may be run by another module, which takes the same arguments."""

    def __init__(self, network: Network, children: Children, module: str) -> None:
        super().__init__(network, children)
        self._module = module

    def command(self, name: str) -> list[str]:
        """The product's command line, the gateway's by ``module``."""
        command = super().command(name)
        return ["-m", self._module, *command[2:]] if name == "gateway" else command


@asynccontextmanager
async def set_up(folder: Path, *, module: str = "gateway", time_grid_s: float = 0.005) -> AsyncIterator[Stage]:
    """Provision under ``folder``, start, and end everything. The residents are those that the demo has."""
    async with Gate() as gate:
        options = Options(
            cities=(CITY,),
            policies=POLICIES,
            gateway_limits=dict(NO_RATE_LIMIT),
            adapter_limits=NO_CONSENT_LIMIT,
            announced={"gateway": gate.address},
            time_grid_s=time_grid_s,
        )
        network = provision(Layout(folder / "network"), options)
        world = make_world(network)
        address = gate.target = network.ports["gateway"].address
        city = network.ports[CITY].address
        with Children() as children:
            local = _Local(network, children, module)
            await asyncio.to_thread(local.start)
            try:
                async with (
                    dial(world.client, address, world.server_name) as operator,
                    dial(tls_of(network.layout.app(CITY)), city, world.city_name) as app,
                    dial(tls_of(network.layout.auditor), address, world.server_name) as auditor,
                ):
                    yield Stage(world, gate, (operator, app, auditor), local, address)
            finally:
                await asyncio.to_thread(children.stop)
