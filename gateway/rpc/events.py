"""``ConsentEventService``: what the home cities push."""

from __future__ import annotations

from gateway.api.peer.v1 import peer_pb2 as pb
from gateway.crypto import jws
from gateway.domain.ids import CityId
from gateway.errors import Reason, TiergateError
from gateway.services.read_log import receipt_text
from gateway.services.take_event import TakeEvent
from gateway.transport.identity import Caller


class ConsentEventServicer:
    """Takes events one by one, in order; a refused one does not hold up later ones."""

    def __init__(self, take_event: TakeEvent) -> None:
        self._take_event = take_event

    async def PushConsentEvents(  # noqa: N802 - the RPC's name
        self, request: pb.PushConsentEventsRequest, caller: Caller
    ) -> pb.PushConsentEventsResponse:
        """Acknowledge each event after it is durable."""
        response = pb.PushConsentEventsResponse()
        for text in request.events:
            try:
                taken = await self._take_event.take(CityId(caller.identity.name), text)
                receipt = pb.LogReceipt(entry=taken.receipt.entry, proof=receipt_text(taken.receipt))
                response.acks.add(event_id=taken.event_id, log_index=taken.log_index, receipt=receipt)
            except TiergateError as error:
                if error.reason not in {Reason.EVENT_INVALID, Reason.EVENT_DEFERRED}:
                    raise  # the log cannot take it now: the city will push again
                response.acks.add(event_id=_claimed_id(text), refused=error.reason.value)
        return response


def _claimed_id(text: str) -> str:
    """The id that a refused event claims, for the sender's own bookkeeping; empty when it has none."""
    try:
        claimed = jws.parse(text, "secevent+jwt").claims.get("jti")
    except TiergateError:
        return ""
    return claimed if isinstance(claimed, str) and len(claimed) <= 64 and claimed.isascii() else ""
