"""Which folders hold transcripts, and which names below them are transcripts: pure.

Must not know files: everything here is decided from names alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final, Literal

from msgspec import Struct

Agent = Literal["codex", "claude"]
MAX_DEPTH: Final = 5

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_DAY: Final = r"20[2-9]\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_ROLLOUT: Final = re.compile(rf"rollout-{_DAY}T[0-2]\d-[0-5]\d-[0-6]\d-({_UUID})\.jsonl(\.zst)?", re.ASCII)
_CLAUDE: Final = re.compile(rf"({_UUID})\.jsonl(\.zst)?", re.ASCII)
_SUBAGENT: Final = re.compile(r"agent-([A-Za-z0-9][A-Za-z0-9_-]{0,63})\.jsonl(\.zst)?", re.ASCII)
UUID: Final = re.compile(_UUID, re.ASCII)


class Root(Struct, frozen=True, gc=False):
    """A folder below which an agent keeps transcripts; ``archive``: those that its user has put away."""

    agent: Agent
    folder: str
    archive: bool = False


class Name(Struct, frozen=True, gc=False):
    """What a transcript's name says. ``session`` is empty where the name does not tell it (a sub-agent's may not)."""

    agent: Agent
    thread: str
    session: str
    subagent: bool = False
    compressed: bool = False


class Mark(Struct, frozen=True, omit_defaults=True, gc=False):
    """What the file system says of a file at one moment; two equal marks mean that nothing happened to it."""

    device: int = 0
    inode: int = 0
    size: int = 0
    modified: int = 0

    def is_same_file(self, other: Mark) -> bool:
        """Tell whether both are of one inode."""
        return self.inode == other.inode and self.device == other.device


class Found(Struct, frozen=True, gc=False):
    """A transcript below a root."""

    root: Root
    path: str
    name: Name
    mark: Mark


def roots(agent: Agent, home: str) -> tuple[Root, ...]:
    """Return the folders of an agent's home (``$CODEX_HOME``, ``$CLAUDE_CONFIG_DIR``)."""
    if agent == "codex":
        archive = Root("codex", str(PurePath(home, "archived_sessions")), archive=True)
        return (Root("codex", str(PurePath(home, "sessions"))), archive)
    return (Root("claude", str(PurePath(home, "projects"))),)


def home_of(agent: str, path: str) -> str | None:
    """Return the home that a transcript's path lies in; None when it lies as no transcript does."""
    parts = path.replace("\\", "/").split("/")
    marks = {"codex": ("sessions", "archived_sessions"), "claude": ("projects",)}.get(agent, ())
    for index in range(len(parts) - 2, 0, -1):
        if parts[index] in marks and len(parts) - 1 - index <= MAX_DEPTH:
            return path[: len("/".join(parts[:index]))]
    return None


def name_below(root: Root, parts: Sequence[str]) -> Name | None:
    """Read the path of a file below a root, part by part; None when it is no transcript's."""
    if not 1 <= len(parts) <= MAX_DEPTH:
        return None
    if root.agent == "codex":
        match = _ROLLOUT.fullmatch(parts[-1])
        return Name("codex", match[1], "", compressed=match[2] is not None) if match else None
    if match := _CLAUDE.fullmatch(parts[-1]):
        return Name("claude", match[1], match[1], compressed=match[2] is not None)
    if match := _SUBAGENT.fullmatch(parts[-1]):
        above = parts[-3] if len(parts) >= 3 and parts[-2] == "subagents" else ""  # noqa: PLR2004 - <session>/subagents/<file>
        session = above if UUID.fullmatch(above) else ""
        return Name("claude", match[1], session, subagent=True, compressed=match[2] is not None)
    return None
