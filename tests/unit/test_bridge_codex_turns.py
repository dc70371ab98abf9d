"""The Codex adapter in a turn, playbook by playbook: what is told, interrupted and asked."""

from __future__ import annotations

from typing import Any

import pytest

from actors.bridge.adapter import (
    Ask,
    Decide,
    Interrupt,
    Prompt,
    Withdrawn,
    Woke,
)
from schemas.content import (
    FailureTold,
    PlanUpdated,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)
from tests.bridge.codex_play import THREAD, TURN, Play, command, only, pieces, written

# ------------------------------------------------------------------------------------------------ turns


def test_a_message_carries_our_ids_and_nothing_of_it_is_changed() -> None:
    play = Play.ready()
    text = "a\0b \x1b[31m $(id) \N{SNOWMAN}"
    play.give(Prompt(turn="turn-1", text=text))
    params = play.asked_for("turn/start")["params"]
    assert params["input"] == [{"type": "text", "text": text, "text_elements": []}]
    assert params["responsesapiClientMetadata"] == {"tabwire_turn": "turn-1", "tabwire_launch": "launch-1"}


def test_a_message_that_is_refused_ends_its_turn_in_our_words() -> None:
    play = Play.ready()
    play.give(Prompt(turn="turn-1", text="x"))
    said = play.refuse("turn/start", "Input exceeds the maximum length")
    assert only(said, FailureTold).code == "message_refused"
    ended = only(said, TurnEnded)
    assert (ended.outcome, "exceeds" in ended.reason) == ("failed", False)


def test_thoughts_replies_and_plans_are_told_in_their_channels() -> None:
    play = Play.working()
    play.tell("item/reasoning/summaryPartAdded", itemId="r", summaryIndex=0)
    play.tell("item/reasoning/summaryTextDelta", itemId="r", delta="first", summaryIndex=0)
    play.tell("item/reasoning/summaryPartAdded", itemId="r", summaryIndex=1)
    play.tell("item/reasoning/summaryTextDelta", itemId="r", delta="second", summaryIndex=1)
    said = play.tell("item/completed", item={"type": "reasoning", "id": "r", "summary": ["first", "second"], "content": []})
    assert only(said, TextEnded) == TextEnded(turn="turn-1", item="r", channel="thought", length=13)
    whole = play.tell("item/completed", item={"type": "plan", "id": "p", "text": "the plan"})
    assert [type(piece).__name__ for piece in pieces(whole)] == ["TextAdded", "TextEnded"]
    steps = only(play.tell("turn/plan/updated", plan=[{"step": "one", "status": "inProgress"}, 7]), PlanUpdated).steps
    assert [(step.text, step.state) for step in steps] == [("one", "in_progress")]


def test_the_rest_of_a_text_that_was_not_told_in_deltas_comes_with_its_end() -> None:
    play = Play.working()
    play.tell("item/agentMessage/delta", itemId="m", delta="You ")
    said = play.tell("item/completed", item={"type": "agentMessage", "id": "m", "text": "You said"})
    assert [getattr(piece, "text", "") for piece in pieces(said)] == ["said", ""]
    play.tell("item/agentMessage/delta", itemId="n", delta="whole")
    said = play.tell("item/completed", item={"type": "agentMessage", "id": "n", "text": "whole"})
    assert pieces(said) == [TextEnded(turn="turn-1", item="n", channel="reply", length=5)]


