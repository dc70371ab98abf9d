"""Anthropic's Messages: how their bodies are read and replies are said. Pure.

Claude Code's own habits that are read here: the user's text is the last user message's text that is no system reminder; tool
results come as user messages; the session is a header, and a sub-agent's requests name their agent beside it.
Format: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from actors.echo.bodies import (
    Said,
    arguments_of,
    asks_for_title,
    inner,
    last_turn,
    objects,
    own_text,
    read_object,
    shell_among,
    text_of,
    typed,
)
from actors.echo.plan import Asked, Frame, Reply, count_tokens
from schemas.events import Usage

_STOP: Final = {"max_output_tokens": "max_tokens"}
_KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_GENERIC: Final = ("server_error", "invalid_request_error")


def read_messages(body: bytes, headers: Mapping[str, str]) -> tuple[Asked, Messages]:
    """Read a request; ``headers`` have lower-case names.

    Raises:
        BodyError: not JSON, or a field of the wrong type.

    """
    document = read_object(body)
    messages = objects(document, "messages")
    schema = inner(document, "output_config", "format", "schema") or None
    turn = last_turn(said for message in reversed(messages) for said in _said(message))
    session = headers.get("x-claude-code-session-id", "")
    tools = (tool for tool in typed(document, "tools", list, ()) if isinstance(tool, dict))
    asked = Asked(
        model=typed(document, "model", str, ""),
        stream=typed(document, "stream", bool, default=False),
        kind="title" if asks_for_title(schema) else "turn",
        text=turn.text,
        answered=turn.answered,
        tool_output=turn.output,
        shell=shell_among((tool.get("name"), tool.get("input_schema")) for tool in tools),
        schema=schema,
        cache_key=session,
        session=session,
        thread=headers.get("x-claude-code-agent-id", "") or session,
        input_tokens=count_tokens(text_of(document.get("system")), *_texts(messages)),
    )
    return asked, Messages()


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _said(message: dict[str, Any]) -> list[Said]:
    """Return what a message says, from its end on; results of tools come as the user's, and what stands beside them is not."""
    if message.get("role") != "user":
        return []
    parts = _parts(message)
    results = [Said("tool", text_of(part.get("content"))) for part in reversed(parts) if part.get("type") == "tool_result"]
    return results or [Said("user", own_text([part for part in parts if part.get("type") == "text"]))]


def _texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        for part in _parts(message):
            if part.get("type") == "tool_use":
                yield orjson.dumps(part.get("input")).decode()
            else:
                yield text_of(part.get("content")) or str(part.get("text", ""))


class Messages:
    """Says replies in this dialect."""

    name = "anthropic.messages"
    content_type = "text/event-stream; charset=utf-8"

    def response_id(self, reply: Reply) -> str:
        """Return the id by which a reply goes."""
        return f"msg_{reply.moment.seed}"

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply as the event sequence of the real API."""
        for type_, fields, paced in _events(reply):
            yield Frame(b"event: %s\ndata: %s\n\n" % (type_.encode(), orjson.dumps({"type": type_, **fields})), paced)

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document; failures are a status here, as in the real API."""
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            return 500, self.error(500, code=outcome.code, kind="server_error", message=outcome.message)
        content = [_block(reply, whole=True)] if reply.tool is not None or reply.deltas else []
        usage = {} if reply.usage is None else {"usage": {**_input(reply.usage), "output_tokens": reply.usage.output}}
        return 200, orjson.dumps({**_message(reply), "content": content, "stop_reason": _stop(reply), **usage})

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:
        """Say an error as the body of a status; this dialect has one word for what others call type and code."""
        word = kind if kind not in _GENERIC else code or _KINDS.get(status, "api_error")
        return orjson.dumps({"type": "error", "error": {"type": word, "message": message}})


_Event = tuple[str, dict[str, Any], bool]


def _events(reply: Reply) -> Iterator[_Event]:
    usage = {} if reply.usage is None else {"usage": {**_input(reply.usage), "output_tokens": 1}}
    yield "message_start", {"message": {**_message(reply), **usage}}, False
    if reply.tool is not None or reply.deltas:
        yield "content_block_start", {"index": 0, "content_block": _block(reply, whole=False)}, False
        yield "ping", {}, False
        for delta in _deltas(reply):
            yield "content_block_delta", {"index": 0, "delta": delta}, True
    outcome = reply.outcome
    if outcome.kind in ("failed", "error"):
        yield "error", {"error": {"type": outcome.code, "message": outcome.message}}, False
        return
    if reply.tool is not None or reply.deltas:
        yield "content_block_stop", {"index": 0}, False
    spent = {} if reply.usage is None else {"usage": {"output_tokens": reply.usage.output}}
    yield "message_delta", {"delta": {"stop_reason": _stop(reply), "stop_sequence": None}, **spent}, False
    yield "message_stop", {}, False


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    if reply.tool is not None:
        yield {"type": "input_json_delta", "partial_json": reply.tool.arguments}
    for delta in reply.deltas:
        yield {"type": "text_delta", "text": delta}


def _message(reply: Reply) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.moment.seed}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _block(reply: Reply, *, whole: bool) -> dict[str, Any]:
    if reply.tool is None:
        return {"type": "text", "text": reply.text if whole else ""}
    said = arguments_of(reply.tool.arguments) if whole else {}
    return {"type": "tool_use", "id": f"toolu_{reply.moment.seed}", "name": reply.tool.name, "input": said}


def _stop(reply: Reply) -> str:
    if reply.outcome.kind == "incomplete":
        return _STOP.get(reply.outcome.code, reply.outcome.code)
    return "end_turn" if reply.tool is None else "tool_use"


def _input(usage: Usage) -> dict[str, Any]:
    """Count input as this API does: what came from the cache is told beside it, not within."""
    return {
        "input_tokens": usage.input - usage.cached_input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_input,
    }
