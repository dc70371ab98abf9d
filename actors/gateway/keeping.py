"""What has come of an answer and is not passed on yet: a refusal that is read first, or a beginning without any output.

Bounded in bytes and in time; at either bound the machine is told, and what follows passes on as it comes. Must not know what
is decided about it, nor sockets.
"""

from __future__ import annotations

from typing import Final, Literal

from actors.gateway import limits, moves
from actors.gateway.answers import Answer
from actors.gateway.dialect import first_output
from schemas.events import Dialect

_LINE_ENDS: Final = (b"\n", b"\r")
_KEY_LEAST: Final = 8  # a shorter text may stand in an answer by chance


class Keeping:
    """What is kept of one answer. ``last`` says how the answer is over: ``ended``, a problem, or not yet (empty).

    ``key`` is the provider's key: a refusal that quotes it goes on with as many stars, since a caller must never see it.
    """

    __slots__ = ("_answer", "_dialect", "_key", "_kind", "_pieces", "_since", "_size", "last")

    def __init__(
        self, kind: Literal["refusal", "beginning"], dialect: Dialect, answer: Answer, at: float, key: str = ""
    ) -> None:
        self._kind = kind
        self._dialect = dialect
        self._answer = answer
        self._key = key.encode() if len(key) >= _KEY_LEAST else b""
        self._pieces: list[bytes] = []
        self._size = 0
        self._since = at
        self.last: Literal["", "ended"] | moves.Problem = ""

    @property
    def body(self) -> bytes:
        """Return what is kept."""
        if len(self._pieces) > 1 or self._key:
            body, key = b"".join(self._pieces), self._key
            self._pieces = [body.replace(key, b"*" * len(key)) if key and key in body else body]
        return self._pieces[0] if self._pieces else b""

    def take(self, body: bytes, at: float, *, ended: bool) -> moves.Input | None:
        """Keep what came; return what the machine is to be told, if anything."""
        if body:
            self._pieces.append(body)
            self._size += len(body)
        if ended:
            self.last = "ended"
        if self._kind == "refusal":
            if ended or self._size >= limits.REFUSAL_KEPT:
                return self._collected(at, whole=ended)
            return None
        return self._looked_at(body, at, ended=ended)

    def cut(self, problem: moves.Problem, detail: str, at: float) -> moves.Input:
        """Take that the provider broke off."""
        self.last = problem
        if self._kind == "refusal":
            return moves.Collected(at, self._answer.fields, self.body, whole=False, cut=True)
        return moves.UpstreamFailed(at, problem, detail)

    def expired(self, at: float) -> moves.Input | None:
        """Return what the machine is to be told when this has taken too long."""
        if self._kind == "refusal":
            return self._collected(at, whole=False) if at - self._since > limits.REFUSAL_SECONDS else None
        return moves.Released(at) if at - self._since > limits.BEGINNING_SECONDS else None

    def _looked_at(self, body: bytes, at: float, *, ended: bool) -> moves.Input | None:
        """Look for output behind each end of a line: before it, no event is whole."""
        found = "none"
        if ended or any(end in body for end in _LINE_ENDS):
            found = first_output(self._dialect, self.body)
        if found == "error":
            return self._collected(at, whole=ended, error=True)
        if found != "none" or (self._size >= limits.BEGINNING_KEPT and not ended):
            return moves.Released(at)
        return self._collected(at, whole=True) if ended else None

    def _collected(self, at: float, *, whole: bool, error: bool = False) -> moves.Collected:
        return moves.Collected(at, self._answer.fields, self.body, whole=whole, error=error)
