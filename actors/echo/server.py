"""The echo server's routes: what each address answers, the control address, records. It decides nothing about a reply.

Loopback only, and never for web pages: a request with an ``Origin``, or with a ``Host`` that is not loopback, is refused.

Addresses: ``POST /v1/responses``, ``/v1/chat/completions``, ``/v1/messages`` (and its ``count_tokens``),
``/v1beta/models/MODEL:generateContent`` (and ``streamGenerateContent``, ``countTokens``), ``GET /v1/models`` (always OpenAI's
list: Codex's own catalogue is 745 KB, it logs that it cannot read this one and goes on), and for tests

``POST /control/next``     queue modes, one object or a list: ``{"mode": "status=503" or {"status": 503}, "session": id,
                           "kind": "turn" | "title" | "compaction" | "any", "count": 1}``; they win over directives
``GET /control/requests``  what was received, oldest first: ``?after=N`` newer ones, ``finished=1`` only those that are
                           over; with ``count=K&wait=SECONDS`` the answer waits until there are K
``DELETE /control``        forget modes, records and cache keys
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any, Final

import anyio
import anyio.lowlevel

from actors.echo.auggie import ASIDES, Auggie, read_auggie
from actors.echo.bodies import BodyError
from actors.echo.call import Answer, Call, UnreadError
from actors.echo.chat import ChatCompletions, read_chat
from actors.echo.coding import CodingError, decode_body
from actors.echo.control import parse_next
from actors.echo.directive import mode_of_request, obey_directives
from actors.echo.exchanges import Exchanges, ModeSource
from actors.echo.generate import GenerateContent, read_generate
from actors.echo.messages import Messages, read_messages
from actors.echo.mode import Mode, ModeError, show_mode
from actors.echo.models import (
    MODELS,
    anthropic_model,
    anthropic_models,
    auggie_models,
    codex_models,
    gemini_model,
    gemini_models,
    openai_model,
    openai_models,
)
from actors.echo.plan import Asked, Chunk, Dialect, End, Moment, plan_reply, plan_script
from actors.echo.player import play
from actors.echo.responses import Responses, read_responses
from actors.runtime.http import bounds
from actors.runtime.http.intake import Request
from actors.runtime.http.line import Line, Lines
from schemas.codec import encode
from schemas.launch import redact_token

LOOPBACK: Final = "127.0.0.1"
MAX_POLL_SECONDS: Final = 60.0
_BACKLOG: Final = 128
_GRACE: Final = 0.5
_LOG: Final = logging.getLogger("actors.echo")
_HOST: Final = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_SERVED: Final = (
    "POST /v1/responses, /v1/chat/completions, /v1/messages, /v1/messages/count_tokens, /v1beta/models/MODEL:METHOD, "
    "/auggie/chat-stream; GET /v1/models, /v1beta/models; POST /control/next, GET /control/requests, DELETE /control"
)
_Read = Callable[[bytes, Mapping[str, str]], tuple[Asked, Dialect]]
_Route = Callable[..., Awaitable[Answer | None]]  # with what the path names; None: the answer is written


class PortError(RuntimeError):
    """The port cannot be had."""


@asynccontextmanager
async def serving(port: int, log: Any = _LOG) -> AsyncIterator[int]:
    """Serve on loopback while the context is open; gives the port, which matters when 0 was asked for.

    Raises:
        PortError: the port cannot be had; the message says what to do.

    """
    lines = Lines(Line, EchoServer().perform, log, grace=_GRACE)
    try:
        listener = await asyncio.get_running_loop().create_server(lines, LOOPBACK, port, backlog=_BACKLOG)
    except OSError as error:
        raise PortError(f"{LOOPBACK}:{port}: {error.strerror}; end what listens there, or set [echo] port") from error
    sweeping = asyncio.create_task(_sweep(lines))
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        with anyio.CancelScope(shield=True):
            await lines.close()
            sweeping.cancel()
            await anyio.lowlevel.checkpoint()  # so that what was cut is recorded and closed


async def _sweep(lines: Lines[Line]) -> None:
    """Compare deadlines with the clock, a few times a second."""
    while True:
        await anyio.sleep(bounds.SWEEP)
        lines.sweep(lines.time())


class EchoServer:
    """One server's routes over one set of exchanges."""

    def __init__(self) -> None:
        self._exchanges = Exchanges()
        self._changed = anyio.Event()
        routes: tuple[tuple[str, str, _Route], ...] = (
            ("POST", "/v1/responses", self._create_response),
            ("GET", "/v1/responses", self._refuse_upgrade),
            ("POST", "/v1/chat/completions", self._create_completion),
            ("POST", "/v1/messages", self._create_message),
            ("POST", "/v1/messages/count_tokens", self._count_message),
            ("POST", "/v1beta/models/(.+):([^/:]+)", self._generate),
            ("GET", "/v1/models", self._list_models),
            ("GET", "/v1/models/(.+)", self._show_model),
            ("GET", "/v1beta/models", self._list_gemini_models),
            ("GET", "/v1beta/models/(.+)", self._show_gemini_model),
            ("POST", "/auggie/(.+)", self._auggie),
            ("POST", "/control/next", self._queue_modes),
            ("GET", "/control/requests", self._show_exchanges),
            ("DELETE", "/control", self._clear),
        )
        self._routes = tuple((method, re.compile(path), route) for method, path, route in routes)

    # ------------------------------------------------------------------------------------------------ every request

    def perform(self, line: Line, request: Request) -> Call:
        """Begin to answer a request."""
        return Call(line, request, self._admit)

    async def _admit(self, call: Call) -> None:
        if call.path.startswith("/control"):
            if (answer := await self._answer(call)) is not None:
                call.answer(answer)
            return
        number = call.number = self._exchanges.begin(
            received=time.time(),
            method=call.method,
            path=redact_token(call.path),
            query=call.query_text,
            headers=call.fields.items(),
        )
        begun = time.monotonic()
        self._announce()
        try:
            answer = await self._answer(call)
        except anyio.get_cancelled_exc_class():
            self._note(number, state="cancelled", cancelled=True, elapsed=time.monotonic() - begun)
            raise
        except Exception:
            self._note(number, state="faulted", elapsed=time.monotonic() - begun)
            raise
        if answer is not None:
            state = "completed" if answer.status < 400 else "refused"  # noqa: PLR2004  # HTTP's own line
            self._exchanges.note(number, state=state, status=answer.status)
            call.answer(answer)
        self._note(number, elapsed=time.monotonic() - begun)

    async def _answer(self, call: Call) -> Answer | None:
        """Find an answer, unless it is written already."""
        if (refusal := self._stranger(call)) is not None:
            return refusal
        method = "GET" if call.method == "HEAD" else call.method
        try:
            for served, path, route in self._routes:
                if served == method and (found := path.fullmatch(call.path)):
                    return await route(call, *found.groups())
        except UnreadError as error:
            return self._refusal(error.status, error.code, str(error))
        return self._unknown(call)

    def _stranger(self, call: Call) -> Answer | None:
        """Refuse what a web page could send."""
        host = call.fields.get("host")
        if not _HOST.fullmatch(host):
            return self._refusal(403, "host_refused", f"Host {host!r} is not this machine's loopback; use {LOOPBACK}")
        if "origin" in call.fields or "sec-fetch-site" in call.fields:
            return self._refusal(403, "origin_refused", "web pages may not call the echo server")
        return None

    def _refusal(self, status: int, code: str, message: str, dialect: Dialect | None = None) -> Answer:
        return Answer(status, (dialect or Responses()).error(status, code=code, kind="invalid_request_error", message=message))

    def _unknown(self, call: Call) -> Answer:
        where = f"{call.method} {redact_token(call.path)}"
        return self._refusal(404, "not_found", f"{where} is not served here; known: {_SERVED}")

    def _note(self, number: int, **changes: Any) -> None:
        self._exchanges.note(number, **changes)
        self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # ------------------------------------------------------------------------------------------------ /v1

    async def _create_response(self, call: Call) -> Answer | None:
        return await self._reply(call, Responses(), read_responses)

    async def _create_completion(self, call: Call) -> Answer | None:
        return await self._reply(call, ChatCompletions(), read_chat)

    async def _create_message(self, call: Call) -> Answer | None:
        return await self._reply(call, Messages(), read_messages)

    async def _count_message(self, call: Call) -> Answer:
        return await self._count(call, Messages(), read_messages, "input_tokens")

    async def _generate(self, call: Call, model: str, method: str) -> Answer | None:
        streaming = method == "streamGenerateContent"

        def read(body: bytes, headers: Mapping[str, str]) -> tuple[Asked, Dialect]:
            return read_generate(body, headers, model, stream=streaming)

        if method == "countTokens":
            return await self._count(call, GenerateContent(), read, "totalTokens")
        if streaming and call.query.get("alt") != "sse":
            return self._refusal(400, "", "only alt=sse is streamed here; add it to the query", GenerateContent())
        if method not in ("generateContent", "streamGenerateContent"):
            return self._unknown(call)
        return await self._reply(call, GenerateContent(), read)

    async def _asked(self, call: Call, dialect: Dialect, read: _Read) -> tuple[Asked, Dialect] | Answer:
        """Read a request, or refuse it in its dialect."""
        try:
            body = await self._body(call)
            return read(body, {name.lower(): value for name, value in call.fields.items()})
        except UnreadError as error:
            return self._refusal(error.status, error.code, str(error), dialect)
        except CodingError as error:
            status = 413 if error.too_large else 415 if error.unsupported else 400
            return self._refusal(status, "content_encoding", str(error), dialect)
        except BodyError as error:
            return self._refusal(400, "invalid_body", str(error), dialect)

    async def _count(self, call: Call, dialect: Dialect, read: _Read, name: str) -> Answer:
        told = await self._asked(call, dialect, read)
        return told if isinstance(told, Answer) else _json({name: told[0].input_tokens})

    async def _reply(self, call: Call, dialect: Dialect, read: _Read) -> Answer | None:
        number = call.number
        told = await self._asked(call, dialect, read)
        if isinstance(told, Answer):
            return told
        asked, dialect = told
        try:
            asked, mode, source = self._choose(asked)
            moment = Moment(secrets.token_hex(16), int(time.time()), self._exchanges.cached_input(asked.cache_key))
            reply = plan_reply(asked, mode, moment)
            script = plan_script(dialect, asked, mode, reply)
        except ModeError as error:
            return self._refusal(400, "echo_directive", str(error), dialect)
        replying = mode.status is None and script.head
        self._note(
            number,
            dialect=dialect.name,
            kind=asked.kind,
            model=asked.model,
            stream=asked.stream,
            session=asked.session,
            thread=asked.thread,
            cache_key=asked.cache_key,
            mode=show_mode(mode),
            mode_source=source,
            status=script.status if script.head else None,
            response_id=dialect.response_id(reply) if replying else "",
            usage=reply.usage if replying else None,
        )
        with self._counting(number) as sent:
            await play(call, script, sent)
        whole = script.end is End.CLEAN and mode.fault is None
        self._note(number, state="completed" if whole else "faulted")
        if whole and replying and reply.outcome.kind == "completed":
            self._exchanges.remember_input(asked.cache_key, asked.input_tokens)
        return None

    async def _body(self, call: Call) -> bytes:
        body = await call.body()
        decoded = decode_body(body, call.fields.get("content-encoding"))
        self._note(call.number, body_sha256=sha256(body).hexdigest(), body_bytes=len(body), decoded_bytes=len(decoded))
        return decoded

    def _choose(self, asked: Asked) -> tuple[Asked, Mode, ModeSource]:
        """Find the mode of a request; a waiting one wins over directives.

        Raises:
            ModeError: a directive that cannot be played.

        """
        asked, modes = obey_directives(asked)
        if (waiting := self._exchanges.take(asked)) is not None:
            return asked, waiting, "control"
        return asked, mode_of_request(modes, asked.answered), "prompt" if modes else "default"

    @contextmanager
    def _counting(self, number: int) -> Iterator[Callable[[Chunk], None]]:
        """Record what was sent when playing is over, however it ends."""
        events = size = 0

        def sent(chunk: Chunk) -> None:
            nonlocal events, size
            events += chunk.events
            size += len(chunk.content)

        try:
            yield sent
        finally:
            self._note(number, events_sent=events, bytes_sent=size)

    async def _refuse_upgrade(self, call: Call) -> Answer:
        if call.fields.get("upgrade").lower() != "websocket":
            return self._refusal(405, "method_not_allowed", "GET /v1/responses is only a websocket's upgrade; use POST")
        refusal = self._refusal(426, "upgrade_refused", "websockets are not served here; use POST /v1/responses")
        return replace(refusal, fields=(("upgrade", "HTTP/1.1"),))

    async def _auggie(self, call: Call, name: str) -> Answer | None:
        if name in ("chat-stream", "prompt-enhancer"):
            return await self._reply(call, Auggie(), read_auggie)
        await call.body()  # nothing in it counts, but an answer before its end would end the connection
        if name == "get-models":
            return _json(auggie_models())
        if name in ASIDES:
            return _json(ASIDES[name])
        return self._refusal(404, "not_found", f"POST /auggie/{name} is not served here", Auggie())

    async def _list_models(self, call: Call) -> Answer:
        if "client_version" in call.query:
            return _json(codex_models())
        return _json(anthropic_models() if "anthropic-version" in call.fields else openai_models())

    async def _show_model(self, call: Call, model: str) -> Answer:
        if model not in MODELS:
            return self._unknown(call)
        return _json(anthropic_model(model) if "anthropic-version" in call.fields else openai_model(model))

    async def _list_gemini_models(self, _call: Call) -> Answer:
        return _json(gemini_models())

    async def _show_gemini_model(self, call: Call, model: str) -> Answer:
        return _json(gemini_model(model)) if model in MODELS else self._unknown(call)

    # ------------------------------------------------------------------------------------------------ /control

    async def _queue_modes(self, call: Call) -> Answer:
        try:
            self._exchanges.add(parse_next(await call.body()))
        except ModeError as error:
            return self._refusal(400, "echo_mode", str(error))
        return _json({"waiting": self._exchanges.waiting})

    async def _show_exchanges(self, call: Call) -> Answer:
        asked = call.query
        try:
            after, count = (int(asked.get(name, "0")) for name in ("after", "count"))
            wait = float(asked.get("wait", "0"))
        except ValueError as error:
            return self._refusal(400, "echo_query", f"after and count are whole numbers, wait is seconds: {error}")
        if not 0 <= wait <= MAX_POLL_SECONDS:
            return self._refusal(400, "echo_query", f"wait: expected 0 to {MAX_POLL_SECONDS:.0f} seconds, got {wait}")
        finished = asked.get("finished", "") in ("1", "yes")
        with anyio.move_on_after(wait):
            while len(self._exchanges.after(after, finished=finished)) < count:
                await self._changed.wait()
        found = self._exchanges.after(after, finished=finished)
        return _json({"last": self._exchanges.last, "waiting": self._exchanges.waiting, "requests": found})

    async def _clear(self, _call: Call) -> Answer:
        self._exchanges.clear()
        return _json({"last": self._exchanges.last})


def _json(document: Any) -> Answer:
    return Answer(200, encode(document))
