"""An agent of the user's that can be written to and is followed from its transcript: Codex by its queue, Claude Code in tmux.

Theory of operation
-------------------
The bridge's agent is a follower (``actors.attach``), which tells the transcript line by line. Turns begin and end as the
transcript says. One that begins while a message of ours waits to be taken is ours once its prompt is our text; another prompt
is the user's, typed at the same time: that turn is shown inside ours, and ours goes on waiting. Nothing shows before the agent
has written it down, which Claude Code does message by message and Codex item by item: there are no parts of texts. A
turn of which it writes no end has ended ``IDLE_SECONDS`` after the agent said of itself that it is idle.

What cannot be typed as it is, is refused and said (``refusal``). A text that was given and does not show in the transcript
within ``TAKEN_SECONDS`` was not taken: the turn fails, and says where to look. Questions are asked and answered in the
agent's own terminal; a turn that waits for one is a turn that runs.

Pure. Must not know how a text is given, nor files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from msgspec.structs import replace as changed

from actors.attach.contract import (
    CaughtUp,
    Down,
    Follow,
    FollowerContractError,
    Give,
    Given,
    Left,
    NotGiven,
    NotStopped,
    Skipped,
    Stop,
    Works,
    Wrote,
    decode_up,
    encode_follow,
    encode_line,
)
from actors.bridge.adapter import (
    AgentFacts,
    Beginning,
    Change,
    Changed,
    Clear,
    Command,
    Decide,
    Fail,
    Greeted,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Wait,
    Woke,
    Write,
)
from actors.bridge.followed.reading import Reading, read
from actors.launch.plan import LaunchRefusedError
from schemas.attachment import Attachment
from schemas.bridge_rows import Ability
from schemas.content import FailureTold, Piece, TextAdded, TextEnded, TurnEnded, TurnStarted

TAKEN_SECONDS: Final = 30.0
MAX_TYPED: Final = 200_000
_CAN: Final[dict[str, frozenset[Ability]]] = {
    "tmux": frozenset(("interrupt", "history", "review")),
    "queue": frozenset(("history", "review")),
}
IDLE_SECONDS: Final = 1.0
_WAIT: Final = "taken"
_IDLE: Final = "idle"
_COMMANDS: Final = ("!", "/", "#")
_CONTROL: Final = "control characters and tabs cannot be typed into a terminal as they are"
Step = tuple["State", tuple[Output, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a followed conversation stands.

    ``asked`` is the message of ours that the transcript does not show yet; ``shown`` the name under which the transcript's turn
    is told (empty: not at all), ``ours`` that it is ours for sure, ``prompt`` what it was asked as far as that was read.
    ``past`` is what the newest turn showed before we caught up; ``stopping``: it was told to stop.
    """

    agent: str
    attach: Attachment
    reading: Reading = field(default_factory=Reading)
    caught_up: bool = False
    past: tuple[Piece, ...] = field(default=(), repr=False)
    asked: Prompt | None = None
    shown: str = ""
    ours: bool = False
    prompt: tuple[Piece, ...] = field(default=(), repr=False)
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """The adapter of one agent that is followed."""

    FACTS: AgentFacts

    def plan(self, beginning: Beginning) -> Command:
        """Return what stands in the agent's place.

        Raises:
            LaunchRefusedError: nothing says whom to follow.

        """
        attach = beginning.attach
        if attach is None:
            raise LaunchRefusedError("nothing says where the agent is")
        whom = Follow(agent="codex" if self.FACTS.agent == "codex" else "claude", conversation=beginning.resume, attach=attach)
        return Command(argv=(beginning.program, "-I", "-m", "actors.attach", "follow", encode_follow(whom)))

    def begin(self, beginning: Beginning) -> State:
        """Return the state before anything is told.

        Raises:
            LaunchRefusedError: nothing says whom to follow.

        """
        if beginning.attach is None:
            raise LaunchRefusedError("nothing says where the agent is")
        return State(agent=self.FACTS.agent, attach=beginning.attach)

    def step(self, state: State, input_: Input) -> Step:
        """Take one input."""
        match input_:
            case LineCame(line=line):
                return _line(state, line)
            case Prompt():
                return _prompt(state, input_)
            case Interrupt():
                return replace(state, stopping=True), (_told(Stop()),)
            case Passed(name=name):
                return _stopped(state) if name == _IDLE else _not_taken(state)
            case _:
                return state, _aside(input_)


