"""The OpenAI Responses dialect: how its bodies are read and its replies are said. Pure.

Codex's own habits that are read here: the user's text is the last ``user`` message that is not one of its contextual
blocks; a title request asks for a JSON schema with ``title``; a compaction is either an ordinary request with a fixed
prompt or one whose last item is ``compaction_trigger``; catalogued models bring ``additional_tools`` and run code instead
of calling functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from actors.echo.bodies import OTHER, Said, asks_for_title, inner, last_turn, objects, read_object, text_of, typed
from actors.echo.plan import Asked, Frame, Kind, Reply, count_tokens
from schemas.events import Usage

_CONTEXTUAL = ("<environment_context>", "<user_instructions>", "<subagent_notification>", "<turn_aborted>", "<skill>")
_COMPACTION_PROMPT = "CONTEXT CHECKPOINT COMPACTION"
_TITLE_PROMPT = "User prompt:\n"
_TOOL_OUTPUT_TEXT = "Output:\n"
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})


def read_responses(body: bytes, headers: Mapping[str, str]) -> tuple[Asked, Responses]:
    """Read a request; ``headers`` have lower-case names.

    Raises:
        BodyError: not JSON, or a field of the wrong type.

    """
    document = read_object(body)
    items = _items(document)
    schema = _schema(document)
    turn = last_turn(map(_said, reversed(items)))
    kind = _kind(items, schema, turn.text)
    metadata = inner(document, "client_metadata")
    asked = Asked(
        model=typed(document, "model", str, ""),
        stream=typed(document, "stream", bool, default=False),
        kind=kind,
        text=turn.text.partition(_TITLE_PROMPT)[2] or turn.text if kind == "title" else turn.text,
        answered=turn.answered,
        tool_output=turn.output,
        custom_tools=any(item.get("type") == "additional_tools" for item in items),
        compaction_item=bool(items) and items[-1].get("type") == "compaction_trigger",
        schema=schema,
        cache_key=typed(document, "prompt_cache_key", str, ""),
        session=headers.get("session-id", "") or str(metadata.get("session_id", "")),
        thread=headers.get("thread-id", "") or str(metadata.get("thread_id", "")),
        input_tokens=count_tokens(typed(document, "instructions", str, ""), *_texts(items)),
    )
    return asked, Responses()


def _items(document: dict[str, Any]) -> list[dict[str, Any]]:
    given = document.get("input")
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": given}]
    return objects(document, "input")


def _schema(document: dict[str, Any]) -> dict[str, Any] | None:
    form = inner(document, "text", "format")
    return inner(form, "schema") or None if form.get("type") == "json_schema" else None


def _texts(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        for name in ("content", "output", "arguments", "input", "encrypted_content"):
            if name in item:
                yield text_of(item[name])


def _said(item: dict[str, Any]) -> Said:
    kind = item.get("type", "message")
    if kind in _OUTPUTS:
        output = text_of(item.get("output"))
        return Said("tool", output.partition(_TOOL_OUTPUT_TEXT)[2] or output)
    if kind == "message" and item.get("role") == "user":
        text = text_of(item.get("content"))
        return OTHER if text.lstrip().startswith(_CONTEXTUAL) else Said("user", text)
    return OTHER


def _kind(items: list[dict[str, Any]], schema: dict[str, Any] | None, text: str) -> Kind:
    if items and items[-1].get("type") == "compaction_trigger":
        return "compaction"
    if _COMPACTION_PROMPT in text:
        return "compaction"
    return "title" if asks_for_title(schema) else "turn"


class Responses:
    """Says replies in this dialect."""

    name = "openai.responses"
    content_type = "text/event-stream; charset=utf-8"

    def response_id(self, reply: Reply) -> str:
        """Return the id by which a reply goes."""
        return f"resp_{reply.moment.seed}"

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply as the event sequence of the real API, numbered from 0."""
        for number, (type_, fields, paced) in enumerate(_events(reply)):
            event = orjson.dumps({"type": type_, "sequence_number": number, **fields})
            yield Frame(b"event: %s\ndata: %s\n\n" % (type_.encode(), event), paced)

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document; an error outcome is a status here, as in the real API."""
        if reply.outcome.kind == "error":
            return 500, self.error(500, code=reply.outcome.code, kind="server_error", message=reply.outcome.message)
        status = reply.outcome.kind
        return 200, orjson.dumps(_response(reply, status, [_item(reply, _done(reply))] if _has_item(reply) else []))

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:  # noqa: ARG002  # other dialects need it
        """Say an error as the body of a status."""
        return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code or None}})


_Event = tuple[str, dict[str, Any], bool]


def _events(reply: Reply) -> Iterator[_Event]:
    yield "response.created", {"response": _response(reply, "in_progress", [])}, False
    yield "response.in_progress", {"response": _response(reply, "in_progress", [])}, False
    output: list[dict[str, Any]] = []
    if _has_item(reply):
        item = _item(reply, _done(reply))
        output.append(item)
        yield "response.output_item.added", {"output_index": 0, "item": _item(reply, "in_progress")}, False
        yield from _tool_events(reply) if reply.tool else () if reply.compaction else _text_events(reply)
        yield "response.output_item.done", {"output_index": 0, "item": item}, False
    outcome = reply.outcome
    if outcome.kind == "error":
        yield "error", {"code": outcome.code, "message": outcome.message, "param": None}, False
        return
    yield f"response.{outcome.kind}", {"response": _response(reply, outcome.kind, output)}, False


def _has_item(reply: Reply) -> bool:
    return bool(reply.tool or reply.compaction or reply.deltas)


def _done(reply: Reply) -> str:
    return "completed" if reply.outcome.kind == "completed" else "incomplete"


def _text_events(reply: Reply) -> Iterator[_Event]:
    place = {"item_id": f"msg_{reply.moment.seed}", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    yield "response.content_part.added", {**place, "part": empty}, False
    for delta in reply.deltas:
        yield "response.output_text.delta", {**place, "delta": delta, "logprobs": []}, True
    yield "response.output_text.done", {**place, "text": reply.text, "logprobs": []}, False
    yield "response.content_part.done", {**place, "part": {**empty, "text": reply.text}}, False


def _tool_events(reply: Reply) -> Iterator[_Event]:
    tool = reply.tool
    if tool is None:
        return
    name, field, prefix = (
        ("custom_tool_call_input", "input", "ctc") if tool.custom else ("function_call_arguments", "arguments", "fc")
    )
    place = {"item_id": f"{prefix}_{reply.moment.seed}", "output_index": 0}
    yield f"response.{name}.delta", {**place, "delta": tool.arguments}, True
    yield f"response.{name}.done", {**place, field: tool.arguments}, False


def _item(reply: Reply, status: str) -> dict[str, Any]:
    """Return the reply's one output item; while it is in progress it has no content yet."""
    seed, begun = reply.moment.seed, status == "in_progress"
    if (tool := reply.tool) is not None:
        said = "" if begun else tool.arguments
        call = {"status": status, "call_id": f"call_{seed}", "name": tool.name}
        if tool.namespace:
            call["namespace"] = tool.namespace
        if tool.custom:
            return {"type": "custom_tool_call", "id": f"ctc_{seed}", **call, "input": said}
        return {"type": "function_call", "id": f"fc_{seed}", **call, "arguments": said}
    if reply.compaction:
        return {"type": "compaction", "id": f"cmp_{seed}", "encrypted_content": "" if begun else reply.text}
    part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": f"msg_{seed}", "status": status, "role": "assistant"}
    return {**message, "content": [] if begun else [part]}


def _response(reply: Reply, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    outcome = reply.outcome
    return {
        "id": f"resp_{reply.moment.seed}",
        "object": "response",
        "created_at": reply.moment.created,
        "status": status,
        "background": False,
        "error": {"code": outcome.code, "message": outcome.message} if status == "failed" else None,
        "incomplete_details": {"reason": outcome.code} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": reply.model,
        "output": output,
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if status == "in_progress" or reply.usage is None else _usage(reply.usage),
        "metadata": {},
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }
