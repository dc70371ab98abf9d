"""Performs one exchange: carries what happens on the sockets into the state machine and does what it says.

Theory of operation
-------------------
One ``Performance`` is one request. Most requests never wait for anything but bytes, so none has a task: it runs in the very
callbacks that bring its bytes, from the caller's line (``body_came``, ``caller_left``) and from the provider's connection
(``answered``, ``came``, ``failed``). Only what has to be waited for has a task, one at a time: who calls when that is not
known yet, a look into a large body or a change in it, a connection to be dialled; it ends with the caller.

How inputs and outputs follow each other is in ``Course``. Deadlines are times that one sweep compares a few times a second.

The body is kept until an answer is passed on, since until then it may have to be sent again; so is, for as long as the machine
says, what has come of an answer (``Keeping``). A provider may close a connection that was kept from an earlier request just
when this one is written to it. A connection that ends so, soon and without a byte, says nothing about the request: it is sent
once more, on a new connection, and that is no attempt of its own. Whatever ends later or on a new connection was cut.

Must not know how identity is found, what an answer means, what is said, to whom, or with which status.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from actors.gateway import limits, moves
from actors.gateway.answers import Answer
from actors.gateway.attribution import Caller, Standing
from actors.gateway.course import Course
from actors.gateway.exchange import begin
from actors.gateway.forwarding import answer_fields
from actors.gateway.head import Head
from actors.gateway.keeping import Keeping
from actors.gateway.outgoing import outgoing
from actors.gateway.payload import Payload
from actors.gateway.peek import Seen
from actors.gateway.providers import Providers, Upstream
from actors.gateway.rewriting import CannotRewrite, Rewritten
from actors.gateway.server import CallerConnection
from actors.gateway.spending import GO_ON
from actors.gateway.throttle import caller_session, unnamed
from actors.gateway.upstream import UpstreamConnection, UpstreamError
from actors.gateway.usage import Meter, NoMeter, meter_for
from actors.gateway.waits import Waits
from actors.runtime.http.intake import Request
from schemas.identity import RequestId

if TYPE_CHECKING:
    from actors.gateway.conductor import Conductor

_UNREAD: Final = NoMeter()


class Performance(Course):
    """One request on its way."""

    __slots__ = (
        "_answer",
        "_connection",
        "_head",
        "_keeping",
        "_meter",
        "_payload",
        "_providers",
        "_request",
        "_rewritten",
        "_sent",
        "_upstream",
        "_waits",
    )

    def __init__(self, conductor: Conductor, line: CallerConnection, request: Request, head: Head) -> None:
        super().__init__(conductor, line, request)
        self._request = request
        self._head = head
        self._upstream: Upstream | None = None
        self._connection: UpstreamConnection | None = None
        self._meter: Meter = _UNREAD
        self._answer: Answer | None = None
        self._keeping: Keeping | None = None  # what came of an answer and is not passed on yet
        self._payload = Payload(conductor, request, head)
        self._providers: Providers = conductor.providers
        self._rewritten: Rewritten | None = None
        self._sent: tuple[Upstream, bytes, bytes] | None = None  # what is not answered yet: to whom, head, body
        self._waits = Waits()

    # ------------------------------------------------------------------------------------------------ the line's calls

    def start(self) -> None:
        """Take the head to the machine."""
        conductor, line = self._conductor, self._line
        conductor.performances.add(self)
        request = RequestId(conductor.new_id(time.time_ns()))
        now = time.monotonic()
        state, outputs = begin(request, now, conductor.door, self._head, line.acquaintance.kernel, peer=line.peer_text)
        self._state = state
        if state.over and conductor.throttle.check(caller_session(line.acquaintance.caller, line.peer_text), now):
            outputs = tuple(output for output in outputs if not isinstance(output, moves.Publish))  # it loops: told as one
        self.perform(outputs)

    def body_came(self) -> None:
        """Keep what came, if the body is what is awaited."""
        if self._payload.since:
            self.go_on(self._receive())

    def turn_away(self, reason: str) -> None:
        """Refuse, as long as who calls is what is waited for."""
        self.go_on(moves.TurnedAway(time.monotonic(), reason))

    def caller_left(self) -> None:
        """Close the provider's connection, then tell what was still to be told."""
        self.drop_task()
        self.drop_upstream()
        for output in self.step(moves.CallerLeft(time.monotonic(), self._delivery.sent, self._meter.reading())):
            self.DO[type(output)](self, output)
        self.release()

    def pause(self) -> None:
        """Read no more from the provider."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Read on from the provider; the time in which the caller took nothing is no silence of the provider."""
        self._waits.stirred = True
        if self._connection is not None:
            self._connection.resume()

    def expire(self, now: float) -> None:
        """End the wait for a provider that is silent, or for a body that does not come."""
        upstream = self._upstream
        if self._keeping is not None:
            self.go_on(self._keeping.expired(now))
        elif upstream is not None and (self._waits.head or self._waits.more):
            if late := self._waits.expired(now, upstream, paused=self._line.paused):
                self._give_up(*late)
        elif self._payload.since and self._payload.too_slow(now):
            self._payload.since = 0.0
            self.go_on(moves.BodyFailed(now, "too_slow"))

    def drop_upstream(self) -> None:
        """Close the provider's connection at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def release(self) -> None:
        """Let everything go that a request holds."""
        self._payload.since = 0.0
        self._waits.end()
        self._keeping = self._sent = self._rewritten = None
        self._conductor.performances.discard(self)
        self._payload.let_go()

    # ------------------------------------------------------------------------------------------------ the caller's side

    def _identify(self, output: moves.Identify) -> moves.Input | None:
        found = self._conductor.identity.standing_at_once(self._line.acquaintance, output.token)
        if found is None:
            self.wait(self._find_out(output.token))
            return None
        return self._identified(*found)

    async def _find_out(self, token: str | None) -> moves.Input:
        caller, standing = await self._conductor.identity.standing(self._line.acquaintance, token)
        return self._identified(caller, standing)

    def _identified(self, caller: Caller, standing: Standing) -> moves.Input:
        at, state = time.monotonic(), self._state
        if state is None:
            raise RuntimeError("nothing was begun")
        who = self._line.acquaintance.attribute(caller, standing, state.claims)
        throttled = self._conductor.throttle.check(who.session or unnamed(self._line.peer_text), at)
        return moves.Identified(at, who, standing, throttled)

    def _read_body(self, _output: moves.ReadBody) -> moves.Input | None:
        self._delivery.invite()
        self._payload.since = time.monotonic()
        return self._receive()

    def _receive(self) -> moves.Input | None:
        """Keep what is here of the body, and say when it is whole or not to be had."""
        request, payload = self._request, self._payload
        if request.waiting:
            grown = request.waiting
            payload.take(self._line.take(request), grown)
        problem = payload.problem()
        if problem is None and not request.whole:
            return None
        payload.since = 0.0
        if problem is not None:
            return moves.BodyFailed(time.monotonic(), problem)
        seen = payload.look_at_once()
        if seen is None:
            self.wait(self._look_aside())
            return None
        return self._body_read(seen)

    async def _look_aside(self) -> moves.Input:
        return self._body_read(await self._payload.look())

    def _body_read(self, seen: Seen) -> moves.Input:
        conductor = self._conductor
        self._providers = providers = conductor.providers
        book, spending = conductor.health_book, conductor.spending
        who = None if self._state is None else self._state.attribution
        owner, verdict = "", GO_ON
        if who is not None:
            if self._head.dialect == "openai.responses":
                owner = book.owner(who.thread or who.session or "")
            if spending.active:
                verdict = spending.verdict(who.session, who.cwd)
        return moves.BodyRead(
            time.monotonic(), self._payload.size, seen, providers.table, book.now, verdict, owner, time.time()
        )

    def _rewrite(self, output: moves.Rewrite) -> moves.Input | None:
        self._leave_answer()
        found = self._payload.rewrite_at_once(output)
        if found is None:
            self.wait(self._rewrite_aside(output))
            return None
        return self._changed(found)

    async def _rewrite_aside(self, output: moves.Rewrite) -> moves.Input:
        return self._changed(await self._payload.rewrite(output))

    def _changed(self, found: Rewritten | CannotRewrite) -> moves.Input:
        if isinstance(found, CannotRewrite):
            return moves.Rewritten(time.monotonic(), problem=str(found))
        self._rewritten = found
        return moves.Rewritten(time.monotonic(), found.changes)

    def _answer_ourselves(self, output: moves.Answer) -> None:
        self._delivery.answer(output.status, output.body, output.own, close=output.close)

    def _finish(self, _output: moves.Finish) -> None:
        self._delivery.finish()

    def _break(self, output: moves.Break) -> None:
        """Close early; the last bytes go where they can still be read."""
        self.drop_upstream()
        self._delivery.tear(output.last, ended=output.ended)

    # ------------------------------------------------------------------------------------------------ the provider's side

    def _send(self, output: moves.Send) -> moves.Input | None:
        self._leave_answer()
        self._upstream = upstream = self._providers.upstreams[output.provider]
        rewritten, self._rewritten = self._rewritten, None
        pool = self._conductor.pool
        origin = pool.origin(upstream.base_for(self._head.dialect))
        try:
            written, body = outgoing(upstream, origin, self._head, self._payload.body, rewritten)
        except ValueError:
            detail = f"at {upstream.shown}: a header field cannot be sent"
            return moves.UpstreamFailed(time.monotonic(), "unreachable", detail)
        self._conductor.health_book.chosen(output.provider, output.model)
        self._sent = (upstream, written, body)
        connection = pool.take(origin)
        if connection is None:
            self.wait(self._dial(upstream, written, body))
        else:
            self._hand_over(connection, written, body)
        return None

    def _leave_answer(self) -> None:
        """Let go of an answer that is not to be passed on."""
        self._keeping = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _dial(self, upstream: Upstream, head: bytes, body: bytes) -> moves.Input | None:
        pool = self._conductor.pool
        try:
            connection = await pool.dial(upstream, pool.origin(upstream.base_for(self._head.dialect)))
        except UpstreamError as error:
            return moves.UpstreamFailed(time.monotonic(), error.problem, error.detail)
        self._hand_over(connection, head, body)
        return None

    def _hand_over(self, connection: UpstreamConnection, head: bytes, body: bytes) -> None:
        self._connection = connection
        self._waits.head = time.monotonic()
        connection.send(self, head, body, bodiless=self._head.method == "HEAD")
        if self._line.paused:
            connection.pause()

    def answered(self, answer: Answer) -> None:
        """Take the provider's head, and pass it on if that is what the machine says."""
        self._waits.head = 0.0
        self._sent = None
        conductor, state = self._conductor, self._state
        if self._upstream is not None and state is not None:
            conductor.health_book.answered(self._upstream.name, answer.fields, state.session)
        kind = answer.fields.get("content-type")
        self._meter = meter_for(self._head.dialect, kind, answer.fields.get("content-encoding"))
        self._answer, self._holding = answer, True
        self.go_on(moves.HeadCame(time.monotonic(), answer.status, kind))

    def _collect(self, _output: moves.Collect) -> None:
        self._keep("refusal")

    def _hold_back(self, _output: moves.HoldBack) -> moves.Input | None:
        answer = self._keep("beginning")
        if answer.fields.get("content-encoding", "identity") != "identity":
            return moves.Released(time.monotonic())  # it cannot be read
        return None

    def _keep(self, what: Literal["refusal", "beginning"]) -> Answer:
        if self._answer is None:
            raise RuntimeError("nothing to keep")
        key = "" if self._upstream is None or self._upstream.key is None else self._upstream.key.reveal()
        self._keeping = Keeping(what, self._head.dialect, self._answer, time.monotonic(), key)
        return self._answer

    def _relay(self, output: moves.Relay) -> moves.Input | None:
        """Write the provider's head, with the framing that this caller understands, and what was kept of its body."""
        answer, kept = self._answer, self._keeping
        if answer is None:
            raise RuntimeError("nothing to relay")
        self._payload.let_go()
        passthrough = self._upstream is not None and self._upstream.passthrough
        pairs = answer_fields(answer.fields, passthrough=passthrough)
        pairs += output.own
        self._delivery.begin(answer.status, answer.reason, pairs, length_known="content-length" in answer.fields)
        self._waits.more = time.monotonic()
        return None if kept is None else self._pass_on_kept(kept)

    def _pass_on_kept(self, kept: Keeping) -> moves.Input | None:
        self._keeping, self._holding = None, False
        if body := kept.body:
            self._perform_first_byte()
            self._delivery.add(body)
        if kept.last != "ended":
            return None
        self._waits.more = 0.0
        return moves.Ended(time.monotonic(), self._delivery.sent, self._meter.reading())

    def came(self, body: bytes, *, ended: bool) -> None:
        """Pass on what came of the answer, and end it."""
        self._waits.stirred, self._holding = True, False
        if self._keeping is not None:
            self._came_to_keep(self._keeping, body, ended=ended)
            return
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
            self._waits.more = 0.0
            self.go_on(moves.Ended(time.monotonic(), self._delivery.sent, self._meter.reading()))
        else:
            self.settle()

    def _came_to_keep(self, keeping: Keeping, body: bytes, *, ended: bool) -> None:
        if ended:
            self._connection = None
        self._meter.feed(body)
        self.go_on(keeping.take(body, time.monotonic(), ended=ended))

    def failed(self, problem: moves.Problem | Literal["stale"]) -> None:
        """Tell the machine that the provider broke off."""
        self._connection, self._holding = None, False
        at, upstream, sent = time.monotonic(), self._upstream, self._sent
        if problem == "stale":
            if sent is not None and at - self._waits.head <= limits.STALE:
                self._waits.head = 0.0
                self.wait(self._dial(*sent))
                return
            problem = "cut"
        detail = "" if upstream is None else f"at {upstream.shown}"
        if self._keeping is not None:
            self.go_on(self._keeping.cut("cut", detail, at))
        elif self._waits.more:
            self._give_out("cut", "")
        else:
            self._give_out(problem, detail)

    def _give_up(self, problem: moves.Problem, seconds: float) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._give_out(problem, f"{seconds:g} s")

    def _give_out(self, problem: moves.Problem, detail: str) -> None:
        self._waits.end()
        self.go_on(moves.UpstreamFailed(time.monotonic(), problem, detail, self._delivery.sent, self._meter.reading()))

    def _perform_first_byte(self) -> None:
        for output in self.step(moves.FirstByte(time.monotonic())):
            if isinstance(output, moves.Publish):
                self.publish(output)


Performance.DO = {
    moves.Publish: Performance.publish,
    moves.Identify: Performance._identify,  # noqa: SLF001 - its own moves
    moves.ReadBody: Performance._read_body,  # noqa: SLF001
    moves.Rewrite: Performance._rewrite,  # noqa: SLF001
    moves.Send: Performance._send,  # noqa: SLF001
    moves.Collect: Performance._collect,  # noqa: SLF001
    moves.HoldBack: Performance._hold_back,  # noqa: SLF001
    moves.Observe: Performance.observe,
    moves.Own: Performance.own,
    moves.Relay: Performance._relay,  # noqa: SLF001
    moves.Finish: Performance._finish,  # noqa: SLF001
    moves.Answer: Performance._answer_ourselves,  # noqa: SLF001
    moves.Break: Performance._break,  # noqa: SLF001
}
