"""What a monitor of the log keeps: the last checkpoint that it saw, how far it has read, and evidence.

The state is one JSON file, replaced whole (temporary name, fsync, rename). It is written once a checkpoint has proved
consistent with the one before and before anything is made of it, so that no crash forgets what the log has signed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gateway.consentlog.note import MAX_NOTE_BYTES
from gateway.crypto.jws import Claims, strict_object
from gateway.errors import Problem, ProblemsError, Reason, TiergateError
from gateway.files import write_whole

FORMAT = "tiergate-watch/1"


@dataclass
class Unknown:
    """A decision of mine that is not known to me: its id, and since when it has been seen (Unix seconds)."""

    id: str
    since: int


@dataclass
class WatchState:
    """``checkpoint``: the newest one seen (signed note), empty before the first. ``read``: entries looked at.

    ``grown_at``, ``mine_at``: when the log last had a new entry, and one of mine (Unix seconds, as seen from here).
    ``unknown``: by index, decisions of mine that may still become known.
    """

    checkpoint: str
    read: int
    grown_at: int
    mine_at: int
    unknown: dict[int, Unknown] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """As a file."""
        members = {
            "format": FORMAT,
            "checkpoint": self.checkpoint,
            "read": self.read,
            "grown_at": self.grown_at,
            "mine_at": self.mine_at,
            "unknown": {str(index): [item.id, item.since] for index, item in sorted(self.unknown.items())},
        }
        return json.dumps(members, indent=1).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> WatchState:
        """Read a file. Raises CONFIG_INVALID."""
        try:
            members = Claims(strict_object(data), Reason.CONFIG_INVALID)
            if members.text("format") != FORMAT:
                raise ValueError("format")
            checkpoint = members.take("checkpoint")
            if not isinstance(checkpoint, str) or len(checkpoint) > MAX_NOTE_BYTES:
                raise ValueError("checkpoint")
            read, grown_at, mine_at = (members.integer(name) for name in ("read", "grown_at", "mine_at"))
            unknown = {int(index): _unknown(item) for index, item in members.take("unknown").items()}
            members.done()
        except (ValueError, TypeError, AttributeError) as error:
            raise TiergateError(Reason.CONFIG_INVALID, "no state of a monitor") from error
        return cls(checkpoint, read, grown_at, mine_at, unknown)


def _unknown(item: object) -> Unknown:
    if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str) or type(item[1]) is not int:
        raise ValueError("unknown")
    return Unknown(item[0], item[1])


class WatchStore:
    """The state file, and a folder for evidence beside it."""

    def __init__(self, path: Path, evidence: Path) -> None:
        self._path = path
        self._evidence = evidence

    def load(self) -> WatchState | None:
        """The state; None before the first. Raises CONFIG_INVALID (ProblemsError) for a file that is none."""
        remedy = "a monitor that forgets what it has seen finds no fork: put back a copy, or name a new file"
        try:
            return WatchState.from_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = Problem(str(self._path), "", f"cannot be read ({error.strerror})", remedy)
            raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error
        except TiergateError as error:
            problem = Problem(str(self._path), "", error.detail, remedy)
            raise ProblemsError(Reason.CONFIG_INVALID, [problem]) from error

    def save(self, state: WatchState) -> None:
        """Replace the state, durably. Raises OSError."""
        write_whole(self._path, state.to_json())

    def keep(self, notes: Mapping[str, bytes]) -> tuple[str, ...]:
        """Keep signed notes as evidence, each in a file of its role's name; the files. Raises OSError.

        The same notes go into the same files.
        """
        self._evidence.mkdir(mode=0o700, parents=True, exist_ok=True)
        together = sha256(b"\0".join(notes.values())).hexdigest()[:16]
        paths = {self._evidence / f"{together}-{role}.note": note for role, note in notes.items()}
        for path, note in paths.items():
            write_whole(path, note)
        return tuple(map(str, paths))
