"""What an auditor may see of the log: all of it, or what concerns certain cities.

A scope has one text, which an export carries and whose digest stands in the log with every read:

    tiergate-scope/1
    fuzhou
    xiamen

The cities stand in order, each once; the whole log is ``*``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from gateway.domain.ids import SLUG, CityId
from gateway.errors import Reason, TiergateError

FORMAT = "tiergate-scope/1"
MAX_SCOPE_BYTES = 64 * 1024
"""Room for a thousand cities, which is what a directory can list, with names of the longest kind."""
_WHOLE = "*"


@dataclass(frozen=True, slots=True)
class AuditScope:
    """``cities`` in order, each once; None: the whole log. There is no scope of no city: who has none has no scope."""

    cities: tuple[CityId, ...] | None

    @classmethod
    def of(cls, cities: Iterable[str]) -> AuditScope:
        """The scope of these cities."""
        return cls(tuple(CityId(city) for city in sorted(set(cities))))

    @classmethod
    def parse(cls, data: bytes) -> AuditScope:
        """Read a scope's text. Raises LOG_CORRUPT unless it is exactly the text of one scope."""
        lines = data.decode("ascii", "replace").split("\n") if len(data) <= MAX_SCOPE_BYTES else []
        if len(lines) < 3 or lines[0] != FORMAT or lines[-1] != "":
            raise TiergateError(Reason.LOG_CORRUPT, "not a scope")
        names = lines[1:-1]
        if names == [_WHOLE]:
            return WHOLE_LOG
        if not all(map(SLUG.match, names)) or any(later <= earlier for earlier, later in pairwise(names)):
            raise TiergateError(Reason.LOG_CORRUPT, "the cities of a scope are slugs in order, each once")
        return cls.of(names)

    def text(self) -> bytes:
        """The scope's one text."""
        names = (_WHOLE,) if self.cities is None else self.cities
        return "\n".join((FORMAT, *names, "")).encode("ascii")

    def digest(self) -> str:
        """SHA-256 of the text, 64 hex digits: what ``audit_read`` entries name."""
        return hashlib.sha256(self.text()).hexdigest()


WHOLE_LOG = AuditScope(None)
