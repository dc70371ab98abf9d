"""What the echo server answers, as playbooks: a request and a mode in, what goes over the wire out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from actors.echo.bodies import BodyError
from actors.echo.directive import parse_mode
from actors.echo.mode import ECHO, Mode, ModeError
from actors.echo.plan import Asked, End, Moment, Script, count_tokens, plan_reply, plan_script, sample
from actors.echo.responses import Responses, read_responses
from schemas.events import Usage

SEED = "0" * 31 + "7"
MOMENT = Moment(SEED, 1_800_000_000)
TURN = Asked(model="echo", stream=True, text="say hi", input_tokens=10)
DELTA = "response.output_text.delta"


def read(sent: bytes, headers: dict[str, str]) -> Asked:
    return read_responses(sent, headers)[0]


def play(asked: Asked, mode: Mode = ECHO, moment: Moment = MOMENT) -> Script:
    return plan_script(Responses(), asked, mode, plan_reply(asked, mode, moment))


def content(script: Script) -> bytes:
    return b"".join(chunk.content for chunk in script.chunks)


def events(script: Script) -> list[dict[str, Any]]:
    found = []
    for block in content(script).decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


def kinds(script: Script) -> list[str]:
    return [event["type"] for event in events(script)]


def text(script: Script) -> str:
    return "".join(event["delta"] for event in events(script) if event["type"] == DELTA)


def body(*items: dict[str, Any] | str, **more: Any) -> bytes:
    turned = [{"type": "message", "role": "user", "content": item} if isinstance(item, str) else item for item in items]
    return json.dumps({"model": "m", "stream": True, "input": turned, **more}).encode()


# ---------------------------------------------------------------------------------------------------- the usual answers


def test_a_stream_is_the_event_sequence_of_the_real_api() -> None:
    script = play(TURN)
    assert script.status == 200
    assert dict(script.headers) == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-cache",
        "x-request-id": f"req_{SEED}",
    }
    assert kinds(script) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *[DELTA] * 4,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event["sequence_number"] for event in events(script)] == list(range(12))
    last = events(script)[-1]["response"]
    assert last["id"] == f"resp_{SEED}"
    assert last["output"][0]["id"] == f"msg_{SEED}"
    assert last["output"][0]["content"][0]["text"] == "You said: say hi" == text(script)
    assert last["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    }


def test_without_stream_the_same_answer_is_one_document() -> None:
    script = play(replace(TURN, stream=False))
    document = json.loads(content(script))
    assert document == events(play(TURN))[-1]["response"]
    assert script.length == len(content(script))


def test_an_empty_prompt_and_an_endless_one_are_answered() -> None:
    assert text(play(replace(TURN, text=""))) == "This is the echo server."
    assert text(play(replace(TURN, text="x" * 5000))).endswith("x… and 3000 more characters")


def test_cached_input_is_the_previous_input_of_the_cache_key() -> None:
    def usage(cached: int) -> Usage | None:
        return plan_reply(TURN, ECHO, replace(MOMENT, cached=cached)).usage

    assert usage(0) == Usage(input=10, cached_input=0, output=4, reasoning=0, total=14)
    assert usage(7) == Usage(input=10, cached_input=7, output=4, reasoning=0, total=14)
    assert usage(99) == Usage(input=10, cached_input=10, output=4, reasoning=0, total=14)


def test_a_title_is_valid_json_of_its_schema() -> None:
    prompt = "Generate a title.\n\nUser prompt:\nplease repair the [echo status=500] parser of the very long file"
    schema = {"type": "object", "properties": {"title": {"type": "string", "minLength": 1, "maxLength": 36}}}
    asked = read(body(prompt, text={"format": {"type": "json_schema", "schema": schema}}), {})
    assert asked.kind == "title"
    title = json.loads(text(play(asked)))["title"]
    assert title == "please repair the [echo status=500]"


def test_other_schemas_get_a_value_too() -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": ["string", "null"]},
            "count": {"type": "integer", "minimum": 3},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
            "ok": {"type": "boolean"},
            "none": {"type": "null"},
            "either": {"anyOf": [{"const": 5}, {"type": "null"}]},
        },
    }
    assert sample(schema, "x") == {"name": "x", "count": 3, "tags": ["a", "a"], "ok": True, "none": None, "either": 5}


def test_both_kinds_of_compaction_are_answered() -> None:
    local = read(body("You are performing a CONTEXT CHECKPOINT COMPACTION. Go."), {})
    assert local.kind == "compaction"
    assert text(play(local)).startswith("Summary by the echo server")
    remote = read(body("before", {"type": "compaction_trigger"}), {})
    assert remote.kind == "compaction"
    assert kinds(play(remote))[2:] == ["response.output_item.added", "response.output_item.done", "response.completed"]
    item = events(play(remote))[-1]["response"]["output"][0]
    assert item["type"] == "compaction"
    assert item["encrypted_content"]


def test_a_function_is_called_and_its_output_answered() -> None:
    call = events(play(TURN, parse_mode('tool="echo hi"')))
    assert [event["type"] for event in call[2:-1]] == [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    item = call[-1]["response"]["output"][0]
    assert (item["type"], item["name"]) == ("function_call", "exec_command")
    assert json.loads(item["arguments"]) == {"cmd": "echo hi"}
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "Wall time: 0\nOutput:\nhi\n"}
    answer = read(body('[echo tool="echo hi"]', item, output), {})
    assert (answer.answered, answer.tool_output) == (1, "hi")
    assert text(play(answer)) == "The tool said: hi"


def test_any_function_can_be_called_by_its_name_and_namespace() -> None:
    call = r'call=spawn_agent namespace=multi_agent_v1 arguments="{\"message\":\"go\"}"'
    item = events(play(TURN, parse_mode(call)))[-1]["response"]["output"][0]
    assert (item["type"], item["namespace"], item["name"]) == ("function_call", "multi_agent_v1", "spawn_agent")
    assert json.loads(item["arguments"]) == {"message": "go"}


def test_catalogued_models_run_code_instead() -> None:
    asked = read(body({"type": "additional_tools", "tools": []}, "go"), {})
    item = events(play(asked, Mode(tool='echo "hi"')))[-1]["response"]["output"][0]
    assert (item["type"], item["name"]) == ("custom_tool_call", "exec")
    assert item["input"] == 'const r = await tools.exec_command({"cmd":"echo \\"hi\\""}); text(r.output);'


# ---------------------------------------------------------------------------------------------------- reading


def test_the_prompt_is_the_last_user_message_that_is_not_context() -> None:
    context = "<environment_context>\n<cwd>/x</cwd></environment_context>"
    assert read(body("first", {"role": "assistant", "content": "ok"}, "second", context), {}).text == "second"
    assert read(body(context), {}).text == ""
    parts = {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}]}
    assert read(body(parts), {}).text == "a\n"


def test_ids_come_from_headers_before_the_body() -> None:
    metadata = {"session_id": "body-session", "thread_id": "body-thread"}
    asked = read(body("x", client_metadata=metadata, prompt_cache_key="k"), {"session-id": "s", "thread-id": "t"})
    assert (asked.session, asked.thread, asked.cache_key) == ("s", "t", "k")
    asked = read(body("x", client_metadata=metadata), {})
    assert (asked.session, asked.thread) == ("body-session", "body-thread")


def test_input_tokens_count_every_text_of_the_conversation() -> None:
    items = ("12345678", {"type": "function_call", "arguments": "1234"}, {"type": "function_call_output", "output": "12345"})
    assert read(body(*items, instructions="1"), {}).input_tokens == 2 + 1 + 2 + 1
    assert count_tokens("", "é" * 4, "\ud800") == 0 + 2 + 1


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"", "not JSON"),
        (b"[]", "the body: expected an object"),
        (b"{}", "input: expected a list of objects"),
        (b'{"input": [3]}', "input: expected a list of objects"),
        (b'{"input": "x", "stream": "yes"}', "stream: expected bool, got str"),
        (b'{"input": "x", "model": 3}', "model: expected str, got int"),
    ],
)
def test_a_body_that_is_no_request_is_refused(sent: bytes, problem: str) -> None:
    with pytest.raises(BodyError, match=problem):
        read(sent, {})


# ---------------------------------------------------------------------------------------------------- modes and faults


def test_text_of_a_size() -> None:
    assert len(text(play(TURN, Mode(bytes=1000)))) == 1000
    assert kinds(play(TURN, Mode(words=5))).count(DELTA) == 5
    assert kinds(play(TURN, Mode(deltas=9))).count(DELTA) == 9
    assert kinds(play(TURN, Mode(deltas=3, say="abcdefgh"))).count(DELTA) == 3
    assert kinds(play(TURN, Mode(deltas=2, words=9))).count(DELTA) == 2
    assert kinds(play(TURN, Mode(deltas=0))) == ["response.created", "response.in_progress", "response.completed"]
    with pytest.raises(ModeError, match="9 pieces cannot be made of a text of 3 characters"):
        play(TURN, Mode(deltas=9, say="abc"))


def test_pace_is_before_each_piece_and_wait_before_the_head() -> None:
    script = play(TURN, Mode(pace=0.5, wait=2.0, words=3))
    assert [chunk.after for chunk in script.chunks] == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0, 0, 0, 0]
    assert script.wait == 2.0


def test_usage_can_be_dictated_or_left_out() -> None:
    mode = parse_mode("input=100 cached=40 output=20 reasoning=5")
    assert plan_reply(TURN, mode, MOMENT).usage == Usage(input=100, cached_input=40, output=20, reasoning=5, total=120)
    assert events(play(TURN, Mode(usage=False)))[-1]["response"]["usage"] is None
    assert events(play(TURN, Mode(model="other")))[-1]["response"]["model"] == "other"


def test_a_status_has_an_error_body_and_headers() -> None:
    script = play(TURN, parse_mode('status=503 code=server_is_overloaded message="come back" retry-after=2'))
    assert (script.status, dict(script.headers)["retry-after"]) == (503, "2")
    error = {"message": "come back", "type": "server_error", "param": None, "code": "server_is_overloaded"}
    assert json.loads(content(script)) == {"error": error}
    assert content(play(TURN, parse_mode("status=402 body=paywall"))) == b"paywall"
    assert play(TURN, parse_mode("status=204")).chunks == ()


@pytest.mark.parametrize(
    ("mode", "last", "detail"),
    [
        ("failed=rate_limit_exceeded message=slow", "response.failed", {"code": "rate_limit_exceeded", "message": "slow"}),
        ("incomplete=max_output_tokens", "response.incomplete", {"reason": "max_output_tokens"}),
    ],
)
def test_dialect_failures_come_in_place_of_completed(mode: str, last: str, detail: dict[str, str]) -> None:
    event = events(play(TURN, parse_mode(mode)))[-1]
    assert event["type"] == last
    assert event["response"]["status"] == last.removeprefix("response.")
    assert event["response"]["error" if "failed" in last else "incomplete_details"] == detail


def test_an_error_event_ends_the_stream() -> None:
    event = events(play(TURN, parse_mode("error=server_error message=oops")))[-1]
    assert (event["type"], event["code"], event["message"]) == ("error", "server_error", "oops")
    script = play(replace(TURN, stream=False), parse_mode("error=server_error message=oops"))
    assert (script.status, json.loads(content(script))["error"]["message"]) == (500, "oops")


@pytest.mark.parametrize(
    ("mode", "sent", "end"),
    [
        ("cut=3", 3, End.CUT),
        ("reset=3", 3, End.RESET),
        ("silence=3", 3, End.HANG),
        ("end=3", 3, End.CLEAN),
        ("cut=0", 0, End.CUT),
    ],
)
def test_a_stream_is_broken_after_k_events(mode: str, sent: int, end: End) -> None:
    script = play(TURN, parse_mode(mode))
    assert (len(script.chunks), script.end, script.head) == (sent, end, True)


@pytest.mark.parametrize(
    ("mode", "sent", "end"),
    [("cut=head", 0, End.CUT), ("reset=head", 0, End.RESET), ("silence=head", 0, End.HANG), ("garbage=head", 1, End.CUT)],
)
def test_a_reply_is_broken_before_its_head(mode: str, sent: int, end: End) -> None:
    script = play(TURN, parse_mode(mode))
    assert (len(script.chunks), script.end, script.head) == (sent, end, False)


def test_garbage_comes_after_k_events_and_the_message_ends() -> None:
    script = play(TURN, parse_mode("garbage=2"))
    assert (len(script.chunks), script.end, script.chunks[-1].events) == (3, End.CLEAN, 0)


def test_a_document_is_broken_in_the_middle() -> None:
    whole = play(replace(TURN, stream=False))
    broken = play(replace(TURN, stream=False), parse_mode("cut=1"))
    assert broken.length == whole.length
    assert len(content(broken)) == len(content(whole)) // 2


def test_a_fault_beyond_the_last_event_follows_the_whole_stream() -> None:
    script = play(TURN, parse_mode("silence=99"))
    assert content(script) == content(play(TURN))
    assert script.end is End.HANG


def test_writes_can_be_cut_and_joined() -> None:
    whole = content(play(TURN))
    split = play(TURN, Mode(split=7))
    assert content(split) == whole
    assert all(len(chunk.content) <= 7 for chunk in split.chunks)
    assert sum(chunk.events for chunk in split.chunks) == 12
    joined = play(TURN, Mode(join=True))
    assert [chunk.content for chunk in joined.chunks] == [whole]
    assert joined.chunks[0].events == 12
    paced = play(TURN, Mode(join=True, pace=0.1, words=2))
    assert [(chunk.after, chunk.events) for chunk in paced.chunks] == [(0.0, 4), (0.1, 1), (0.1, 5)]
