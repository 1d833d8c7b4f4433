"""``tiergate erase``: delete from a stopped gateway's data what is due, or what an authority orders."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from gateway.cli.backup import DATABASE, directory_of, require_file, settings_of
from gateway.cli.options import LOG_INDEX, ConfigFile, Json
from gateway.cli.output import UsageError, facts, progress, show

if TYPE_CHECKING:
    from gateway.config import GatewayConfig

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def erase(
    *,
    config: ConfigFile,
    due: Annotated[bool, Parameter(name="--due", negative="", help="All whose retention has ended.")] = False,
    consent: Annotated[
        int | None,
        Parameter(
            name="--consent",
            validator=LOG_INDEX,
            help="One consent, now: log index of its registration, or of an event about it.",
        ),
    ] = None,
    authority: Annotated[str, Parameter(name="--authority", help="Who orders it, a slug; it is logged.")] = "",
    order: Annotated[str, Parameter(name="--order", help="SHA-256 of the order, 64 hex digits; it is logged.")] = "",
    json: Json = False,
) -> None:
    """Erase salts, private payloads, attestations and keys, and write the database anew. Stop the gateway first.

    The running gateway erases by itself what is due. Nothing of the log changes: all proofs stay valid, and an entry
    says what was erased. Backups from before still hold it: destroy them when their time has come.
    """
    if due == (consent is not None):
        raise UsageError("say what to erase", "--due, or --consent INDEX --authority NAME --order DIGEST")
    if consent is not None and not (_SLUG.match(authority) and _DIGEST.match(order)):
        raise UsageError("an order names its authority and its digest", "--authority NAME (a slug) --order SHA256")
    settings = settings_of(config)
    require_file(settings.data_dir / DATABASE, "data_dir", "is there a gateway with these settings?")
    document = asyncio.run(_erase(settings, consent, authority, order))
    show(document, lambda: [facts("Erased", document)], as_json=json)


async def _erase(settings: GatewayConfig, consent: int | None, authority: str, order: str) -> dict[str, Any]:
    from gateway.clock import SystemClock
    from gateway.policy.directory import check_fresh
    from gateway.storage.eraser import Eraser
    from gateway.storage.sealing import current_signer
    from gateway.storage.sqlite_store import SqliteStore

    database, clock = settings.data_dir / DATABASE, SystemClock()
    directory = directory_of(settings)
    if consent is None:  # by a clock that runs ahead, everything would be due; the authorities' time is held against it
        check_fresh(directory, clock.now_ms() // 1000, 0)
    store = SqliteStore(database, settings.log_mark, current_signer(database, settings.log_key), clock)
    try:
        await store.start(directory.gateway.deployment)
        eraser = Eraser(store, database, clock, settings.retention.days)
        if consent is None:
            done = await eraser.due()
            document: dict[str, Any] = {"entries": done.entries, "consents": done.consents}
        else:
            document = {"consent": consent, "log_index": await eraser.order(consent, authority, order)}
        progress("tiergate: erased; writing the database anew")
        await eraser.empty(rewrite=True)
    finally:
        await store.close()
    return document
