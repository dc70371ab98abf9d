"""The terms of the hub: what a driven session is, what can happen to it, and what can be ordered for it.

Frozen values only; the rules are in ``actors.bridges.session``. Must not know processes, pipes, clocks, the bus.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.bridge.contract import Ask, Over, Up
from schemas.attachment import Attachment
from schemas.bridge_rows import Ability, Turn
from schemas.content import Frame, Piece
from schemas.events import Status, Usage
from schemas.identity import LaunchId, ProcessKey, SessionId

Phase = Literal["resting", "starting", "running", "closing", "ended"]
Relation = Literal["forks", "reviews"]
LIVING: Final = ("resting", "starting", "running", "closing")

MAX_MESSAGES: Final = 32  # that wait in one session
MAX_WAITING: Final = 4_194_304  # characters of them
MAX_KNOWN: Final = 64  # ids of messages that are remembered, so that none is given twice
MAX_PIECES: Final = 1_000  # of the running turn that a client which comes back is told
MAX_RUNNING: Final = 524_288  # characters of these
MAX_PAST: Final = 262_144  # characters of the completed turns that are kept of one session
MAX_PAST_TURNS: Final = 50
HUNG_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 2.0
START_SECONDS: Final = 20.0
RESTART_DELAYS: Final = (0.0, 1.0, 4.0)
RESTART_PERIOD: Final = 60.0


class Moment(Struct, frozen=True, gc=False):
    """Now: on a clock that nobody sets (seconds), and as it is written (RFC 3339, UTC)."""

    steady: float
    text: str


class Wish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be driven, where, and how. ``resume`` is the agent's own id of a conversation; ``fork``: a copy of it.

    With ``attach`` no agent is started: that conversation is joined where it runs.
    """

    agent: str
    cwd: str
    provider: str = ""
    model: str = ""
    mode: str = ""
    resume: str = ""
    fork: bool = False
    program: str = ""
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = {}
    attach: Attachment | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A message that the agent has not begun to work on; ``ask`` is below 0 where nobody waits for its acceptance."""

    ask: int
    turn: str
    text: str
    by: str


class Question(Struct, frozen=True, gc=False):
    """An approval that nobody has given or refused yet, and since when."""

    approval: str
    since: float


class Running(Struct, frozen=True, kw_only=True):
    """The turn that runs: what it has shown so far, joined, and what is counted of it."""

    turn: str
    since: float
    started: str
    pieces: tuple[Piece, ...] = ()
    size: int = 0
    cut: bool = False
    tools: int = 0
    reply_length: int = 0
    usage: Usage | None = None
    failure: str = ""


class Session(Struct, frozen=True, kw_only=True):
    """One driven session, as long as the hub knows it.

    ``session`` is ``launch`` until the conversation is known, ``aliases`` are what it was before. ``asked`` are the questions
    to the bridge that are not answered (``own`` counts ours, downwards), ``closing`` those who wait for its end. ``ever``: the
    agent has greeted once, so it can be started. ``keep``: it ends for now only, and is taken up again. ``due`` is when its
    next timed thing happens. ``failed`` is what its bridge told last of what broke.
    """

    launch: LaunchId
    wish: Wish
    run: str
    created: str
    last_used: str
    used: float
    session: SessionId
    patience: float = 300.0
    aliases: tuple[SessionId, ...] = ()
    conversation: str = ""
    transcript: str = ""
    parent: SessionId | None = None
    relation: Relation | None = None
    phase: Phase = "resting"
    process: ProcessKey | None = None
    initialised: bool = False
    ever: bool = False
    version: str = ""
    can: tuple[Ability, ...] = ()
    modes: tuple[str, ...] = ()
    status: Status = "starting"
    status_since: str = ""
    status_reason: str = ""
    provider: str = ""
    model: str = ""
    mode: str = ""
    turns: int = 0
    messages: tuple[Message, ...] = ()
    known: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    running: Running | None = None
    past: tuple[Turn, ...] = ()
    past_size: int = 0
    sequence: int = 0
    asked: tuple[int, ...] = ()
    own: int = 0
    dropping: int = 0
    dropped: tuple[str, ...] = ()
    closing: tuple[int, ...] = ()
    keep: bool = False
    ending: str = ""
    restarts: int = 0
    failures: tuple[float, ...] = ()
    heard: float = 0.0
    due: float | None = None
    over: Over | None = None
    failed: str = ""
    ended: float = 0.0
    note: str = ""


# ---------------------------------------------------------------------------------------------------- inputs


class Begun(Struct, frozen=True, gc=False):
    """It shall run: for the first time, or again after a rest. ``cut_off`` is the turn that ran when its hub died, unseen."""

    cut_off: str = ""


class Spawned(Struct, frozen=True, kw_only=True, gc=False):
    """Its bridge runs; ``launch`` is this very process's own, which its token belongs to."""

    process: ProcessKey
    launch: LaunchId


