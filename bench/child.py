"""Run a module that ends with its parent: ``python -m bench.child MODULE ARGUMENT…``.

The kernel kills it when the parent dies in whatever way (PR_SET_PDEATHSIG, prctl(2)); the setting survives ``exec``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the module. Raises OSError if the kernel refuses."""
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent == 1 or os.getppid() != parent:
        sys.exit("the parent is gone")
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])  # noqa: S606  # a module of this environment


if __name__ == "__main__":
    main()
