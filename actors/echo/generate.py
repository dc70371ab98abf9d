"""Gemini's generateContent: how its bodies are read and replies are said. Pure.

The model stands in the path, whether to stream in the method's name, and ``alt=sse`` asks for events instead of one long
JSON list. Gemini CLI asks a small model which one to use before each turn: a request with a JSON Schema, auxiliary here.
Format: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from actors.echo.bodies import Said, arguments_of, inner, last_turn, objects, read_object, shell_among, typed
from actors.echo.plan import Asked, Frame, Reply, count_tokens
from schemas.events import Usage

_CONTEXTUAL: Final = ("<session_context>", "<system-reminder>", "This is the Gemini CLI.")
_FINISH: Final = {"max_output_tokens": "MAX_TOKENS", "max_tokens": "MAX_TOKENS"}
_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def read_generate(body: bytes, headers: Mapping[str, str], model: str, *, stream: bool) -> tuple[Asked, GenerateContent]:
    """Read a request; ``headers`` have lower-case names, ``model`` and ``stream`` come from the path.

    Raises:
        BodyError: not JSON, or a field of the wrong type.

    """
    document = read_object(body)
    contents = objects(document, "contents")
    settings = inner(document, "generationConfig")
    schema = inner(settings, "responseJsonSchema") or inner(settings, "responseSchema") or None
    turn = last_turn(said for content in reversed(contents) for said in _said(content))
    declared = [
        function
        for tool in typed(document, "tools", list, ())
        for function in inner({"tool": tool}, "tool").get("functionDeclarations") or ()
        if isinstance(function, dict)
    ]
    asked = Asked(
        model=model,
        stream=stream,
        kind="turn" if schema is None else "auxiliary",
        text=turn.text,
        answered=turn.answered,
        tool_output=turn.output,
        shell=shell_among((each.get("name"), each.get("parametersJsonSchema") or each.get("parameters")) for each in declared),
        schema=schema,
        session=headers.get("x-session-id", ""),
        input_tokens=count_tokens(*_texts([inner(document, "systemInstruction"), *contents])),
    )
    return asked, GenerateContent()


def _parts(content: dict[str, Any]) -> list[dict[str, Any]]:
    parts = content.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _said(content: dict[str, Any]) -> list[Said]:
    """Return what a content says, from its end on; a function's response may stand in any content that is not the model's."""
    if content.get("role") == "model":
        return []
    parts = _parts(content)
    responses = [inner(part, "functionResponse", "response") for part in reversed(parts) if "functionResponse" in part]
    texts = [str(part["text"]) for part in parts if "text" in part]
    own = "\n".join(text for text in texts if not text.lstrip().startswith(_CONTEXTUAL))
    return [Said("tool", str(each.get("output") or each.get("error") or "")) for each in responses] or [Said("user", own)]


def _texts(contents: list[dict[str, Any]]) -> Iterator[str]:
    for content in contents:
        for part in _parts(content):
            if "text" in part:
                yield str(part["text"])
            elif "functionCall" in part or "functionResponse" in part:
                yield orjson.dumps(part.get("functionCall") or part.get("functionResponse")).decode()


class GenerateContent:
    """Says replies in this dialect."""

    name = "gemini.generate"
    content_type = "text/event-stream"

    def response_id(self, reply: Reply) -> str:
        """Return the id by which a reply goes."""
        return f"resp_{reply.moment.seed}"

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply as a stream of documents, each with what is new."""
        for delta in reply.deltas:
            yield _frame(_document(reply, [{"text": delta}]), paced=True)
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            yield _frame(_error(500, outcome.code, outcome.message))
            return
        yield _frame(_document(reply, _call(reply), finish=_finish(reply)))

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document; failures are a status here, as in the real API."""
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            return 500, orjson.dumps(_error(500, outcome.code, outcome.message))
        parts = _call(reply) or [{"text": reply.text}]
        return 200, orjson.dumps(_document(reply, parts, finish=_finish(reply)))

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:  # noqa: ARG002  # other dialects need it
        """Say an error as the body of a status."""
        return orjson.dumps(_error(status, code, message))


def _frame(event: dict[str, Any], *, paced: bool = False) -> Frame:
    return Frame(b"data: %s\r\n\r\n" % orjson.dumps(event), paced)


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": code or _STATUS.get(status, "UNKNOWN")}}


def _call(reply: Reply) -> list[dict[str, Any]]:
    if reply.tool is None:
        return []
    return [{"functionCall": {"name": reply.tool.name, "args": arguments_of(reply.tool.arguments)}}]


def _document(reply: Reply, parts: list[dict[str, Any]], finish: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts or [{"text": ""}]}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = {} if reply.usage is None or not finish else {"usageMetadata": _usage(reply.usage)}
    return {"candidates": [candidate], **usage, "modelVersion": reply.model, "responseId": f"resp_{reply.moment.seed}"}


def _finish(reply: Reply) -> str:
    if reply.outcome.kind == "incomplete":
        return _FINISH.get(reply.outcome.code, reply.outcome.code.upper())
    return "STOP"


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output - usage.reasoning,
        "totalTokenCount": usage.total,
        "cachedContentTokenCount": usage.cached_input,
        "thoughtsTokenCount": usage.reasoning,
    }
