"""The adapters that speak ACP: sessions of the real agents played again, and what none of these agents does, step by step."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from actors.bridge.adapter import (
    Change,
    Changed,
    Clear,
    Decide,
    Fail,
    Greeted,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Passed,
    Prompt,
    Spawned,
    Wait,
)
from actors.bridge.adapters import auggie, gemini, opencode, qwen
from schemas.content import (
    FailureTold,
    Identified,
    PlanUpdated,
    SettingsTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)
from schemas.events import Usage
from tests.bridge.acp_tape import (
    ADAPTERS,
    OPTIONS,
    TOKEN,
    Played,
    ask,
    beginning,
    in_turn,
    opened,
    outcome,
    play,
    ready,
    turns_of,
)

RECORDED = [
    ("auggie", "auggie", {"mode": "approve"}),
    ("auggie", "auggie_failed", {}),
    ("gemini", "gemini", {}),
    ("opencode", "opencode", {"mode": "approve"}),
    ("opencode", "opencode_failed", {}),
    ("opencode", "opencode_resumed", {"resume": "ses_e021c92d8ffe3n74KiEdKN3V0q"}),
    ("qwen", "qwen", {"mode": "default"}),
    ("qwen", "qwen_resumed", {"resume": "d0a3d635-74b7-47ac-b878-8657195ad880"}),
    ("gemini", "gemini_resumed", {"resume": "cb47e238-dfa8-4caa-8fa2-72c6a5d2cd78"}),
]


@pytest.mark.parametrize(("agent", "name", "wishes"), RECORDED, ids=[name for _, name, _ in RECORDED])
def test_a_recorded_session_is_played_again(agent: str, name: str, wishes: dict[str, Any]) -> None:
    played, pairs = play(agent, name, **wishes)
    for then, now in pairs:
        if then.get("method") == "initialize":
            assert now["params"]["clientCapabilities"] == {
                "fs": {"readTextFile": False, "writeTextFile": False},
                "terminal": False,
            }
        elif "error" in then:
            assert (now["id"], now["error"]["code"]) == (then["id"], -32601)
        else:
            assert now == then
    assert not played.of(Fail)
    assert not [one for one in played.of(Note) if "not known" in one.text or "no JSON" in one.text]
    begun = {one["params"]["sessionId"] for one in played.written if one.get("method") == "session/prompt"}
    assert begun <= {one.conversation for one in played.of(Identified)}
    assert len(played.of(TurnEnded)) == sum(one.get("method") == "session/prompt" for one in played.written)


def test_gemini_talks_asks_and_is_set() -> None:
    played, _ = play("gemini", "gemini")
    turns = turns_of(played)
    assert turns[:2] == [("You said: my name is Bob", "completed"), ("You said: what is my name?", "completed")]
    assert [outcome for _, outcome in turns[2:7]] == ["completed", "completed", "interrupted", "interrupted", "failed"]
    assert [one.message for one in played.of(FailureTold)] == ["not on this plan"]
    assert [(one.tool, one.title) for one in played.asks[:1]] == [("execute", "echo hello > made; cat made")]
    assert [one.ok for one in played.of(ToolEnded)] == [
        True,
        False,
        False,
    ]  # of a denied tool it says nothing: its turn ends it
    greeted = played.of(Greeted)[0]
    assert (greeted.version, greeted.mode, greeted.model) == ("0.61.0", "default", "auto")
    assert {"resume", "set_model", "set_mode", "clear"} <= greeted.can
    assert "fork" not in greeted.can


def test_opencode_counts_what_was_cached_beside_the_input() -> None:
    played, _ = play("opencode", "opencode_failed")
    assert played.of(UsageTold)[0].usage == Usage(input=1851 + 544, cached_input=544, output=6, total=2401)
    tool = played.of(ToolStarted)[0]
    assert (tool.title, json.loads(f'"{tool.arguments}"')) == ("echo hello > made; cat made", "echo hello > made; cat made")
    assert played.of(ToolEnded)[0].output == "hello\n"
    assert "fork" in played.of(Greeted)[0].can


def test_qwen_adds_the_tokens_of_each_request() -> None:
    played, _ = play("qwen", "qwen", mode="default")
    told = [one.usage for one in played.of(UsageTold) if one.turn == "t3"]
    assert len(told) == 2
    assert told[0].input == 8938
    assert told[1].input > 2 * told[0].input
    assert "set_model" not in played.of(Greeted)[0].can


def test_auggies_explanation_is_no_reply() -> None:
    played, _ = play("auggie", "auggie", mode="approve")
    asked = played.asks[0]
    assert (asked.title, [option.kind for option in asked.options]) == (
        "Workspace Indexing Permission",
        ["allow_always", "deny_always", "allow_once", "deny_once"],
    )
    notices = [one for one in played.of(TextAdded) if one.channel == "notice"]
    assert notices[0].text.startswith("Augment would like to index")
    assert turns_of(played)[0][0] == "You said: hi"
    assert "workspace-indexing-permission" not in {one.item for one in played.of(ToolStarted)}
    assert played.of(Greeted)[0].mode == "approve"
    assert "set_model" not in played.of(Greeted)[0].can  # its tenant lists none


def test_what_gemini_tells_again_behind_the_answer_is_of_no_turn() -> None:
    played, _ = play("gemini", "gemini_resumed", resume="cb47e238-dfa8-4caa-8fa2-72c6a5d2cd78")
    assert not played.of(Greeted)
    assert played.of(Wait)
    played.take(Passed(name="quiet"))
    assert played.of(Greeted)
    assert not played.of(TextAdded)


# What is the same for all


def test_a_message_is_given_as_it_is() -> None:
    played = ready()
    text = "\0 \x1b[2J $(rm -rf /) `id` \u2028 😀 " + "x" * 1_000_000
    played.take(Prompt(turn="t", text=text))
    assert played.written[-1]["params"]["prompt"] == [{"type": "text", "text": text}]


def test_an_answer_that_nobody_gives_denies() -> None:
    played = in_turn()
    played.take(Decide(approval=ask(played).approval, option=None))
    assert outcome(played) == {"outcome": "selected", "optionId": "n"}
    played.take(Decide(approval=played.asks[-1].approval, option="y"))
    assert len([one for one in played.written if one.get("id") == 7]) == 1


def test_questions_are_cancelled_with_their_turn() -> None:
    played = in_turn()
    asked = ask(played)
    played.take(Interrupt())
    assert [one.get("method") for one in played.written[-2:]] == ["session/cancel", None]
    assert outcome(played) == {"outcome": "cancelled"}
    before = len(played.written)
    played.take(Decide(approval=asked.approval, option=None))
    assert len(played.written) == before
    ask_late = {"sessionId": "s1", "toolCall": {"toolCallId": "d"}, "options": OPTIONS}
    played.hear(id="late", method="session/request_permission", params=ask_late)
    assert outcome(played) == {"outcome": "cancelled"}


def test_two_questions_about_one_tool_are_two() -> None:
    played = in_turn()
    first, second = ask(played, 1), ask(played, 2)
    assert first.approval != second.approval
    played.take(Decide(approval=second.approval, option="y"))
    assert played.written[-1]["id"] == 2
    assert len(played.of(ToolStarted)) == 1


@pytest.mark.parametrize("method", ["fs/read_text_file", "terminal/create", "elicitation/create"])
def test_whatever_else_is_asked_is_refused(method: str) -> None:
    played = in_turn()
    played.hear(id="x", method=method, params={})
    assert (played.written[-1]["id"], played.written[-1]["error"]["code"]) == ("x", -32601)


def test_texts_end_where_something_else_begins() -> None:
    played = in_turn()
    for kind, text in (("agent_thought_chunk", "hm"), ("agent_message_chunk", "a"), ("agent_message_chunk", "b")):
        played.update(kind, content={"type": "text", "text": text})
    played.update("tool_call", toolCallId="c", title="ls", kind="execute", status="in_progress")
    played.update("agent_message_chunk", content={"type": "text", "text": "c"})
    played.answer({"stopReason": "end_turn"})
    told = [(one.item, one.length) for one in played.of(TextEnded)]
    assert told == [("thought-1", 2), ("reply-2", 2), ("reply-3", 1)]
    assert [one.ok for one in played.of(ToolEnded)] == [False]


def test_a_plan_and_a_difference_are_shown() -> None:
    played = in_turn()
    played.update("plan", entries=[{"content": "look", "status": "completed"}, {"content": "do", "status": "odd"}])
    assert [(one.text, one.state) for one in played.of(PlanUpdated)[0].steps] == [("look", "completed"), ("do", "pending")]
    change = [{"type": "diff", "path": "f", "oldText": "a\nb\n", "newText": "a\nc\n"}]
    played.update("tool_call", toolCallId="e", title="edit", kind="edit", status="completed", content=change)
    assert played.of(ToolEnded)[0].output == "--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("end_turn", "completed"), ("max_tokens", "failed"), ("refusal", "failed"), ("cancelled", "interrupted")],
)
def test_turns_end_as_the_agent_says(reason: str, expected: str) -> None:
    played = in_turn()
    played.answer({"stopReason": reason})
    assert [one.outcome for one in played.of(TurnEnded)] == [expected]


def test_the_launch_token_is_in_no_words() -> None:
    played = in_turn()
    played.answer(error={"code": -1, "message": "no", "data": {"details": f"at http://127.0.0.1:1/s/{TOKEN}/v1"}})
    assert played.of(FailureTold)[0].message == "no: at http://127.0.0.1:1/s/<launch token>/v1"


def test_cleared_it_is_set_as_before_and_the_old_one_closed() -> None:
    played = ready()
    played.take(Change(model="two", mode="plan"))
    played.answer({})
    played.answer({})
    assert played.of(Changed) == [Changed()]
    played.take(Clear())
    opened(played, "s2")
    methods = [one["method"] for one in played.written[-2:]]
    assert methods == ["session/close", "session/set_mode"]
    played.answer({})
    played.answer({})
    assert played.of(Changed) == [Changed(), Changed()]
    assert [(one.conversation, one.cleared) for one in played.of(Identified)] == [("s1", False), ("s2", True)]


def test_a_refused_change_says_what_is() -> None:
    played = ready()
    played.take(Change(model="two", mode="plan"))
    played.answer({})
    played.answer(error={"code": -32602, "message": "no such model"})
    assert "no such model" in played.of(Changed)[0].refused
    assert (played.of(SettingsTold)[0].mode, played.of(SettingsTold)[0].model) == ("plan", "one")
    played.take(Change(model="one"))
    assert played.of(Changed)[-1] == Changed()  # it is so already


def test_a_mode_that_is_refused_at_the_start_is_told_and_gone_without() -> None:
    played = Played("gemini", mode="yolo")
    played.take(Spawned())
    played.answer({"protocolVersion": 1})
    opened(played, "s1")
    played.answer(error={"code": -32603, "message": "Internal error", "data": {"details": "an untrusted folder"}})
    assert "an untrusted folder" in played.of(FailureTold)[0].message
    assert played.of(Greeted)[0].mode == "default"


def test_the_agents_own_change_is_told() -> None:
    played = in_turn()
    played.update("current_mode_update", currentModeId="plan")
    assert played.of(SettingsTold)[0].mode == "plan"


@pytest.mark.parametrize(
    ("wishes", "code"),
    [({}, "start_failed"), ({"resume": "old"}, "resume_failed"), ({"resume": "o", "fork": True}, "resume_failed")],
)
def test_without_a_conversation_there_is_no_session(wishes: dict[str, Any], code: str) -> None:
    played = Played("opencode", **wishes)
    played.take(Spawned())
    played.answer({"protocolVersion": 1, "agentCapabilities": {"sessionCapabilities": {"fork": {}, "resume": {}}}})
    played.answer(error={"code": -32603, "message": "Internal error", "data": {"details": "gone"}})
    (failed,) = played.of(Fail)
    assert (failed.code, failed.resumable) == (code, False)
    assert "gone" in failed.message


def test_who_cannot_says_so() -> None:
    for answer, wishes, code in (
        ({"protocolVersion": 2}, {}, "wrong_version"),
        ({"protocolVersion": 1}, {"resume": "old"}, "cannot_resume"),
        ({"protocolVersion": 1}, {"resume": "old", "fork": True}, "cannot_fork"),
    ):
        played = Played("qwen", **wishes)
        played.take(Spawned())
        played.answer(answer)
        assert [one.code for one in played.of(Fail)] == [code]
    played = Played("gemini")
    played.take(Spawned())
    played.answer({"protocolVersion": 1})
    played.answer(error={"code": -32000, "message": "Authentication required"})
    assert [one.code for one in played.of(Fail)] == ["not_logged_in"]


def test_what_is_no_message_is_noted() -> None:
    played = in_turn()
    for line in (b"npm warn deprecated", b"[1]", b"{}", b'{"id":99,"result":{}}', b'{"id":[1],"method":"x"}', b"\xff"):
        assert [type(one) for one in played.take(LineCame(line))] == [Note]
    played.take(LineSkipped(17_000_000, b"{"))
    assert played.of(FailureTold)[0].code == "line_skipped"


# Each one's own


def test_gemini_does_not_load_what_began_in_this_minute() -> None:
    now = datetime(2026, 11, 21, 11, 37, 45, tzinfo=UTC)
    files = {
        "/h/.gemini/projects.json": '{"projects": {"/home/dev/project": "project"}}',
        "/h/.gemini/tmp/project/chats/session-2026-11-21T11-37-cb47e238.jsonl": "{}",
    }
    wishes = {"resume": "cb47e238-x", "environ": {"HOME": "/h"}, "read": lambda file: files.get(Path(file).as_posix())}
    played = Played("gemini", now=now.timestamp(), **wishes)
    assert played.take(Spawned())[0] == Wait(name="held", seconds=15.5)
    played.answer({"protocolVersion": 1, "agentCapabilities": {"loadSession": True}})
    assert [one["method"] for one in played.written] == ["initialize"]
    played.take(Passed(name="held"))
    assert played.written[-1]["method"] == "session/load"
    later = Played("gemini", now=now.timestamp() + 60, **wishes)
    assert not any(isinstance(one, Wait) for one in later.take(Spawned()))


def test_auggie_only_takes_listed_models() -> None:
    played = ready("auggie")
    played.take(Change(model="three"))
    assert "has no model 'three'" in played.of(Changed)[0].refused
    assert played.written[-1]["method"] == "session/new"


@pytest.mark.parametrize("agent", ["auggie", "opencode"])
def test_the_mode_that_asks_is_for_the_start(agent: str) -> None:
    played = ready(agent)
    played.take(Change(mode="approve"))
    assert "only started in its mode" in played.of(Changed)[0].refused


def test_how_they_are_started() -> None:
    assert auggie.plan(beginning(mode="approve")).argv[:4] == ("/opt/agent", "--acp", "--permission", "launch-process:ask-user")
    assert gemini.plan(beginning(model="m", arguments=("--skip-trust",))).argv == (
        *("/opt/agent", "--model", "m", "--acp", "--skip-trust"),
    )
    assert qwen.plan(beginning(model="m")).argv == ("/opt/agent", "--auth-type", "openai", "--model", "m", "--acp")
    environ = {"OPENCODE_CONFIG_CONTENT": '{"permission": {"bash": "allow", "task": "deny"}}', "OPENAI_API_KEY": "k"}
    command = opencode.plan(beginning(model="openai/m", mode="approve", environ=environ))
    assert command.argv == ("/opt/agent", "acp")
    content = json.loads(str(command.environ["OPENCODE_CONFIG_CONTENT"]))
    assert (content["model"], content["provider"]["openai"]["models"]) == ("openai/m", {"m": {}})
    assert content["permission"] == {"bash": "ask", "task": "deny", "edit": "ask", "webfetch": "ask"}
    for command in (
        auggie.plan(beginning()),
        gemini.plan(beginning()),
        opencode.plan(beginning(environ=environ)),
        qwen.plan(beginning()),
    ):
        assert TOKEN in json.dumps(dict(command.environ))
        assert TOKEN not in " ".join(command.argv)


def test_facts_are_said_of_each() -> None:
    for name, adapter in ADAPTERS.items():
        assert (adapter.FACTS.agent, adapter.FACTS.protocol) == (name, "acp")
        assert adapter.FACTS.notes
