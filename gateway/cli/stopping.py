"""Commands that leave nothing behind when they are told to stop."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn


class StoppedError(Exception):
    """A signal asked us to stop; ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As a shell has it of a process that a signal ended."""
        return 128 + self.number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into :class:`StoppedError` at the next step of this thread.

    Also where the step was in a callback of a library, which failed of it in its own way.
    """
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)  # the stopping itself is not to be stopped
        came.append(number)
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:
        if came:
            raise StoppedError(came[0]) from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
