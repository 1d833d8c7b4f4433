"""``tiergate audit watch``: a monitor of the log, for an auditor, and for whoever keeps an export up to date."""

from __future__ import annotations

import asyncio
import json as json_text
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from gateway.cli.audit import log_trust, read_trust, require_export
from gateway.cli.client import known_directory, session
from gateway.cli.messages import time_of_s
from gateway.cli.options import ProfileFile
from gateway.cli.output import (
    EXIT_OK,
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    EXIT_UNVERIFIED,
    UsageError,
    exit_code_of,
)
from gateway.cli.profile import Profile, read_profile
from gateway.cli.watch_sources import ApiSource, ExportSource
from gateway.consentlog.gossip import Gossip, read_gossip
from gateway.consentlog.scoped import is_scoped
from gateway.consentlog.trust import TrustPolicy
from gateway.consentlog.watch import Alarm, Kind, LogSource, Wanted, Watcher
from gateway.consentlog.watch_state import WatchStore
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.files import shown
from gateway.process import stop_event

MAX_MINE_LINE = 1024
MAX_PAUSE_S = 600.0
CODES = dict.fromkeys(Kind, EXIT_UNVERIFIED) | {
    Kind.UNEXPECTED_ENTRY: EXIT_REFUSED,
    Kind.SILENCE: EXIT_REFUSED,
    Kind.MINE_SILENT: EXIT_REFUSED,
    Kind.REFUSED: EXIT_REFUSED,
    Kind.AWAY: EXIT_UNAVAILABLE,
    Kind.GOSSIP_UNUSABLE: EXIT_OK,
}
"""The exit code that each kind stands for."""
_WORST = (EXIT_UNVERIFIED, EXIT_REFUSED, EXIT_UNAVAILABLE, EXIT_OK)
_MINE = re.compile(rb"[0-9a-f]{32}|0|[1-9][0-9]{0,15}")

Opened = Callable[[], Any]


async def watch(
    *,
    state: Annotated[
        Path, Parameter(name="--state", help="File that remembers the last checkpoint seen; made at the first round.")
    ],
    profile: ProfileFile = None,
    export: Annotated[
        Path | None, Parameter(name="--export", help="Watch this export's folder (with --trust) in place of the API.")
    ] = None,
    trust: Annotated[
        Path | None,
        Parameter(name="--trust", help="Trust file (C2SP tlog-policy). Default: the log key that the directory names."),
    ] = None,
    operator: Annotated[str | None, Parameter(name="--operator", help="Mine: decisions for this operator.")] = None,
    city: Annotated[str | None, Parameter(name="--city", help="Mine: decisions about this city's residents.")] = None,
    mine: Annotated[
        Path | None,
        Parameter(name="--mine", help="File of the decisions of mine that I know: an id or a log index a line."),
    ] = None,
    grace: Annotated[
        float, Parameter(name="--grace", help="Seconds that a decision may take to get into --mine.")
    ] = 60.0,
    silent: Annotated[
        float | None, Parameter(name="--silent", help="Alarm when the log has no new entry for so many seconds.")
    ] = None,
    mine_silent: Annotated[
        float | None, Parameter(name="--mine-silent", help="Alarm when there is none of mine for so many seconds.")
    ] = None,
    gossip: Annotated[
        Path | None,
        Parameter(name="--gossip", help="Folder of receipts (NAME.proof, NAME.entry) and checkpoints of others."),
    ] = None,
    evidence: Annotated[
        Path | None, Parameter(name="--evidence", help="Folder for signed notes that disagree. Default: STATE.evidence")
    ] = None,
    every: Annotated[float, Parameter(name="--every", help="Seconds between rounds.")] = 30.0,
    once: Annotated[
        bool, Parameter(name="--once", negative="", show_default=False, help="One round, then end.")
    ] = False,
    json: Annotated[
        bool, Parameter(name="--json", negative="", show_default=False, help="One JSON object a line.")
    ] = False,
) -> int:
    """Watch the log: that it only grows, follows its rules, shows everybody the same, and decides nothing in my name.

    One line for each alarm, as it comes, until SIGTERM or SIGINT. The exit code is that of the worst alarm: 4 what a
    log must never do (both signed notes are kept), 1 unexpected entries or silence, 3 the gateway was away.
    """
    if every <= 0 or grace < 0:
        raise UsageError("--every must be positive, --grace not negative")
    if (mine or mine_silent) and not (operator or city):
        raise UsageError("whose decisions are mine?", "name --operator or --city")
    policy, opened = _source(profile, export, trust)
    known = None if mine is None else partial(read_mine, mine)
    wanted = Wanted(operator, city, known, grace, silent, mine_silent)
    folder = evidence or state.with_name(f"{state.name}.evidence")
    watcher = Watcher(policy, WatchStore(state, folder), wanted, time.time)
    heard: Callable[[], Iterable[Gossip]] = tuple if gossip is None else partial(read_gossip, gossip, policy)
    stopped = asyncio.Event() if once else stop_event(None)
    worst, failures = EXIT_OK, 0
    while True:
        alarms, away = await _round(watcher, opened, heard)
        failures = failures + 1 if away else 0
        for alarm in alarms:
            worst = min(worst, CODES[alarm.kind], key=_WORST.index)
            _tell(alarm, as_json=json)
        if once:
            _tell_end(watcher, as_json=json)
            return worst
        pause = min(every * 2**failures, max(every, MAX_PAUSE_S))
        try:
            await asyncio.wait_for(stopped.wait(), pause)
        except TimeoutError:
            continue
        return worst


