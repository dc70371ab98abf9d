"""One answer on its way to its caller: head, body and end, framed as this caller understands them, in as few writes as can be.

What is added is kept until ``flush``, so that everything that one moment brings leaves in one write; ``pass_on`` is the short
way for the usual piece of a stream. A shell without decisions: whoever uses it says what is answered and when it ends. Must
not know exchanges or providers.
"""

from __future__ import annotations

from typing import Final

from actors.runtime.http.fields import Pair
from actors.runtime.http.framing import LAST_CHUNK, chunk
from actors.runtime.http.intake import Request
from actors.runtime.http.line import Line
from actors.runtime.http.replying import reply_head

_JSON: Final = "application/json"
_NO_BODY: Final = (204, 304)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Delivery:
    """One answer; ``sent`` counts the bytes of a provider's body, ``keep_alive`` says whether the connection may go on."""

    __slots__ = ("_begun", "_chunked", "_line", "_out", "_request", "keep_alive", "sent")

    def __init__(self, line: Line, request: Request) -> None:
        self._line = line
        self._request = request
        self._out: list[bytes] = []
        self._begun = False
        self._chunked = False
        self.keep_alive = request.keep_alive
        self.sent = 0

    def invite(self) -> None:
        """Tell a caller who waits for it that the body may come."""
        request = self._request
        if "expect" in request.fields and not request.whole and request.version != "1.0":
            self._out.append(_CONTINUE)

    def answer(self, status: int, body: bytes, own: tuple[Pair, ...], *, close: bool) -> None:
        """Add an answer of our own, whole; a connection whose request is not whole cannot go on."""
        self.keep_alive = self.keep_alive and self._request.whole and not (close or self._line.last)
        pairs = [("content-type", _JSON), ("content-length", str(len(body))), *own]
        self._out.append(reply_head(self._request.version, status, "", pairs, keep_alive=self.keep_alive))
        if self._request.method != "HEAD":
            self._out.append(body)

    def begin(self, status: int, reason: str, pairs: list[Pair], *, length_known: bool) -> None:
        """Add a provider's head, with the framing that this caller understands."""
        version = self._request.version
        if not (length_known or self._request.method == "HEAD" or status in _NO_BODY):
            self._chunked = version != "1.0"
            if self._chunked:
                pairs.append(("transfer-encoding", "chunked"))
            else:
                self.keep_alive = False
        self.keep_alive = self.keep_alive and not self._line.last
        self._out.append(reply_head(version, status, reason, pairs, keep_alive=self.keep_alive))
        self._begun = True

    def add(self, body: bytes) -> None:
        """Add bytes of a provider's body."""
        self.sent += len(body)
        self._out.append(chunk(body) if self._chunked else body)

    def pass_on(self, body: bytes) -> None:
        """Write bytes of a provider's body at once."""
        self.sent += len(body)
        self._line.transport.write(chunk(body) if self._chunked else body)

    def finish(self) -> None:
        """Add the end."""
        if self._chunked:
            self._out.append(LAST_CHUNK)

    def tear(self, last: bytes, *, ended: bool) -> None:
        """Add last bytes of our own and let the connection end; ``ended``: behind them as HTTP says, otherwise torn."""
        self.keep_alive = False
        if last and self._chunked and self._begun:
            self._out.append(chunk(last))
            if ended:
                self._out.append(LAST_CHUNK)

    def flush(self) -> None:
        """Write what was added."""
        out = self._out
        if out:
            self._out = []
            self._line.transport.write(out[0] if len(out) == 1 else b"".join(out))
