"""CPU time and memory of other processes, from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far (proc(5), stat fields 14 and 15), in steps of a clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def machine_busy_seconds() -> float:
    """Time that all cores together have been busy so far (proc(5), /proc/stat), waiting for a disk not counted."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) * _TICK_S


def rss_bytes(pid: int) -> int:
    """Resident memory (proc(5), statm field 2)."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def peak_rss_bytes() -> int:
    """This process's highest resident memory (proc(5), status VmHWM). getrusage's would count its parent's, too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
