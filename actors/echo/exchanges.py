"""What the server remembers: recent exchanges, modes waiting for coming requests, input counts by cache key. Pure.

All three are bounded: the oldest exchange and the least recently used cache key are forgotten, a full mode queue refuses.
Values of credential headers are kept only as a digest, so that a test can tell which key arrived; no body is kept.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal

from actors.echo.mode import Mode, ModeError
from actors.echo.plan import Asked, Kind
from schemas.events import Usage

MAX_EXCHANGES = 1_000
MAX_WAITING = 1_000
MAX_CACHE_KEYS = 1_024
_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "chatgpt-account-id"}
)

ExchangeState = Literal["open", "completed", "faulted", "cancelled", "refused"]
ModeSource = Literal["default", "prompt", "control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what became of it. ``body_bytes`` is as received, ``decoded_bytes`` after its content-encoding."""

    number: int
    received: float
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body_sha256: str = ""
    body_bytes: int = 0
    decoded_bytes: int = 0
    dialect: str = ""
    kind: Kind | None = None
    model: str = ""
    stream: bool = False
    session: str = ""
    thread: str = ""
    cache_key: str = ""
    mode: dict[str, Any] | None = None
    mode_source: ModeSource = "default"
    status: int | None = None
    response_id: str = ""
    usage: Usage | None = None
    events_sent: int = 0
    bytes_sent: int = 0
    state: ExchangeState = "open"
    cancelled: bool = False
    elapsed: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A mode for the next ``count`` requests that match; empty ``session`` matches all, so does kind ``any``."""

    mode: Mode
    session: str = ""
    kind: Kind | Literal["any"] = "turn"
    count: int = 1

    def matches(self, asked: Asked) -> bool:
        """Tell whether a request takes this mode."""
        return self.session in ("", asked.session) and self.kind in ("any", asked.kind)


def safe_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return headers in order with lower-case names, credentials replaced by the digest of their value."""
    return tuple(
        (name.lower(), credential_digest(value) if name.lower() in _CREDENTIALS else _legible(value)) for name, value in headers
    )


def _legible(text: str) -> str:
    """Return what JSON can hold of a text that came as bytes, whatever they were."""
    return text.encode(errors="replace").decode()


def credential_digest(value: str) -> str:
    """Return the form in which a credential's value is shown."""
    return f"sha256:{sha256(value.encode(errors='surrogateescape')).hexdigest()[:16]}"


class Exchanges:
    """The single owner of these tables; the records in them are frozen."""

    def __init__(self) -> None:
        self._ring: OrderedDict[int, Exchange] = OrderedDict()
        self._waiting: deque[Waiting] = deque()
        self._inputs: OrderedDict[str, int] = OrderedDict()
        self._last = 0

    @property
    def last(self) -> int:
        """The number of the newest exchange."""
        return self._last

    @property
    def waiting(self) -> int:
        """How many requests the waiting modes are for."""
        return sum(each.count for each in self._waiting)

    def begin(self, *, received: float, method: str, path: str, query: str, headers: Iterable[tuple[str, str]]) -> int:
        """Remember a new request and return its number."""
        self._last += 1
        self._ring[self._last] = Exchange(
            number=self._last,
            received=received,
            method=method,
            path=_legible(path),
            query=_legible(query),
            headers=safe_headers(headers),
        )
        if len(self._ring) > MAX_EXCHANGES:
            self._ring.popitem(last=False)
        return self._last

    def note(self, number: int, **changes: Any) -> None:
        """Add to what is known of an exchange; one that was forgotten stays forgotten."""
        if number in self._ring:
            self._ring[number] = replace(self._ring[number], **changes)

    def after(self, number: int, *, finished: bool = False) -> tuple[Exchange, ...]:
        """Return the exchanges that are newer than a number, all or only those that are over."""
        return tuple(e for e in self._ring.values() if e.number > number and not (finished and e.state == "open"))

    def add(self, waiting: Iterable[Waiting]) -> None:
        """Queue modes.

        Raises:
            ModeError: the queue would grow beyond its bound; nothing is queued then.

        """
        added = tuple(waiting)
        if len(self._waiting) + len(added) > MAX_WAITING:
            raise ModeError(f"at most {MAX_WAITING} modes can wait, {len(self._waiting)} do; DELETE /control forgets them")
        self._waiting.extend(added)

    def take(self, asked: Asked) -> Mode | None:
        """Take the first waiting mode that matches a request."""
        for index, each in enumerate(self._waiting):
            if each.matches(asked):
                if each.count > 1:
                    self._waiting[index] = replace(each, count=each.count - 1)
                else:
                    del self._waiting[index]
                return each.mode
        return None

    def cached_input(self, cache_key: str) -> int:
        """Return the input of the previous request with this cache key, 0 for the first."""
        return self._inputs.get(cache_key, 0) if cache_key else 0

    def remember_input(self, cache_key: str, tokens: int) -> None:
        """Remember the input of a completed request for the next one with its cache key."""
        if not cache_key:
            return
        self._inputs[cache_key] = tokens
        self._inputs.move_to_end(cache_key)
        if len(self._inputs) > MAX_CACHE_KEYS:
            self._inputs.popitem(last=False)

    def clear(self) -> None:
        """Forget everything; exchange numbers go on."""
        self._ring.clear()
        self._waiting.clear()
        self._inputs.clear()
