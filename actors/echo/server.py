"""The echo server's sockets: routes, the control address, records. It decides nothing about a reply.

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

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from typing import Any

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler

from actors.echo.auggie import ASIDES, Auggie, read_auggie
from actors.echo.bodies import BodyError
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
from schemas.codec import encode
from schemas.launch import redact_token

LOOPBACK = "127.0.0.1"
MAX_BODY = 64 * 1024 * 1024
READ_SECONDS = 60.0
MAX_POLL_SECONDS = 60.0
_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_SERVED = (
    "POST /v1/responses, /v1/chat/completions, /v1/messages, /v1/messages/count_tokens, /v1beta/models/MODEL:METHOD, "
    "/auggie/chat-stream; GET /v1/models, /v1beta/models; POST /control/next, GET /control/requests, DELETE /control"
)
_Read = Callable[[bytes, Mapping[str, str]], tuple[Asked, Dialect]]
_NUMBER = web.RequestKey("number", int)


class PortError(RuntimeError):
    """The port cannot be had."""


@asynccontextmanager
async def serving(port: int) -> AsyncIterator[int]:
    """Serve on loopback while the context is open; gives the port, which matters when 0 was asked for.

    Raises:
        PortError: the port cannot be had; the message says what to do.

    """
    runner = web.AppRunner(
        EchoServer().application(),
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        shutdown_timeout=0.5,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, LOOPBACK, port).start()
        except OSError as error:
            raise PortError(f"{LOOPBACK}:{port}: {error.strerror}; end what listens there, or set [echo] port") from error
        yield runner.addresses[0][1]
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(3.0):
            await runner.cleanup()


class EchoServer:
    """One server's routes over one set of exchanges."""

    def __init__(self) -> None:
        self._exchanges = Exchanges()
        self._changed = anyio.Event()

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        application = web.Application(client_max_size=MAX_BODY, middlewares=[self._admit])
        application.router.add_post("/v1/responses", self._create_response)
        application.router.add_get("/v1/responses", self._refuse_upgrade)
        application.router.add_post("/v1/chat/completions", self._create_completion)
        application.router.add_post("/v1/messages", self._create_message)
        application.router.add_post("/v1/messages/count_tokens", self._count_message)
        application.router.add_post("/v1beta/models/{model}:{method}", self._generate)
        application.router.add_get("/v1/models", self._list_models)
        application.router.add_get("/v1/models/{model}", self._show_model)
        application.router.add_get("/v1beta/models", self._list_gemini_models)
        application.router.add_get("/v1beta/models/{model}", self._show_gemini_model)
        application.router.add_post("/auggie/{call:.+}", self._auggie)
        application.router.add_post("/control/next", self._queue_modes)
        application.router.add_get("/control/requests", self._show_exchanges)
        application.router.add_delete("/control", self._clear)
        application.router.add_route("*", "/{any:.*}", self._unknown)
        return application

    # ------------------------------------------------------------------------------------------------ every request

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/control"):
            return self._stranger(request) or await handler(request)
        number = self._exchanges.begin(
            received=time.time(),
            method=request.method,
            path=redact_token(request.path),
            query=request.query_string,
            headers=request.headers.items(),
        )
        request[_NUMBER] = number
        begun = time.monotonic()
        self._announce()
        try:
            response = self._stranger(request) or await handler(request)
        except (anyio.get_cancelled_exc_class(), ConnectionError):
            self._note(number, state="cancelled", cancelled=True, elapsed=time.monotonic() - begun)
            raise
        self._note_end(number, response, time.monotonic() - begun)
        return response

    def _stranger(self, request: web.Request) -> web.Response | None:
        """Refuse what a web page could send."""
        host = request.headers.get("host", "")
        if not _HOST.fullmatch(host):
            return self._refusal(403, "host_refused", f"Host {host!r} is not this machine's loopback; use {LOOPBACK}")
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            return self._refusal(403, "origin_refused", "web pages may not call the echo server")
        return None

    def _refusal(self, status: int, code: str, message: str, dialect: Dialect | None = None) -> web.Response:
        body = (dialect or Responses()).error(status, code=code, kind="invalid_request_error", message=message)
        return web.Response(status=status, body=body, content_type="application/json")

    def _note(self, number: int, **changes: Any) -> None:
        self._exchanges.note(number, **changes)
        self._announce()

    def _note_end(self, number: int, response: web.StreamResponse, elapsed: float) -> None:
        """Record how an exchange ended, unless playing it has said so already."""
        for exchange in self._exchanges.after(number - 1)[:1]:
            if exchange.number == number and exchange.state == "open":
                state = "completed" if response.status < 400 else "refused"  # noqa: PLR2004  # HTTP's own line
                self._exchanges.note(number, state=state, status=response.status)
        self._note(number, elapsed=elapsed)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # ------------------------------------------------------------------------------------------------ /v1

    async def _create_response(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, Responses(), read_responses)

    async def _create_completion(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, ChatCompletions(), read_chat)

    async def _create_message(self, request: web.Request) -> web.StreamResponse:
        return await self._reply(request, Messages(), read_messages)

    async def _count_message(self, request: web.Request) -> web.StreamResponse:
        return await self._count(request, Messages(), read_messages, "input_tokens")

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        model, method = request.match_info["model"], request.match_info["method"]
        streaming = method == "streamGenerateContent"

        def read(body: bytes, headers: Mapping[str, str]) -> tuple[Asked, Dialect]:
            return read_generate(body, headers, model, stream=streaming)

        if method == "countTokens":
            return await self._count(request, GenerateContent(), read, "totalTokens")
        if streaming and request.query.get("alt") != "sse":
            return self._refusal(400, "", "only alt=sse is streamed here; add it to the query", GenerateContent())
        if method not in ("generateContent", "streamGenerateContent"):
            return await self._unknown(request)
        return await self._reply(request, GenerateContent(), read)

    async def _asked(self, request: web.Request, dialect: Dialect, read: _Read) -> tuple[Asked, Dialect] | web.Response:
        """Read a request, or refuse it in its dialect."""
        try:
            body = await self._body(request, request[_NUMBER])
            return read(body, {name.lower(): value for name, value in request.headers.items()})
        except TimeoutError:
            return self._refusal(408, "body_timeout", f"the body did not arrive within {READ_SECONDS:.0f} s", dialect)
        except CodingError as error:
            status = 413 if error.too_large else 415 if error.unsupported else 400
            return self._refusal(status, "content_encoding", str(error), dialect)
        except BodyError as error:
            return self._refusal(400, "invalid_body", str(error), dialect)

    async def _count(self, request: web.Request, dialect: Dialect, read: _Read, name: str) -> web.StreamResponse:
        told = await self._asked(request, dialect, read)
        return told if isinstance(told, web.Response) else _json({name: told[0].input_tokens})

    async def _reply(self, request: web.Request, dialect: Dialect, read: _Read) -> web.StreamResponse:
        number = request[_NUMBER]
        told = await self._asked(request, dialect, read)
        if isinstance(told, web.Response):
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
            response = await play(request, script, sent)
        whole = script.end is End.CLEAN and mode.fault is None
        self._note(number, state="completed" if whole else "faulted")
        if whole and replying and reply.outcome.kind == "completed":
            self._exchanges.remember_input(asked.cache_key, asked.input_tokens)
        return response

    async def _body(self, request: web.Request, number: int) -> bytes:
        with anyio.fail_after(READ_SECONDS):
            body = await request.read()
        self._note(number, body_sha256=sha256(body).hexdigest(), body_bytes=len(body))
        decoded = decode_body(body, request.headers.get("content-encoding", ""))
        self._note(number, decoded_bytes=len(decoded))
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

    async def _refuse_upgrade(self, request: web.Request) -> web.Response:
        if request.headers.get("upgrade", "").lower() != "websocket":
            return self._refusal(405, "method_not_allowed", "GET /v1/responses is only a websocket's upgrade; use POST")
        response = self._refusal(426, "upgrade_refused", "websockets are not served here; use POST /v1/responses")
        response.headers["upgrade"] = "HTTP/1.1"
        return response

    async def _auggie(self, request: web.Request) -> web.StreamResponse:
        call = request.match_info["call"]
        if call in ("chat-stream", "prompt-enhancer"):
            return await self._reply(request, Auggie(), read_auggie)
        if call == "get-models":
            return _json(auggie_models())
        if call in ASIDES:
            return _json(ASIDES[call])
        return self._refusal(404, "not_found", f"POST /auggie/{call} is not served here", Auggie())

    async def _list_models(self, request: web.Request) -> web.Response:
        if "client_version" in request.query:
            return _json(codex_models())
        return _json(anthropic_models() if "anthropic-version" in request.headers else openai_models())

    async def _show_model(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        if model not in MODELS:
            return await self._unknown(request)
        return _json(anthropic_model(model) if "anthropic-version" in request.headers else openai_model(model))

    async def _list_gemini_models(self, _request: web.Request) -> web.Response:
        return _json(gemini_models())

    async def _show_gemini_model(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        return _json(gemini_model(model)) if model in MODELS else await self._unknown(request)

    async def _unknown(self, request: web.Request) -> web.Response:
        where = f"{request.method} {redact_token(request.path)}"
        return self._refusal(404, "not_found", f"{where} is not served here; known: {_SERVED}")

    # ------------------------------------------------------------------------------------------------ /control

    async def _queue_modes(self, request: web.Request) -> web.Response:
        try:
            with anyio.fail_after(READ_SECONDS):
                self._exchanges.add(parse_next(await request.read()))
        except TimeoutError:
            return self._refusal(408, "body_timeout", f"the body did not arrive within {READ_SECONDS:.0f} s")
        except ModeError as error:
            return self._refusal(400, "echo_mode", str(error))
        return _json({"waiting": self._exchanges.waiting})

    async def _show_exchanges(self, request: web.Request) -> web.Response:
        try:
            after, count = (int(request.query.get(name, "0")) for name in ("after", "count"))
            wait = float(request.query.get("wait", "0"))
        except ValueError as error:
            return self._refusal(400, "echo_query", f"after and count are whole numbers, wait is seconds: {error}")
        if not 0 <= wait <= MAX_POLL_SECONDS:
            return self._refusal(400, "echo_query", f"wait: expected 0 to {MAX_POLL_SECONDS:.0f} seconds, got {wait}")
        finished = request.query.get("finished", "") in ("1", "yes")
        with anyio.move_on_after(wait):
            while len(self._exchanges.after(after, finished=finished)) < count:
                await self._changed.wait()
        found = self._exchanges.after(after, finished=finished)
        return _json({"last": self._exchanges.last, "waiting": self._exchanges.waiting, "requests": found})

    async def _clear(self, _request: web.Request) -> web.Response:
        self._exchanges.clear()
        return _json({"last": self._exchanges.last})


def _json(document: Any) -> web.Response:
    return web.Response(body=encode(document), content_type="application/json")
