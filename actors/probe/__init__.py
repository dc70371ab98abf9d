"""The only place that asks which operating system this is, and asks it who is who.

Owns the reading of sockets, processes and terminals. ``contract`` says what can be asked, ``linux`` asks; ``terminal`` and
``agents`` are pure and turn what was read into a terminal key and an agent's name. Must not know what is believed.
"""

from __future__ import annotations

import sys

from actors.probe.agents import AgentFinding, classify, worth_a_look
from actors.probe.contract import (
    Address,
    Capability,
    ChangeHint,
    ChangeWatch,
    ExitWatch,
    Glimpse,
    OpenFile,
    Peer,
    Probe,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    ProcessHiddenError,
    ProcessStartingError,
    SessionLeader,
    SocketMovedError,
    Surroundings,
    UnsupportedPlatformError,
)
from actors.probe.terminal import TerminalFinding, find_terminal

__all__ = [
    "Address",
    "AgentFinding",
    "Capability",
    "ChangeHint",
    "ChangeWatch",
    "ExitWatch",
    "Glimpse",
    "OpenFile",
    "Peer",
    "Probe",
    "ProbeError",
    "ProcessFacts",
    "ProcessGoneError",
    "ProcessHiddenError",
    "ProcessStartingError",
    "SessionLeader",
    "SocketMovedError",
    "Surroundings",
    "TerminalFinding",
    "UnsupportedPlatformError",
    "choose_probe",
    "classify",
    "find_terminal",
    "worth_a_look",
]


def choose_probe() -> Probe:
    """Return the probe of this operating system.

    Raises:
        UnsupportedPlatformError: there is none; without it no caller can be named, so nothing should be started.

    """
    if sys.platform == "linux":
        from actors.probe.linux import LinuxProbe as OurProbe  # noqa: PLC0415 - each exists on its own system only
    elif sys.platform == "win32":
        from actors.probe.windows.probe import WindowsProbe as OurProbe  # noqa: PLC0415
    elif sys.platform == "darwin":
        from actors.probe.macos.probe import MacosProbe as OurProbe  # noqa: PLC0415
    else:
        raise UnsupportedPlatformError(
            f"Tabwire cannot tell which process sends a request on {sys.platform}; run it on Linux, Windows or macOS"
        )
    return OurProbe()
