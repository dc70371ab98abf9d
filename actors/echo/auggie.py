"""Auggie's own API: how its bodies are read and replies are said. Pure.

One JSON document a line: texts as they come, and a last line with the nodes (the whole text, the call of a tool, the tokens)
and the reason of the end. Auggie keeps the conversation itself and sends all of it, the newest turn as ``nodes`` beside the
``chat_history``. There is no public description; this is what Auggie 0.36 sends and takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from actors.echo.bodies import BodyError, Said, inner, last_turn, own_text, read_object, shell_among, typed
from actors.echo.plan import Asked, Frame, Reply, Shell, count_tokens
from schemas.events import Usage

_TEXT, _TOOL_RESULT, _TOOL_USE, _TOKENS = 0, 1, 5, 10
_END, _LENGTH, _TOOL, _ERROR = 1, 2, 3, 7
_STOP: Final = {"max_output_tokens": _LENGTH, "max_tokens": _LENGTH, "safety": 4, "recitation": 5}
# What it asks besides, and the least that it takes for an answer: there is nothing of the kind here.
ASIDES: Final[dict[str, dict[str, Any]]] = {
    "agents/list-remote-tools": {"tools": []},
    "settings/get-mcp-user-configs": {"configs": []},
    "settings/get-mcp-tenant-configs": {"configs": []},
    "report-error": {},
    "client-metrics": {},
    "record-session-events": {},
    "record-request-events": {},
    "client-completion-timelines": {},
}


def read_auggie(body: bytes, _headers: Mapping[str, str]) -> tuple[Asked, Auggie]:
    """Read a request.

    Raises:
        BodyError: not JSON, or a field of the wrong type.

    """
    document = read_object(body)
    history = [each for each in typed(document, "chat_history", list, []) if isinstance(each, dict)]
    newest = {"request_message": document.get("message"), "request_nodes": typed(document, "nodes", list, [])}
    turn = last_turn(said for exchange in (newest, *reversed(history)) for said in _said(exchange))
    tools = [each for each in typed(document, "tool_definitions", list, []) if isinstance(each, dict)]
    session = typed(document, "conversation_id", str, "")
    asked = Asked(
        model=typed(document, "model", str, ""),
        stream=True,
        kind="auxiliary" if document.get("silent") is True else "turn",
        text=turn.text,
        answered=turn.answered,
        tool_output=turn.output,
        shell=_at_work(shell_among((each.get("name"), _schema(each)) for each in tools), newest, *reversed(history)),
        cache_key=session,
        session=session,
        input_tokens=count_tokens(*(text for exchange in (*history, newest) for text in _texts(exchange))),
    )
    return asked, Auggie()


def _schema(tool: dict[str, Any]) -> dict[str, Any]:
    try:
        return read_object(str(tool.get("input_schema_json", "")).encode())
    except BodyError:
        return {}


def _at_work(shell: Shell, *exchanges: dict[str, Any]) -> Shell:
    """Give the shell the folder that the agent works in, which it was told last; without one nothing runs."""
    folders = (
        str(inner(node, "ide_state_node", "current_terminal").get("current_working_directory", ""))
        for exchange in exchanges
        for node in _nodes(exchange, "request_nodes")
    )
    folder = next((each for each in folders if each), "")
    others = ((name, {"const": folder} if name == "cwd" and folder else schema) for name, schema in shell.others)
    return replace(shell, others=tuple(others))


def _nodes(exchange: dict[str, Any], name: str) -> list[dict[str, Any]]:
    nodes = exchange.get(name)
    return [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []


def _said(exchange: dict[str, Any]) -> list[Said]:
    """Return what was said to the model in an exchange, from its end on."""
    nodes = _nodes(exchange, "request_nodes")
    results = [inner(node, "tool_result_node") for node in reversed(nodes) if node.get("type") == _TOOL_RESULT]
    texts = [str(inner(node, "text_node").get("content", "")) for node in nodes if node.get("type") == _TEXT]
    message = exchange.get("request_message")
    own = "\n".join(text for text in (own_text(message), *map(own_text, texts)) if text)
    return [Said("tool", str(each.get("content", ""))) for each in results] or [Said("user", own)]


def _texts(exchange: dict[str, Any]) -> Iterator[str]:
    yield from (str(exchange.get(name) or "") for name in ("request_message", "response_text"))
    for node in _nodes(exchange, "request_nodes"):
        yield str(inner(node, "text_node").get("content", "")) or str(inner(node, "tool_result_node").get("content", ""))
    for node in _nodes(exchange, "response_nodes"):
        yield str(inner(node, "tool_use").get("input_json", ""))


class Auggie:
    """Says replies in this dialect."""

    name = "auggie"
    content_type = "application/x-ndjson"

    def response_id(self, reply: Reply) -> str:  # noqa: ARG002  # other dialects need it
        """Return that a reply goes by no id here; Auggie knows a turn by the id of its own request."""
        return ""

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply line by line."""
        for delta in reply.deltas:
            yield _frame({"text": delta}, paced=True)
        if reply.outcome.kind in ("failed", "error"):
            yield _frame({"text": reply.outcome.message, "nodes": [], "stop_reason": _ERROR})
            return
        yield _frame({"text": "", **_end(reply)})

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document; failures are a status here."""
        outcome = reply.outcome
        if outcome.kind in ("failed", "error"):
            return 500, self.error(500, code=outcome.code, kind="server_error", message=outcome.message)
        return 200, orjson.dumps({"text": reply.text, **_end(reply)})

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:  # noqa: ARG002  # other dialects need it
        """Say an error as the body of a status."""
        return orjson.dumps({"error": code or None, "error_details": {"code": 0, "message": message, "detail": ""}})


def _frame(line: dict[str, Any], *, paced: bool = False) -> Frame:
    return Frame(orjson.dumps(line) + b"\n", paced)


def _end(reply: Reply) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    if reply.tool is not None:
        call = {"tool_use_id": f"toolu_{reply.moment.seed}", "tool_name": reply.tool.name, "input_json": reply.tool.arguments}
        nodes.append({"id": 1, "type": _TOOL_USE, "content": "", "tool_use": call})
    elif reply.deltas:
        nodes.append({"id": 1, "type": _TEXT, "content": reply.text})
    if reply.usage is not None:
        nodes.append({"id": 2, "type": _TOKENS, "content": "", "token_usage": _usage(reply.usage)})
    stop = _END if reply.tool is None else _TOOL
    if reply.outcome.kind == "incomplete":
        stop = _STOP.get(reply.outcome.code, _LENGTH)
    return {"nodes": nodes, "stop_reason": stop}


def _usage(usage: Usage) -> dict[str, Any]:
    """Count input as Anthropic does: what came from the cache is told beside it, not within."""
    return {
        "input_tokens": usage.input - usage.cached_input,
        "output_tokens": usage.output,
        "cache_read_input_tokens": usage.cached_input,
        "cache_creation_input_tokens": 0,
    }
