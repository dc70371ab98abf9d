"""Facts of one request's way through the gateway, from its head to its outcome.

Must not know how any of it is found out or decided.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import Struct

from schemas.events.values import (
    Candidate,
    Count,
    Dialect,
    Id,
    Milliseconds,
    Path,
    ProcessKind,
    ThreadKind,
    Timing,
    Usage,
    event,
)
from schemas.evidence import Evidence, Line, Word
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey

# Subject of request.received: request/<request>. Of every later one: session/<session>, or request/<request> again when
# the caller could not be attributed (``session`` is None then, and request.attributed says why).


@event
class RequestReceived(Struct, frozen=True, kw_only=True, gc=False):
    """The gateway read the head of a request and let the caller in. ``path`` has its launch token removed."""

    TYPE: ClassVar[str] = "request.received"
    request: RequestId
    method: Word
    path: Line
    dialect: Dialect
    peer: Word


@event
class RequestAttributed(Struct, frozen=True, kw_only=True, gc=False):
    """Who sent a request: the session it counts for, and every statement that was used or rejected."""

    TYPE: ClassVar[str] = "request.attributed"
    request: RequestId
    session: SessionId | None
    agent: Word
    conversation: ConversationKey | None = None
    thread: Id | None = None
    thread_kind: ThreadKind = "unknown"
    parent_thread: Id | None = None
    process: ProcessKey | None = None
    process_kind: ProcessKind = "other"
    terminal: TerminalKey | None = None
    terminal_missing: Line = ""
    launch: LaunchId | None = None
    cwd: Path | None = None
    evidence: tuple[Evidence, ...] = ()
    elapsed_ms: Milliseconds = 0


@event
class RequestRouted(Struct, frozen=True, kw_only=True, gc=False):
    """Which provider a request went to, and why; every candidate that was passed over says so.

    Said again for each further ``attempt``. ``pin`` is the pin that asked for it (``session:…``, ``terminal:…``,
    ``project:…``); ``changes`` names everything in the body that is not as the caller sent it.
    """

    TYPE: ClassVar[str] = "request.routed"
    request: RequestId
    session: SessionId | None
    provider: Word
    reason: Line
    candidates: tuple[Candidate, ...] = ()
    requested_model: Line | None = None
    sent_model: Line | None = None
    pin: Line = ""
    attempt: Count = 1
    changes: tuple[Line, ...] = ()


@event
class RequestRetried(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt failed before the caller had a byte, and the request goes on to another; ``request.routed`` follows."""

    TYPE: ClassVar[str] = "request.retried"
    request: RequestId
    session: SessionId | None
    provider: Word
    code: Word
    message: Line
    attempt: Count
    upstream_status: Count | None = None


@event
class RequestFirstByte(Struct, frozen=True, kw_only=True, gc=False):
    """The provider's answer began to reach the caller."""

    TYPE: ClassVar[str] = "request.first_byte"
    request: RequestId
    session: SessionId | None
    provider: Word
    status: Count
    first_byte_ms: Milliseconds


class _Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What every outcome tells: how long it took, what went each way, and what is known of the answer."""

    request: RequestId
    session: SessionId | None
    timing: Timing
    provider: Word | None = None
    bytes_in: Count = 0
    bytes_out: Count = 0
    usage: Usage | None = None
    response: Id | None = None
    requested_model: Line | None = None
    sent_model: Line | None = None
    served_model: Line | None = None
    attempts: Count = 1


@event
class RequestCompleted(_Outcome, frozen=True, kw_only=True, gc=False):
    """The answer ended as its dialect says it must; success is the end of the stream, not the status line."""

    TYPE: ClassVar[str] = "request.completed"
    provider: Word
    status: Count


@event
class RequestFailed(_Outcome, frozen=True, kw_only=True, gc=False):
    """The request ended badly: refused by us, by the provider, or cut. ``status`` is what the caller was given."""

    TYPE: ClassVar[str] = "request.failed"
    phase: Literal["admission", "attribution", "routing", "connect", "response_head", "stream"]
    code: Word
    message: Line
    status: Count
    upstream_status: Count | None = None


@event
class RequestCancelled(_Outcome, frozen=True, kw_only=True, gc=False):
    """The caller left before the end; the provider's connection was closed at once."""

    TYPE: ClassVar[str] = "request.cancelled"
    phase: Literal["attribution", "routing", "connect", "response_head", "stream"]


@event
class RequestThrottled(Struct, frozen=True, kw_only=True, gc=False):
    """A session asked too often (``limit`` requests in ``window_s`` seconds): its requests are refused until ``until``.

    ``session`` is ``peer-<address>`` for requests of which none could be named, all together; subject request/<that> then.
    """

    TYPE: ClassVar[str] = "request.throttled"
    session: SessionId
    limit: Count
    window_s: Count
    until: Word


@event
class RequestThrottleLifted(Struct, frozen=True, kw_only=True, gc=False):
    """A session may ask again; ``refused`` of its requests were turned away meanwhile, told here and nowhere else."""

    TYPE: ClassVar[str] = "request.throttle_lifted"
    session: SessionId
    refused: Count
