"""Performs exchanges: carries what happens on the sockets into the state machine and does what it says.

Theory of operation
-------------------
One ``Performance`` is one request. It runs in the task that aiohttp gives each request and cancels when the caller leaves;
every wait of it ends then, and the provider's connection is closed before anything else is done. Outputs are performed in
order; the last of them may yield the next input. Nothing here decides what is said, to whom, or with which status.

Must not know how identity is found or what an answer means.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, cast

import anyio
import anyio.to_thread
from aiohttp.http_writer import StreamWriter
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from multidict import CIMultiDict

from actors.gateway import dialect, limits, moves
from actors.gateway.admission import Door, check_host
from actors.gateway.exchange import Exchange, begin, step
from actors.gateway.forwarding import answer_fields, request_fields
from actors.gateway.head import Fields, Head, read_head
from actors.gateway.hooks import Hooks
from actors.gateway.identity import Identity
from actors.gateway.peek import requested_model
from actors.gateway.providers import Providers, Upstream
from actors.gateway.pump import Pump, UpstreamBrokeOffError
from actors.gateway.server import CallerConnection, fields_of
from actors.gateway.upstream import UpstreamAnswer, UpstreamError, UpstreamPool
from actors.gateway.usage import Meter, NoMeter, meter_for
from schemas.identity import RequestId

Tell = Callable[[str, Any, str, str | None], str]
_ASIDE: Final = ("health", "hooks")
_NO_BODY: Final = (204, 304)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_HTTP_11: Final = (1, 1)


class BodyTooSlowError(Exception):
    """Set on a body that does not arrive in time."""


class Written:
    """What aiohttp is given for an answer that is written already."""

    __slots__ = ("keep_alive",)

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, _request: BaseRequest) -> None:
        """Do nothing: the head is written."""

    async def write_eof(self) -> None:
        """Do nothing: the end is written, or must not be."""


class Conductor:
    """Performs every exchange of one gateway."""

    def __init__(
        self,
        door: Door,
        identity: Identity,
        pool: UpstreamPool,
        providers: Providers,
        *,
        hooks: Hooks,
        tell: Tell,
        new_id: Callable[[int], str],
    ) -> None:
        self.door = door
        self.hooks = hooks
        self.identity = identity
        self.pool = pool
        self.providers = providers
        self.tell = tell
        self.new_id = new_id
        self.call_soon = asyncio.get_running_loop().call_soon  # asked once: each asking is a system call
        self.health: Callable[[str], tuple[int, bytes]] = lambda _: (200, b"{}")
        self.performances: set[Performance] = set()
        self.bodies_held = 0

    async def handle(self, request: BaseRequest) -> StreamResponse:
        """Answer one request."""
        performance = Performance(self, request)
        self.performances.add(performance)
        try:
            return cast("StreamResponse", await performance.run())
        finally:
            self.performances.discard(performance)
            self.bodies_held -= performance.held

    def sweep(self, now: float) -> None:
        """End what has been silent for too long."""
        for performance in self.performances:
            performance.expire(now)


class Performance:
    """One request on its way."""

    __slots__ = (
        "_answer",
        "_body",
        "_cause",
        "_conductor",
        "_due",
        "_facts",
        "_head",
        "_keep_alive",
        "_line",
        "_meter",
        "_payload",
        "_pump",
        "_receiving_since",
        "_request",
        "_state",
        "_upstream",
        "_writer",
        "held",
    )

    def __init__(self, conductor: Conductor, request: BaseRequest) -> None:
        self._conductor = conductor
        self._request = request
        self._line = cast("CallerConnection", request.protocol)
        self._writer = cast("StreamWriter", request.writer)
        self._payload = request.content
        self._keep_alive = request.keep_alive
        self._state: Exchange | None = None
        self._due: tuple[moves.Output, ...] = ()
        self._cause: str | None = None
        self._facts: list[moves.Publish] = []
        self._answer: UpstreamAnswer | None = None
        self._upstream: Upstream | None = None
        self._meter: Meter = NoMeter()
        self._pump: Pump | None = None
        self._body = b""
        self._receiving_since = 0.0
        self.held = 0

    async def run(self) -> Written:
        """Perform the exchange to its outcome."""
        self._line.head_since = None
        message = self._request._message  # noqa: SLF001 - the parsed head as it is; the request's own views build more
        fields = fields_of(self._request)
        self._head = head = read_head(
            message.method, message.path, fields, upgrade=message.upgrade, length=_length(fields.get("content-length"))
        )
        if head.target.place in _ASIDE:
            await self._answer_aside(head)
            return Written(keep_alive=self._keep_alive)
        now = time.monotonic()
        request = RequestId(self._conductor.new_id(time.time_ns()))
        try:
            self._state, outputs = begin(
                request, now, self._conductor.door, head, self._line.acquaintance.kernel, peer=self._line.peer_text
            )
            await self._perform_all(outputs)
        except asyncio.CancelledError:
            self._caller_left()
            raise
        except ConnectionError:
            self._caller_left()
            self._line.abort()
            return Written(keep_alive=False)
        except Exception as error:  # noqa: BLE001 - one request breaks, not the gateway; the log says why
            self._line.log_exception("a request broke the gateway", exc_info=error)
            await self._perform_all(self._step(moves.Broke(time.monotonic(), self._sent)))
        finally:
            if self._answer is not None:
                self._answer.close()
        return Written(keep_alive=self._keep_alive)

    def expire(self, now: float) -> None:
        """End the wait for a provider that is silent, or for a body that does not come."""
        pump, upstream = self._pump, self._upstream
        if pump is not None and upstream is not None:
            if pump.silent_since and now - pump.silent_since > upstream.idle_timeout:
                pump.give_up()
        elif self._receiving_since:
            elapsed = now - self._receiving_since
            slow = elapsed > limits.BODY_GRACE and self._payload.total_bytes < elapsed * limits.BODY_RATE
            if slow or elapsed > limits.BODY_DEADLINE:
                self._receiving_since = 0.0
                self._payload.set_exception(BodyTooSlowError())

    # ------------------------------------------------------------------------------------------------ the machine

    async def _perform_all(self, outputs: tuple[moves.Output, ...]) -> None:
        """Perform outputs and what follows from them, to the outcome."""
        while outputs:
            happened: moves.Input | None = None
            for number, output in enumerate(outputs, 1):
                self._due = outputs[number:]
                happened = await self._perform(output)
            outputs = () if happened is None else self._step(happened)

    def _step(self, happened: moves.Input) -> tuple[moves.Output, ...]:
        if self._state is None:
            return ()
        self._state, outputs = step(self._state, happened)
        return outputs

    def _caller_left(self) -> None:
        """Close the provider's connection, then tell what was still to be told."""
        if self._answer is not None:
            self._answer.close()
        due, self._due = self._due, ()
        for output in (*due, *self._step(moves.CallerLeft(time.monotonic(), self._sent, self._meter.reading()))):
            if isinstance(output, moves.Publish):
                self._publish(output)

    def _publish(self, output: moves.Publish) -> None:
        """Tell a fact as soon as there is nothing better to do: not before the bytes that are on their way."""
        if not self._facts:
            self._conductor.call_soon(self._tell)
        self._facts.append(output)

    def _tell(self) -> None:
        facts, self._facts = self._facts, []
        if self._state is not None:
            for fact in facts:
                self._cause = self._conductor.tell(fact.subject, fact.event, self._state.request, self._cause)

    async def _perform(self, output: moves.Output) -> moves.Input | None:
        happened: moves.Input | None = None
        match output:
            case moves.Publish():
                self._publish(output)
            case moves.Identify(token):
                caller, standing = await self._conductor.identity.standing(self._line.acquaintance, token)
                happened = moves.Identified(time.monotonic(), caller, standing)
            case moves.ReadBody():
                happened = await self._read_body()
            case moves.Send(provider):
                happened = await self._send(provider)
            case moves.Relay(own):
                happened = await self._relay(own)
            case moves.Finish():
                await self._finish()
            case moves.Answer():
                await self._write_answer(output)
            case moves.Break():
                await self._break(output)
        return happened

    # ------------------------------------------------------------------------------------------------ the caller's side

    async def _read_body(self) -> moves.Input:
        fields, payload = self._head.fields, self._payload
        if "expect" in fields and not payload.is_eof() and self._line.transport is not None:
            self._line.transport.write(_CONTINUE)
        chunks: list[bytes] = []
        self._receiving_since = time.monotonic()
        try:
            while chunk := await payload.readany():
                self.held += len(chunk)
                self._conductor.bodies_held += len(chunk)
                if self.held > limits.BODY:
                    return moves.BodyFailed(time.monotonic(), "too_large")
                if self._conductor.bodies_held > limits.BODIES_HELD:
                    return moves.BodyFailed(time.monotonic(), "busy")
                chunks.append(chunk)
        except BodyTooSlowError:
            return moves.BodyFailed(time.monotonic(), "too_slow")
        except RequestPayloadError:
            return moves.BodyFailed(time.monotonic(), "malformed")
        finally:
            self._receiving_since = 0.0
        self._body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        model = await self._peek()
        providers = self._conductor.providers
        return moves.BodyRead(time.monotonic(), len(self._body), model, providers.standings, providers.default)

    async def _peek(self) -> str | None:
        """Look for the model, in a worker thread when the body is large."""
        fields = self._head.fields
        if not self._body or "json" not in fields.get("content-type", ""):
            return None
        encoding = fields.get("content-encoding", "")
        if len(self._body) <= limits.PEEK_INLINE // (16 if encoding else 1):
            return requested_model(self._body, encoding)
        return await anyio.to_thread.run_sync(requested_model, self._body, encoding)

    async def _write_answer(self, output: moves.Answer) -> None:
        if output.close or not self._payload.is_eof():
            self._keep_alive = False
        headers = CIMultiDict({"content-type": dialect.JSON, "content-length": str(len(output.body))})
        headers.extend(output.own)
        await self._write_head(output.status, "", headers)
        await self._writer.write_eof(b"" if self._head.method == "HEAD" else output.body)

    async def _write_head(self, status: int, reason: str, headers: CIMultiDict[str]) -> None:
        version = self._request.version
        if not self._keep_alive:
            headers["connection"] = "close" if "connection" not in headers else f"{headers['connection']}, close"
        elif version < _HTTP_11:
            headers["connection"] = "keep-alive"
        await self._writer.write_headers(f"HTTP/{version[0]}.{version[1]} {status} {reason or _reason(status)}", headers)

    async def _finish(self) -> None:
        try:
            await self._writer.write_eof()
        except ConnectionError:
            self._keep_alive = False  # it left with the whole answer

    async def _break(self, output: moves.Break) -> None:
        """Close early; the last bytes go where they can still be read."""
        self._keep_alive = False
        if self._answer is not None:
            self._answer.close()
        try:
            if output.last and self._writer.chunked:
                await self._writer.write(output.last)
                if output.ended:
                    await self._writer.write_eof()
            else:
                self._writer.send_headers()
        except ConnectionError:
            return
        if self._line.transport is not None:
            self._line.transport.close()

    async def _answer_aside(self, head: Head) -> None:
        """Answer what is no request for a provider."""
        refusal = check_host(self._conductor.door, head)
        if refusal is not None:
            status, body = refusal.status, dialect.error_body("unknown", refusal.status, refusal.code, refusal.message)
        elif head.target.place == "hooks":
            status, body = await self._conductor.hooks.take(head, self._line.acquaintance, self._payload)
        else:
            status, body = self._conductor.health(head.target.rest)
        headers = CIMultiDict({"content-type": dialect.JSON, "content-length": str(len(body)), "cache-control": "no-store"})
        if not self._payload.is_eof():
            self._keep_alive = False
        await self._write_head(status, "", headers)
        await self._writer.write_eof(b"" if head.method == "HEAD" else body)

    # ------------------------------------------------------------------------------------------------ the provider's side

    async def _send(self, provider: str) -> moves.Input:
        self._upstream = upstream = self._conductor.providers.upstreams[provider]
        fields = request_fields(self._head.fields, passthrough=upstream.passthrough)
        fields.append(("accept-encoding", "identity"))
        fields.extend(upstream.credentials(self._head.dialect))
        fields.extend(upstream.fields)
        try:
            answer = await self._conductor.pool.send(upstream, self._head.method, self._head.target.rest, fields, self._body)
        except UpstreamError as error:
            return moves.UpstreamFailed(time.monotonic(), error.problem, error.detail)
        self._answer = answer
        self._conductor.bodies_held -= self.held
        self._body, self.held = b"", 0
        headers = answer.headers
        kind = headers.get("content-type", "")
        self._meter = meter_for(self._head.dialect, kind, headers.get("content-encoding", ""))
        return moves.HeadCame(time.monotonic(), answer.status, kind)

    async def _relay(self, own: tuple[tuple[str, str], ...]) -> moves.Input:
        answer, upstream = self._answer, self._upstream
        if answer is None or upstream is None:
            raise RuntimeError("nothing to relay")
        headers = CIMultiDict(answer_fields(cast("Fields", answer.headers), passthrough=upstream.passthrough))
        headers.extend(own)
        empty = self._head.method == "HEAD" or answer.status in _NO_BODY
        if "content-length" not in headers and not empty:
            if self._request.version >= _HTTP_11:
                headers["transfer-encoding"] = "chunked"
                self._writer.enable_chunking()
            else:
                self._keep_alive = False
        await self._write_head(answer.status, answer.reason or "", headers)
        self._pump = Pump(answer, self._line, self._writer, self._meter)
        try:
            await self._pump.run(self._first_byte)
        except UpstreamBrokeOffError as broke:
            problem: moves.Problem = "idle_timeout" if broke.silent else "cut"
            detail = f"{upstream.idle_timeout:g} s" if broke.silent else ""
            return moves.UpstreamFailed(time.monotonic(), problem, detail, self._sent, self._meter.reading())
        return moves.Ended(time.monotonic(), self._sent, self._meter.reading())

    def _first_byte(self) -> None:
        for output in self._step(moves.FirstByte(time.monotonic())):
            if isinstance(output, moves.Publish):
                self._publish(output)

    @property
    def _sent(self) -> int:
        return 0 if self._pump is None else self._pump.sent


def _length(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _reason(status: int) -> str:
    return _REASONS.get(status, "Refused")


_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
