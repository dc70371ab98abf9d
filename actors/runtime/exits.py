"""The exit codes of every actor (the numbers of sysexits.h where it has one for the case)."""

from __future__ import annotations

from typing import Final

OK: Final = 0
"""Somebody asked it to stop: stdin ended, or SIGTERM."""

ALREADY_RUNNING: Final = 69
"""Only the supervisor: another one holds this state folder."""

CRASH: Final = 70
"""Something unexpected happened; the actor is started again."""

BROKER_UNREACHABLE: Final = 75
"""The broker was lost; the actor is started again and catches up."""

BAD_CONFIG: Final = 78
"""The configuration cannot be used; starting again would not help, so nobody does."""

_MEANINGS: Final = {
    OK: "stopped",
    ALREADY_RUNNING: "already running",
    CRASH: "crashed",
    BROKER_UNREACHABLE: "broker unreachable",
    BAD_CONFIG: "bad configuration",
}


def meaning(code: int) -> str:
    """Say an exit code in words: ``crashed (70)``, ``killed by signal 9``, ``exited with 3``."""
    if code < 0:
        return f"killed by signal {-code}"
    if code in _MEANINGS:
        return f"{_MEANINGS[code]} ({code})"
    return f"exited with {code}"
