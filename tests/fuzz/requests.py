"""Every RPC of both servers, and for each a request that keeps the contract."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]  # it has none

from gateway.api.audit.v1 import audit_pb2
from gateway.api.consent.v1 import consent_pb2
from gateway.api.operator.v1 import operator_pb2
from gateway.api.peer.v1 import peer_pb2
from gateway.consentlog import merkle
from tests.fuzz import world
from tests.fuzz.targets_log import entries, leaves, signed_checkpoint, subtree

SERVICES: tuple[ServiceDescriptor, ...] = (
    *audit_pb2.DESCRIPTOR.services_by_name.values(),
    *consent_pb2.DESCRIPTOR.services_by_name.values(),
    *operator_pb2.DESCRIPTOR.services_by_name.values(),
    *peer_pb2.DESCRIPTOR.services_by_name.values(),
    health_pb2.DESCRIPTOR.services_by_name["Health"],
)
METHODS: tuple[MethodDescriptor, ...] = tuple(method for service in SERVICES for method in service.methods)
TOKEN = "A" * 64


def use_reports() -> peer_pb2.ReportUsesRequest:
    """A report of the one decision in the log."""
    return peer_pb2.ReportUsesRequest(
        checkpoint=signed_checkpoint().decode(),
        reports=[
            peer_pb2.UseReport(
                attestation_id="A" * 22,
                outcome=peer_pb2.USE_OUTCOME_ENTITLED,
                log_index=3,
                entry=entries()[3],
                inclusion=merkle.inclusion_proof(3, len(leaves()), subtree),
            )
        ],
    )


@cache
def _requests() -> Mapping[str, Message]:
    token = operator_pb2.TokenPresentation(token=TOKEN, proof=TOKEN)
    check = operator_pb2.CheckEligibilityRequest(
        request_id="r" * 22, scenario=world.SCENARIO, presentation=operator_pb2.Presentation(token=token)
    )
    attest = peer_pb2.AttestTierRequest(
        request_id="r" * 22, operator=world.OPERATOR, scenario=world.SCENARIO, bundle_digest=world.BUNDLE, token=TOKEN
    )
    terms = consent_pb2.ConsentTerms(
        operator=world.OPERATOR, scenario=world.SCENARIO, lifetime_s=3600, uses=1, binding=consent_pb2.BINDING_NONE
    )
    person = "synthetic-1"
    return {
        "CheckEligibility": check,
        "BatchCheckEligibility": operator_pb2.BatchCheckEligibilityRequest(items=[check, check]),
        "AttestTier": attest,
        "BatchAttestTier": peer_pb2.BatchAttestTierRequest(items=[attest]),
        "ReportUses": use_reports(),
        "PushConsentEvents": peer_pb2.PushConsentEventsRequest(events=[TOKEN]),
        "PreviewConsent": consent_pb2.PreviewConsentRequest(terms=terms),
        "GrantConsent": consent_pb2.GrantConsentRequest(resident_ref=person, terms=terms, notice_digest="ab" * 32),
        "WithdrawConsent": consent_pb2.WithdrawConsentRequest(resident_ref=person, consent_id="c" * 22),
        "ListConsents": consent_pb2.ListConsentsRequest(resident_ref=person, limit=10),
        "ListEntries": audit_pb2.ListEntriesRequest(start=0, end=1),
        "GetConsistencyProof": audit_pb2.GetConsistencyProofRequest(first=1, second=2),
        "GetInclusionProof": audit_pb2.GetInclusionProofRequest(index=0, size=1),
        "GetBundle": audit_pb2.GetBundleRequest(digest=world.BUNDLE),
    }


def sound(method: MethodDescriptor) -> Message:
    """A request of a method; an empty one where the contract asks for nothing."""
    return _requests().get(method.name) or GetMessageClass(method.input_type)()