def followed(agent: str, channel: str) -> Followed:
    """Return the adapter for an agent over a channel."""
    return Followed(
        AgentFacts(agent=agent, protocol=f"transcript ({channel})", programs=(), tested="", can=_CAN.get(channel, frozenset()))
    )


def refusal(channel: str, text: str) -> str:
    """Say why a text cannot be given as it is; empty when it can."""
    first, typed = text.lstrip()[:1], channel == "tmux"
    reasons = (
        ("\0" in text, "a NUL cannot be given"),
        (typed and not all(one.isprintable() or one == "\n" for one in text), _CONTROL),
        (typed and not first, "only blanks cannot be sent there"),
        (typed and first in _COMMANDS, f"what begins with {first!r} is a command there, no message; put a word in front of it"),
        (typed and text.rstrip().endswith("\\"), "behind a backslash at its end it would go on in the next line there"),
        (typed and len(text) > MAX_TYPED, f"more than {MAX_TYPED} characters are not typed"),
    )
    return next((reason for holds, reason in reasons if holds), "")


# ------------------------------------------------------------------------------------------------ what we want


def _aside(input_: Change | Clear | LineSkipped | Spawned | Decide) -> tuple[Output, ...]:
    """Answer what changes nothing here."""
    match input_:
        case Change() | Clear():
            return (Changed(refused="that is only done in the agent's own terminal"),)
        case LineSkipped(length=length):
            return (Note(f"a line of {length} bytes was left out"),)
        case Spawned() | Decide():
            return ()


def _told(line: Down) -> Write:
    return Write(encode_line(line))


def _prompt(state: State, prompt: Prompt) -> Step:
    if reason := refusal(state.attach.channel, prompt.text):
        return _failed(replace(state, asked=prompt), "refused", reason)
    asked = replace(state, asked=prompt, shown="", ours=False, prompt=(), stopping=False)
    return asked, (_told(Give(turn=prompt.turn, text=prompt.text)), Wait(name=_WAIT, seconds=2 * TAKEN_SECONDS))


def _not_taken(state: State) -> Step:
    where = "its pane" if state.attach.channel == "tmux" else "its terminal"
    return _failed(state, "not_taken", f"the message was given, but {state.agent} did not take it: look at {where}")


def _stopped(state: State) -> Step:
    """End a turn that the agent is done with, and of which the transcript tells no end."""
    if not state.shown and state.asked is not None and state.stopping:
        ended = TurnEnded(turn=state.asked.turn, outcome="interrupted", reason="it was stopped before it began")
        return replace(state, asked=None), (Wait(name=_WAIT, seconds=None), Say(ended))
    if not state.shown or state.reading.over:
        return state, ()
    state = replace(state, reading=replace(state.reading, over=True), ours=True)
    return _ended(state, TurnEnded(turn=state.reading.turn, outcome="interrupted", reason="it stopped"))


def _failed(state: State, code: str, reason: str) -> Step:
    """End the turn of a message that did not become one."""
    if state.asked is None:
        return state, ()
    turn = state.asked.turn
    failure = FailureTold(code=code, message=f"not sent: {reason}" if code != "not_taken" else reason, turn=turn)
    ended = TurnEnded(turn=turn, outcome="failed", reason=reason)
    return replace(state, asked=None, shown="", prompt=()), (Wait(name=_WAIT, seconds=None), Say(failure), Say(ended))


# ------------------------------------------------------------------------------------------------ what comes


def _line(state: State, line: bytes) -> Step:
    try:
        said = decode_up(line)
    except FollowerContractError:
        return state, (Note("the follower wrote a line that is not of its contract"),)
    match said:
        case Wrote(at=at, text=text):
            return _wrote(state, at, text)
        case CaughtUp():
            return _caught_up(state, said)
        case Given() | NotGiven():
            return _given(state, said)
        case _:
            return state, _besides(state, said)