@pytest.mark.parametrize(
    ("item", "name", "title", "ok", "output"),
    [
        (
            {"type": "commandExecution", "command": "sh -lc ls", "status": "failed", "exitCode": 2},
            "shell",
            "sh -lc ls",
            False,
            "",
        ),
        (
            {
                "type": "mcpToolCall",
                "server": "s",
                "tool": "t",
                "arguments": {"a": 1},
                "error": {"message": "no"},
                "status": "failed",
            },
            "s.t",
            "s.t",
            False,
            "no",
        ),
        (
            {"type": "mcpToolCall", "server": "s", "tool": "t", "result": {"content": [{"text": "yes"}]}},
            "s.t",
            "s.t",
            True,
            "yes",
        ),
        ({"type": "webSearch", "query": "kumquats"}, "web_search", "kumquats", True, ""),
        ({"type": "collabAgentToolCall", "tool": "spawnAgent", "prompt": "do"}, "spawnAgent", "do", True, ""),
        ({"type": "dynamicToolCall", "tool": "x", "success": False}, "x", "x", False, ""),
    ],
)
def test_each_tool_is_told_by_name_even_when_only_its_end_is(
    item: dict[str, Any], name: str, title: str, *, ok: bool, output: str
) -> None:
    said = Play.working().tell("item/completed", item={"id": "i", **item})
    assert (only(said, ToolStarted).name, only(said, ToolStarted).title) == (name, title)
    assert (only(said, ToolEnded).ok, only(said, ToolEnded).output) == (ok, output)


def test_what_sub_agents_and_turns_of_the_past_tell_stays_there() -> None:
    play = Play.working()
    assert (
        play.line(method="item/agentMessage/delta", params={"threadId": "child", "turnId": TURN, "itemId": "m", "delta": "x"})
        == []
    )
    assert play.tell("item/agentMessage/delta", turnId="an-old-one", itemId="m", delta="x") == []
    assert play.line(method="turn/completed", params={"threadId": "child", "turn": {"id": "c", "status": "completed"}}) == []
    assert play.tell("turn/completed", turn={"id": "an-old-one", "status": "completed"}) == []
    assert only(play.tell("turn/completed", turn={"id": TURN, "status": "completed"}), TurnEnded).outcome == "completed"
    assert play.tell("turn/completed", turn={"id": TURN, "status": "completed"}) == []


def test_a_turn_of_its_own_is_begun_and_ended_like_any() -> None:
    play = Play.ready()
    assert only(play.tell("turn/started", turn={"id": TURN}), Woke) == Woke(turn=TURN)
    assert only(play.tell("turn/completed", turn={"id": TURN, "status": "completed"}), TurnEnded).turn == TURN


def test_a_failure_is_told_by_a_code_of_ours_and_the_sentence_in_it() -> None:
    for kind, code in (
        ("usageLimitExceeded", "limit_reached"),
        ({"httpConnectionFailed": {"httpStatusCode": 502}}, "provider_unreachable"),
        ("unheardOf", "turn_failed"),
        (None, "turn_failed"),
    ):
        error = {"message": '{"error":{"message":"the budget is spent"}}', "codexErrorInfo": kind}
        said = Play.working().tell("turn/completed", turn={"id": TURN, "status": "failed", "error": error})
        assert (only(said, FailureTold).code, only(said, FailureTold).message) == (code, "the budget is spent")
        assert only(said, TurnEnded).reason == code.replace("_", " ")


def test_retries_and_warnings_are_notices_and_a_warning_is_told_once() -> None:
    play = Play.ready()
    assert play.tell("warning", message="no metadata") == []
    said = play.give(Prompt(turn="turn-1", text="x"))
    assert [(piece.channel, piece.text) for piece in pieces(said) if isinstance(piece, TextAdded)] == [
        ("notice", "no metadata")
    ]
    assert play.tell("warning", message="no metadata") == []
    play.answer("turn/start", {"turn": {"id": TURN}})
    said = play.tell("error", error={"message": "Reconnecting... 1/5"}, willRetry=True)
    assert only(said, TextAdded).text == "Reconnecting... 1/5"
    assert play.tell("error", error={"message": "the end"}, willRetry=False) == []


