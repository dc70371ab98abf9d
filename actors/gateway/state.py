"""Where one request stands: the state of an exchange, and what every part of its machine says about it.

Pure. Must not know what happens next.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from actors.gateway import dialect
from actors.gateway.admission import Refusal
from actors.gateway.attribution import Attribution
from actors.gateway.claims import Claims
from actors.gateway.head import Head
from actors.gateway.moves import Output
from actors.gateway.peek import Seen
from actors.gateway.route_terms import Choice, Decision, Listing, Table
from schemas.envelope import subject
from schemas.events import RequestReceived, Timing
from schemas.identity import RequestId, SessionId

Phase = Literal["admission", "attribution", "routing", "connect", "response_head", "stream"]
Stage = Literal[
    "admission", "attribution", "routing", "rewriting", "connect", "collecting", "held", "response_head", "stream", "over"
]

# What a stage is called outside: an answer whose head has come and of which the caller has nothing yet.
PHASES: Final[dict[str, Phase]] = {
    "admission": "admission",
    "attribution": "attribution",
    "routing": "routing",
    "rewriting": "routing",
    "connect": "connect",
    "collecting": "response_head",
    "held": "response_head",
    "response_head": "response_head",
    "stream": "stream",
    "over": "stream",
}
IN_THE_AIR: Final = ("connect", "collecting", "held", "response_head", "stream")
ON_ITS_WAY: Final = ("response_head", "stream")  # the caller has the provider's head


class Plan(Struct, frozen=True):
    """What was decided of a request, and when: ``wall`` is the wall clock's time at ``at``."""

    decision: Decision
    table: Table
    seen: Seen
    owner: str
    at: float
    wall: float

    def wall_at(self, at: float) -> float:
        """Return the wall clock's time at a later moment."""
        return self.wall + at - self.at


class Exchange(Struct, frozen=True):
    """Where one request stands. ``left`` are the choices not tried yet; ``fault`` says of an error status what it means."""

    request: RequestId
    head: Head
    claims: Claims
    started: float
    stage: Stage
    about: str
    received: RequestReceived | None = None
    attribution: Attribution | None = None
    attribution_ms: float | None = None
    plan: Plan | None = None
    left: tuple[Choice, ...] = ()
    choice: Choice | None = None
    attempt: int = 0
    why: str = ""
    failed: tuple[tuple[str, str], ...] = ()
    bytes_in: int = 0
    status: int = 0
    fault: str = ""
    streaming: bool = False
    upstream_head_ms: float | None = None
    first_byte_ms: float | None = None

    @property
    def session(self) -> SessionId | None:
        """Return the session that the request counts for."""
        return None if self.attribution is None else self.attribution.session

    @property
    def provider(self) -> str | None:
        """Return the provider that is asked, or was asked last."""
        return None if self.choice is None else self.choice.provider

    @property
    def model(self) -> str | None:
        """Return the model that the caller asked for."""
        return None if self.plan is None else self.plan.seen.model

    @property
    def sent_model(self) -> str | None:
        """Return the model that the provider is asked for."""
        choice, plan = self.choice, self.plan
        if choice is None:
            return None
        return choice.model if choice.model is not None or plan is None else plan.seen.model

    @property
    def phase(self) -> Phase:
        """Return what the stage is called outside."""
        return PHASES[self.stage]

    @property
    def over(self) -> bool:
        """Tell whether the request has its outcome."""
        return self.stage == "over"


Result = tuple[Exchange, tuple[Output, ...]]


def changed(state: Exchange, **what: Any) -> Exchange:
    """Return the state with some of it changed."""
    return msgspec.structs.replace(state, **what)


def listing_of(state: Exchange) -> Listing:
    """Return what routing knows of the provider that is asked."""
    if state.plan is None or state.choice is None:
        raise LookupError("no provider is asked")
    return state.plan.table.listings[state.choice.provider]


def policy(state: Exchange, code: str, message: str) -> Refusal:
    """Build a refusal that no repetition can change."""
    return Refusal(dialect.policy_status(state.head.dialect), code, message)


def own_fields(state: Exchange) -> tuple[tuple[str, str], ...]:
    """Return the fields that every answer carries beside those of its provider."""
    own = [("x-tabwire-request", str(state.request))]
    if state.session is not None:
        own.append(("x-tabwire-session", state.session))
    if state.choice is not None:
        own.append(("x-tabwire-provider", state.choice.provider))
        if state.attempt > 1:
            own.append(("x-tabwire-attempts", str(state.attempt)))
    return tuple(own)


@lru_cache(maxsize=1024)
def session_subject(session: SessionId) -> str:
    """Return what facts of a session are told under."""
    return subject("session", session)


def timing(state: Exchange, at: float) -> Timing:
    """Return where the time went."""
    return Timing(
        total_ms=since(state, at),
        attribution_ms=state.attribution_ms,
        upstream_head_ms=state.upstream_head_ms,
        first_byte_ms=state.first_byte_ms,
    )


def since(state: Exchange, at: float) -> float:
    """Return how long it is since the request's head came, in milliseconds."""
    return milliseconds(at - state.started)


def milliseconds(seconds: float) -> float:
    """Return seconds as facts tell them."""
    return int(seconds * 1_000_000 + 0.5) / 1000 if seconds > 0 else 0.0  # round() takes six times as long
