"""A change at the home city, as commands print it: when it took effect, and what the gateway knows of it."""

from __future__ import annotations

from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.cli.messages import time_of
from gateway.cli.output import facts, show


class Change(Protocol):
    """Any message with these fields."""

    @property
    def effective_at(self) -> Timestamp:
        """From when the city answers accordingly."""
        ...

    @property
    def acknowledged(self) -> bool:
        """Whether the gateway has acknowledged it."""
        ...

    @property
    def log_index(self) -> int:
        """Its log index, when acknowledged."""
        ...

    @property
    def checkpoint_size(self) -> int:
        """Size of the signed checkpoint in which it is proved, when acknowledged."""
        ...

    @property
    def exposed_until(self) -> Timestamp:
        """Latest moment at which an earlier answer may stand, when not acknowledged."""
        ...


def change_document(change: Change) -> dict[str, Any]:
    """The JSON form."""
    known = change.acknowledged
    return {
        "effective_at": time_of(change.effective_at),
        "acknowledged": known,
        "log_index": change.log_index if known else None,
        "checkpoint_size": change.checkpoint_size if known else None,
        "exposed_until": None if known else time_of(change.exposed_until),
    }


def told(document: dict[str, Any]) -> str:
    """What the gateway knows, in words."""
    if document["acknowledged"]:
        size = document["checkpoint_size"]
        return f"acknowledged: log index {document['log_index']}, proved in the signed checkpoint of size {size}"
    return f"on its way to the gateway; an earlier answer may stand until {document['exposed_until']}"


def show_change(title: str, document: dict[str, Any], *, json: bool) -> None:
    """Print a change; ``document`` is that of ``change_document`` with what it was done to."""
    named = {"consent": document["consent_id"]} if "consent_id" in document else {}
    named |= {"effective": document["effective_at"], "gateway": told(document)}
    show(document, lambda: [facts(title, named)], as_json=json)
