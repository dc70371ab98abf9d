"""Which homes of agents there are: those of this user, those that the configuration adds, those of living processes.

A home's folders are resolved, since a user may keep them elsewhere by a link; below them no link is followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from actors.transcripts.tree import Agent, Root, roots
from schemas.config import Rollout

Home = tuple[Agent, str]
_VARIABLES: tuple[tuple[Agent, str, str], ...] = (
    ("codex", "CODEX_HOME", ".codex"),
    ("claude", "CLAUDE_CONFIG_DIR", ".claude"),
)


def own_homes(config: Rollout, environ: Mapping[str, str]) -> list[Home]:
    """Return this user's homes and those of the configuration."""
    found: list[Home] = []
    for agent, variable, usual in _VARIABLES:
        told = environ.get(variable, "")
        found.append((agent, told if os.path.isabs(told) else str(Path.home() / usual)))  # noqa: PTH117 - a str
    found += [("codex", home) for home in config.codex_homes]
    found += [("claude", home) for home in config.claude_homes]
    return found


def resolved_roots(homes: Iterable[Home]) -> tuple[Root, ...]:
    """Return the folders of homes as they really are, each once."""
    found: dict[str, Root] = {}
    for agent, home in homes:
        for root in roots(agent, home):
            folder = os.path.realpath(root.folder)
            if folder.isprintable():
                found.setdefault(folder, Root(agent, folder, root.archive))
    return tuple(found.values())
