"""Which TUI opened which thread of Codex's shared daemon: what to ask the daemon, and what follows from its answers. Pure.

Theory of operation
-------------------
The daemon alone holds rollouts and locks and sends all requests, so that nothing of a request or of a file tells two TUIs
apart. But each TUI serves Codex's own tools (an MCP server named ``codex_tui``) to the threads that it opens: it listens at a
port of its own on loopback, and hands that address to the daemon with ``thread/start`` or ``thread/resume``. So

    thread --(the daemon says: origin of its codex_tui server)--> port --(the kernel says: who listens)--> one process

is a chain of exact keys. It needs no order, no timing and no "only one pending". The daemon is asked over its control socket;
``thread/loaded/list``, ``thread/read`` and ``mcpServerStatus/list`` for that one server read what it has in memory: they
load, start and subscribe to nothing. We introduce ourselves by the name that Codex's own check of its daemon uses, as the
daemon writes any other client's name into the user agent of every later model request.

It says who *opened* a thread, not who shows it: a loaded thread keeps its first address when another TUI resumes it, and when
the opener is gone nobody listens there. So a TUI is said to have only what it opened last, as it went on from everything
before; and nobody is said to have a thread that another TUI, which opened nothing, was started to resume. (What remains: a
thread that is open in one tab already and chosen from the list of another.) Ports are used again, hence the last check: who
started after the thread was loaded cannot have opened it. All of it is what a process declares: rank 3, never enough to verify.

Must not know: sockets, processes other than by key, what the registry makes of a finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from schemas.codec import InvalidMessageError, parse
from schemas.evidence import Evidence, Rank
from schemas.identity import ConversationKey, IdentityError, ProcessKey, SessionId, conversation_key, session_of

MAX_THREADS: Final = 256
EVIDENCE_KIND: Final = "codex_daemon"
_ORIGIN: Final = re.compile(r"http://127\.0\.0\.1:([0-9]{1,5})")
_SERVER: Final = "codex_tui"
_CHECKING_CLIENT: Final = "codex_app_server_daemon"
_INITIALIZE, _LIST, _FIRST_THREAD = 1, 2, 10


@dataclass(frozen=True, slots=True)
class OpenedThread:
    """A thread that a daemon has loaded: its root conversation, and the port of the TUI that opened it."""

    thread: str
    conversation: ConversationKey
    port: int


@dataclass(frozen=True, slots=True)
class Inquiry:
    """How far the questions to one daemon have come."""

    threads: tuple[str, ...] = ()
    listed: bool = False
    sessions: Mapping[int, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)
    unanswered: frozenset[int] = frozenset()

    @property
    def done(self) -> bool:
        """Whether every question has its answer."""
        return self.listed and not self.unanswered


@dataclass(frozen=True, slots=True)
class Listening:
    """A TUI: when it started, in seconds since the epoch, and the thread that its command line resumes."""

    process: ProcessKey
    started: float
    resumes: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """A finding: this process opened this thread."""

    process: ProcessKey
    thread: str
    session: SessionId
    conversation: ConversationKey
    evidence: Evidence


class DaemonRefusedError(Exception):
    """The daemon does not answer as Codex 0.169 does; the message says to what."""


def begin(version: str) -> tuple[Inquiry, tuple[bytes, ...]]:
    """Begin: return the first messages to send."""
    client = {"name": _CHECKING_CLIENT, "title": None, "version": version}
    hello = _request(_INITIALIZE, "initialize", {"clientInfo": client, "capabilities": {"experimentalApi": True}})
    return Inquiry(unanswered=frozenset((_INITIALIZE,))), (hello,)


def step(inquiry: Inquiry, message: bytes) -> tuple[Inquiry, tuple[bytes, ...]]:
    """Take in one message of the daemon; return what to send next. What was not asked for is passed over.

    Raises:
        DaemonRefusedError: no JSON, or an introduction or a list that was refused.

    """
    try:
        said = parse(message)
    except InvalidMessageError as error:
        raise DaemonRefusedError(f"Codex's daemon sent what is not JSON: {error}") from error
    number = said.get("id") if isinstance(said, dict) and "method" not in said else None
    if not isinstance(number, int) or number not in inquiry.unanswered:
        return inquiry, ()
    result = said.get("result")
    if number in (_INITIALIZE, _LIST) and not isinstance(result, dict):
        raise DaemonRefusedError(f"Codex's daemon refused question {number}: {str(said.get('error'))[:200]}")
    if number == _INITIALIZE:
        asked = (orjson.dumps({"method": "initialized"}), _request(_LIST, "thread/loaded/list", {"limit": MAX_THREADS}))
        return Inquiry(unanswered=frozenset((_LIST,))), asked
    if number == _LIST:
        return _ask_about(Inquiry(_listed(result), listed=True), 0)
    noted = _note(inquiry, number, result)
    return (noted, ()) if noted.unanswered else _ask_about(noted, (number - _FIRST_THREAD) // 2 + 1)


def openings(
    inquiry: Inquiry,
    listening: Mapping[int, Listening],
    loaded: Mapping[str, float],
    tuis: Sequence[Listening] = (),
    *,
    slack: float = 0.05,
) -> tuple[Opening, ...]:
    """Say who opened what.

    ``tuis`` are those of this daemon's user, ``listening`` the same by the port at which the kernel says that they listen;
    ``loaded`` is when each thread's lock was made. ``slack`` is the grain of a process's start time.
    """
    found: list[Opening] = []
    for opened in opened_threads(inquiry):
        tui = listening.get(opened.port)
        at = loaded.get(opened.thread)
        if tui is None or at is None or tui.started > at + slack:
            continue
        note = f"Codex's daemon says that the TUI at port {opened.port} opened it; the kernel says who listens there"
        said = Evidence(
            rank=Rank.PROCESS_DECLARED, kind=EVIDENCE_KIND, proves="conversation", value=opened.conversation, note=note
        )
        session = session_of(opened.conversation)
        found.append(Opening(tui.process, opened.thread, session, opened.conversation, said))
    openers = {one.process for one in found}
    elsewhere = {tui.resumes for tui in tuis if tui.process not in openers}
    last = {one.process: one for one in sorted(found, key=lambda one: (loaded[one.thread], one.thread))}
    return tuple(one for one in found if last[one.process] is one and one.thread not in elsewhere)


def opened_threads(inquiry: Inquiry) -> tuple[OpenedThread, ...]:
    """Return the threads that a TUI opened, whichever it is; titles and threads of other clients have none."""
    found = []
    for at, thread in enumerate(inquiry.threads):
        session, port = inquiry.sessions.get(at), inquiry.ports.get(at)
        if session is None or port is None:
            continue
        try:
            found.append(OpenedThread(thread, conversation_key("codex", session), port))
        except IdentityError:
            continue  # no id of Codex's: nothing that could be joined to it
    return tuple(found)


def _listed(result: Any) -> tuple[str, ...]:
    given = result.get("data")
    return tuple(one for one in given if isinstance(one, str))[:MAX_THREADS] if isinstance(given, list) else ()


def _ask_about(inquiry: Inquiry, at: int) -> tuple[Inquiry, tuple[bytes, ...]]:
    """Ask about one thread after the other, so that the daemon's queue never fills with our questions."""
    if at >= len(inquiry.threads):
        return inquiry, ()
    number, thread = _FIRST_THREAD + 2 * at, inquiry.threads[at]
    about = {"threadId": thread, "serverName": _SERVER, "detail": "toolsAndAuthOnly"}
    asked = (_request(number, "thread/read", {"threadId": thread}), _request(number + 1, "mcpServerStatus/list", about))
    unanswered = frozenset((number, number + 1))
    return Inquiry(inquiry.threads, True, inquiry.sessions, inquiry.ports, unanswered), asked  # noqa: FBT003 - a constructor


def _note(inquiry: Inquiry, number: int, result: Any) -> Inquiry:
    """Note one answer; a thread that was unloaded meanwhile has none, and is left out."""
    at, second = divmod(number - _FIRST_THREAD, 2)
    sessions, ports = dict(inquiry.sessions), dict(inquiry.ports)
    if second:
        port = _port(result)
        if port is not None:
            ports[at] = port
    elif isinstance(result, dict) and isinstance(thread := result.get("thread"), dict):
        session = thread.get("sessionId")
        if isinstance(session, str):
            sessions[at] = session
    return Inquiry(inquiry.threads, listed=True, sessions=sessions, ports=ports, unanswered=inquiry.unanswered - {number})


def _port(result: Any) -> int | None:
    servers: Sequence[Any] = result.get("data", ()) if isinstance(result, dict) else ()
    origins = [one.get("httpOrigin") for one in servers if isinstance(one, dict) and one.get("name") == _SERVER]
    if len(origins) != 1 or not isinstance(origins[0], str):
        return None
    found = _ORIGIN.fullmatch(origins[0])
    return int(found[1]) if found else None


def _request(number: int, method: str, parameters: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"id": number, "method": method, "params": parameters})