def _besides(state: State, said: Works | NotStopped | Skipped | Left) -> tuple[Output, ...]:
    """Take what changes nothing yet."""
    match said:
        case Works(idle=idle):
            return (Wait(name=_IDLE, seconds=IDLE_SECONDS if idle else None),)
        case NotStopped(reason=reason):
            return _notice(state, f"it was not stopped: {reason}")
        case Skipped(length=length):
            return (Note(f"a line of {length} bytes of the transcript was left out"),)
        case Left(reason=reason):
            return (Fail(code="agent_gone", message=reason, resumable=False),)


def _notice(state: State, words: str) -> tuple[Output, ...]:
    """Tell people something in the turn that runs."""
    turn = state.shown or ("" if state.asked is None else state.asked.turn)
    if not turn:
        return (Note(words),)
    added = TextAdded(turn=turn, item="notice", channel="notice", text=words)
    return (Say(added), Say(TextEnded(turn=turn, item="notice", channel="notice", length=len(words))))


def _given(state: State, said: Given | NotGiven) -> Step:
    if state.asked is None or state.asked.turn != said.turn:
        return state, ()
    if isinstance(said, NotGiven):
        return _failed(state, "not_given", said.reason)
    return state, () if state.ours else (Wait(name=_WAIT, seconds=TAKEN_SECONDS),)


def _wrote(state: State, at: int, text: str) -> Step:
    reading, pieces = read(state.agent, state.reading, at, text)
    state = replace(state, reading=reading)
    if not state.caught_up:
        for piece in pieces:
            state = replace(state, past=(piece,) if isinstance(piece, TurnStarted) else (*state.past, piece)[-1_000:])
        return state, ()
    outputs: tuple[Output, ...] = ()
    for piece in pieces:
        state, more = _piece(state, piece)
        outputs = (*outputs, *more)
    return state, outputs


def _caught_up(state: State, said: CaughtUp) -> Step:
    """Take messages from now on; a turn that runs is taken up as it was shown."""
    greeted = Greeted(can=_CAN.get(state.attach.channel), transcript=said.transcript)
    past, state = state.past, replace(state, caught_up=True, past=())
    if state.reading.over or said.idle is True:
        return replace(state, reading=replace(state.reading, over=True)), (greeted,)
    turn = state.reading.turn
    rest = tuple(Say(piece) for piece in past if not isinstance(piece, TurnStarted))
    return replace(state, shown=turn), (greeted, Woke(turn=turn), *rest)


def _piece(state: State, piece: Piece) -> Step:
    if isinstance(piece, TurnStarted):
        if state.asked is None:
            return replace(state, shown=piece.turn, ours=False, prompt=()), (Woke(turn=piece.turn),)
        return replace(state, shown=state.asked.turn, ours=False, prompt=()), ()
    if not state.shown:
        return state, ()
    if isinstance(piece, TextAdded | TextEnded) and piece.channel == "prompt" and state.asked is not None and not state.ours:
        return _asked_for(state, piece)
    if isinstance(piece, TurnEnded):
        return _ended(state, piece)
    return state, (Say(_renamed(piece, state.shown)),)


def _asked_for(state: State, piece: TextAdded | TextEnded) -> Step:
    """See whether the turn that began is that of our message."""
    prompt = (*state.prompt, piece)
    if isinstance(piece, TextAdded) or state.asked is None:
        return replace(state, prompt=prompt), ()
    whole = "".join(one.text for one in prompt if isinstance(one, TextAdded))
    if same(state.asked.text, whole):
        return replace(state, ours=True, prompt=()), (Wait(name=_WAIT, seconds=None),)
    return replace(state, prompt=()), tuple(Say(_renamed(one, state.shown)) for one in prompt)


def _ended(state: State, piece: TurnEnded) -> Step:
    if state.asked is not None and not state.ours:
        return replace(state, shown="", prompt=()), ()  # it was the user's, between
    ended = Say(_renamed(piece, state.shown))
    return replace(state, asked=None, shown="", ours=False, prompt=()), (ended,)


def same(given: str, taken: str) -> bool:
    """Tell whether a prompt in a transcript is a text that was given: blanks at its ends go, a long one stands in a frame."""
    wanted = given.replace("\r\n", "\n").strip()
    return taken.strip() == wanted or ("<pasted_content" in taken and wanted in taken)


def _renamed(piece: Piece, turn: str) -> Piece:
    return changed(piece, turn=turn) if "turn" in piece.__struct_fields__ else piece
