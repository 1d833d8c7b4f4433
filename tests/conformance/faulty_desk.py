"""Faults of consents, codes, reports, and of who may call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

import adapters.authority
import adapters.handles
import adapters.reports
import adapters.terms
import gateway.transport.chain
import gateway.transport.identity
from adapters import attest as attesting
from adapters import rpc_consents
from adapters.authority import ConsentAuthority
from adapters.rpc import UseReportServicer
from adapters.terms import offer
from gateway.api.peer.v1 import peer_pb2 as peer
from gateway.consentlog.checkpoint import Checkpoint
from gateway.consentlog.entry import decode
from gateway.domain.decision import Outcome
from gateway.domain.evaluate import at_best
from gateway.domain.handle import new_handle
from gateway.domain.ids import PeerIdentity
from gateway.domain.notice import render_notice
from gateway.errors import Reason, TiergateError
from gateway.transport.identity import Caller, Callers
from tests.conformance.faulty_wire import servicer

Plant = Callable[[pytest.MonkeyPatch], None]


def any_terms(patch: pytest.MonkeyPatch) -> None:
    """Terms beyond the limits are previewed like others."""

    def lenient(terms: Any, reference: Any, now_s: float) -> Any:
        try:
            return offer(terms, reference, now_s)
        except TiergateError as error:
            if error.reason is not Reason.CONSENT_LIMITS:
                raise
            return offer(replace(terms, uses=1, lifetime_s=3600), reference, now_s)

    patch.setattr(adapters.authority, "offer", lenient)


def any_notice(patch: pytest.MonkeyPatch) -> None:
    """A grant does not ask which notice was shown."""
    real = ConsentAuthority.prepare

    def prepare(self: Any, resident: Any, terms: Any, _digest: str) -> Any:
        shown = offer(terms, self._reference(), self._clock.now_ms() / 1000)
        return real(self, resident, terms, shown.notice.digest)

    patch.setattr(ConsentAuthority, "prepare", prepare)


def promises_beside(patch: pytest.MonkeyPatch) -> None:
    """More is promised beside the notice than in it, where the digest does not cover it."""
    real = rpc_consents._preview

    def preview(shown: Any) -> Any:
        answer = real(shown)
        answer.at_best_en += ", and a bicycle"
        return answer

    patch.setattr(rpc_consents, "_preview", preview)


def promises_more(patch: pytest.MonkeyPatch) -> None:
    """The notice promises more than the policies do, and its digest is that of the promise."""

    def best(*given: Any) -> Any:
        found = at_best(*given)
        return found._replace(terms=replace(found.terms, text_zh=found.terms.text_zh + "，另送自行车"))

    patch.setattr(adapters.terms, "at_best", best)


def unmarked(patch: pytest.MonkeyPatch) -> None:
    """A notice is silent about figures that nobody has published."""
    patch.setattr(adapters.terms, "at_best", lambda *given: at_best(*given)._replace(illustrative=False))


def rounds_the_lifetime(patch: pytest.MonkeyPatch) -> None:
    """A notice gives whole days, as if a minute were one."""

    def render(*given: Any, lifetime_s: int, **more: Any) -> Any:
        return render_notice(*given, lifetime_s=-(-lifetime_s // 86_400) * 86_400, **more)

    patch.setattr(adapters.terms, "render_notice", render)


def says_she_is_there(patch: pytest.MonkeyPatch) -> None:
    """A notice says of every consent that her device takes part."""
    patch.setattr(
        adapters.terms, "render_notice", lambda *given, **more: render_notice(*given, **{**more, "bound": "device"})
    )


def keeps_the_token(patch: pytest.MonkeyPatch) -> None:
    """A code is redeemed, and its token not returned."""

    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        answer = await real(self, request, caller)
        return peer.AttestTierResponse(attestation=answer.attestation)

    servicer(attest)(patch)


def tells_of_unknown_codes(patch: pytest.MonkeyPatch) -> None:
    """A code that was never issued has a reason of its own."""
    issued: set[str] = set()

    def remembered(*arguments: Any) -> Any:
        made = new_handle(*arguments)
        issued.add(made.text)
        return made

    async def attest(answer: Any, self: Any, request: Any, caller: Any) -> Any:
        if request.handle and request.handle not in issued:
            raise TiergateError(Reason.CONSENT_UNKNOWN)
        return await answer(self, request, caller)

    patch.setattr(adapters.handles, "new_handle", remembered)
    servicer(attest)(patch)


def tells_of_used_codes(patch: pytest.MonkeyPatch) -> None:
    """A code that was used has a reason of its own."""
    used: dict[str, str] = {}

    async def attest(real: Any, self: Any, request: Any, caller: Any) -> Any:
        if used.get(request.handle, request.request_id) != request.request_id:
            raise TiergateError(Reason.USES_EXHAUSTED)
        answer = await real(self, request, caller)
        if request.handle:
            used[request.handle] = request.request_id
        return answer

    servicer(attest)(patch)


def any_size(patch: pytest.MonkeyPatch) -> None:
    """A batch may be as long as it likes."""
    real: Any = gateway.transport.chain.Decoder.__call__

    def read(self: Any, data: bytes) -> Any:
        try:
            return real(self, data)
        except TiergateError as error:
            if error.reason is not Reason.BATCH_TOO_LARGE:
                raise
            return self._parse(data)

    patch.setattr(gateway.transport.chain.Decoder, "__call__", read)
    for module in (attesting, adapters.handles):
        patch.setattr(module, "require_batch", lambda _questions: None)


def any_log(patch: pytest.MonkeyPatch) -> None:
    """Whoever signed a checkpoint, it is believed."""
    real = adapters.reports._verified

    def unsigned(raw: bytes) -> Any:
        return SimpleNamespace(checkpoint=Checkpoint.parse(raw.decode().partition("\n\n")[0] + "\n"))

    def verified(reports: Any, checkpoint: str, reference: Any) -> Any:
        log: Any = SimpleNamespace(verify=unsigned, require_time=lambda *_: None)
        return real(reports, checkpoint, replace(reference, log=log))

    patch.setattr(adapters.reports, "_verified", verified)


def any_outcome(patch: pytest.MonkeyPatch) -> None:
    """What a report says is not compared with its entry."""
    real = adapters.reports._row

    def row(report: Any, head: Any, reference: Any) -> Any:
        return real(replace(report, outcome=Outcome(decode(report.entry).text("outcome"))), head, reference)

    patch.setattr(adapters.reports, "_row", row)


def any_order_of_reports(patch: pytest.MonkeyPatch) -> None:
    """Reports need not rise: what comes twice in a run is taken once."""
    real = adapters.reports._verified

    def verified(reports: Any, checkpoint: str, reference: Any) -> Any:
        return real(list({item.log_index: item for item in reports}.values()), checkpoint, reference)

    patch.setattr(adapters.reports, "pairwise", lambda _reports: ())
    patch.setattr(adapters.reports, "_verified", verified)


def forgets_reports(patch: pytest.MonkeyPatch) -> None:
    """A report that came before is acknowledged with nothing."""
    real: Any = UseReportServicer.ReportUses
    seen: set[bytes] = set()

    async def report(self: Any, request: Any, caller: Any) -> Any:
        data = request.SerializeToString()
        if data in seen:
            return peer.ReportUsesResponse()
        answer = await real(self, request, caller)
        seen.add(data)
        return answer

    patch.setattr(UseReportServicer, "ReportUses", report)


def strangers_pass(patch: pytest.MonkeyPatch) -> None:
    """Who is not in the directory is taken for the gateway."""
    real = Callers.resolve

    def resolve(self: Callers, uri: bytes) -> Caller:
        try:
            return real(self, uri)
        except TiergateError:
            return Caller(self._directory().gateway.identity)

    patch.setattr(gateway.transport.identity.Callers, "resolve", resolve)


def any_app(patch: pytest.MonkeyPatch) -> None:
    """Any city's app is taken for the city's own."""
    real = Callers.resolve

    def resolve(self: Callers, uri: bytes) -> Caller:
        if uri.endswith(b"/app"):
            return Caller(PeerIdentity(self._own.trust_domain, "city-app", self._own.name))
        return real(self, uri)

    patch.setattr(gateway.transport.identity.Callers, "resolve", resolve)
