"""The three descriptors that every program takes for granted, for one that was started without some of them."""

from __future__ import annotations

import os
import sys


def hold_standard_descriptors() -> None:
    """Open the null device where standard input, output or error is closed. To be called before anything is opened.

    Else the next file or socket would get such a number: what is printed would go into it, and libuv ends a process
    that closes it. ``sys.stdout`` stays None, by which a command sees that its result would be lost. Raises OSError.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # for as long as the process lives
    if sys.stderr is None:  # print() would take standard output in its place
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # as above
