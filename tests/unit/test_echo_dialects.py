"""The echo server's other dialects, as playbooks: a body in, what goes over the wire out, and what our meters read in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from actors.echo.auggie import read_auggie
from actors.echo.bodies import BodyError
from actors.echo.chat import read_chat
from actors.echo.directive import mode_of_request, obey_directives
from actors.echo.generate import read_generate
from actors.echo.messages import read_messages
from actors.echo.mode import Mode
from actors.echo.plan import Asked, Dialect, Moment, plan_reply, plan_script
from actors.gateway.usage import meter_for
from schemas.events import Usage

MOMENT = Moment("0" * 31 + "7", 1_800_000_000)
SHELL = {"type": "object", "properties": {"command": {}, "description": {"type": "string"}}}


def chat(*messages: dict[str, Any], **more: Any) -> tuple[Asked, Dialect]:
    return read_chat(json.dumps({"model": "m", "stream": True, "messages": messages, **more}).encode(), {})


def anthropic(*messages: dict[str, Any], headers: dict[str, str] | None = None, **more: Any) -> tuple[Asked, Dialect]:
    body = {"model": "m", "stream": True, "messages": messages, **more}
    return read_messages(json.dumps(body).encode(), headers or {})


def google(*contents: dict[str, Any], **more: Any) -> tuple[Asked, Dialect]:
    return read_generate(json.dumps({"contents": contents, **more}).encode(), {}, "m", stream=True)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(*texts: str) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": text} for text in texts]}


def play(told: tuple[Asked, Dialect]) -> bytes:
    asked, dialect = told
    asked, modes = obey_directives(asked)
    mode: Mode = mode_of_request(modes, asked.answered)
    script = plan_script(dialect, asked, mode, plan_reply(asked, mode, MOMENT))
    return b"".join(chunk.content for chunk in script.chunks)


def data(raw: bytes) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) if line != "[DONE]" else line for line in lines]


ASK: dict[str, Callable[[str], tuple[Asked, Dialect]]] = {
    "chat": lambda text: chat(user(text)),
    "messages": lambda text: anthropic(user(text)),
    "generate": lambda t: google(said(t)),
}


# ---------------------------------------------------------------------------------------------------- chat completions


def test_a_chat_stream_ends_with_done_and_its_usage_only_if_asked_for() -> None:
    events = data(play(chat(user("say hi"))))
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1]) == "You said: say hi"
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-1] == "[DONE]"
    more = data(play(chat(user("say hi"), stream_options={"include_usage": True})))
    assert more[-2]["choices"] == []
    assert more[-2]["usage"]["prompt_tokens"] == 2


def test_a_chat_tool_turn_calls_the_agent_s_own_shell_and_answers_with_its_output() -> None:
    tools = [
        {"type": "function", "function": {"name": "bash", "parameters": {**SHELL, "required": ["command", "description"]}}}
    ]
    first = chat(user('[echo tool="echo hi"]'), tools=tools)
    call = data(play(first))[1]["choices"][0]["delta"]["tool_calls"][0]
    assert call["function"]["name"] == "bash"
    arguments = json.loads(call["function"]["arguments"])
    assert arguments["command"] == "echo hi"
    assert set(arguments) == {"command", "description"}
    second = chat(
        user('[echo tool="echo hi"]'),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "hi\n"},
        tools=tools,
    )
    assert second[0].answered == 1
    assert b"The" in play(second)


# ---------------------------------------------------------------------------------------------------- messages


def test_a_message_stream_is_the_event_sequence_of_the_real_api() -> None:
    raw = play(anthropic(user("say hi")))
    kinds = [event["type"] for event in data(raw)]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    names = [line.removeprefix("event: ") for line in raw.decode().splitlines() if line.startswith("event: ")]
    assert names == kinds


def test_reminders_of_claude_code_are_not_what_the_user_said() -> None:
    parts = [{"type": "text", "text": "<system-reminder>\nx</system-reminder>"}, {"type": "text", "text": "say hi"}]
    system = {"role": "system", "content": [{"type": "text", "text": "# Environment"}]}
    asked, _ = anthropic({"role": "user", "content": parts}, system, headers={"x-claude-code-session-id": "s"})
    assert (asked.text, asked.session, asked.thread, asked.cache_key) == ("say hi", "s", "s", "s")


def test_a_message_tool_turn() -> None:
    tools = [{"name": "Bash", "input_schema": {**SHELL, "required": ["command"]}}]
    first = data(play(anthropic(user('[echo tool="ls"]'), tools=tools)))
    block = first[1]["content_block"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "Bash", {})
    assert json.loads(first[3]["delta"]["partial_json"]) == {"command": "ls"}
    assert first[-2]["delta"]["stop_reason"] == "tool_use"
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": [{"type": "text", "text": "a.txt"}]}
    asked, _ = anthropic(user('[echo tool="ls"]'), {"role": "user", "content": [result]}, tools=tools)
    assert (asked.answered, asked.tool_output) == (1, "a.txt")


def test_cached_input_is_told_beside_the_rest_and_an_error_is_one_word() -> None:
    events = data(play(anthropic(user("[echo input=100 cached=80] hi"))))
    usage = events[0]["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (20, 80)
    broken = data(play(anthropic(user("[echo error=overloaded_error] hi"))))
    assert broken[-1]["type"] == "error"
    assert broken[-1]["error"]["type"] == "overloaded_error"
    assert json.loads(play(anthropic(user("[echo status=529] hi"))))["error"]["type"] == "overloaded_error"


# ---------------------------------------------------------------------------------------------------- generateContent


def test_a_generate_stream_ends_with_its_reason_and_its_usage() -> None:
    events = data(play(google(said("<session_context>x", "say hi"))))
    assert "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in events) == "You said: say hi"
    assert "finishReason" not in events[0]["candidates"][0]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"
    assert events[-1]["usageMetadata"]["promptTokenCount"] > 0


def test_a_router_s_request_is_auxiliary_and_obeys_nobody() -> None:
    schema = {"type": "OBJECT", "properties": {"model_choice": {"type": "STRING", "enum": ["flash", "pro"]}}}
    told = google(said("[echo status=503] hard"), generationConfig={"responseJsonSchema": schema})
    assert told[0].kind == "auxiliary"
    text = "".join(event["candidates"][0]["content"]["parts"][0]["text"] for event in data(play(told)))
    assert json.loads(text) == {"model_choice": "flash"}


def test_a_generate_tool_turn() -> None:
    declared = {
        "functionDeclarations": [{"name": "run_shell_command", "parametersJsonSchema": {**SHELL, "required": ["command"]}}]
    }
    call = data(play(google(said('[echo tool="ls"]'), tools=[declared])))[-1]["candidates"][0]["content"]["parts"][0]
    assert call == {"functionCall": {"name": "run_shell_command", "args": {"command": "ls"}}}
    response = {"functionResponse": {"name": "run_shell_command", "response": {"output": "a.txt"}}}
    asked, _ = google(said('[echo tool="ls"]'), {"role": "model", "parts": [call]}, {"role": "user", "parts": [response]})
    assert (asked.answered, asked.tool_output) == (1, "a.txt")


# ---------------------------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", ["chat", "messages"])
def test_our_meters_read_what_the_mode_says(name: str) -> None:
    asked, dialect = ASK[name]("[echo input=100 cached=40 output=7 reasoning=0] hi")
    if name == "chat":
        asked, dialect = chat(user("[echo input=100 cached=40 output=7] hi"), stream_options={"include_usage": True})
    meter = meter_for(dialect.name, dialect.content_type, "")  # type: ignore[arg-type]
    meter.feed(play((asked, dialect)))
    reading = meter.reading()
    assert reading.usage == Usage(input=100, cached_input=40, output=7, total=107)
    assert reading.response == dialect.response_id(plan_reply(asked, Mode(), MOMENT))


@pytest.mark.parametrize("name", ASK)
def test_documents_and_errors_are_json(name: str) -> None:
    asked, dialect = ASK[name]("hi")
    status, document = dialect.document(plan_reply(asked, Mode(), MOMENT))
    assert status == 200
    assert "You said: hi" in document.decode()
    status, document = dialect.document(plan_reply(asked, Mode(error="boom"), MOMENT))
    assert status == 500
    assert "error" in json.loads(document)


@pytest.mark.parametrize("name", ["chat", "messages", "generate"])
@pytest.mark.parametrize("body", ["", "[]", "{}", '{"messages": 3, "contents": 3}', '{"messages": ["x"], "contents": ["x"]}'])
def test_a_body_that_is_no_request_is_refused_by_field(name: str, body: str) -> None:
    read: dict[str, Callable[[bytes, dict[str, str]], object]] = {
        "chat": read_chat,
        "messages": read_messages,
        "generate": lambda b, h: read_generate(b, h, "m", stream=True),
    }
    with pytest.raises(BodyError, match=r"the body|messages: expected|contents: expected"):
        read[name](body.encode(), {})


def auggie(*exchanges: dict[str, Any], nodes: list[dict[str, Any]], **more: Any) -> tuple[Asked, Dialect]:
    tools = [{"name": "launch-process", "input_schema_json": json.dumps({**SHELL, "required": ["command", "wait", "cwd"]})}]
    body = {"model": "", "message": "", "chat_history": exchanges, "nodes": nodes, "tool_definitions": tools, **more}
    return read_auggie(json.dumps(body).encode(), {})


FOLDER = {"id": 2, "type": 4, "ide_state_node": {"current_terminal": {"current_working_directory": "/home/ada"}}}
FIRST = {"id": 1, "type": 0, "text_node": {"content": "run [echo tool=pwd cached=3 reasoning=1]"}}


def test_auggie_s_turn_is_in_the_newest_nodes_and_its_shell_runs_where_it_works() -> None:
    asked, dialect = auggie(nodes=[FIRST, FOLDER], conversation_id="c-1")
    assert (asked.text, asked.answered, asked.session, asked.stream) == (FIRST["text_node"]["content"], 0, "c-1", True)  # type: ignore[index]
    asked, modes = obey_directives(asked)
    mode = mode_of_request(modes, asked.answered)
    script = plan_script(dialect, asked, mode, plan_reply(asked, mode, MOMENT))
    last = json.loads(b"".join(chunk.content for chunk in script.chunks).splitlines()[-1])
    call, tokens = last["nodes"]
    assert (last["stop_reason"], call["type"], call["tool_use"]["tool_name"]) == (3, 5, "launch-process")
    assert json.loads(call["tool_use"]["input_json"]) == {"command": "pwd", "wait": "echo", "cwd": "/home/ada"}
    assert tokens["token_usage"]["cache_read_input_tokens"] == 3
    meter = meter_for("auggie", "application/x-ndjson", "")
    meter.feed(b"".join(chunk.content for chunk in script.chunks))
    usage = meter.reading().usage
    assert usage is not None
    assert (usage.cached_input, meter.reading().ending) == (3, "completed")


def test_auggie_s_tool_results_follow_the_turn_in_its_history() -> None:
    begun = {"request_message": "", "request_nodes": [FIRST, FOLDER], "response_nodes": []}
    result = {"id": 1, "type": 1, "tool_result_node": {"tool_use_id": "t", "content": "tab-42\n"}}
    asked, dialect = auggie(begun, nodes=[result])
    assert (asked.answered, asked.tool_output, asked.shell.others[-1]) == (1, "tab-42", ("cwd", {"const": "/home/ada"}))
    failed = dialect.error(400, code="c", kind="k", message="m")
    assert json.loads(failed)["error_details"]["message"] == "m"
    reply = plan_reply(asked, Mode(failed="server_error", message="broke"), MOMENT)
    lines = b"".join(frame.content for frame in dialect.stream(reply)).splitlines()
    assert json.loads(lines[-1]) == {"text": "broke", "nodes": [], "stop_reason": 7}
    assert dialect.document(reply)[0] == 500
    with pytest.raises(BodyError, match="nodes"):
        read_auggie(b'{"nodes":{}}', {})
