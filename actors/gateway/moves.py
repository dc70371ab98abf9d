"""What an exchange is told and what it asks for: the inputs and outputs of ``exchange``, as frozen values.

Times are seconds of one monotonic clock. Must not know in which order they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from actors.gateway.attribution import Caller, Standing
from actors.gateway.routing import Standing as ProviderStanding
from actors.gateway.usage import Reading

Problem = Literal[
    "refused", "unreachable", "tls", "connect_timeout", "first_byte_timeout", "idle_timeout", "cut", "malformed", "redirect"
]

_NOTHING: Final = Reading()


# ------------------------------------------------------------------------------------------------------------ inputs


class Identified(Struct, frozen=True):
    """The shell found out who calls, or gave up within its time; ``caller.missing`` says why then."""

    at: float
    caller: Caller
    launch: Standing


class BodyRead(Struct, frozen=True):
    """The whole body is here. The providers' standings and the default are those of this moment."""

    at: float
    size: int
    model: str | None
    providers: Mapping[str, ProviderStanding]
    default: str


class BodyFailed(Struct, frozen=True):
    """The body is not to be had."""

    at: float
    problem: Literal["too_large", "too_slow", "malformed", "busy"]


class HeadCame(Struct, frozen=True):
    """The provider's status and header are here."""

    at: float
    status: int
    content_type: str = ""


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


Input = Identified | BodyRead | BodyFailed | HeadCame | FirstByte | Ended | UpstreamFailed | CallerLeft | TurnedAway | Broke


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


class Send(Struct, frozen=True):
    """Send the request on."""

    provider: str


class Relay(Struct, frozen=True):
    """Pass the provider's head on, with these fields of ours, and then its body."""

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


Output = Publish | Identify | ReadBody | Send | Relay | Finish | Answer | Break