class NotSpawned(Struct, frozen=True, gc=False):
    """Its bridge could not be started."""

    reason: str


class Came(Struct, frozen=True, gc=False):
    """A line of its bridge."""

    line: Up


class Unwritten(Struct, frozen=True, kw_only=True, gc=False):
    """A question could not be put to its bridge."""

    ask: int
    code: str
    message: str


class Gone(Struct, frozen=True, gc=False):
    """Its bridge has ended, and nothing that it had started is left."""

    code: int | None = None
    reason: str = ""


class Sent(Struct, frozen=True, kw_only=True):
    """Somebody gives it a message."""

    ask: int
    message: str
    text: str
    by: str


class Interrupted(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants its turn stopped, and with ``queued`` what waits behind it given back."""

    ask: int
    queued: bool = False


class Answered(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody answers what the agent asks."""

    ask: int
    approval: str
    option: str
    by: str


class Changed(Struct, frozen=True, kw_only=True, gc=False):
    """Somebody wants another model or mode; None leaves one."""

    ask: int
    model: str | None = None
    mode: str | None = None


class Settled(Struct, frozen=True, kw_only=True, gc=False):
    """The gateway took over another provider (empty: it decides alone), or a model in the agent's stead; None leaves one."""

    provider: str | None = None
    model: str | None = None
    reason: str = ""


class Cleared(Struct, frozen=True, gc=False):
    """Somebody wants a new conversation in it."""

    ask: int


class Closed(Struct, frozen=True, kw_only=True, gc=False):
    """It shall end; with ``keep`` only until the hub runs again."""

    ask: int = 0
    reason: str
    keep: bool = False


class Tick(Struct, frozen=True, gc=False):
    """Time passed; who is not used for ``idle_seconds`` ends. ``late``: so long did this process itself not run."""

    idle_seconds: float
    late: float = 0.0


Asking = Sent | Interrupted | Answered | Changed | Cleared
Input = Begun | Spawned | NotSpawned | Came | Unwritten | Gone | Settled | Closed | Tick | Asking

# ---------------------------------------------------------------------------------------------------- outputs


class Start(Struct, frozen=True, gc=False):
    """Start a bridge with what the session wishes; answered by ``Spawned`` or ``NotSpawned``, later by ``Gone``."""


class Write(Struct, frozen=True):
    """Put a question to its bridge; answered by ``Replied`` in what comes, or by ``Unwritten``."""

    line: Ask


class Tell(Struct, frozen=True):
    """Send a frame over its stream."""

    frame: Frame


class Publish(Struct, frozen=True):
    """Record a fact about ``session``."""

    session: SessionId
    fact: Struct


class Settle(Struct, frozen=True, kw_only=True, gc=False):
    """Answer who asked: done, or refused with a code and a sentence."""

    ask: int
    code: str = ""
    message: str = ""


class Keep(Struct, frozen=True, gc=False):
    """Write down what must be known to take it up again."""


class Forget(Struct, frozen=True, gc=False):
    """Remove what was written down: it is over."""


class Kill(Struct, frozen=True, gc=False):
    """End its bridge and all that this had started, no matter what."""


class Moved(Struct, frozen=True, gc=False):
    """It is another session from now on: what the gateway was told of the one holds for the other. None: there will be none."""

    before: SessionId
    after: SessionId | None


Output = Start | Write | Tell | Publish | Settle | Keep | Forget | Kill | Moved
