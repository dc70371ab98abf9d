"""OpenAI's chat completions: how their bodies are read and replies are said. Pure.

Spoken by opencode and qwen-code among others. Format: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from actors.echo.bodies import (
    OTHER,
    Said,
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

_FINISH: Final = {"max_output_tokens": "length", "max_tokens": "length"}


def read_chat(body: bytes, headers: Mapping[str, str]) -> tuple[Asked, ChatCompletions]:
    """Read a request; ``headers`` have lower-case names.

    Raises:
        BodyError: not JSON, or a field of the wrong type.

    """
    document = read_object(body)
    messages = objects(document, "messages")
    schema = inner(document, "response_format", "json_schema", "schema") or None
    turn = last_turn(map(_said, reversed(messages)))
    session = headers.get("x-session-id", "")
    tools = [inner(tool, "function") for tool in typed(document, "tools", list, ())]
    asked = Asked(
        model=typed(document, "model", str, ""),
        stream=typed(document, "stream", bool, default=False),
        kind="title" if asks_for_title(schema) else "turn",
        text=turn.text,
        answered=turn.answered,
        tool_output=turn.output,
        shell=shell_among((tool.get("name"), tool.get("parameters")) for tool in tools),
        schema=schema,
        cache_key=typed(document, "prompt_cache_key", str, "") or session,
        session=session,
        input_tokens=count_tokens(*_texts(messages)),
    )
    return asked, ChatCompletions(usage_wanted=bool(inner(document, "stream_options").get("include_usage")))


def _said(message: dict[str, Any]) -> Said:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        return Said("tool", text_of(content))
    return Said("user", own_text(content)) if role == "user" else OTHER


def _texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        yield text_of(message.get("content"))
        for call in message.get("tool_calls") or ():
            yield str(inner(call, "function").get("arguments", ""))


class ChatCompletions:
    """Says replies in this dialect; a stream ends with its usage only if the request wants it."""

    name = "openai.chat"
    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, *, usage_wanted: bool = False) -> None:
        self._usage_wanted = usage_wanted

    def response_id(self, reply: Reply) -> str:
        """Return the id by which a reply goes."""
        return f"chatcmpl-{reply.moment.seed}"

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply as chunks, closed by ``[DONE]`` unless it fails."""
        yield _frame(_chunk(reply, {"role": "assistant", "content": ""}))
        for delta in reply.deltas:
            yield _frame(_chunk(reply, {"content": delta}), paced=True)
        if reply.tool is not None:
            call = {"index": 0, **_call(reply)}
            yield _frame(_chunk(reply, {"tool_calls": [call]}), paced=True)
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            yield _frame(_error(outcome.code, "server_error", outcome.message))
            return
        yield _frame(_chunk(reply, {}, finish=_finish(reply)))
        if self._usage_wanted and reply.usage is not None:
            yield _frame({**_chunk(reply, {}), "choices": [], "usage": _usage(reply.usage)})
        yield Frame(b"data: [DONE]\n\n")

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document; failures are a status here, as in the real API."""
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            return 500, self.error(500, code=outcome.code, kind="server_error", message=outcome.message)
        message: dict[str, Any] = {"role": "assistant", "content": reply.text if reply.tool is None else None, "refusal": None}
        if reply.tool is not None:
            message["tool_calls"] = [_call(reply)]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
        usage = {} if reply.usage is None else {"usage": _usage(reply.usage)}
        return 200, orjson.dumps({**_head(reply, "chat.completion"), "choices": [choice], **usage})

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:  # noqa: ARG002  # other dialects need it
        """Say an error as the body of a status."""
        return orjson.dumps(_error(code, kind, message))


def _frame(event: dict[str, Any], *, paced: bool = False) -> Frame:
    return Frame(b"data: %s\n\n" % orjson.dumps(event), paced)


def _error(code: str, kind: str, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code or None}}


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{reply.moment.seed}", "object": kind, "created": reply.moment.created, "model": reply.model}


def _chunk(reply: Reply, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_head(reply, "chat.completion.chunk"), "choices": [choice]}


def _call(reply: Reply) -> dict[str, Any]:
    if reply.tool is None:
        return {}
    function = {"name": reply.tool.name, "arguments": reply.tool.arguments}
    return {"id": f"call_{reply.moment.seed}", "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    if reply.outcome.kind == "incomplete":
        return _FINISH.get(reply.outcome.code, reply.outcome.code)
    return "stop" if reply.tool is None else "tool_calls"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
