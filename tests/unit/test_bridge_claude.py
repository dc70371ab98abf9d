"""The adapter of Claude Code, played what was recorded of the real one: what it writes, says and asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.bridge import adapter as seam
from actors.bridge.adapters import claude
from actors.bridge.claude import lines
from actors.launch.plan import Door, LaunchRefusedError
from actors.transcripts.claude_messages import message_uuid
from schemas import content
from schemas.events import Usage
from tests.bridge.claude_play import begun, say, scene, story, text, told
from tests.bridge.claude_scenes import HAIKU, PLACE, SCENES, beginning
from tests.bridge.driven import load

TABLE = "allow: allow_once, allow:0: allow_always, allow:1: allow_always, allow:2: allow_always, deny: deny_once"
FIRST = ["greeted 2.1.329 - default", "identified", "settings claude-opus-5-5 default"]


def test_two_turns() -> None:
    assert story("two_turns") == [*FIRST, "reply of 24", "turn-1 completed", "reply of 15", "turn-2 completed"]
    _, outputs = scene("two_turns")
    assert text(outputs, "turn-1") == "You said: my name is Bob"
    usages = [
        output.piece for output in outputs if isinstance(output, seam.Say) and isinstance(output.piece, content.UsageTold)
    ]
    assert usages[-1].usage == Usage(input=4272, cached_input=4262, output=4, total=4276)


def test_tools_are_allowed_denied_and_allowed_from_now_on() -> None:
    done = ["reply of 4", "{} completed"]
    allowed = ["Bash touch {0}", f"ask Bash: touch {{0}} [{TABLE}]"]

    def turn(number: int, what: str, *between: str) -> list[str]:
        return [line.format(what) for line in between] + [done[0], f"turn-{number} completed"]

    completed = "ok: (Bash completed with no output)"
    denied = [line.format("denied") for line in allowed] + ["not ok: The user does not allow this"]
    unanswered = "not ok: Nobody answered whether this is allowed, so it is not"
    assert story("allowed_and_denied") == [
        *FIRST,
        *turn(1, "allowed", *allowed, completed),
        *denied,
        "reply of 44",
        "turn-2 completed",
        *(line.format("unanswered") for line in allowed),
        unanswered,
        "reply of 69",
        "turn-3 completed",
        *turn(4, "granted", *allowed, completed),
        "Bash touch granted -c",  # a rule was taken over: it is not asked again
        completed,
        "reply of 4",
        "turn-5 completed",
    ]


def test_one_rule_is_granted_not_all_that_are_suggested() -> None:
    wrote = [json.loads(entry["wrote"]) for entry in load("claude_allowed_and_denied") if "wrote" in entry]
    granted = next(
        answer
        for line in wrote
        if line["type"] == "control_response" and "updatedPermissions" in (answer := line["response"]["response"])
    )
    assert granted == {
        "behavior": "allow",
        "updatedInput": {"command": "touch granted"},
        "updatedPermissions": [
            {
                "type": "addRules",
                "rules": [{"toolName": "Bash", "ruleContent": "touch granted *"}],
                "behavior": "allow",
                "destination": "localSettings",
            }
        ],
    }


def test_a_turn_is_interrupted_in_a_text_in_a_question_and_before_it_was_taken_up() -> None:
    never = "not ok: The user doesn't want to proceed with this tool use"
    assert story("interrupted") == [
        *FIRST,
        "reply of 4",
        "turn-1 interrupted",
        "Bash touch never",
        f"ask Bash: touch never [{TABLE}]",
        never,
        "turn-2 interrupted",
        "turn-3 interrupted",
    ]
    wrote = [json.loads(entry["wrote"]) for entry in load("claude_interrupted") if "wrote" in entry]
    assert [line["request"]["subtype"] for line in wrote[-2:]] == ["interrupt", "interrupt"]  # the first came too early


def test_model_and_mode_are_changed_and_the_conversation_is_cleared() -> None:
    assert story("changed_and_cleared") == [
        *FIRST,
        "reply of 13",
        "turn-1 completed",
        "changed",
        f"settings {HAIKU} acceptEdits",
        "refused: Cannot set permission mode to ",
        "cleared",
        "changed",
        "reply of 411",  # the model sees that its model was changed
        "turn-2 completed",
        "cleared",  # by a message
        "turn-3 completed",
    ]
    state, outputs = scene("changed_and_cleared")
    names = [
        output.piece.session
        for output in outputs
        if isinstance(output, seam.Say) and isinstance(output.piece, content.Identified)
    ]
    assert len(set(names)) == 3
    assert names[-1] == f"claude-{state.session}"


def test_questions_are_asked_one_by_one_and_plans_are_approved() -> None:
    first = "ask Which? [answer:0: allow_once, answer:1: allow_once, deny: deny_once]"
    second = "ask And? [answer:0: allow_once, answer:1: allow_once, deny: deny_once]"
    assert story("questions") == [
        *FIRST,
        "AskUserQuestion AskUserQuestion",
        first,
        second,
        'ok: Your questions have been answered: "Which?"="B", "And?"="D"',
        "reply of 2",
        "turn-1 completed",
        "AskUserQuestion AskUserQuestion",
        first,
        "not ok: The user did not want to answer",
        "reply of 2",
        "turn-2 completed",
        "changed",
        "settings - plan",
        "ExitPlanMode ExitPlanMode",
        "ask Leave plan mode and carry out the plan [allow: allow_once, deny: deny_once]",
        "settings claude-opus-5-5 default",
        "ok: User has approved exiting plan mode",
        "reply of 2",
        "turn-3 completed",
    ]


def test_tasks_are_a_plan() -> None:
    plans = [line for line in story("plans") if line.startswith("plan ")]
    assert plans == [
        "plan read pending",
        "plan read pending, write pending",
        "plan read completed, write pending",
        "plan read completed, write in_progress",
    ]


def test_it_wakes_by_itself_and_asks_for_what_runs_in_the_background() -> None:
    told = story("woken")
    launched, waiting = told.index("turn-1 completed"), told.index("turn-2 completed")
    assert told[launched + 1 :][:3] == ["woke", "reply of 7", "own turn completed"]
    assert told[waiting - 1] == f"ask Bash: touch sub [{TABLE}]"  # the turn ended when that was answered, not before
    assert told[waiting + 1 :] == ["woke", "reply of 2", "own turn completed"]


def test_failures_are_told_in_our_words_and_in_its_own() -> None:
    assert story("failed") == [
        *FIRST,
        "agent_error: Failed to authenticate",
        "turn-1 failed: the model's request failed with 403",
        "cleared",
        "turn-2 completed",
        "reply of 62",
        "notice of 74",
        "agent_error: API Error: Repeated 529 Overloaded errors",
        "turn-3 failed: the model's request failed with 500",
    ]
    assert story("broken_off") == [FIRST[0], *FIRST[1:], "notice of 68", "turn-1 interrupted"]
    assert story("unknown_conversation") == ["fail conversation_unknown False"]


def test_commands_answer_with_notices_and_nothing_is_taken_twice() -> None:
    assert story("commands") == [
        *FIRST,
        "reply of 15",
        "turn-1 completed",
        "notice of 56",
        "turn-2 completed",
        "notice of 44",
        "turn-3 completed",
        "notice of 81",
        "turn-4 completed",
        "reply of 2",
        "turn-5 completed",
        "turn-5 failed: Claude Code did not take the message up: it was given with this id before",
    ]
    _, outputs = scene("commands")
    assert text(outputs, "turn-2", "notice") == "The conversation was compacted from 4264 to 3047 tokens."


@pytest.mark.parametrize("name", SCENES)
def test_a_scene_leaves_nothing_open(name: str) -> None:
    state, outputs = scene(name)
    assert (state.turn, state.asks, state.changing, state.clearing) == (None, (), None, "")
    assert not [output for output in outputs if isinstance(output, seam.Note)]


def test_a_message_has_the_uuid_that_its_turns_name_makes() -> None:
    named = "0ddb80b7-fb16-4493-a4da-e260d82660ad"
    assert message_uuid(named) == named
    assert message_uuid("turn-1") == message_uuid("turn-1") != message_uuid("turn-2")
    assert message_uuid("\ud800")  # a name that is no Unicode has one all the same
    _, (write,) = claude.step(claude.begin(beginning("")), seam.Prompt(turn="turn-1", text="a\x00b\x1b[1m\u2028\ud800 $(id)"))
    assert isinstance(write, seam.Write)
    assert write.line.isascii()
    line = json.loads(write.line)
    assert line["uuid"] == message_uuid("turn-1")
    assert line["message"] == {"role": "user", "content": "a\x00b\x1b[1m\u2028\ud800 $(id)"}


def test_what_it_does_of_itself_before_it_takes_a_message_up_does_not_end_the_messages_turn() -> None:
    state, outputs = begun(
        {"type": "system", "subtype": "status", "status": "requesting", "uuid": None},
        {"type": "result", "subtype": "success", "origin": {"kind": "task-notification"}, "result": "of its own"},
        {"type": "result", "subtype": "success", "result": "of a time that came"},
        turn="mine",
    )
    assert outputs == []
    state, _ = say(state, {"type": "command_lifecycle", "command_uuid": message_uuid("mine"), "state": "started"})
    _, outputs_ = say(state, {"type": "result", "subtype": "success", "user_message_uuid": message_uuid("mine")})
    assert [told(output) for output in outputs_] == ["mine completed"]


def test_a_turn_that_a_time_began_has_the_name_of_its_line_in_the_transcript() -> None:
    waker = "74564d26-3d1b-4774-8ef2-8c8784e7af6e"
    _, outputs = begun(
        {"type": "command_lifecycle", "command_uuid": waker, "state": "started", "session_id": "s"},
        {"type": "system", "subtype": "status", "status": "requesting"},
    )
    assert outputs[-1] == seam.Woke(turn=waker)
    assert message_uuid(waker) == waker


def test_what_it_asks_of_its_host_and_what_cannot_be_asked_is_refused_at_once() -> None:
    _, outputs = begun(
        {"type": "control_request", "request_id": "1", "request": {"subtype": "hook_callback"}},
        {"type": "control_request", "request_id": "2", "request": 5},
        {"type": "control_request", "request_id": "3" * 200, "request": {"subtype": "can_use_tool", "tool_name": "Bash"}},
    )
    answers = [json.loads(output.line)["response"] for output in outputs if isinstance(output, seam.Write)]
    assert [answer["request_id"] for answer in answers] == ["1", "2", "3" * 200]
    assert [answer["subtype"] for answer in answers] == ["error", "error", "success"]
    assert answers[2]["response"]["behavior"] == "deny"


def test_a_line_that_is_too_long_is_told_and_its_question_refused() -> None:
    state, _ = begun(turn="mine")
    head = b'{"type":"control_request","request_id":"9-a","request":{"subtype":"can_use_tool","input":{"content":"xxx'
    _, outputs = claude.step(state, seam.LineSkipped(17_000_000, head))
    (write,) = [output for output in outputs if isinstance(output, seam.Write)]
    assert json.loads(write.line)["response"]["request_id"] == "9-a"
    assert text(outputs, "mine", "notice") == "Claude Code said 17000000 bytes at once, which are too many to be shown."


def test_lines_that_cannot_be_read_are_noted_without_what_they_say() -> None:
    state, _ = begun(turn="mine")
    for raw in (b"secret", b'{"type":"assistant","message":"secret"}', b'{"type":"secret"', b"\xff\xfe", b"[" * 100_000):
        after, outputs = claude.step(state, seam.LineCame(raw))
        assert after == state
        (note,) = outputs
        assert isinstance(note, seam.Note)
        assert "secret" not in note.text


def test_unknown_kinds_of_lines_are_noted_once() -> None:
    _, outputs = begun({"type": "novelty"}, {"type": "novelty"}, {"type": "system", "subtype": "novelty"})
    assert outputs == [
        seam.Note("Claude Code said 'novelty', which is passed over"),
        seam.Note("Claude Code said 'system/novelty', which is passed over"),
    ]


def test_halves_of_characters_become_a_mark_and_the_rest_stays() -> None:
    line = rb'{"type":"\ud83d\ude00 \\ud800 \ud800 \udc00x"}'
    assert lines.read(lines.Head, line) == lines.Head(type="\N{GRINNING FACE} \\ud800 \ufffd \ufffdx")


def test_an_input_goes_back_to_its_tool_byte_by_byte() -> None:
    given = '{"command": "echo 1.0e5 \\u0041", "n":1e400}'
    raw = (
        f'{{"type":"control_request","request_id":"r","request":{{"subtype":"can_use_tool","tool_name":"T","input":{given}}}}}'
    )
    state, _ = begun(turn="mine")
    state, _ = claude.step(state, seam.LineCame(raw.encode()))
    _, outputs = claude.step(state, seam.Decide(approval="r", option="allow"))
    (write,) = outputs
    assert isinstance(write, seam.Write)
    assert given.encode() in write.line


def command(**more: Any) -> seam.Command:
    given = {"cwd": Path(PLACE), "door": Door("http://127.0.0.1:8129", "t0ken"), "program": "/bin/claude", **more}
    return claude.plan(seam.Beginning(**given))


def test_it_is_started_behind_the_gateway_with_the_users_own_words_last() -> None:
    planned = command(
        arguments=("--add-dir", "/tmp/more"), model=HAIKU, mode="plan", environ={"CLAUDECODE": "1", "ANTHROPIC_API_KEY": "mine"}
    )
    words = list(planned.argv)
    assert words[0] == "/bin/claude"
    assert words[-2:] == ["--add-dir", "/tmp/more"]
    assert words[words.index("--model") + 1] == HAIKU
    assert words[words.index("--permission-mode") + 1] == "plan"
    assert json.loads(words[words.index("--settings") + 1]) == {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8129/s/t0ken"}}
    assert planned.environ == {"CLAUDECODE": None, "ANTHROPIC_BASE_URL": "http://127.0.0.1:8129/s/t0ken"}


def test_a_conversation_is_taken_up_or_forked() -> None:
    conversation = "11111111-2222-4333-8444-555555555555"
    resumed, forked = command(resume=conversation).argv, command(resume=conversation, fork=True).argv
    assert resumed[resumed.index("--resume") + 1] == conversation
    assert "--fork-session" not in resumed
    assert "--fork-session" in forked


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"resume": "--help"}, "not the id of a conversation"),
        ({"fork": True}, "no conversation to fork"),
        ({"mode": "yolo"}, "no mode 'yolo'"),
        ({"arguments": ("--output-format=text",)}, "--output-format=text: how Claude Code is driven"),
        ({"arguments": ("--", "prompt")}, "--: how Claude Code is driven"),
        ({"arguments": ("mcp", "serve")}, "something else than an agent"),
        ({"model": HAIKU, "arguments": ("--model", "other")}, "a model is named twice"),
    ],
)
def test_what_would_not_drive_it_is_refused(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(LaunchRefusedError, match=reason):
        command(**more)
