"""What the kernel can be asked for so that secrets stay in and children do not outlive their owner.

Only Linux has these (``prctl``). Elsewhere each call says so instead of pretending: the result is an empty string when
the protection holds and otherwise the reason why it does not, fit for a log line. Windows' Job Object belongs here when
its supervisor is built.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(with_signal: int = int(getattr(signal, "SIGKILL", 9))) -> str:
    """Be killed, or sent another signal, when the thread that started this process ends.

    So actors are started from their owner's main thread.
    A parent that was gone before this call is noticed by the end of stdin instead.
    """
    return _prctl(_PR_SET_PDEATHSIG, int(with_signal))


def forbid_inspection() -> str:
    """Keep this process's memory and environment from others of the same user, agents among them (and from core files)."""
    return _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> str:
    """Become the parent of every descendant whose own parent ends, so that none escapes a sweep."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> str:
    try:
        call = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError, TypeError):
        return "this system has no prctl"
    if call(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        return os.strerror(ctypes.get_errno())
    return ""
