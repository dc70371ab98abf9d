"""The lines between the hub (``actors.bridges``) and one bridge: pure grammar, the same for both ends.

Theory of operation
-------------------
Down the bridge's stdin come lines of JSON, one ``Down`` each: first ``Begin``, then what the session is told. The end of stdin
means *stop*: end the agent, its tools and all that they started, then exit. Up its stdout go lines of JSON, one ``Up`` each, at
most ``MAX_UP`` bytes. stderr carries the bridge's own log. Everything about one session is in order, both ways.

A bridge says content (``schemas.content``) without number and time; the hub gives both. It answers every ``Ask`` exactly once.
Must not know pipes, processes, clocks.
"""

from __future__ import annotations

from typing import Final

from msgspec import field

from actors.runtime.tagged_lines import Grammar, Message
from schemas.attachment import Attachment
from schemas.bridge_rows import Ability
from schemas.content import Piece
from schemas.terminals import Terminal

MAX_UP: Final = 65_536
MAX_DOWN: Final = 8_388_608
BEAT_SECONDS: Final = 1.0


class Begin(Message, tag="begin", frozen=True, kw_only=True, gc=False):
    """Who this bridge is and what it shall start. ``token`` opens the gateway at ``origin`` for what it starts.

    ``resume`` is a conversation to take up, ``fork`` that it shall be copied first. ``patience`` is in seconds: how long an
    approval waits for an answer. With ``attach`` nothing is started: the conversation is joined where it runs,
    and the token is empty. ``terminal`` declares an agent that no adapter is for.
    """

    launch: str
    agent: str
    origin: str
    token: str
    cwd: str
    program: str = ""
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    provider: str = ""
    model: str = ""
    mode: str = ""
    resume: str = ""
    fork: bool = False
    patience: float = 300.0
    attach: Attachment | None = None
    terminal: Terminal | None = None


class Send(Message, tag="send", frozen=True, kw_only=True, gc=False):
    """Give the agent this message, or keep it until the running turn has ended."""

    ask: int
    turn: str
    text: str
    by: str = ""


class Interrupt(Message, tag="interrupt", frozen=True, kw_only=True, gc=False):
    """Stop the running turn; with ``queued`` also drop what waits behind it."""

    ask: int
    queued: bool = False


class Answer(Message, tag="answer", frozen=True, kw_only=True, gc=False):
    """Answer an approval with one of its options."""

    ask: int
    approval: str
    option: str
    by: str


class Change(Message, tag="change", frozen=True, kw_only=True, gc=False):
    """Model and mode from the next turn on; None leaves one as it is."""

    ask: int
    model: str | None = None
    mode: str | None = None


class Clear(Message, tag="clear", frozen=True, kw_only=True, gc=False):
    """Begin a new conversation."""

    ask: int


class Close(Message, tag="close", frozen=True, kw_only=True, gc=False):
    """End the agent, now."""

    ask: int


class Began(Message, tag="began", frozen=True, kw_only=True, gc=False):
    """The agent's process runs; everything that it starts descends from ``pid``."""

    pid: int
    argv0: str = ""


class Initialised(Message, tag="initialised", frozen=True, kw_only=True, gc=False):
    """The agent answered its greeting: what it is and can do."""

    version: str = ""
    can: tuple[Ability, ...] = ()
    modes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    transcript: str = ""


class Said(Message, tag="said", frozen=True, kw_only=True, gc=False):
    """A piece of content, or that the status changed."""

    piece: Piece


class Replied(Message, tag="replied", frozen=True, kw_only=True, gc=False):
    """What came of an ``ask``: done, or refused with a code and a sentence for people."""

    ask: int
    code: str = ""
    message: str = ""


class Beat(Message, tag="beat", frozen=True, kw_only=True, gc=False):
    """The bridge's loop turns. ``queued`` messages wait."""

    queued: int = 0


class Over(Message, tag="over", frozen=True, kw_only=True, gc=False):
    """The agent has ended and nothing of it is left; the bridge exits behind this line.

    ``resumable`` tells that the conversation may be taken up by a new bridge; whether it is, is the hub's to decide, so that
    the piece ``Ended`` and the status ``gone`` are the hub's to say. ``code`` is one of ours, ``reason`` a sentence of ours
    that may be recorded: the agent's own words are in the ``FailureTold`` before it, if anywhere. A message that was accepted
    and not given has ended by now with a ``TurnEnded`` whose reason begins with "not sent", and without a ``TurnStarted``.
    What was asked too late to be answered before this line never will be.
    """

    code: str
    reason: str
    exit_code: int | None = None
    resumable: bool = True


Ask = Send | Interrupt | Answer | Change | Clear | Close
Down = Begin | Ask
Up = Began | Initialised | Said | Replied | Beat | Over


class BridgeContractError(ValueError):
    """A line that is not of the contract; the message says what was expected."""


_DOWN: Final = Grammar[Down](Down, "a line of the hub", BridgeContractError, MAX_DOWN)
_UP: Final = Grammar[Up](Up, "a line of a bridge", BridgeContractError, MAX_UP)
decode_down: Final = _DOWN.read
decode_up: Final = _UP.read


def encode_line(line: Down | Up) -> bytes:
    """Write a line, newline included.

    Raises:
        BridgeContractError: it is longer than its direction allows.

    """
    return _UP.write(line) if isinstance(line, Up) else _DOWN.write(line)