async def _round(watcher: Watcher, opened: Opened, heard: Callable[[], Iterable[Gossip]]) -> tuple[list[Alarm], bool]:
    """What one round has to tell, and whether the log could not be had."""
    try:
        async with opened() as source:
            return await watcher.poll(source, heard), False
    except ProblemsError:
        raise
    except TiergateError as error:
        kind = {EXIT_UNAVAILABLE: Kind.AWAY, EXIT_UNVERIFIED: Kind.NOT_VERIFIED}.get(exit_code_of(error), Kind.REFUSED)
        return [Alarm(kind, f"{error.reason}: {error.detail or error.public_text}"), *watcher.quiet()], True


def _source(profile: Path | None, export: Path | None, trust: Path | None) -> tuple[TrustPolicy, Opened]:
    """Whom to trust, and how to open the log for one round."""
    if export is not None:
        require_export(export)
        if is_scoped(export):
            raise UsageError(f"{export} is a scoped export", "name a whole one, or watch by the API")
        if trust is None:
            raise UsageError("--export needs --trust", "name the trust file that you were given")
        policy = TrustPolicy.parse(read_trust(trust))
        return policy, lambda: _folder(ExportSource(export))
    used = read_profile(profile, {"auditor"})
    policy = log_trust(known_directory(used).gateway) if trust is None else TrustPolicy.parse(read_trust(trust))
    return policy, lambda: _api(used)


@asynccontextmanager
async def _folder(source: ExportSource) -> AsyncIterator[LogSource]:
    yield source


@asynccontextmanager
async def _api(profile: Profile) -> AsyncIterator[LogSource]:
    async with session(profile) as opened:
        yield ApiSource(opened)


def read_mine(path: Path) -> Collection[str]:
    """Ids and indices out of a file: one a line; empty lines and those that begin with # are passed over.

    Raises CONFIG_INVALID for any other line.
    """
    found: set[str] = set()
    number = 0
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_MINE_LINE):
                number += 1
                word = line.strip()
                if not word or word.startswith(b"#"):
                    continue
                if not _MINE.fullmatch(word):
                    raise _no_decision(path, f"line {number}", "is neither a decision id nor a log index")
                found.add(word.decode("ascii"))
    except OSError as error:
        raise _no_decision(path, "", f"cannot be read ({error.strerror})") from error
    return found


def _no_decision(path: Path, where: str, message: str) -> ProblemsError:
    problem = Problem(str(path), where, message, "one decision id (32 hex digits) or log index a line")
    return ProblemsError(Reason.CONFIG_INVALID, [problem])


def _tell(alarm: Alarm, *, as_json: bool) -> None:
    told = time_of_s(int(time.time()))
    if as_json:
        document = {
            "time": told,
            "kind": alarm.kind.value,
            "exit_code": CODES[alarm.kind],
            "detail": alarm.detail,
            "index": alarm.index,
            "evidence": list(alarm.evidence),
        }
        print(json_text.dumps(document, ensure_ascii=False), flush=True)
        return
    where = "" if alarm.index is None else f" entry {alarm.index}:"
    kept = f" (kept: {', '.join(alarm.evidence)})" if alarm.evidence else ""
    print(f"{told} {alarm.kind.value}{where} {shown(alarm.detail)}{kept}", flush=True)


def _tell_end(watcher: Watcher, *, as_json: bool) -> None:
    told = time_of_s(int(time.time()))
    if as_json:
        print(json_text.dumps({"time": told, "kind": "SEEN", "size": watcher.size}), flush=True)
    else:
        print(f"{told} seen: a log of {watcher.size} entries", flush=True)
