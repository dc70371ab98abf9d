"""The lines between a follower and the bridge that it stands in for an agent to: pure grammar, the same for both ends.

Theory of operation
-------------------
A follower is started with ``Follow`` as its argument. It tells what the agent writes into its transcript, line by line: first
the end of what is there (``Wrote``), then ``CaughtUp``, then what follows. It is told what to give the agent, one text at a
time, and answers each ``Give`` with ``Given`` or ``NotGiven``; that the agent took it shows in the transcript. The end of stdin
is its end. ``Left`` is its last line where the agent went first.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.runtime.tagged_lines import Grammar, Message
from schemas.attachment import Attachment

MAX_LINE: Final = 4_194_304
"""Bytes of a transcript's line; of a longer one only its length is told."""

Agent = Literal["codex", "claude"]


class Follow(Struct, frozen=True, kw_only=True):
    """Whom to follow: the conversation of an agent, where it is."""

    agent: Agent
    conversation: str
    attach: Attachment


class Give(Message, tag="give", frozen=True, kw_only=True, gc=False):
    """Give the agent this text as its user would."""

    turn: str
    text: str


class Stop(Message, tag="stop", frozen=True, kw_only=True, gc=False):
    """Stop what it does."""


class Wrote(Message, tag="wrote", frozen=True, kw_only=True, gc=False):
    """It wrote this line into its transcript, at this offset."""

    at: int
    text: str


class Skipped(Message, tag="skipped", frozen=True, kw_only=True, gc=False):
    """It wrote a line that is too long to be told."""

    length: int


class CaughtUp(Message, tag="caught_up", frozen=True, kw_only=True, gc=False):
    """What follows is new. ``idle``: the agent says of itself that nothing runs; None where it says nothing."""

    transcript: str
    idle: bool | None = None


class Works(Message, tag="works", frozen=True, kw_only=True, gc=False):
    """It says of itself that it works now, or not any more."""

    idle: bool


class Given(Message, tag="given", frozen=True, kw_only=True, gc=False):
    """The text was given."""

    turn: str


class NotGiven(Message, tag="not_given", frozen=True, kw_only=True, gc=False):
    """It was not, and why."""

    turn: str
    reason: str


class NotStopped(Message, tag="not_stopped", frozen=True, kw_only=True, gc=False):
    """It was not stopped, and why."""

    reason: str


class Left(Message, tag="left", frozen=True, kw_only=True, gc=False):
    """Nobody is there any more; nothing follows."""

    reason: str


Down = Give | Stop
Up = Wrote | Skipped | CaughtUp | Works | Given | NotGiven | NotStopped | Left


class NotGivenError(Exception):
    """It could not be given, or stopped; the message says why, and what to do."""


class FollowerContractError(ValueError):
    """A line that is not of the contract; the message says what was expected."""


_FOLLOW: Final = Grammar[Follow](Follow, "whom to follow", FollowerContractError)
_DOWN: Final = Grammar[Down](Down, "a line of the bridge", FollowerContractError)
_UP: Final = Grammar[Up](Up, "a line of a follower", FollowerContractError)
decode_down: Final = _DOWN.read
decode_up: Final = _UP.read


def encode_line(line: Down | Up) -> bytes:
    """Write a line, newline included."""
    return _UP.write(line) if isinstance(line, Up) else _DOWN.write(line)


def encode_follow(follow: Follow) -> str:
    """Write whom to follow, as the argument that says so."""
    return _FOLLOW.write(follow).decode().rstrip("\n")


def decode_follow(raw: str) -> Follow:
    """Read whom to follow.

    Raises:
        FollowerContractError: that is not said.

    """
    return _FOLLOW.read(raw)
