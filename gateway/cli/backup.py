"""``tiergate backup`` and ``restore``: log and state of the gateway as one file, copied and put back as one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from gateway.cli.options import ConfigFile, Json
from gateway.cli.output import RefusedError, UsageError, facts, progress, show
from gateway.cli.stopping import stopped_by_signals
from gateway.errors import Problem, ProblemsError, Reason
from gateway.files import move_in

if TYPE_CHECKING:
    from gateway.config import GatewayConfig
    from gateway.domain.directory import Directory

DATABASE = "gateway.db"


def backup(
    *,
    config: ConfigFile,
    out: Annotated[Path, Parameter(name="--out", help="The copy (mode 600); an existing file is never overwritten.")],
    json: Json = False,
) -> None:
    """Copy the gateway's database while it runs, as of one moment, and check the copy up to its signed checkpoint.

    The copy holds what the database holds, and nothing of what was erased before: keep it as safe as the original, and
    no longer than that may be kept. Stopped by a signal, it leaves nothing; what one left that was killed, the next one
    into the same folder removes.
    """
    from gateway.cli.stored_log import check_database
    from gateway.sqlite.copies import copied

    settings = settings_of(config)
    source = settings.data_dir / DATABASE
    require_file(source, "data_dir", "is there a gateway with these settings?")
    if out.exists():
        raise UsageError(f"{out} exists; a backup is never overwritten", "name another file")
    trust = _trust(settings)
    with stopped_by_signals(), copied(source, out.parent, DATABASE) as copy:
        progress("tiergate: copied; checking the copy")
        checked = check_database(copy, trust)
        move_in(copy, out)
    document = {"file": str(out), "size": checked.size, "root": checked.root.hex(), "bytes": out.stat().st_size}
    show(document, lambda: [facts("Backup, checked", document)], as_json=json)


def restore(
    *,
    config: ConfigFile,
    source: Annotated[Path, Parameter(name="--from", help="A file that `tiergate backup` wrote.")],
    newest_known: Annotated[
        Path | None,
        Parameter(
            name="--newest-known",
            help="On a new machine: the newest checkpoint that auditors, witnesses or cities have seen of this log.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Put a backup in place of the gateway's database. The gateway must be stopped.

    Refused when the database in place, the high-water mark, or the newest checkpoint that is known tells of a longer
    log, or of another history, than the backup: a gateway that went on from a shorter log would sign a second history,
    which every witness and auditor would see as a fork.
    """
    from gateway.cli.restored_mark import marked
    from gateway.cli.stored_log import check_database
    from gateway.consentlog.shard import place_of
    from gateway.sqlite.connect import DatabaseLock
    from gateway.sqlite.copies import copied

    settings = settings_of(config)
    require_file(source, "--from", "name a file that `tiergate backup` wrote")
    trust = _trust(settings)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = settings.data_dir / DATABASE
    with stopped_by_signals(), DatabaseLock(target), copied(source, settings.data_dir, DATABASE) as copy:
        progress("tiergate: copied; checking the copy")
        checked = check_database(copy, trust)
        replaced = _replaceable(target, copy)
        mark = marked(settings.log_mark, copy, trust, newest_known)
        try:
            move_in(copy, target)
            mark.advance(place_of(checked.origin, checked.size), checked.root)
        finally:
            mark.close()
    document = {"database": str(target), "size": checked.size, "root": checked.root.hex(), "replaced_size": replaced}
    show(document, lambda: [facts("Restored, checked", document)], as_json=json)


def settings_of(config: Path) -> GatewayConfig:
    """The gateway's settings. Raises CONFIG_INVALID."""
    from gateway.config import PREFIX, GatewayConfig
    from gateway.settings import read_settings

    return read_settings(GatewayConfig, config, prefix=PREFIX)


def require_file(path: Path, key: str, remedy: str) -> None:
    """Return if there is such a file. Raises CONFIG_INVALID."""
    if not path.is_file():
        raise ProblemsError(Reason.CONFIG_INVALID, [Problem(str(path), key, "is not a file", remedy)])


def _trust(settings: GatewayConfig) -> bytes:
    """Trust in the log's keys of the signed directory."""
    from gateway.consentlog.trust import directory_trust

    return directory_trust(directory_of(settings).gateway)


def directory_of(settings: GatewayConfig) -> Directory:
    """The signed directory; one that has expired still names deployment and log key."""
    from gateway.policy.installed import installed_directory

    return installed_directory(settings.root, settings.directory)


def _replaceable(target: Path, copy: Path) -> int | None:
    """The size of the log in place (None without one), if the copy goes on from it. Raises :class:`RefusedError`.

    Also empties the write-ahead log of the database in place: left behind, it would be replayed onto the new file.
    """
    from gateway.cli.stored_log import StoredLog
    from gateway.consentlog.checkpoint import Checkpoint
    from gateway.consentlog.note import parse_note
    from gateway.errors import TiergateError
    from gateway.sqlite.connect import connect_reader, connect_writer

    beside = [target.with_name(target.name + suffix) for suffix in ("-wal", "-shm")]
    if not target.exists():
        if any(path.exists() for path in beside):
            raise RefusedError(
                "RESTORE_REFUSED",
                f"{target.name} is gone, but its write-ahead log is there",
                "put the database back beside it, or move both away for good",
            )
        return None
    try:
        with closing(connect_writer(target)) as connection, closing(connect_reader(copy)) as copied:
            place, new = StoredLog(connection), StoredLog(copied)
            if place.end > new.end:
                raise RefusedError(
                    "RESTORE_REFUSED",
                    f"the log in place ends at index {place.end}, the backup at {new.end}: going on from it is a fork",
                    "keep the database in place, or restore a newer backup; if the database is lost for good, begin a "
                    "new log with an origin and key of its own",
                )
            if place.size:
                # our own file, and only compared with: whether it was signed does not matter
                head = Checkpoint.parse(parse_note(place.checkpoint().encode()).text)
                if new.root(place.end) != head.root:
                    raise RefusedError(
                        "RESTORE_REFUSED",
                        "the backup is of another history than the log in place",
                        "find out which one witnesses and auditors know; keep both files",
                    )
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            size = place.size
    except (TiergateError, sqlite3.Error) as error:
        raise RefusedError(
            "RESTORE_REFUSED",
            "the database in place cannot be read, so that nobody can tell whether its log is longer",
            f"move {target.name}, {target.name}-wal and {target.name}-shm away, and keep them, then restore again",
        ) from error
    for path in beside:
        path.unlink(missing_ok=True)
    return size
