"""The Codex adapter as a second client of the user's own server: joined, talked to beside the TUI, left to it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.bridge.adapter import Ask, Decide, Fail, Greeted, Interrupt, Prompt, Spawned, Withdrawn, Woke
from actors.bridge.adapters import codex
from actors.bridge.codex import joined
from actors.launch.plan import LaunchRefusedError
from schemas.attachment import Attachment
from schemas.content import TextAdded, TextEnded, ToolEnded, ToolStarted, TurnEnded
from schemas.identity import ProcessKey
from tests.bridge.codex_play import THREAD, TURN, Play, beginning, command, only, pieces, thread, written

SERVER = Attachment(channel="app-server", process=ProcessKey("host", "boot", 77, 1), socket="/h/control.sock")
MINE = {"type": "userMessage", "id": "u1", "clientId": "of-the-tui", "content": [{"type": "text", "text": "typed there"}]}


def joining(*loaded: str, status: str = "idle") -> Play:
    """Come to where the thread has answered that it is joined."""
    play = Play(attach=SERVER, resume=THREAD)
    play.give(Spawned())
    play.answer("initialize", {"userAgent": "codex_app_server_daemon/0.169.0"})
    play.answer("model/list", {"data": [{"model": "gpt-5.5"}]})
    play.answer("thread/loaded/list", {"data": list(loaded or (THREAD,))})
    if not loaded:
        opened = thread()
        opened["thread"]["status"] = {"type": status}
        play.answer("thread/resume", opened)
    return play


def kinds(said: list[Any]) -> list[str]:
    return [type(one).__name__ for one in said]


def test_it_is_joined_without_a_trace_and_nothing_is_started() -> None:
    command_ = codex.plan(beginning(attach=SERVER, resume=THREAD, program="/py"))
    assert command_.argv == ("/py", "-I", "-m", "actors.attach", "app-server", "/h/control.sock", "77")
    assert not command_.environ
    play = joining()
    assert play.asked_for("initialize")["params"]["clientInfo"]["name"] == "codex_app_server_daemon"
    assert play.asked_for("thread/resume")["params"] == {"threadId": THREAD, "excludeTurns": True}
    greeted = next(one for one in play.said if isinstance(one, Greeted))
    assert greeted.can == joined.CAN
    asked = {frame.get("method") for frame in written(play.said)}
    assert not asked & {"thread/start", "thread/fork", "thread/settings/update"}
    play.give(Prompt(turn="turn-1", text="from here"))
    assert "tabwire_launch" not in play.asked_for("turn/start")["params"]["responsesapiClientMetadata"]


def test_a_thread_that_the_server_does_not_have_is_not_loaded() -> None:
    play = joining("another")
    failed = next(one for one in play.said if isinstance(one, Fail))
    assert (failed.code, failed.resumable) == ("not_there", False)
    assert not any(frame.get("method") == "thread/resume" for frame in written(play.said))


def test_what_is_typed_in_the_tui_is_a_turn_with_its_prompt() -> None:
    play = joining()
    assert only(play.tell("turn/started", turn={"id": TURN}), Woke).turn == TURN
    said = pieces(play.tell("item/completed", item=MINE))
    assert said == [
        TextAdded(turn=TURN, item="u1", channel="prompt", text="typed there"),
        TextEnded(turn=TURN, item="u1", channel="prompt", length=11),
    ]
    play.give(Prompt(turn="turn-1", text="from here"))
    own = {**MINE, "clientId": "turn-1"}
    play.answer("turn/start", {"turn": {"id": TURN}})
    assert pieces(play.tell("item/completed", item=own)) == []  # what we asked ourselves is known


def test_a_turn_that_runs_already_is_taken_up_and_every_item_shown_once() -> None:
    play = joining(status="active")
    assert not any(isinstance(one, Greeted) for one in play.said)
    tool = {"type": "commandExecution", "id": "c1", "command": "ls", "status": "completed", "exitCode": 0}
    listed = {"data": [{"id": TURN, "status": "inProgress", "items": [MINE, tool]}]}
    said = play.answer("thread/turns/list", listed)
    assert kinds(said)[:2] == ["Wait", "Greeted"]
    assert only(said, Woke).turn == TURN
    assert kinds(pieces(said)) == ["TextAdded", "TextEnded", "ToolStarted", "ToolEnded"]
    assert pieces(play.tell("item/completed", item=tool)) == []  # it is in the list, and told once more
    assert pieces(play.tell("item/agentMessage/delta", itemId="m1", delta="the end of it")) == []  # its beginning was missed
    whole = pieces(play.tell("item/completed", item={"type": "agentMessage", "id": "m1", "text": "all of it"}))
    assert whole[0] == TextAdded(turn=TURN, item="m1", channel="reply", text="all of it")
    play.tell("item/started", item={"type": "agentMessage", "id": "m2", "text": ""})
    assert only(play.tell("item/agentMessage/delta", itemId="m2", delta="live"), TextAdded).text == "live"
    assert only(play.tell("turn/completed", turn={"id": TURN, "status": "completed"}), TurnEnded).outcome == "completed"


def test_a_turn_that_ended_meanwhile_is_none() -> None:
    play = joining(status="active")
    said = play.answer("thread/turns/list", {"data": [{"id": TURN, "status": "completed", "items": [MINE]}]})
    assert kinds(said) == ["Wait", "Greeted"]
    play = joining(status="active")
    assert kinds(play.refuse("thread/turns/list", "no such method")) == ["Wait", "Greeted"]


def test_a_question_that_is_open_when_we_come_is_shown_and_answered() -> None:
    play = joining(status="active")
    said = play.line(method="item/commandExecution/requestApproval", id=3, params=command())
    assert kinds(said) == ["Woke", "Ask"]
    listed = play.answer("thread/turns/list", {"data": [{"id": TURN, "status": "inProgress", "items": [MINE]}]})
    assert "Woke" not in kinds(listed)
    approval = only(said, Ask).approval
    assert written(play.give(Decide(approval=approval, option="accept"))) == [{"id": 3, "result": {"decision": "accept"}}]


def test_a_question_that_nobody_here_answers_is_left_to_the_terminal() -> None:
    play = joining()
    play.tell("turn/started", turn={"id": TURN})
    asked = only(play.line(method="item/commandExecution/requestApproval", id=3, params=command()), Ask)
    assert written(play.give(Decide(approval=asked.approval, option=None))) == []
    again = only(play.line(method="item/commandExecution/requestApproval", id=4, params=command()), Ask)
    gone = play.tell("serverRequest/resolved", requestId=4)
    assert only(gone, Withdrawn).approval == again.approval


def test_a_question_behind_our_interrupt_is_answered() -> None:
    play = joining()
    play.tell("turn/started", turn={"id": TURN})
    asked = only(play.line(method="item/commandExecution/requestApproval", id=3, params=command()), Ask)
    play.give(Interrupt())
    assert written(play.give(Decide(approval=asked.approval, option=None)))[0]["id"] == 3


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("item/tool/call", {}),
        ("mcpServer/elicitation/request", {"mode": "form", "requestedSchema": {"properties": {"x": {}}}}),
        ("item/commandExecution/requestApproval", {"threadId": "another"}),
        ("something/new", {}),
    ],
)
def test_what_cannot_be_answered_here_is_never_refused_in_the_terminals_stead(method: str, params: dict[str, Any]) -> None:
    play = joining()
    play.tell("turn/started", turn={"id": TURN})
    assert written(play.line(method=method, id=9, params={**command(), **params})) == []


def test_commands_that_an_interrupted_turn_left_running_are_the_users() -> None:
    play = joining()
    play.tell("turn/started", turn={"id": TURN})
    play.tell("item/started", item={"type": "commandExecution", "id": "c1", "command": "sleep 9"})
    said = play.tell("turn/completed", turn={"id": TURN, "status": "interrupted"})
    assert written(said) == []
    assert only(said, TurnEnded).outcome == "interrupted"


def test_the_end_of_the_server_is_the_end_and_says_why() -> None:
    failed = only(joining().line(method="tabwire/left", params={"reason": "the server closed the connection"}), Fail)
    assert (failed.code, failed.resumable) == ("agent_gone", False)
    assert "closed the connection" in failed.message
    assert not isinstance(Play.ready().line(method="tabwire/left", params={})[0], Fail)  # of our own it means nothing


def test_another_channel_is_none_of_codexs() -> None:
    with pytest.raises(LaunchRefusedError):
        joined.plan(beginning())


def test_tools_of_a_joined_turn_begin_and_end() -> None:
    play = joining(status="active")
    play.answer("thread/turns/list", {"data": [{"id": TURN, "status": "inProgress", "items": []}]})
    done = {"type": "commandExecution", "id": "c9", "command": "ls", "status": "completed", "exitCode": 0}
    said = pieces(play.tell("item/completed", item=done))
    assert [type(piece) for piece in said] == [ToolStarted, ToolEnded]
