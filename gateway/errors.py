"""The one error family of tiergate: a typed reason for the caller, internal text for the log alone.

Every failure that crosses a boundary is a :class:`TiergateError`. Its ``reason`` is public and stable; its ``detail``
is for the log of the process that raised it and never leaves that process. ``CATALOGUE`` gives each reason its gRPC
status name and its public sentence; a test holds that the catalogue and the enum are the same set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Public, stable reason codes (carried in ``google.rpc.ErrorInfo.reason``)."""

    # what the caller can see from what it holds
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOKEN_MALFORMED = "TOKEN_MALFORMED"
    TOKEN_TYPE_WRONG = "TOKEN_TYPE_WRONG"
    TOKEN_ALGORITHM_WRONG = "TOKEN_ALGORITHM_WRONG"
    TOKEN_KEY_UNKNOWN = "TOKEN_KEY_UNKNOWN"
    TOKEN_SIGNATURE_INVALID = "TOKEN_SIGNATURE_INVALID"
    TOKEN_AUDIENCE_WRONG = "TOKEN_AUDIENCE_WRONG"
    TOKEN_OTHER_OPERATOR = "TOKEN_OTHER_OPERATOR"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"
    TOKEN_NOT_YET_VALID = "TOKEN_NOT_YET_VALID"
    TOKEN_TOO_LONG_LIVED = "TOKEN_TOO_LONG_LIVED"
    TOKEN_SCENARIO_NOT_COVERED = "TOKEN_SCENARIO_NOT_COVERED"
    PROOF_REQUIRED = "PROOF_REQUIRED"
    PROOF_NOT_EXPECTED = "PROOF_NOT_EXPECTED"
    PROOF_MALFORMED = "PROOF_MALFORMED"
    PROOF_INVALID = "PROOF_INVALID"
    PROOF_STALE = "PROOF_STALE"
    PROOF_REPLAYED = "PROOF_REPLAYED"
    HANDLE_INVALID = "HANDLE_INVALID"
    USES_EXHAUSTED = "USES_EXHAUSTED"
    REQUEST_CONFLICT = "REQUEST_CONFLICT"
    REQUEST_ENDED = "REQUEST_ENDED"
    SCENARIO_UNKNOWN = "SCENARIO_UNKNOWN"
    SCENARIO_NOT_OPEN = "SCENARIO_NOT_OPEN"
    HOME_NOT_HONOURED = "HOME_NOT_HONOURED"
    HOST_NOT_VOUCHED = "HOST_NOT_VOUCHED"
    RATE_LIMITED = "RATE_LIMITED"
    # who the caller is
    CALLER_UNKNOWN = "CALLER_UNKNOWN"
    CALLER_NOT_PERMITTED = "CALLER_NOT_PERMITTED"
    # a peer, the platform or this process cannot answer now
    HOME_CITY_UNAVAILABLE = "HOME_CITY_UNAVAILABLE"
    PLATFORM_UNAVAILABLE = "PLATFORM_UNAVAILABLE"
    RULES_OUT_OF_FORCE = "RULES_OUT_OF_FORCE"
    GATEWAY_MAINTENANCE = "GATEWAY_MAINTENANCE"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    BUSY = "BUSY"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    BUNDLE_MISMATCH = "BUNDLE_MISMATCH"
    SIGNING_KEY_UNLISTED = "SIGNING_KEY_UNLISTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    # between peers
    ATTESTATION_INVALID = "ATTESTATION_INVALID"
    EVENT_INVALID = "EVENT_INVALID"
    EVENT_DEFERRED = "EVENT_DEFERRED"
    REPORT_INVALID = "REPORT_INVALID"
    PEER_WRONG = "PEER_WRONG"
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    # consents at the home city
    CONSENT_UNKNOWN = "CONSENT_UNKNOWN"
    CONSENT_STATE = "CONSENT_STATE"
    CONSENT_LIMITS = "CONSENT_LIMITS"
    DEVICE_KEY_INVALID = "DEVICE_KEY_INVALID"
    DEVICE_KEY_REUSED = "DEVICE_KEY_REUSED"
    CONSENT_DECLINED = "CONSENT_DECLINED"
    DECISION_UNKNOWN = "DECISION_UNKNOWN"
    CASE_UNKNOWN = "CASE_UNKNOWN"
    CASE_STATE = "CASE_STATE"
    # reading the log
    AUDIT_SCOPE = "AUDIT_SCOPE"
    NOT_FOUND = "NOT_FOUND"
    RANGE_INVALID = "RANGE_INVALID"
    LOG_CORRUPT = "LOG_CORRUPT"
    LOG_BEHIND = "LOG_BEHIND"
    LOG_UNWITNESSED = "LOG_UNWITNESSED"
    PROOF_OF_LOG_INVALID = "PROOF_OF_LOG_INVALID"
    NOTE_INVALID = "NOTE_INVALID"
    RECEIPT_INVALID = "RECEIPT_INVALID"
    # files and set-up
    POLICY_INVALID = "POLICY_INVALID"
    BUNDLE_INVALID = "BUNDLE_INVALID"
    DIRECTORY_INVALID = "DIRECTORY_INVALID"
    NOTICE_INVALID = "NOTICE_INVALID"
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    CONFIG_INVALID = "CONFIG_INVALID"
    KEY_INVALID = "KEY_INVALID"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    STORE_BUSY = "STORE_BUSY"
    STORE_FAILED = "STORE_FAILED"
    SOURCE_INVALID = "SOURCE_INVALID"
    INTERNAL = "INTERNAL"