def test_tokens_are_the_turns_own_and_told_when_they_change() -> None:
    def tokens(**counts: int) -> dict[str, Any]:
        return {name: {"inputTokens": n, "outputTokens": 1, "totalTokens": n + 1} for name, n in counts.items()}

    play = Play.working()
    assert only(play.tell("thread/tokenUsage/updated", tokenUsage=tokens(total=900, last=100)), UsageTold).usage.input == 100
    assert only(play.tell("thread/tokenUsage/updated", tokenUsage=tokens(total=1100, last=200)), UsageTold).usage.input == 300
    assert play.tell("thread/tokenUsage/updated", tokenUsage=tokens(total=1100, last=200)) == []
    play.tell("turn/completed", turn={"id": TURN, "status": "completed"})
    play.give(Prompt(turn="turn-2", text="x"))
    play.answer("turn/start", {"turn": {"id": "second"}})
    said = play.tell("thread/tokenUsage/updated", turnId="second", tokenUsage=tokens(total=1500, last=400))
    assert only(said, UsageTold).usage.input == 400


# ------------------------------------------------------------------------------------------------ interrupts


def test_an_interrupt_names_the_turn_or_whatever_begins() -> None:
    play = Play.ready()
    assert play.give(Interrupt()) == []
    play.give(Prompt(turn="turn-1", text="x"))
    play.give(Interrupt())
    assert play.asked_for("turn/interrupt")["params"] == {"threadId": THREAD, "turnId": ""}
    play.answer("turn/start", {"turn": {"id": TURN}})
    play.give(Interrupt())
    assert play.asked_for("turn/interrupt")["params"]["turnId"] == TURN


def test_an_interrupt_of_what_codex_does_not_run_ends_the_turn() -> None:
    play = Play.working()
    play.give(Interrupt())
    assert only(play.refuse("turn/interrupt", "no active turn to interrupt"), TurnEnded).outcome == "interrupted"


def test_an_interrupt_that_came_too_late_does_not_end_the_next_turn() -> None:
    play = Play.working()
    play.give(Interrupt())
    play.tell("turn/completed", turn={"id": TURN, "status": "completed"})
    play.give(Prompt(turn="turn-2", text="x"))
    assert play.refuse("turn/interrupt", "no active turn to interrupt") == []


def test_what_a_completed_turn_left_running_is_left_alone() -> None:
    play = Play.working()
    play.tell("item/started", item={"type": "commandExecution", "id": "server", "command": "serve"})
    assert written(play.tell("turn/completed", turn={"id": TURN, "status": "completed"})) == []


def test_the_end_of_an_interrupted_turn_ends_its_commands_and_no_others() -> None:
    play = Play.working()
    play.tell("item/started", item={"type": "commandExecution", "id": "mine", "command": "sleep 9"})
    said = play.tell("turn/completed", turn={"id": TURN, "status": "interrupted"})
    assert only(said, TurnEnded).outcome == "interrupted"
    said = play.answer(
        "thread/backgroundTerminals/list",
        {"data": [{"itemId": "mine", "processId": "1"}, {"itemId": "a server of before", "processId": "2"}, 3]},
    )
    assert [frame["params"]["processId"] for frame in written(said)] == ["1"]


# ------------------------------------------------------------------------------------------------ questions


def test_a_command_can_be_answered_as_codex_offers_and_always_be_declined() -> None:
    play = Play.working()
    ask = only(play.line(id=0, method="item/commandExecution/requestApproval", params=command()), Ask)
    assert (ask.approval, ask.tool, ask.title) == ("0-3acbf9e679ad", "shell", "touch x")
    assert ask.detail == "please\nin /home/ada/shop"
    assert [(option.id, option.kind) for option in ask.options] == [
        ("accept", "allow_once"),
        ("acceptPrefix1", "allow_always"),
        ("decline", "deny_once"),
        ("cancel", "deny_once"),
    ]
    assert "in all sessions" in ask.options[1].label
    (answer,) = written(play.give(Decide(approval=ask.approval, option="acceptPrefix1")))
    assert answer == {
        "id": 0,
        "result": {"decision": {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}},
    }
    assert written(play.give(Decide(approval=ask.approval, option="accept"))) == []


