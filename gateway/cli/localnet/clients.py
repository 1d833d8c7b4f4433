"""Clients of a local network: what a city's app, an operator and an auditor would do, over the real API."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from gateway.api.audit.v1 import audit_pb2
from gateway.api.audit.v1.audit_pb2_grpc import AuditServiceStub
from gateway.api.consent.v1 import consent_pb2
from gateway.api.consent.v1.consent_pb2_grpc import ConsentServiceStub
from gateway.api.operator.v1 import operator_pb2
from gateway.api.operator.v1.operator_pb2_grpc import EligibilityServiceStub
from gateway.cli.downloads import download_bundle
from gateway.cli.key_files import KeySlot, proof_key
from gateway.cli.localnet.plan import Layout
from gateway.consentlog.shard import first_of
from gateway.crypto import jws
from gateway.crypto.consent import TYP, new_id, token_hash
from gateway.crypto.envelope import DIRECTORY_TYPE, verify
from gateway.crypto.proof import issue_proof
from gateway.crypto.root_files import read_root
from gateway.domain.directory import Directory, Endpoint
from gateway.domain.ids import CityId
from gateway.policy.directory import read_directory
from gateway.transport.channel import open_channel
from gateway.transport.errors import error_from_rpc
from gateway.transport.tls import CertificateFiles, WatchedCertificate

CALL_S = 10.0


@contextmanager
def typed_errors() -> Iterator[None]:
    """Failed calls as errors of ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise error_from_rpc(error) from error


@dataclass(frozen=True, repr=False)
class Consent:
    """A granted consent, as the operator's system keeps it."""

    home_city: str
    resident: str
    operator: str
    scenario: str
    id: str
    token: str
    bound: bool


class Clients:
    """Opens one channel per participant on first use; ``close`` closes them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        root = read_root(layout.shared / "root.json")
        data = verify(root, DIRECTORY_TYPE, (layout.shared / "directory.json").read_bytes())
        self.directory: Directory = read_directory(data)
        self._channels: dict[Path, grpc.aio.Channel] = {}

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()

    def _channel(self, folder: Path, endpoint: Endpoint) -> grpc.aio.Channel:
        if folder not in self._channels:
            tls = folder / "tls"
            files = CertificateFiles(tls / "cert.pem", tls / "key.pem", tls / "ca.pem")
            self._channels[folder] = open_channel(endpoint, WatchedCertificate(files))
        return self._channels[folder]

    # -- the city's app ------------------------------------------------------------------------------------------

    def _consents(self, city: str) -> ConsentServiceStub:
        endpoint = self.directory.cities[CityId(city)].endpoint
        return ConsentServiceStub(self._channel(self._layout.app(city), endpoint))

    async def grant(
        self, city: str, resident: str, operator: str, scenario: str, *, uses: int = 0, lifetime_s: int = 86_400
    ) -> Consent:
        """Preview and grant; ``uses`` 0: not counted. Unless for a single use it is bound to the operator's key."""
        stub = self._consents(city)
        terms = consent_pb2.ConsentTerms(
            operator=operator,
            scenario=scenario,
            lifetime_s=lifetime_s,
            uses=uses,
            binding=consent_pb2.BINDING_NONE if uses == 1 else consent_pb2.BINDING_OPERATOR,
        )
        with typed_errors():
            preview = await stub.PreviewConsent(consent_pb2.PreviewConsentRequest(terms=terms), timeout=CALL_S)
            granted = await stub.GrantConsent(
                consent_pb2.GrantConsentRequest(
                    resident_ref=resident, terms=terms, notice_digest=preview.notice_digest
                ),
                timeout=CALL_S,
            )
        return Consent(city, resident, operator, scenario, granted.consent_id, granted.token, bound=uses != 1)

    async def withdraw(self, consent: Consent) -> consent_pb2.WithdrawConsentResponse:
        """Withdraw a consent at its home city."""
        request = consent_pb2.WithdrawConsentRequest(resident_ref=consent.resident, consent_id=consent.id)
        with typed_errors():
            return await self._consents(consent.home_city).WithdrawConsent(request, timeout=CALL_S)

    async def consents(self, city: str, resident: str) -> consent_pb2.ListConsentsResponse:
        """A resident's consents."""
        with typed_errors():
            return await self._consents(city).ListConsents(
                consent_pb2.ListConsentsRequest(resident_ref=resident), timeout=CALL_S
            )

    # -- the operator --------------------------------------------------------------------------------------------

    def request(
        self, consent: Consent, *, request_id: str = "", receipt: bool = False
    ) -> operator_pb2.CheckEligibilityRequest:
        """A check of a consent, with a proof by the operator's key where the token is bound to it."""
        proof = ""
        if consent.bound:
            bound_to = jws.parse(consent.token, TYP).claims["cnf"]["jkt"]
            held = proof_key(KeySlot(self._layout.operator(consent.operator) / "proof.key"), bound_to)
            proof = issue_proof(
                held.key,
                held.kid,
                token_hash=token_hash(consent.token),
                operator=consent.operator,
                scenario=consent.scenario,
                issued_at=int(time.time()),
                proof_id=new_id(),
            )
        return operator_pb2.CheckEligibilityRequest(
            request_id=request_id or secrets.token_urlsafe(16),
            scenario=consent.scenario,
            presentation=operator_pb2.Presentation(
                token=operator_pb2.TokenPresentation(token=consent.token, proof=proof)
            ),
            want_receipt=receipt,
        )

    def eligibility(self, operator: str) -> EligibilityServiceStub:
        """The operators' API, called as ``operator``."""
        return EligibilityServiceStub(self._channel(self._layout.operator(operator), self.directory.gateway.endpoint))

    async def check(self, consent: Consent, *, request_id: str = "", receipt: bool = False) -> operator_pb2.Decision:
        """One check."""
        request = self.request(consent, request_id=request_id, receipt=receipt)
        with typed_errors():
            answer = await self.eligibility(consent.operator).CheckEligibility(request, timeout=CALL_S)
        return answer.decision

    # -- the auditor ---------------------------------------------------------------------------------------------

    def audit(self) -> AuditServiceStub:
        """The audit API, called as the provincial auditor."""
        return AuditServiceStub(self._channel(self._layout.auditor, self.directory.gateway.endpoint))

    async def download(self, shard: int = 0) -> DownloadedLog:
        """All entries of a shard."""
        stub = self.audit()
        with typed_errors():
            head = await stub.GetCheckpoint(audit_pb2.GetCheckpointRequest(shard=shard), timeout=CALL_S)
            size = int(head.checkpoint.split("\n", 2)[1])
            entries: list[bytes] = []
            first = first_of(shard)
            async for run in stub.ListEntries(
                audit_pb2.ListEntriesRequest(start=first, end=first + size), timeout=60.0
            ):
                entries.extend(run.entries)
        return DownloadedLog(head.checkpoint, entries)

    async def bundle(self, digest: str) -> bytes:
        """A published bundle."""
        with typed_errors():
            return await download_bundle(self.audit(), digest)


@dataclass(frozen=True)
class DownloadedLog:
    """A log in memory, as a source for an export. For small logs only; ``tiergate audit export`` streams."""

    head: str
    items: list[bytes]

    def size(self) -> int:
        """Number of entries."""
        return len(self.items)

    def checkpoint(self) -> str:
        """The signed checkpoint."""
        return self.head

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Entries of a range."""
        return iter(self.items[start:end])
