"""Entries that change no state of consents: refusals, auditors' reads, changes of the directory."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod

from gateway.domain.directory import Directory
from gateway.domain.ids import OperatorId
from gateway.storage.operations import Operation, RecordDirectory, RecordFact


class Facts(ABC):
    """The part of a store that logs them."""

    @abstractmethod
    async def perform(self, operation: Operation) -> int:
        """Have the writer commit an operation; its log index. The store's own."""

    async def record_refusal(self, operator: OperatorId, scenario: str, code: str, at_ms: int) -> int:
        """See ``DecisionStore``."""
        return await self.perform(
            RecordFact(
                "refusal",
                at_ms,
                {"id": secrets.token_hex(16), "operator": operator, "scenario": scenario, "code": code},
            )
        )

    async def record_read(self, auditor: str, start: int, end: int, scope: str, at_ms: int) -> int:
        """See ``ReadRecorder``."""
        return await self.perform(
            RecordFact("audit_read", at_ms, {"auditor": auditor, "start": start, "end": end, "scope": scope})
        )

    async def record_directory(self, directory: Directory, at_ms: int) -> int:
        """Log what has changed in the directory, before anything is decided under it; how many entries."""
        return await self.perform(RecordDirectory(directory, at_ms))
