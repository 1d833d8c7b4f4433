"""Writes about residents: freeze, unfreeze, correct (异议, 信用修复). Each ends what was attested before it.

A correction tells the gateway to drop every live attestation of this city, and names nobody (I6). In the city itself no
stored attestation answers a repeated request after it, and a level that was read before it is read again: the count of
corrections, kept beside the versions in ``seen``, is compared in the transaction of every attestation.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from adapters.store.consents import Changed, note_act
from adapters.store.outbox import NewEvent, put_event
from gateway.domain.ids import ResidentRef

ResidentAct = Literal["freeze", "unfreeze", "correct"]
CORRECTIONS = "corrections"


@dataclass(frozen=True, slots=True, repr=False)
class CorrectResident:
    """Freeze or unfreeze a resident, or note that her record was corrected. ``event`` is a signed correction.

    Of several corrections that wait to be sent one is enough: what was attested before any of them is dropped by it.
    One that has been sent is no longer enough, for the gateway may have asked again since.
    """

    resident: ResidentRef
    act: ResidentAct
    at_ms: int
    event: NewEvent

    def run(self, connection: sqlite3.Connection) -> Changed:
        """The correction with the event that tells of it: this one, or one that is still to be sent."""
        if self.act == "freeze":
            connection.execute(
                "INSERT INTO frozen (resident, since_ms) VALUES (?,?) ON CONFLICT (resident) DO NOTHING",
                (self.resident, self.at_ms),
            )
        elif self.act == "unfreeze":
            connection.execute("DELETE FROM frozen WHERE resident = ?", (self.resident,))
        note_act(connection, self.at_ms, self.resident, self.act, None)
        return Changed(self.at_ms, correct_all(connection, self.event), None)


def correct_all(connection: sqlite3.Connection, event: NewEvent) -> str:
    """End everything that was attested, here and at the gateway; id of the event that tells of it."""
    connection.execute(
        "INSERT INTO seen (name, version) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1",
        (CORRECTIONS,),
    )
    connection.execute("UPDATE requests SET attestation = NULL WHERE attestation IS NOT NULL")
    waiting = connection.execute(
        "SELECT id FROM events WHERE kind = 'correction' AND log_index IS NULL AND refused IS NULL AND sent = 0"
    ).fetchone()
    if waiting is not None:
        return str(waiting[0])
    put_event(connection, event)
    return event.id


def is_frozen(connection: sqlite3.Connection, resident: ResidentRef) -> bool:
    """Whether the city answers for this resident as for one that it does not know."""
    return connection.execute("SELECT 1 FROM frozen WHERE resident = ?", (resident,)).fetchone() is not None
