"""What a driven session says and shows: the stream beside the feed, and its history. Never recorded in the journal.

Each piece goes out under ``stream.<launch>.<kind>.`` (``bus.protocol``, TELL) as a ``Frame``. The ``sequence`` of a stream is
dense from 1 for as long as the hub runs (``run`` names that time), so that every loss is visible; ``bridges.show_pending``
heals it. Texts are in pieces of at most ``MAX_TEXT`` characters. Control characters stay as the agent wrote them: whoever shows
them escapes them. Must not know where any of it comes from.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.events import Status, Usage
from schemas.events.bridges import TurnId, TurnOutcome
from schemas.identity import LaunchId, SessionId

MAX_TEXT = 8_192
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Name = Annotated[str, Meta(max_length=200)]
ItemId = Annotated[str, Meta(max_length=200)]
Channel = Literal["prompt", "reply", "thought", "notice"]
OptionKind = Literal["allow_once", "allow_always", "deny_once", "deny_always"]


class _Piece(Struct, frozen=True, kw_only=True, gc=False, tag_field="kind", omit_defaults=True):
    """What all pieces have in common: the tag ``kind``, and defaults that are left out."""


class TurnStarted(_Piece, tag="turn_started", frozen=True, kw_only=True, gc=False):
    """A message was given to the agent; its text follows as one text of the channel ``prompt``."""

    turn: TurnId


class TextAdded(_Piece, tag="text_added", frozen=True, kw_only=True, gc=False):
    """More of a text: ``item`` names it within its turn, pieces with the same name belong behind one another."""

    turn: TurnId
    item: ItemId
    channel: Channel
    text: Text


class TextEnded(_Piece, tag="text_ended", frozen=True, kw_only=True, gc=False):
    """A text is complete, with this many characters in all."""

    turn: TurnId
    item: ItemId
    channel: Channel
    length: int


class ToolStarted(_Piece, tag="tool_started", frozen=True, kw_only=True, gc=False):
    """The agent uses a tool. ``arguments`` is JSON or a command line, cut where ``cut`` says so."""

    turn: TurnId
    item: ItemId
    name: Name
    title: Text = ""
    arguments: Text = ""
    cut: bool = False


class ToolEnded(_Piece, tag="tool_ended", frozen=True, kw_only=True, gc=False):
    """The tool is done: ``output`` is the beginning of what it gave (``cut``: there was more)."""

    turn: TurnId
    item: ItemId
    ok: bool
    output: Text = ""
    cut: bool = False


class PlanStep(Struct, frozen=True, kw_only=True, gc=False):
    """One step of a plan."""

    text: Text
    state: Literal["pending", "in_progress", "completed"]


class PlanUpdated(_Piece, tag="plan_updated", frozen=True, kw_only=True, gc=False):
    """The agent's plan, whole."""

    turn: TurnId
    steps: tuple[PlanStep, ...]


class Option(Struct, frozen=True, kw_only=True, gc=False):
    """One answer that an approval takes."""

    id: Name
    label: Text
    kind: OptionKind


class ApprovalRequested(_Piece, tag="approval_requested", frozen=True, kw_only=True, gc=False):
    """The agent asks; without an answer it is denied at ``expires`` (RFC 3339, UTC)."""

    turn: TurnId
    approval: Name
    tool: Name
    title: Text
    detail: Text = ""
    options: tuple[Option, ...]
    expires: str


class ApprovalResolved(_Piece, tag="approval_resolved", frozen=True, kw_only=True, gc=False):
    """It was answered with ``option`` by whom; ``reason`` says why when nobody answered."""

    turn: TurnId
    approval: Name
    option: Name
    allowed: bool
    by: Name
    reason: Text = ""


class UsageTold(_Piece, tag="usage_told", frozen=True, kw_only=True, gc=False):
    """Tokens of the turn so far, as the agent counts them."""

    turn: TurnId
    usage: Usage


class StatusTold(_Piece, tag="status_told", frozen=True, kw_only=True, gc=False):
    """What the session does now."""

    status: Status
    reason: Text = ""


class SettingsTold(_Piece, tag="settings_told", frozen=True, kw_only=True, gc=False):
    """Provider, model and mode as they are from the next turn on; ``reason`` says why they are not what was asked for."""

    provider: str = ""
    model: str = ""
    mode: str = ""
    reason: Text = ""


class Identified(_Piece, tag="identified", frozen=True, kw_only=True, gc=False):
    """The conversation is known, or a new one was begun (``cleared``)."""

    session: SessionId
    conversation: str
    cleared: bool = False


class FailureTold(_Piece, tag="failure_told", frozen=True, kw_only=True, gc=False):
    """Something went wrong: ``code`` is one of ours, ``message`` says what and what to do; the agent's words may be in it."""

    code: Name
    message: Text
    turn: TurnId = ""


class TurnEnded(_Piece, tag="turn_ended", frozen=True, kw_only=True, gc=False):
    """The agent is done with the message."""

    turn: TurnId
    outcome: TurnOutcome
    reason: Text = ""


class Ended(_Piece, tag="ended", frozen=True, kw_only=True, gc=False):
    """The session's agent has ended; nothing follows. One that was stopped with Tabwire is taken up when that runs again."""

    reason: Text


Piece = (
    TurnStarted
    | TextAdded
    | TextEnded
    | ToolStarted
    | ToolEnded
    | PlanUpdated
    | ApprovalRequested
    | ApprovalResolved
    | UsageTold
    | StatusTold
    | SettingsTold
    | Identified
    | FailureTold
    | TurnEnded
    | Ended
)


class Frame(Struct, frozen=True, kw_only=True, gc=False):
    """One piece on the stream: of which stream, as which number of it, of which session, when."""

    stream: LaunchId
    run: str
    sequence: int
    session: SessionId
    time: str
    piece: Piece