def test_an_answer_that_nobody_gave_or_offered_is_a_refusal() -> None:
    for option in (None, "acceptForSession"):
        play = Play.working()
        ask = only(play.line(id="q", method="item/commandExecution/requestApproval", params=command()), Ask)
        assert written(play.give(Decide(approval=ask.approval, option=option))) == [
            {"id": "q", "result": {"decision": "decline"}}
        ]


def test_network_rules_say_that_they_stay() -> None:
    rule = {"applyNetworkPolicyAmendment": {"network_policy_amendment": {"host": "x.org", "action": "deny"}}}
    params = command(command=None, networkApprovalContext={"host": "x.org"}, availableDecisions=["accept", rule, {"new": 1}])
    ask = only(Play.working().line(id=1, method="item/commandExecution/requestApproval", params=params), Ask)
    assert (ask.tool, ask.title) == ("network", "reach x.org")
    assert [(option.id, option.kind) for option in ask.options] == [
        ("accept", "allow_once"),
        ("network1", "deny_always"),
        ("decline", "deny_once"),
    ]


def test_more_permissions_are_granted_as_asked_or_not_at_all() -> None:
    params = {"threadId": THREAD, "turnId": TURN, "permissions": {"network": {"enabled": True}, "fileSystem": None}}
    for option, granted in (("accept", {"network": {"enabled": True}}), ("decline", {}), (None, {})):
        play = Play.working()
        ask = only(play.line(id=1, method="item/permissions/requestApproval", params=params), Ask)
        (answer,) = written(play.give(Decide(approval=ask.approval, option=option)))
        assert answer["result"] == {"permissions": granted, "scope": "turn"}


def test_an_mcp_server_gets_a_yes_or_a_no_but_no_filled_form() -> None:
    params = {"threadId": THREAD, "turnId": TURN, "serverName": "s", "mode": "form", "message": "may I?"}
    play = Play.working()
    ask = only(play.line(id=1, method="mcpServer/elicitation/request", params={**params, "requestedSchema": {}}), Ask)
    assert (ask.tool, ask.title) == ("mcp.s", "may I?")
    (answer,) = written(play.give(Decide(approval=ask.approval, option="accept")))
    assert answer["result"] == {"action": "accept", "content": {}, "_meta": None}
    schema = {"properties": {"name": {"type": "string"}}}
    said = play.line(id=2, method="mcpServer/elicitation/request", params={**params, "requestedSchema": schema})
    assert written(said)[0]["result"]["action"] == "decline"
    assert only(said, TextAdded).channel == "notice"


def test_what_is_not_served_is_refused_at_once() -> None:
    for method in ("item/tool/call", "account/chatgptAuthTokens/refresh", "currentTime/read", "what/is/this"):
        said = Play.working().line(id=3, method=method, params={})
        assert written(said)[0]["error"]["code"] == -32601


def test_a_question_outside_of_any_turn_is_declined() -> None:
    said = Play.ready().line(id=1, method="item/commandExecution/requestApproval", params=command())
    assert written(said) == [{"id": 1, "result": {"decision": "decline"}}]
    assert [one for one in said if isinstance(one, Ask)] == []


def test_a_question_that_is_open_is_not_asked_again() -> None:
    play = Play.working()
    play.line(id=1, method="item/commandExecution/requestApproval", params=command())
    said = play.line(id=1, method="item/commandExecution/requestApproval", params=command(command="rm -r /"))
    assert written(said) == [{"id": 1, "result": {"decision": "decline"}}]
    assert [one for one in said if isinstance(one, Ask)] == []


def test_a_question_that_codex_takes_back_is_withdrawn() -> None:
    play = Play.working()
    ask = only(play.line(id=0, method="item/commandExecution/requestApproval", params=command()), Ask)
    assert only(play.tell("serverRequest/resolved", requestId=0), Withdrawn).approval == ask.approval
    assert play.tell("serverRequest/resolved", requestId=0) == []
