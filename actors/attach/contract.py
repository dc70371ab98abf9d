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

import msgspec
from msgspec import Struct

from schemas.attachment import Attachment

MAX_LINE: Final = 4_194_304
"""Bytes of a transcript's line; of a longer one only its length is told."""

Agent = Literal["codex", "claude"]


class Follow(Struct, frozen=True, kw_only=True):
    """Whom to follow: the conversation of an agent, where it is."""

    agent: Agent
    conversation: str
    attach: Attachment


class _Line(Struct, frozen=True, gc=False, kw_only=True, tag_field="line", omit_defaults=True):
    """What all lines have in common: the tag ``line``."""


class Give(_Line, tag="give", frozen=True, kw_only=True, gc=False):
    """Give the agent this text as its user would."""

    turn: str
    text: str


class Stop(_Line, tag="stop", frozen=True, kw_only=True, gc=False):
    """Stop what it does."""


class Wrote(_Line, tag="wrote", frozen=True, kw_only=True, gc=False):
    """It wrote this line into its transcript, at this offset."""

    at: int
    text: str


class Skipped(_Line, tag="skipped", frozen=True, kw_only=True, gc=False):
    """It wrote a line that is too long to be told."""

    length: int


class CaughtUp(_Line, tag="caught_up", frozen=True, kw_only=True, gc=False):
    """What follows is new. ``idle``: the agent says of itself that nothing runs; None where it says nothing."""

    transcript: str
    idle: bool | None = None


class Works(_Line, tag="works", frozen=True, kw_only=True, gc=False):
    """It says of itself that it works now, or not any more."""

    idle: bool


class Given(_Line, tag="given", frozen=True, kw_only=True, gc=False):
    """The text was given."""

    turn: str


class NotGiven(_Line, tag="not_given", frozen=True, kw_only=True, gc=False):
    """It was not, and why."""

    turn: str
    reason: str


class NotStopped(_Line, tag="not_stopped", frozen=True, kw_only=True, gc=False):
    """It was not stopped, and why."""

    reason: str


class Left(_Line, tag="left", frozen=True, kw_only=True, gc=False):
    """Nobody is there any more; nothing follows."""

    reason: str


Down = Give | Stop
Up = Wrote | Skipped | CaughtUp | Works | Given | NotGiven | NotStopped | Left

_FOLLOW: msgspec.json.Decoder[Follow] = msgspec.json.Decoder(Follow)
_DOWN: msgspec.json.Decoder[Down] = msgspec.json.Decoder(Down)
_UP: msgspec.json.Decoder[Up] = msgspec.json.Decoder(Up)
_WRITE = msgspec.json.Encoder().encode


class NotGivenError(Exception):
    """It could not be given, or stopped; the message says why, and what to do."""


class FollowerContractError(ValueError):
    """A line that is not of the contract; the message says what was expected."""


def encode_line(line: Down | Up) -> bytes:
    """Write a line, newline included."""
    return _WRITE(line) + b"\n"


def encode_follow(follow: Follow) -> str:
    """Write whom to follow, as the argument that says so."""
    return _WRITE(follow).decode()


def decode_follow(raw: str) -> Follow:
    """Read whom to follow.

    Raises:
        FollowerContractError: that is not said.

    """
    try:
        return _FOLLOW.decode(raw)
    except msgspec.MsgspecError as error:
        raise FollowerContractError(f"not whom to follow: {error}") from error


def decode_down(raw: bytes) -> Down:
    """Read a line of the bridge.

    Raises:
        FollowerContractError: it is none.

    """
    try:
        return _DOWN.decode(raw)
    except msgspec.MsgspecError as error:
        raise FollowerContractError(f"not a line of the bridge: {error}") from error


def decode_up(raw: bytes) -> Up:
    """Read a line of a follower.

    Raises:
        FollowerContractError: it is none.

    """
    try:
        return _UP.decode(raw)
    except msgspec.MsgspecError as error:
        raise FollowerContractError(f"not a line of a follower: {error}") from error
