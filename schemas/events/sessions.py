"""What the registry concludes about sessions.

Must not know the rules of its fold.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from schemas.events.values import (
    Status,
    event,
)
from schemas.evidence import Evidence, Line, Word
from schemas.identity import RequestId, SessionId

# Subject: session/<session>, and of session.identified session/<provisional>, so that whoever waits for that one hears it.
# Published by the registry alone, as effects of its fold.


@event
class SessionSeen(Struct, frozen=True, kw_only=True, gc=False):
    """A session is known for the first time, provisional or not."""

    TYPE: ClassVar[str] = "session.seen"
    session: SessionId
    agent: Word
    provisional: bool


@event
class SessionIdentified(Struct, frozen=True, kw_only=True, gc=False):
    """The conversation behind a provisional session is proven; the provisional id stays an alias for ever."""

    TYPE: ClassVar[str] = "session.identified"
    session: SessionId
    provisional: SessionId


@event
class SessionVerified(Struct, frozen=True, kw_only=True, gc=False):
    """A request of this session went through the gateway with evidence of rank 1 or 2."""

    TYPE: ClassVar[str] = "session.verified"
    session: SessionId
    request: RequestId
    rank: Annotated[int, Meta(ge=1, le=2)]


@event
class SessionConflicted(Struct, frozen=True, kw_only=True, gc=False):
    """A statement contradicted one of a higher rank; the higher one stands."""

    TYPE: ClassVar[str] = "session.conflicted"
    session: SessionId
    evidence: Evidence


@event
class SessionLinked(Struct, frozen=True, kw_only=True, gc=False):
    """A session was found to come from another one: forked from it, reviewing it, or begun in its place by the same process."""

    TYPE: ClassVar[str] = "session.linked"
    session: SessionId
    relation: Literal["forks", "reviews", "succeeds"]
    to: SessionId


@event
class SessionStatusChanged(Struct, frozen=True, kw_only=True, gc=False):
    """What a session is doing changed, as told by ``source`` (bridge, request, transcript, hook, process)."""

    TYPE: ClassVar[str] = "session.status_changed"
    session: SessionId
    status: Status
    since: Word
    source: Word
    reason: Line = ""


@event
class SessionGone(Struct, frozen=True, kw_only=True, gc=False):
    """The last process of a session exited."""

    TYPE: ClassVar[str] = "session.gone"
    session: SessionId
    reason: Line


@event
class SessionReturned(Struct, frozen=True, kw_only=True, gc=False):
    """A session that was gone has a living process again, as after a resume."""

    TYPE: ClassVar[str] = "session.returned"
    session: SessionId
