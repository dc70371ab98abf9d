"""What a demo agent says to a model server and how it reads the answer: the OpenAI Responses dialect, as little as needed.

Pure. Must not know HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

MODEL = "echo"
_DATA = "data: "
_SHOWN_PROMPT = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """What has been heard of one answer so far. ``end`` says how its stream ended; only ``completed`` is a success."""

    text: str = ""
    events: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    end: Literal["", "completed", "incomplete", "failed"] = ""
    problem: str = ""


def headers(conversation: str | None) -> dict[str, str]:
    """Return the headers that name a conversation, as Codex names its own."""
    named = {} if conversation is None else {"session-id": conversation, "thread-id": conversation}
    return {"accept": "text/event-stream", "content-type": "application/json", "originator": "tabwire_demo", **named}


def body(history: tuple[tuple[str, str], ...], prompt: str, cache_key: str) -> bytes:
    """Return the request of one turn; ``history`` holds what user and assistant have said before."""
    said = [{"type": "message", "role": role, "content": text} for role, text in (*history, ("user", prompt))]
    request = {"model": MODEL, "stream": True, "store": False, "prompt_cache_key": cache_key, "input": said}
    return orjson.dumps(request)


def hear(answer: Answer, line: str) -> tuple[Answer, str]:
    """Read one line of a stream; return what is known now, and the new text to show.

    A line that is no event is passed over, as every client of such streams does.
    """
    if not line.startswith(_DATA):
        return answer, ""
    try:
        event = orjson.loads(line[len(_DATA) :])
    except orjson.JSONDecodeError:
        return answer, ""
    if not isinstance(event, dict):
        return answer, ""
    answer = replace(answer, events=answer.events + 1)
    match event.get("type"):
        case "response.output_text.delta":
            delta = str(event.get("delta", ""))
            return replace(answer, text=answer.text + delta), delta
        case "response.completed" | "response.incomplete" | "response.failed" as kind:
            return _ended(answer, kind.removeprefix("response."), _table(event, "response")), ""
        case _:
            return answer, ""


def _ended(answer: Answer, end: Any, response: dict[str, Any]) -> Answer:
    usage = _table(response, "usage")
    problem = _table(response, "error").get("message") or _table(response, "incomplete_details").get("reason") or ""
    return replace(
        answer,
        end=end,
        problem=str(problem),
        input_tokens=_number(usage, "input_tokens"),
        cached_tokens=_number(_table(usage, "input_tokens_details"), "cached_tokens"),
        output_tokens=_number(usage, "output_tokens"),
    )


def _table(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _number(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name, 0)
    return value if isinstance(value, int) else 0


def refusal(status: int, content: bytes) -> str:
    """Return what to show of an error answer: its message, or the body's first line."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        document = None
    message = _table(document, "error").get("message") if isinstance(document, dict) else None
    shown = str(message) if message else (content.decode(errors="replace").strip().splitlines() or ["no body"])[0]
    return f"status {status}: {shown[:_SHOWN_PROMPT]}"
