"""Who may call what, as data. A method without a row cannot be served; a row without a method is an error too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.domain.ids import ROLES, Role
from gateway.errors import Problem, ProblemsError, Reason

AccessTable = Mapping[str, frozenset[Role]]
"""From a full method name (``/package.Service/Method``) to the roles that may call it."""

_ANY: frozenset[Role] = frozenset(ROLES)
_OPERATOR: frozenset[Role] = frozenset({"operator"})
_CITY: frozenset[Role] = frozenset({"city"})
_CITY_APP: frozenset[Role] = frozenset({"city-app"})
_AUDITOR: frozenset[Role] = frozenset({"auditor"})
_GATEWAY: frozenset[Role] = frozenset({"gateway"})

HEALTH_ACCESS: AccessTable = {
    "/grpc.health.v1.Health/Check": _ANY,
    "/grpc.health.v1.Health/List": _ANY,
    "/grpc.health.v1.Health/Watch": _ANY,
}
"""Whether a process serves is no secret among peers, but it is one from everybody else: a probe has a certificate."""

REFLECTION_ACCESS: AccessTable = {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANY}
"""Served in development only."""

STATUS_ACCESS: AccessTable = {"/gateway.api.peer.v1.StatusService/GetInForce": _ANY}
"""How far a process has followed the directory: what every peer needs to know before the next step of a rotation."""

GATEWAY_ACCESS: AccessTable = {
    "/gateway.api.operator.v1.EligibilityService/CheckEligibility": _OPERATOR,
    "/gateway.api.operator.v1.EligibilityService/BatchCheckEligibility": _OPERATOR,
    "/gateway.api.operator.v1.EligibilityService/ListScenarios": _OPERATOR,
    "/gateway.api.operator.v1.EligibilityService/GetReceipt": _OPERATOR,
    "/gateway.api.peer.v1.ConsentEventService/PushConsentEvents": _CITY,
    "/gateway.api.audit.v1.AuditService/GetCheckpoint": frozenset({"auditor", "witness"}),
    "/gateway.api.audit.v1.AuditService/ListEntries": _AUDITOR,
    "/gateway.api.audit.v1.AuditService/GetInclusionProof": _AUDITOR,
    "/gateway.api.audit.v1.AuditService/GetConsistencyProof": _AUDITOR,
    "/gateway.api.audit.v1.AuditService/GetBundle": _AUDITOR,
    **STATUS_ACCESS,
    **HEALTH_ACCESS,
}

ADAPTER_ACCESS: AccessTable = {
    "/gateway.api.peer.v1.AttestationService/AttestTier": _GATEWAY,
    "/gateway.api.peer.v1.AttestationService/BatchAttestTier": _GATEWAY,
    "/gateway.api.peer.v1.UseReportService/ReportUses": _GATEWAY,
    "/gateway.api.consent.v1.ConsentService/PreviewConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/GrantConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/WithdrawConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/ListConsents": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/GetConsentReceipt": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/PauseConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/ResumeConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/NarrowConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/RenewConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/DeclineConsent": _CITY_APP,
    "/gateway.api.consent.v1.ConsentService/IssueHandle": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/ListUses": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/ExplainDecision": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/ContestDecision": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/AdvanceCase": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/ListCases": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/FreezeResident": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/UnfreezeResident": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/EraseResident": _CITY_APP,
    "/gateway.api.consent.v1.ResidentService/CorrectResident": _CITY_APP,
    **STATUS_ACCESS,
    **HEALTH_ACCESS,
}


def check_access(methods: Iterable[str], table: AccessTable) -> None:
    """Hold the served methods against the table. Raises CONFIG_INVALID naming every missing, empty or left-over row."""
    served = set(methods)
    problems = [
        *(
            Problem("access table", name, "has no row", "decide who may call it")
            for name in sorted(served - set(table))
        ),
        *(Problem("access table", name, "names no served method", "remove it") for name in sorted(set(table) - served)),
        *(Problem("access table", name, "admits nobody", "name a role") for name in sorted(table) if not table[name]),
    ]
    if problems:
        raise ProblemsError(Reason.CONFIG_INVALID, problems)
