"""What a benchmark ran on, and what its processes cost."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def describe(*more: str) -> str:
    """Return one line that names the machine: processor, cores, kernel, interpreter, and what else was measured."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = f"{len(os.sched_getaffinity(0))} cores"
    kernel = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return ", ".join((cpu[1] if cpu else platform.machine(), cores, kernel, python, *more))


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in tree(int(child)))]


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes have used since they began."""
    spent = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / _TICKS


def resident_mib(pids: list[int]) -> float:
    """Return the memory that processes hold."""
    kib = 0
    for pid in pids:
        found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        kib += int(found[1]) if found else 0
    return kib / 1024
