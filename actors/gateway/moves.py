"""What an exchange is told and what it asks for: the inputs and outputs of ``exchange``, as frozen values.

Times are seconds of one monotonic clock. Must not know in which order they come.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from msgspec import Struct

from actors.gateway.attribution import Attribution, Standing
from actors.gateway.health import Health, Outcome
from actors.gateway.peek import Seen
from actors.gateway.route_terms import Table
from actors.gateway.spending import GO_ON, Verdict
from actors.gateway.usage import Reading
from actors.runtime.http.fields import Fields

Problem = Literal[
    "refused", "unreachable", "tls", "connect_timeout", "first_byte_timeout", "idle_timeout", "cut", "malformed", "redirect"
]

BodyProblem = Literal["too_large", "too_slow", "malformed", "busy"]

_NOTHING: Final = Reading()


# ------------------------------------------------------------------------------------------------------------ inputs


class Identified(Struct, frozen=True):
    """The shell found out who calls, or gave up within its time; ``throttled`` is the refusal of one who asks too often."""

    at: float
    who: Attribution
    launch: Standing
    throttled: str = ""


class BodyRead(Struct, frozen=True):
    """The whole body is here. All else is as of this moment; ``wall`` is what the clock on the wall says."""

    at: float
    size: int
    seen: Seen
    table: Table
    health: Health = Health()
    verdict: Verdict = GO_ON
    owner: str = ""
    wall: float = 0.0


class BodyFailed(Struct, frozen=True):
    """The body is not to be had."""

    at: float
    problem: BodyProblem


class Rewritten(Struct, frozen=True):
    """The request was changed as asked, or could not be: ``problem`` says why then."""

    at: float
    changes: tuple[str, ...] = ()
    problem: str = ""


class HeadCame(Struct, frozen=True):
    """The provider's status and header are here."""

    at: float
    status: int
    content_type: str = ""


class Collected(Struct, frozen=True):
    """What was collected or held back tells of a failure.

    ``whole``: the answer is over; otherwise it was more than is collected, or took too long. ``error``: an event of a stream
    says that it failed. ``cut``: the provider broke off; what is here is not all.
    """

    at: float
    fields: Fields
    body: bytes
    whole: bool = True
    error: bool = False
    cut: bool = False


class Released(Struct, frozen=True):
    """What was held back holds output, or more than is held, or was held for long enough."""

    at: float


class FirstByte(Struct, frozen=True):
    """The first bytes of the answer's body are on their way to the caller."""

    at: float


class Ended(Struct, frozen=True):
    """The provider ended its answer as HTTP says it must."""

    at: float
    bytes_out: int
    reading: Reading


class UpstreamFailed(Struct, frozen=True):
    """The provider could not be reached, or broke off, or kept silent for too long. ``detail`` is of our own wording."""

    at: float
    problem: Problem
    detail: str = ""
    bytes_out: int = 0
    reading: Reading = _NOTHING


class CallerLeft(Struct, frozen=True):
    """The caller is gone, or this gateway is stopping."""

    at: float
    bytes_out: int = 0
    reading: Reading = _NOTHING


class TurnedAway(Struct, frozen=True):
    """The caller's connection is one too many, as became known only now."""

    at: float
    reason: str


class Broke(Struct, frozen=True):
    """Something broke in this gateway itself."""

    at: float
    bytes_out: int = 0


Input = (
    Identified
    | BodyRead
    | BodyFailed
    | Rewritten
    | HeadCame
    | Collected
    | Released
    | FirstByte
    | Ended
    | UpstreamFailed
    | CallerLeft
    | TurnedAway
    | Broke
)


# ------------------------------------------------------------------------------------------------------------ outputs


class Publish(Struct, frozen=True):
    """Tell a fact."""

    subject: str
    event: Any


class Identify(Struct, frozen=True):
    """Find out who calls; ``token`` is what the path carried."""

    token: str | None


class ReadBody(Struct, frozen=True):
    """Read the request's body, all of it."""


class Rewrite(Struct, frozen=True):
    """Change what the caller sent, always from its own bytes: another model (None: leave it), no encrypted reasoning."""

    model: str | None
    strip: bool


class Send(Struct, frozen=True):
    """Send the request on, as it was rewritten last or else as it came; an answer that is still coming is let go of.

    ``model`` is what the provider is asked for, as far as known.
    """

    provider: str
    model: str = ""


class Collect(Struct, frozen=True):
    """Keep the answer's body, as far as ``limits`` go, and say when it is here: it is a refusal."""


class HoldBack(Struct, frozen=True):
    """Keep the answer until it holds output or an error, as far as ``limits`` go."""


class Observe(Struct, frozen=True):
    """Note what came of an attempt."""

    outcome: Outcome


class Own(Struct, frozen=True):
    """Note the account that answered a conversation, or one of its threads."""

    conversation: str
    account: str


class Relay(Struct, frozen=True):
    """Pass the provider's head on, with these fields of ours, then what was kept of its body, and then the rest."""

    own: tuple[tuple[str, str], ...]


class Finish(Struct, frozen=True):
    """End the answer as HTTP says it must."""


class Answer(Struct, frozen=True):
    """Answer the caller ourselves; ``close``: and use this connection no more."""

    status: int
    body: bytes
    own: tuple[tuple[str, str], ...] = ()
    close: bool = False


class Break(Struct, frozen=True):
    """Write these last bytes and close the caller's connection.

    ``ended``: the bytes are the dialect's own end of an answer, so HTTP's framing is ended behind them too; otherwise it
    stays torn, and the caller knows by that.
    """

    last: bytes = b""
    ended: bool = False


Output = Publish | Identify | ReadBody | Rewrite | Send | Collect | HoldBack | Observe | Own | Relay | Finish | Answer | Break
