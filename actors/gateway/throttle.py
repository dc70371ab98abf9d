"""Bounds how often one session may ask: a loop of an agent is stopped here, before it costs anything or fills the journal.

Theory of operation
-------------------
A session may make ``limit`` requests in any ``window`` seconds; nobody who keeps that is ever refused. The one beyond trips
it: its requests are refused for ``SHORTEST`` seconds, and for twice as long each time that it trips again within ``LONGEST``
of having been let in, up to ``LONGEST``. Requests that are refused do not prolong it.

Two facts tell of it, however many requests there were: ``request.throttled`` when it trips and ``request.throttle_lifted``,
with the number of those refused, when its time is over (``sweep``), when it is forgotten or when the gateway ends (``close``).
A refused request of a throttled session is told in no other fact: one Gemini CLI made 66,430 of them in 98 s.

At most ``SESSIONS`` are remembered; then the one that asked longest ago is forgotten, and begins anew.

Pure: ``at`` is in seconds of a clock that nobody sets; ``now`` tells Unix time in nanoseconds for what people read. Must not
know requests, dialects or statuses.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, Final

from actors.gateway.attribution import Caller
from bus.source import rfc3339
from schemas.envelope import subject
from schemas.events import RequestThrottled, RequestThrottleLifted
from schemas.identity import SessionId, process_session

SHORTEST: Final = 30.0
LONGEST: Final = 300.0
SESSIONS: Final = 1024

Tell = Callable[[str, Any], Any]


class _Tally:
    """What one session has asked lately."""

    __slots__ = ("lifted", "refused", "seconds", "times", "until")

    def __init__(self) -> None:
        self.times: deque[float] = deque()  # of the requests that were let in, within the window
        self.until: float | None = None  # refused until then
        self.refused = 0
        self.seconds = 0.0  # how long it was refused the last time
        self.lifted = 0.0


class Throttle:
    """The requests of all sessions of one gateway, counted."""

    def __init__(self, limit: int, window: float, tell: Tell, now: Callable[[], int]) -> None:
        self.limit = limit
        self.window = window
        self._tell = tell
        self._now = now
        self._tallies: OrderedDict[SessionId, _Tally] = OrderedDict()
        self._tripped: dict[SessionId, _Tally] = {}

    def check(self, session: SessionId, at: float) -> str:
        """Count a request; the text of its refusal, or nothing when it may go on."""
        tally = self._tallies.get(session)
        if tally is None:
            tally = self._remember(session)
        else:
            self._tallies.move_to_end(session)
        if tally.until is not None:
            if at < tally.until:
                tally.refused += 1
                return self._text(tally.until - at)
            self._lift(session, tally)
        times = tally.times
        start = at - self.window
        while times and times[0] <= start:
            times.popleft()
        if len(times) < self.limit:
            times.append(at)
            return ""
        return self._trip(session, tally, at)

    def sweep(self, at: float) -> None:
        """Lift what is over, so that it is told though nobody asks again."""
        for session, tally in list(self._tripped.items()):
            if tally.until is not None and at >= tally.until:
                self._lift(session, tally)

    def close(self) -> None:
        """Tell what was refused: the next gateway begins anew."""
        for session, tally in list(self._tripped.items()):
            self._lift(session, tally)

    @property
    def tripped(self) -> dict[str, int]:
        """Return the sessions that are refused now, and how many requests of each were."""
        return {session: tally.refused for session, tally in self._tripped.items()}

    def _remember(self, session: SessionId) -> _Tally:
        if len(self._tallies) >= SESSIONS:
            forgotten, tally = self._tallies.popitem(last=False)
            if tally.until is not None:
                self._lift(forgotten, tally)
        tally = self._tallies[session] = _Tally()
        return tally

    def _trip(self, session: SessionId, tally: _Tally, at: float) -> str:
        again = tally.seconds and at - tally.lifted < LONGEST
        tally.seconds = min(tally.seconds * 2, LONGEST) if again else SHORTEST
        tally.until = at + tally.seconds
        tally.refused = 1
        tally.times.clear()
        self._tripped[session] = tally
        until = rfc3339(self._now() + int(tally.seconds * 1e9))
        fact = RequestThrottled(session=session, limit=self.limit, window_s=round(self.window), until=until)
        self._tell(_subject(session), fact)
        return self._text(tally.seconds)

    def _lift(self, session: SessionId, tally: _Tally) -> None:
        tally.lifted, tally.until = tally.until or 0.0, None
        del self._tripped[session]
        self._tell(_subject(session), RequestThrottleLifted(session=session, refused=tally.refused))

    def _text(self, left: float) -> str:
        return (
            f"more than {self.limit} requests of this session in {self.window:g} s look like a loop; it is refused for another "
            f"{max(1, round(left))} s (gateway.session_requests and gateway.session_window in config.toml set the bound)"
        )


def unnamed(peer: str) -> SessionId:
    """Name what requests count for of which no session could be named: all of them from one address."""
    return SessionId(f"peer-{peer.rpartition(':')[0] or peer}")


def caller_session(caller: Caller | None, peer: str) -> SessionId:
    """Name what a request counts for that was refused by its head alone: its process, or the address that it came from."""
    return unnamed(peer) if caller is None or caller.process is None else process_session(caller.process)


def _subject(session: SessionId) -> str:
    return subject("request" if session.startswith("peer-") else "session", session)
