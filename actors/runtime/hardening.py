"""What the operating system can be asked for so that secrets stay in and children do not outlive their owner.

Linux has ``prctl``, Windows Job Objects and access lists; elsewhere each call says so instead of pretending. The result is
an empty string when the protection holds and otherwise the reason why it does not, fit for a log line.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(with_signal: int = int(getattr(signal, "SIGKILL", 9))) -> str:
    """Be killed, or sent another signal, when the thread that started this process ends.

    So actors are started from their owner's main thread.
    A parent that was gone before this call is noticed by the end of stdin instead.
    On Windows the supervisor's job ends its children; here a child only looks whether it is in one.
    """
    if sys.platform == "win32":
        from actors.runtime import windows  # noqa: PLC0415 - exists on Windows only

        return windows.enclosed()
    return _prctl(_PR_SET_PDEATHSIG, int(with_signal))


def forbid_inspection() -> str:
    """Keep this process's memory and environment from others of the same user, agents among them (and from core files)."""
    if sys.platform == "win32":
        from actors.runtime import windows  # noqa: PLC0415 - exists on Windows only

        return windows.forbid_inspection()
    import resource  # noqa: PLC0415 - exists elsewhere only

    # Where a process can be kept from being looked at it leaves no core file either; elsewhere this keeps it from one.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> str:
    """Become the owner of every descendant whose own parent ends, so that none escapes a sweep, or the end of this process."""
    if sys.platform == "win32":
        from actors.runtime import windows  # noqa: PLC0415 - exists on Windows only

        return windows.enclose()
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def allow_files(count: int) -> str:
    """Be allowed that many open files and sockets; Windows has no such bound."""
    if sys.platform == "win32":
        return ""
    import resource  # noqa: PLC0415 - exists elsewhere only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    if soft == endless or soft >= count:
        return ""
    most = count if hard == endless else min(count, hard)
    with suppress(OSError, ValueError):  # macOS has a bound of its own below the one that it names
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return "" if soft >= count else f"this system allows {soft} open files, {count} are needed (ulimit -n)"


def _prctl(option: int, value: int) -> str:
    try:
        call = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError, TypeError):
        return "this system has no prctl"
    if call(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        return os.strerror(ctypes.get_errno())
    return ""
