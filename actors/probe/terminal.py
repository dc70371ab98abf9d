"""Which terminal a process belongs to: a pure reading of its terminal variables, its tty and its session leader.

Theory of operation
-------------------
Terminals name their tabs and panes in environment variables, and environments are inherited: a variable names *ancestry*.
Everything started from a Windows Terminal tab carries its ``WT_SESSION``, a tmux pane carries the one of whichever tab
started the *server*. So the readings are tried in order of how close to the process they must be:

1. multiplexers (tmux, GNU screen, zellij) sit inside whatever window is named otherwise;
2. VS Code names none of its terminals, so everything else in its environment came from outside: only the tty is left;
3. terminal emulators, in a fixed order;
4. the controlling tty with its session leader, which the kernel says itself.

Two multiplexers at once, or one that names itself badly, leave only the tty: which of them is the inner one cannot be told
from an environment. Everything that was passed over is reported as rejected evidence.

Must not know how any of this is read, nor what a terminal is worth as evidence beyond its rank.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from schemas.evidence import Evidence, Rank
from schemas.identity import IdentityError, ProcessKey, TerminalKey, terminal_key

Variables = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TerminalFinding:
    """The terminal, or why there is none in words for the user; ``used`` proves the key, ``rejected`` was passed over."""

    key: TerminalKey | None
    missing: str
    used: Evidence | None
    rejected: tuple[Evidence, ...]


def find_terminal(variables: Variables, tty: str | None, leader: ProcessKey | None) -> TerminalFinding:
    """Name the terminal of a process from ``ProcessFacts.variables``, ``.tty`` and ``.leader``."""
    raise NotImplementedError(variables, tty, leader)