class CatalogueEntry(NamedTuple):
    """What a reason means outside the process: a gRPC status name and one sentence that is safe for anybody."""

    status: str
    text: str


CATALOGUE: dict[Reason, CatalogueEntry] = {
    Reason.MALFORMED_REQUEST: CatalogueEntry("INVALID_ARGUMENT", "The request does not have the required form."),
    Reason.MESSAGE_TOO_LARGE: CatalogueEntry("INVALID_ARGUMENT", "The message is larger than the limit."),
    Reason.BATCH_TOO_LARGE: CatalogueEntry("INVALID_ARGUMENT", "The batch holds more items than the limit."),
    Reason.TOKEN_MALFORMED: CatalogueEntry("INVALID_ARGUMENT", "The consent token is not well formed."),
    Reason.TOKEN_TYPE_WRONG: CatalogueEntry("INVALID_ARGUMENT", "The token is not of the type required here."),
    Reason.TOKEN_ALGORITHM_WRONG: CatalogueEntry("INVALID_ARGUMENT", "The token's algorithm is not that of its key."),
    Reason.TOKEN_KEY_UNKNOWN: CatalogueEntry("PERMISSION_DENIED", "The token's issuer or key is not in the directory."),
    Reason.TOKEN_SIGNATURE_INVALID: CatalogueEntry("PERMISSION_DENIED", "The token's signature does not verify."),
    Reason.TOKEN_AUDIENCE_WRONG: CatalogueEntry("PERMISSION_DENIED", "The token is meant for another deployment."),
    Reason.TOKEN_OTHER_OPERATOR: CatalogueEntry("PERMISSION_DENIED", "The token was given to another operator."),
    Reason.TOKEN_EXPIRED: CatalogueEntry("FAILED_PRECONDITION", "The token has expired; ask for a new consent."),
    Reason.TOKEN_NOT_YET_VALID: CatalogueEntry("FAILED_PRECONDITION", "The token is not valid yet."),
    Reason.TOKEN_TOO_LONG_LIVED: CatalogueEntry("PERMISSION_DENIED", "The token outlives the scenario's limit."),
    Reason.TOKEN_SCENARIO_NOT_COVERED: CatalogueEntry("PERMISSION_DENIED", "The token does not name this scenario."),
    Reason.PROOF_REQUIRED: CatalogueEntry("INVALID_ARGUMENT", "The token is bound to a key and needs a proof."),
    Reason.PROOF_NOT_EXPECTED: CatalogueEntry("INVALID_ARGUMENT", "The token is not bound to a key; send no proof."),
    Reason.PROOF_MALFORMED: CatalogueEntry("INVALID_ARGUMENT", "The proof is not well formed."),
    Reason.PROOF_INVALID: CatalogueEntry("PERMISSION_DENIED", "The proof does not match token, operator or scenario."),
    Reason.PROOF_STALE: CatalogueEntry("FAILED_PRECONDITION", "The proof is outside its time window; make a new one."),
    Reason.PROOF_REPLAYED: CatalogueEntry("FAILED_PRECONDITION", "The proof was used before; make a new one."),
    Reason.HANDLE_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The handle cannot be redeemed; ask for a new one."),
    Reason.USES_EXHAUSTED: CatalogueEntry("FAILED_PRECONDITION", "All uses of the token are spent."),
    Reason.REQUEST_CONFLICT: CatalogueEntry("ALREADY_EXISTS", "The request id was used for a different request."),
    Reason.REQUEST_ENDED: CatalogueEntry(
        "FAILED_PRECONDITION", "The request was answered, and its answer has ended; ask under a new request id."
    ),
    Reason.SCENARIO_UNKNOWN: CatalogueEntry("INVALID_ARGUMENT", "No such scenario is in force."),
    Reason.SCENARIO_NOT_OPEN: CatalogueEntry("PERMISSION_DENIED", "The scenario is not open to this operator."),
    Reason.HOME_NOT_HONOURED: CatalogueEntry(
        "FAILED_PRECONDITION",
        "The host city does not, or not yet, honour this home city for the scenario; apply the base offer.",
    ),
    Reason.HOST_NOT_VOUCHED: CatalogueEntry(
        "FAILED_PRECONDITION",
        "The home city does not, or not yet, vouch for its residents in this scenario; apply the base offer.",
    ),
    Reason.RATE_LIMITED: CatalogueEntry("RESOURCE_EXHAUSTED", "Too many requests; retry after the given time."),
    Reason.CALLER_UNKNOWN: CatalogueEntry("UNAUTHENTICATED", "The caller's certificate is not in the directory."),
    Reason.CALLER_NOT_PERMITTED: CatalogueEntry("PERMISSION_DENIED", "The caller's role may not call this method."),
    Reason.HOME_CITY_UNAVAILABLE: CatalogueEntry(
        "UNAVAILABLE", "The home city cannot answer now; apply the base offer and retry after the given time."
    ),
    Reason.PLATFORM_UNAVAILABLE: CatalogueEntry("UNAVAILABLE", "The city's score platform cannot answer now."),
    Reason.RULES_OUT_OF_FORCE: CatalogueEntry(
        "UNAVAILABLE", "The gateway's policies or directory have run out; apply the base offer and retry later."
    ),
    Reason.GATEWAY_MAINTENANCE: CatalogueEntry(
        "UNAVAILABLE", "The gateway is under announced maintenance; apply the base offer, retry after the given time."
    ),
    Reason.LOG_UNAVAILABLE: CatalogueEntry(
        "UNAVAILABLE", "The consent log cannot take an entry now; no answer is given."
    ),
    Reason.BUSY: CatalogueEntry("UNAVAILABLE", "The service has too much work in hand; retry after the given time."),
    Reason.SHUTTING_DOWN: CatalogueEntry("UNAVAILABLE", "The service is stopping; retry after the given time."),
    Reason.BUNDLE_MISMATCH: CatalogueEntry("FAILED_PRECONDITION", "The peers do not hold the same policy bundle."),
    Reason.SIGNING_KEY_UNLISTED: CatalogueEntry(
        "UNAVAILABLE", "The service cannot sign now: the directory does not list the key that it holds for this."
    ),
    Reason.DEADLINE_EXCEEDED: CatalogueEntry("DEADLINE_EXCEEDED", "The answer was not ready within the deadline."),
    Reason.ATTESTATION_INVALID: CatalogueEntry("UNAVAILABLE", "The home city's attestation was not acceptable."),
    Reason.EVENT_INVALID: CatalogueEntry("INVALID_ARGUMENT", "The consent event is not acceptable."),
    Reason.EVENT_DEFERRED: CatalogueEntry("UNAVAILABLE", "The consent event cannot be judged yet; push it again."),
    Reason.REPORT_INVALID: CatalogueEntry("INVALID_ARGUMENT", "The use report is not acceptable."),
    Reason.PEER_WRONG: CatalogueEntry("UNAVAILABLE", "Another peer than the one meant answered at the address."),
    Reason.PEER_UNREACHABLE: CatalogueEntry("UNAVAILABLE", "The peer cannot be reached."),
    Reason.CONSENT_UNKNOWN: CatalogueEntry("NOT_FOUND", "No such consent."),
    Reason.CONSENT_STATE: CatalogueEntry("FAILED_PRECONDITION", "The consent's state does not allow this."),
    Reason.CONSENT_LIMITS: CatalogueEntry("INVALID_ARGUMENT", "The consent asked for exceeds the scenario's limits."),
    Reason.CONSENT_DECLINED: CatalogueEntry("FAILED_PRECONDITION", "The resident has refused this; do not ask yet."),
    Reason.DECISION_UNKNOWN: CatalogueEntry("NOT_FOUND", "No such decision about this resident has been reported."),
    Reason.CASE_UNKNOWN: CatalogueEntry("NOT_FOUND", "No such case."),
    Reason.CASE_STATE: CatalogueEntry("FAILED_PRECONDITION", "The case's state does not allow this."),
    Reason.DEVICE_KEY_INVALID: CatalogueEntry("INVALID_ARGUMENT", "The device key is not a usable public key."),
    Reason.DEVICE_KEY_REUSED: CatalogueEntry(
        "FAILED_PRECONDITION", "The device key has been used elsewhere; make one for this operator alone."
    ),
    Reason.AUDIT_SCOPE: CatalogueEntry("PERMISSION_DENIED", "This is outside the scope that the auditor has."),
    Reason.NOT_FOUND: CatalogueEntry("NOT_FOUND", "No such entry."),
    Reason.RANGE_INVALID: CatalogueEntry("OUT_OF_RANGE", "The range asked for is not in the log."),
    Reason.LOG_CORRUPT: CatalogueEntry("DATA_LOSS", "The log's stored parts do not agree with each other."),
    Reason.LOG_UNWITNESSED: CatalogueEntry(
        "UNAVAILABLE", "No checkpoint of the log has been cosigned by enough witnesses yet."
    ),
    Reason.LOG_BEHIND: CatalogueEntry("DATA_LOSS", "The log does not hold everything that it has signed."),
    Reason.PROOF_OF_LOG_INVALID: CatalogueEntry("DATA_LOSS", "A log proof does not verify."),
    Reason.NOTE_INVALID: CatalogueEntry("DATA_LOSS", "A signed note is malformed or does not verify."),
    Reason.RECEIPT_INVALID: CatalogueEntry("DATA_LOSS", "A consent receipt does not verify."),
    Reason.POLICY_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The policy files are not valid."),
    Reason.BUNDLE_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The policy bundle is not valid."),
    Reason.DIRECTORY_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The peer directory is not valid."),
    Reason.NOTICE_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The notice is not valid."),
    Reason.SIGNATURE_INVALID: CatalogueEntry("FAILED_PRECONDITION", "A signed file does not verify under the root."),
    Reason.CONFIG_INVALID: CatalogueEntry("FAILED_PRECONDITION", "The configuration is not valid."),
    Reason.KEY_INVALID: CatalogueEntry("FAILED_PRECONDITION", "A key is not usable for its purpose."),
    Reason.CERTIFICATE_INVALID: CatalogueEntry("FAILED_PRECONDITION", "A certificate is not usable for its purpose."),
    Reason.STORE_BUSY: CatalogueEntry("UNAVAILABLE", "Another process holds the database or the export."),
    Reason.STORE_FAILED: CatalogueEntry("UNAVAILABLE", "The database cannot be read or written now."),
    Reason.SOURCE_INVALID: CatalogueEntry("UNAVAILABLE", "The score source's answer is not usable."),
    Reason.INTERNAL: CatalogueEntry("INTERNAL", "The service failed; the fault is logged under the request's id."),
}


class TiergateError(Exception):
    """A failure with a public reason and internal text.

    ``str(error)`` is the public sentence, so that an error that is printed or sent by mistake says nothing internal.
    ``detail`` never holds a score, a token or anything about a person; it is written to the process's own log.
    ``retry_after_s`` (seconds) is set where a later try can succeed.
    """

    def __init__(self, reason: Reason, detail: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> str:
        """The gRPC status name of the reason, such as ``INVALID_ARGUMENT``."""
        return CATALOGUE[self.reason].status

    @property
    def public_text(self) -> str:
        """The sentence for callers."""
        return CATALOGUE[self.reason].text

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.public_text}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file or a setting: where (``file``, dotted ``path``), what, and how to mend it."""

    file: str
    path: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}: {self.path}" if self.path else self.file
        return f"{place}: {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class ProblemsError(TiergateError):
    """Every problem found in files or settings, reported at once and shown in full to whoever runs the command."""

    def __init__(self, reason: Reason, problems: list[Problem]) -> None:
        super().__init__(reason, "; ".join(str(p) for p in problems))
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join([f"{self.reason.value}: {self.public_text}", *(f"  {p}" for p in self.problems)])
