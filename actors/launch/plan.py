"""What a launch decision is: a new command line and environment, an unchanged command, or a refusal with its reason.

Frozen values; must not know any agent. Each agent's module gives one function from a ``Wish`` to a ``Plan``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.config import ServedDialect

PLACEHOLDER = "tabwire-placeholder"
"""Stands where an agent insists on a key of its own and none is known: the gateway puts the provider's key in its place."""


@dataclass(frozen=True, slots=True)
class Door:
    """The gateway as one launch reaches it: its origin (``http://127.0.0.1:8129``) and the launch's own token."""

    origin: str
    token: str = field(repr=False)

    @property
    def root(self) -> str:
        """Return the base URL without a version, as Anthropic's clients want it."""
        return f"{self.origin}/s/{self.token}"

    @property
    def base_url(self) -> str:
        """Return the base URL with its version, as OpenAI's clients want it."""
        return f"{self.root}/v1"

    @property
    def auggie(self) -> str:
        """Return the address of a tenant, as Auggie wants it."""
        return f"{self.root}/auggie/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be started, and where.

    ``read`` gives the text of one of the agent's own files, None where there is none; ``guarded`` tells whether nobody else can
    write in any folder above a file.
    """

    argv: tuple[str, ...]
    door: Door
    environ: Mapping[str, str]
    cwd: Path
    read: Callable[[Path], str | None] = field(default=lambda _: None, repr=False)
    guarded: Callable[[Path], bool] = field(default=lambda _: True, repr=False)
    model: str | None = None

    @property
    def home(self) -> Path:
        """Return the user's folder, as programs written for node find it."""
        return Path(self.environ.get("HOME") or self.environ.get("USERPROFILE") or "~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Start this command. ``launched`` is False for a command that makes no model request and is passed through as it is.

    ``speaks`` are the dialects that its requests may come in.
    """

    argv: tuple[str, ...]
    agent: str
    environ: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    launched: bool = True
    speaks: tuple[ServedDialect, ...] = ()


class LaunchRefusedError(Exception):
    """The command cannot be pointed at the gateway: the reason, and what to do about it."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason = reason
        self.advice = advice
