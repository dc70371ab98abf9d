"""Passes an answer's body from provider to caller and looks at it in passing.

Theory of operation
-------------------
As long as the caller takes what comes, a chunk costs one write and one look, in the very callback that brought it: no task
wakes up for it. The task waits only for what must be waited for: the end, a failure, or a caller who takes no more; then it
reads and drains by hand until pushing can go on. Deadlines are ``silent_since``, which the sweep compares.

Must not know exchanges, nor what the bytes mean.
"""

from __future__ import annotations

import time
from typing import Any, Final

import anyio
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader

from actors.gateway.server import CallerConnection
from actors.gateway.upstream import READ_ERRORS, SilentUpstreamError, UpstreamAnswer
from actors.gateway.usage import Meter

_BROKEN: Final = (SilentUpstreamError, *READ_ERRORS)


class UpstreamBrokeOffError(Exception):
    """The provider did not end its answer; ``silent``: it was given up for its silence."""

    def __init__(self, *, silent: bool) -> None:
        super().__init__("silent" if silent else "cut")
        self.silent = silent


class Pump:
    """One answer's way to its caller; ``sent`` counts the body's bytes."""

    __slots__ = ("_answer", "_chunked", "_error", "_line", "_meter", "_stir", "_writer", "sent", "silent_since")

    def __init__(self, answer: UpstreamAnswer, line: CallerConnection, writer: StreamWriter, meter: Meter) -> None:
        self._answer = answer
        self._line = line
        self._writer = writer
        self._meter = meter
        self._chunked = writer.chunked
        self._stir: anyio.Event | None = None
        self._error: Exception | None = None
        self.sent = 0
        self.silent_since = 0.0

    def give_up(self) -> None:
        """End the wait for a provider that is silent."""
        self.silent_since = 0.0
        self._answer.content.set_exception(SilentUpstreamError())
        if self._stir is not None:
            self._stir.set()

    async def run(self, on_first_byte: Any) -> None:
        """Pass the body on to its end; ``on_first_byte`` is called once the first bytes are written.

        Raises:
            UpstreamBrokeOffError: the provider did not end it.
            ConnectionError: the caller is gone.

        """
        content = self._answer.content
        if content.total_bytes == 0 and not content.is_eof():
            self._writer.send_headers()  # the caller learns now that there is an answer; otherwise with its first bytes
        while chunk := await self._next(content):
            await self._writer.write(chunk, drain=False)
            if not self.sent:
                on_first_byte()
            self.sent += len(chunk)
            self._meter.feed(chunk)
            if not content.is_eof():
                await self._be_pushed()
            await self._writer.drain()

    async def _next(self, content: StreamReader) -> bytes:
        self.silent_since = time.monotonic()
        try:
            return await content.readany()
        except _BROKEN as error:
            raise UpstreamBrokeOffError(silent=isinstance(error, SilentUpstreamError)) from error
        finally:
            self.silent_since = 0.0

    async def _be_pushed(self) -> None:
        """Let chunks pass in the callbacks that bring them, until there is something to wait for."""
        self._stir = anyio.Event()
        self.silent_since = time.monotonic()
        self._answer.watch(self._push)
        try:
            self._push()  # what came since the last read
            await self._stir.wait()
        finally:
            self.silent_since = 0.0
            self._answer.unwatch(self._push)
        if self._error is not None:
            raise self._error

    def _push(self) -> None:
        """Pass on what has come; end the pushing when the answer ends or breaks, or the caller takes no more."""
        content, line = self._answer.content, self._line
        try:
            self._pass_on(content)
        except Exception as error:  # noqa: BLE001 - raised where the request is performed, not into the event loop
            self._error = error
        ended = content.is_eof() or content.exception() is not None
        if (ended or self._error or line.transport is None or line.writing_paused) and self._stir is not None:
            self._answer.unwatch(self._push)
            self._stir.set()

    def _pass_on(self, content: StreamReader) -> None:
        line = self._line
        while content.exception() is None and (transport := line.transport) is not None and not line.writing_paused:
            chunk = content.read_nowait()
            if not chunk:
                return
            transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
            self.sent += len(chunk)
            self.silent_since = time.monotonic()
            self._meter.feed(chunk)
