"""What a launch decision is: a new command line and environment, an unchanged command, or a refusal with its reason.

Frozen values; must not know any agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Start this command. ``launched`` is False for a command that makes no model request and is passed through as it is."""

    argv: tuple[str, ...]
    agent: str
    environ: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    launched: bool = True


class LaunchRefusedError(Exception):
    """The command cannot be pointed at the gateway: the reason, and what to do about it."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason = reason
        self.advice = advice
