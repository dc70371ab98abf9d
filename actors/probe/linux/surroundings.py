"""What this Linux runs inside of, and what can therefore not be seen. Must not know processes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.probe.contract import Surroundings

_CONTAINER_MARKS: Final = ("/.dockerenv", "/run/.containerenv")


def parse_release(release: str) -> Surroundings:
    """Tell the two kinds of Windows' Linux by the kernel's release, as Microsoft names it."""
    lowered = release.lower()
    if "microsoft" not in lowered:
        return ""
    return "wsl2" if "wsl2" in lowered or "-microsoft-standard" in lowered else "wsl1"


def find_surroundings() -> Surroundings:
    """Tell what this Linux runs inside of."""
    try:
        release = Path("/proc/sys/kernel/osrelease").read_text()
    except OSError:
        release = ""
    return parse_release(release) or ("container" if any(Path(mark).exists() for mark in _CONTAINER_MARKS) else "")


def sentences(surroundings: Surroundings) -> tuple[str, ...]:
    """Say what cannot be seen, in sentences for people."""
    if surroundings in ("wsl1", "wsl2"):
        name = "WSL 2" if surroundings == "wsl2" else "WSL 1"
        return (f"{name}: Windows processes are not visible; agents of Windows need a Tabwire of their own on Windows",)
    if surroundings == "container":
        return ("container: agents outside of it are not visible",)
    return ()
