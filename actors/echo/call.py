"""One request and its answer: the body awaited, bytes written as fast as the caller reads, the ways a connection can end.

Each request has a task, which ends with the caller. Decides nothing: ``EchoServer`` says what is answered. Must not know any
dialect.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

import anyio

from actors.runtime.http.delivery import Delivery
from actors.runtime.http.fields import Pair
from actors.runtime.http.intake import Request
from actors.runtime.http.line import Line
from actors.runtime.http.replying import refusal

MAX_BODY: Final = 64 * 1024 * 1024
READ_SECONDS: Final = 60.0
_BROKEN: Final = "this request broke the echo server; its log says how"
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST


class UnreadError(Exception):
    """A body that is not to be had; with the status and the code that say so."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is one JSON document."""

    status: int
    body: bytes
    fields: tuple[Pair, ...] = ()


class Call:
    """One request; ``number`` is its exchange's, for who performs it."""

    __slots__ = (
        "_begun",
        "_delivery",
        "_line",
        "_perform",
        "_request",
        "_stirred",
        "_task",
        "fields",
        "method",
        "number",
        "path",
        "query_text",
    )

    def __init__(self, line: Line, request: Request, perform: Callable[[Call], Coroutine[None, None, None]]) -> None:
        path, _, query = request.target.partition("?")
        self.method = request.method
        self.path = unquote(path)
        self.query_text = query
        self.fields = request.fields
        self.number = 0
        self._begun = False
        self._line = line
        self._request = request
        self._perform = perform
        self._delivery = Delivery(line, request)
        self._stirred = anyio.Event()
        self._task: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------------------------------------ the line's calls

    def start(self) -> None:
        """Perform it in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def body_came(self) -> None:
        """Wake up who waits for it."""
        self._stirred.set()

    def caller_left(self) -> None:
        """End: nobody waits for the answer."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def pause(self) -> None:
        """Let who writes next find that the line is paused."""

    def resume(self) -> None:
        """Wake up who waits for room."""
        self._stirred.set()

    async def _run(self) -> None:
        try:
            await self._perform(self)
        except Exception as error:  # noqa: BLE001 - one request breaks, not the server; the log says why
            self._line.log_exception(error)
            self._break_off()
        if self._task is not None:
            self._task = None
            self._line.done(keep_alive=self._delivery.keep_alive)

    def _break_off(self) -> None:
        if not self._begun:
            self._line.transport.write(refusal("500 Internal Server Error", "server_error", "internal_error", _BROKEN))
        self.cut()

    async def _stir(self) -> None:
        self._stirred = anyio.Event()
        await self._stirred.wait()

    # ------------------------------------------------------------------------------------------------ the request

    @property
    def query(self) -> dict[str, str]:
        """Return what the query says."""
        return dict(parse_qsl(self.query_text, keep_blank_values=True))

    async def body(self) -> bytes:
        """Wait for the body.

        Raises:
            UnreadError: it is broken, too large, or did not come in time.

        """
        self._delivery.invite()
        self._delivery.flush()
        request = self._request
        pieces: list[bytes] = []
        with anyio.move_on_after(READ_SECONDS):
            while True:
                pieces += self._line.take(request)
                if request.size > MAX_BODY or int(self.fields.get("content-length", "0")) > MAX_BODY:
                    raise UnreadError(413, "body_too_large", f"the body may have {MAX_BODY} bytes")
                if request.broken:
                    raise UnreadError(400, "invalid_body", "the body is not framed as HTTP/1.1 says")
                if request.whole:
                    return b"".join(pieces)
                await self._stir()
        raise UnreadError(408, "body_timeout", f"the body did not arrive within {READ_SECONDS:.0f} s")

    # ------------------------------------------------------------------------------------------------ the answer

    def answer(self, answer: Answer) -> None:
        """Write an answer of one document."""
        self._begun = True
        self._delivery.answer(answer.status, answer.body, answer.fields, close=False)
        self._delivery.flush()

    def begin(self, status: int, reason: str, fields: tuple[Pair, ...], length: int | None) -> None:
        """Begin an answer piece by piece; its head leaves with the first, or with ``flush``."""
        known = () if length is None else (("content-length", str(length)),)
        self._delivery.begin(status, reason, [*fields, *known], length_known=length is not None)
        self._begun = True

    def flush(self) -> None:
        """Write what has not left yet."""
        self._delivery.flush()

    async def write(self, content: bytes) -> None:
        """Write a piece; waits while the caller does not read."""
        self._delivery.add(content)
        self._delivery.flush()
        while self._line.paused:
            await self._stir()

    def write_raw(self, content: bytes) -> None:
        """Write bytes that are no HTTP; nothing can follow them."""
        self._begun = True
        self._delivery.keep_alive = False
        self._line.transport.write(content)

    def finish(self) -> None:
        """End the answer as HTTP says."""
        self._delivery.finish()
        self._delivery.flush()

    def cut(self) -> None:
        """End the connection instead of the answer."""
        self._delivery.tear(b"", ended=False)
        self._delivery.flush()

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.cut()
        self._line.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._line.transport.abort()
