"""Whether a log that is put back may be signed again: what the high-water mark says, or the newest known checkpoint."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gateway.cli.client import read_file
from gateway.cli.output import RefusedError
from gateway.cli.stored_log import StoredLog
from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.consentlog.shard import place_of
from gateway.consentlog.trust import TrustPolicy
from gateway.errors import Reason, TiergateError
from gateway.sqlite.connect import connect_reader
from gateway.storage.mark import HighWaterMark
from gateway.storage.shards import origin_of


def marked(path: Path, copy: Path, trust: bytes, newest_known: Path | None) -> HighWaterMark:
    """The mark, if the log in ``copy`` holds everything that is known to have been signed. Raises RefusedError.

    Without a mark (a new machine), ``newest_known`` is asked: a checkpoint signed by the log.
    """
    policy = TrustPolicy.parse(trust)
    with closing(connect_reader(copy)) as connection:
        log = StoredLog(connection)
        known = None
        if newest_known is not None:
            known = policy.verify(read_file(newest_known, MAX_NOTE_BYTES)).checkpoint
            end = place_of(known.origin, known.size)
            if end > log.end:
                raise _refused(f"the log ended at index {end} in the checkpoint, at {log.end} in the backup")
            if log.root(end) != known.root:
                raise _refused("the checkpoint is of another history than the backup")
        try:
            mark = HighWaterMark(path, origin_of(log.checkpoint()), log.origins)
        except TiergateError as error:
            if error.reason is not Reason.LOG_BEHIND:
                raise  # a copy of the data directory is running
            raise _refused(error.detail) from error
        try:
            mark.check(0 if known is not None and mark.mark is None else log.end, log.root)
        except TiergateError as error:
            mark.close()
            if error.reason is not Reason.LOG_BEHIND:
                raise
            if mark.mark is None:
                raise RefusedError(
                    "RESTORE_REFUSED",
                    "there is no high-water mark here: nobody can tell whether the log went on after this backup",
                    "give --newest-known FILE, the newest checkpoint that an auditor, a witness or a city has seen",
                ) from error
            raise _refused(error.detail) from error
    return mark


def _refused(detail: str) -> RefusedError:
    return RefusedError(
        "RESTORE_REFUSED",
        f"{detail}: going on from it is a fork",
        "restore a newer backup; if there is none, begin a new log with an origin and key of its own",
    )
