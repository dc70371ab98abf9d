"""Performs one exchange: carries what happens on the sockets into the state machine and does what it says.

Theory of operation
-------------------
One ``Performance`` is one request. Most requests never wait for anything but bytes, so none has a task: it runs in the very
callbacks that bring its bytes, from the caller's line (``body_came``, ``caller_left``) and from the provider's connection
(``answered``, ``came``, ``failed``). Only what has to be waited for has a task, one at a time: who calls when that is not
known yet, a look into a large body, a connection to be dialled; it ends with the caller.

Outputs are performed in order; the last of them may yield the next input. What one callback has to say to the caller leaves in
one write. Deadlines are times that one sweep compares a few times a second.

Must not know how identity is found, what an answer means, what is said, to whom, or with which status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from actors.gateway import limits, moves
from actors.gateway.answers import Answer
from actors.gateway.delivery import Delivery
from actors.gateway.exchange import Exchange, begin, step
from actors.gateway.forwarding import answer_fields, request_fields
from actors.gateway.head import Head
from actors.gateway.intake import Request
from actors.gateway.peek import requested_model
from actors.gateway.providers import Upstream
from actors.gateway.server import CallerConnection
from actors.gateway.upstream import UpstreamConnection, UpstreamError, request_head
from actors.gateway.usage import Meter, NoMeter, meter_for
from schemas.identity import RequestId

if TYPE_CHECKING:
    from actors.gateway.conductor import Conductor

_UNREAD: Final = NoMeter()


class Performance:
    """One request on its way."""

    __slots__ = (
        "_answer",
        "_awaited_since",
        "_body",
        "_cause",
        "_conductor",
        "_connection",
        "_delivery",
        "_head",
        "_holding",
        "_line",
        "_meter",
        "_receiving_since",
        "_request",
        "_silent_since",
        "_state",
        "_stirred",
        "_task",
        "_upstream",
        "held",
    )

    def __init__(self, conductor: Conductor, line: CallerConnection, request: Request, head: Head) -> None:
        self._conductor = conductor
        self._line = line
        self._request = request
        self._head = head
        self._delivery = Delivery(line, request)
        self._state: Exchange | None = None
        self._cause: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._upstream: Upstream | None = None
        self._connection: UpstreamConnection | None = None
        self._meter: Meter = _UNREAD
        self._answer: Answer | None = None
        self._holding = False  # more of the same read follows
        self._body: list[bytes] = []
        self._receiving_since = 0.0  # a body is awaited
        self._awaited_since = 0.0  # an answer is awaited
        self._silent_since = 0.0  # more of an answer is awaited
        self._stirred = False  # more of it came since the last sweep
        self.held = 0

    # ------------------------------------------------------------------------------------------------ the line's calls

    def start(self) -> None:
        """Take the head to the machine."""
        conductor, line = self._conductor, self._line
        conductor.performances.add(self)
        request = RequestId(conductor.new_id(time.time_ns()))
        now = time.monotonic()
        self._state, outputs = begin(request, now, conductor.door, self._head, line.acquaintance.kernel, peer=line.peer_text)
        self._perform(outputs)

    def body_came(self) -> None:
        """Keep what came, if the body is what is awaited."""
        if self._receiving_since:
            self._go_on(self._receive())

    def turn_away(self, reason: str) -> None:
        """Refuse, as long as who calls is what is waited for."""
        self._go_on(moves.TurnedAway(time.monotonic(), reason))

    def caller_left(self) -> None:
        """Close the provider's connection, then tell what was still to be told."""
        self._drop_upstream()
        for output in self._step(moves.CallerLeft(time.monotonic(), self._delivery.sent, self._meter.reading())):
            if isinstance(output, moves.Publish):
                self._publish(output)
        self._release()

    def pause(self) -> None:
        """Read no more from the provider."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on from the provider; the time in which the caller took nothing is no silence of the provider."""
        self._stirred = True
        if self._connection is not None:
            self._connection.resume()

    def expire(self, now: float) -> None:
        """End the wait for a provider that is silent, or for a body that does not come."""
        upstream = self._upstream
        if self._silent_since and upstream is not None:
            if self._stirred or self._line.paused:
                self._stirred, self._silent_since = False, now
            elif now - self._silent_since > upstream.idle_timeout:
                self._give_up("idle_timeout", upstream.idle_timeout)
        elif self._awaited_since and upstream is not None:
            if now - self._awaited_since > upstream.first_byte_timeout:
                self._give_up("first_byte_timeout", upstream.first_byte_timeout)
        elif self._receiving_since:
            elapsed = now - self._receiving_since
            slow = elapsed > limits.BODY_GRACE and self._request.size < elapsed * limits.BODY_RATE
            if slow or elapsed > limits.BODY_DEADLINE:
                self._receiving_since = 0.0
                self._go_on(moves.BodyFailed(now, "too_slow"))

    # ------------------------------------------------------------------------------------------------ the machine

    def _go_on(self, happened: moves.Input | None) -> None:
        """Tell the machine what happened and do what it says."""
        if happened is not None:
            self._perform(self._step(happened))

    def _perform(self, outputs: tuple[moves.Output, ...]) -> None:
        """Perform outputs and what follows from them, as far as nothing has to be waited for."""
        try:
            while outputs:
                happened: moves.Input | None = None
                for output in outputs:
                    happened = _DO[type(output)](self, output)
                outputs = () if happened is None else self._step(happened)
        except Exception as error:  # noqa: BLE001 - one request breaks, not the gateway; the log says why
            self._break_down(error)
        self._settle()

    def _break_down(self, error: Exception) -> None:
        self._line.log_exception(error)
        for output in self._step(moves.Broke(time.monotonic(), self._delivery.sent)):
            _DO[type(output)](self, output)

    def _step(self, happened: moves.Input) -> tuple[moves.Output, ...]:
        if self._state is None:
            return ()
        self._state, outputs = step(self._state, happened)
        return outputs

    def _publish(self, output: moves.Publish) -> None:
        """Tell a fact, after the bytes that are on their way."""
        self._conductor.tell_soon(self, output)

    def tell(self, fact: moves.Publish) -> None:
        """Tell it now, as caused by the one before."""
        if self._state is not None:
            self._cause = self._conductor.tell(fact.subject, fact.event, self._state.request, self._cause)

    def _settle(self) -> None:
        """Write what there is to say; after the outcome let everything go."""
        over = self._state is not None and self._state.over
        if over or not self._holding:
            self._delivery.flush()
        if over and self in self._conductor.performances:
            self._drop_upstream()
            self._release()
            self._line.done(keep_alive=self._delivery.keep_alive)

    def _drop_upstream(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self) -> None:
        self._receiving_since = self._awaited_since = self._silent_since = 0.0
        self._conductor.performances.discard(self)
        self._let_go_of_body()

    def _let_go_of_body(self) -> None:
        self._conductor.bodies_held -= self.held
        self.held = 0
        self._body = []

    def _wait(self, awaited: Coroutine[Any, Any, moves.Input | None]) -> None:
        """Wait for something in a task of its own; what comes of it goes to the machine."""
        self._task = self._conductor.loop.create_task(self._then(awaited))

    async def _then(self, awaited: Coroutine[Any, Any, moves.Input | None]) -> None:
        try:
            happened = await awaited
        except Exception as error:  # noqa: BLE001 - as in _perform
            self._line.log_exception(error)
            happened = moves.Broke(time.monotonic(), self._delivery.sent)
        self._task = None
        self._go_on(happened)

    # ------------------------------------------------------------------------------------------------ the caller's side

    def _identify(self, output: moves.Identify) -> moves.Input | None:
        found = self._conductor.identity.standing_at_once(self._line.acquaintance, output.token)
        if found is None:
            self._wait(self._find_out(output.token))
            return None
        return moves.Identified(time.monotonic(), *found)

    async def _find_out(self, token: str | None) -> moves.Input:
        caller, standing = await self._conductor.identity.standing(self._line.acquaintance, token)
        return moves.Identified(time.monotonic(), caller, standing)

    def _read_body(self, _output: moves.ReadBody) -> moves.Input | None:
        self._delivery.invite()
        self._receiving_since = time.monotonic()
        return self._receive()

    def _receive(self) -> moves.Input | None:
        """Keep what is here of the body, and say when it is whole or not to be had."""
        request, conductor = self._request, self._conductor
        if request.waiting:
            grown = request.waiting
            self._body += self._line.take(request)
            self.held += grown
            conductor.bodies_held += grown
        problem = None
        if self.held > limits.BODY:
            problem = moves.BodyFailed(time.monotonic(), "too_large")
        elif conductor.bodies_held > limits.BODIES_HELD:
            problem = moves.BodyFailed(time.monotonic(), "busy")
        elif request.broken:
            problem = moves.BodyFailed(time.monotonic(), "malformed")
        elif not request.whole:
            return None
        self._receiving_since = 0.0
        return problem or self._peek()

    def _peek(self) -> moves.Input | None:
        """Look for the model, in a worker thread when the body is large."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body = [body]
        fields = self._head.fields
        if not body or "json" not in fields.get("content-type"):
            return self._body_read(None)
        encoding = fields.get("content-encoding")
        if len(body) <= limits.PEEK_INLINE // (16 if encoding else 1):
            return self._body_read(requested_model(body, encoding))
        self._wait(self._peek_aside(body, encoding))
        return None

    async def _peek_aside(self, body: bytes, encoding: str) -> moves.Input:
        return self._body_read(await anyio.to_thread.run_sync(requested_model, body, encoding))

    def _body_read(self, model: str | None) -> moves.Input:
        providers = self._conductor.providers
        return moves.BodyRead(time.monotonic(), self.held, model, providers.standings, providers.default)

    def _answer_ourselves(self, output: moves.Answer) -> None:
        self._delivery.answer(output.status, output.body, output.own, close=output.close)

    def _finish(self, _output: moves.Finish) -> None:
        self._delivery.finish()

    def _break(self, output: moves.Break) -> None:
        """Close early; the last bytes go where they can still be read."""
        self._drop_upstream()
        self._delivery.tear(output.last, ended=output.ended)

    # ------------------------------------------------------------------------------------------------ the provider's side

    def _send(self, output: moves.Send) -> moves.Input | None:
        self._upstream = upstream = self._conductor.providers.upstreams[output.provider]
        fields = request_fields(self._head.fields, passthrough=upstream.passthrough)
        fields.append(("accept-encoding", "identity"))
        fields.extend(upstream.credentials(self._head.dialect))
        fields.extend(upstream.fields)
        pool, body = self._conductor.pool, self._body[0] if self._body else b""
        origin = pool.origin(upstream)
        try:
            head = request_head(origin, self._head.method, self._head.target.rest, fields, body)
        except ValueError:
            detail = f"at {upstream.shown}: a header field cannot be sent"
            return moves.UpstreamFailed(time.monotonic(), "unreachable", detail)
        connection = pool.take(origin)
        if connection is None:
            self._wait(self._dial(upstream, head, body))
        else:
            self._hand_over(connection, head, body)
        return None

    async def _dial(self, upstream: Upstream, head: bytes, body: bytes) -> moves.Input | None:
        pool = self._conductor.pool
        try:
            connection = await pool.dial(upstream, pool.origin(upstream))
        except UpstreamError as error:
            return moves.UpstreamFailed(time.monotonic(), error.problem, error.detail)
        self._hand_over(connection, head, body)
        return None

    def _hand_over(self, connection: UpstreamConnection, head: bytes, body: bytes) -> None:
        self._connection = connection
        self._awaited_since = time.monotonic()
        connection.send(self, head, body, bodiless=self._head.method == "HEAD")
        if self._line.paused:
            connection.pause()

    def answered(self, answer: Answer) -> None:
        """Take the provider's head, and pass it on if that is what the machine says."""
        self._awaited_since = 0.0
        self._let_go_of_body()
        kind = answer.fields.get("content-type")
        self._meter = meter_for(self._head.dialect, kind, answer.fields.get("content-encoding"))
        self._answer, self._holding = answer, True
        self._go_on(moves.HeadCame(time.monotonic(), answer.status, kind))

    def _relay(self, output: moves.Relay) -> None:
        """Write the provider's head, with the framing that this caller understands."""
        answer = self._answer
        if answer is None:
            raise RuntimeError("nothing to relay")
        passthrough = self._upstream is not None and self._upstream.passthrough
        pairs = answer_fields(answer.fields, passthrough=passthrough)
        pairs += output.own
        self._delivery.begin(answer.status, answer.reason, pairs, length_known="content-length" in answer.fields)
        self._silent_since = time.monotonic()

    def came(self, body: bytes, *, ended: bool) -> None:
        """Pass on what came of the answer, and end it."""
        self._stirred, self._holding = True, False
        if body:
            delivery = self._delivery
            if delivery.sent and not ended:  # the usual piece of a stream: one write, one look
                delivery.pass_on(body)
                self._meter.feed(body)
                return
            if not delivery.sent:
                self._perform_first_byte()
            delivery.add(body)
            self._meter.feed(body)
        if ended:
            self._connection = None
            self._silent_since = 0.0
            self._go_on(moves.Ended(time.monotonic(), self._delivery.sent, self._meter.reading()))
        else:
            self._settle()

    def failed(self, problem: moves.Problem) -> None:
        """Tell the machine that the provider broke off."""
        self._connection, self._holding = None, False
        upstream = self._upstream
        detail = ""
        if self._silent_since:
            problem = "cut"
        elif upstream is not None:
            detail = f"at {upstream.shown}"
        self._give_out(problem, detail)

    def _give_up(self, problem: moves.Problem, seconds: float) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._give_out(problem, f"{seconds:g} s")

    def _give_out(self, problem: moves.Problem, detail: str) -> None:
        self._awaited_since = self._silent_since = 0.0
        self._go_on(moves.UpstreamFailed(time.monotonic(), problem, detail, self._delivery.sent, self._meter.reading()))

    def _perform_first_byte(self) -> None:
        for output in self._step(moves.FirstByte(time.monotonic())):
            if isinstance(output, moves.Publish):
                self._publish(output)


_DO: Final[dict[type[Any], Callable[[Performance, Any], moves.Input | None]]] = {
    moves.Publish: Performance._publish,  # noqa: SLF001 - its own moves
    moves.Identify: Performance._identify,  # noqa: SLF001
    moves.ReadBody: Performance._read_body,  # noqa: SLF001
    moves.Send: Performance._send,  # noqa: SLF001
    moves.Relay: Performance._relay,  # noqa: SLF001
    moves.Finish: Performance._finish,  # noqa: SLF001
    moves.Answer: Performance._answer_ourselves,  # noqa: SLF001
    moves.Break: Performance._break,  # noqa: SLF001
}
