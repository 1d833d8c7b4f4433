"""Whether what a logged decision shows rests on illustrative figures, told from the bundle that the decision names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.consentlog.entry import Entry
from gateway.domain.bundle import Bundle
from gateway.domain.evaluate import is_illustrative
from gateway.domain.ids import CityId, ScenarioId
from gateway.errors import TiergateError
from gateway.policy.bundle import read_bundle

NOTE = "~ 示意数据 / illustrative: rests on figures that no city has published; ? its bundle cannot be read"


class Marks:
    """Reads each bundle once. ``fetch`` gets a digest's bytes; what it raises as TiergateError leaves no verdict."""

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self._fetch = fetch
        self._bundles: dict[str, Bundle | None] = {}

    async def of(self, entry: Entry) -> dict[str, bool | None]:
        """What to add to an entry as shown: for a decision ``illustrative``, None where its bundle does not tell."""
        if entry.type != "decision":
            return {}
        digest = entry.text("bundle")
        if digest not in self._bundles:
            self._bundles[digest] = await self._read(digest)
        bundle = self._bundles[digest]
        scenario = None if bundle is None else bundle.scenarios.get(ScenarioId(entry.text("scenario")))
        if bundle is None or scenario is None:
            return {"illustrative": None}
        return {"illustrative": is_illustrative(bundle, scenario, CityId(entry.text("city")))}

    async def _read(self, digest: str) -> Bundle | None:
        try:
            bundle = read_bundle(await self._fetch(digest))
        except TiergateError:
            return None
        return bundle if bundle.digest == digest else None


def marked_rung(item: Mapping[str, Any]) -> object:
    """The rung for a table, with its mark."""
    return item.get("rung") if "illustrative" not in item else f"{item['rung']}{_SIGNS[item['illustrative']]}"


_SIGNS: dict[object, str] = {True: " ~", False: "", None: " ?"}
