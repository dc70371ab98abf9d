"""The conversation of a driven session, step by step: what waits, what is due, what is closed, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.bridge import adapter as seam
from actors.bridge import contract, conversation
from actors.bridge.state import Broken, Exited, HubGone, Input, Moment, Stuck, Tell, Tick
from schemas.bridge_rows import Ability
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    FailureTold,
    SettingsTold,
    StatusTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    TurnEnded,
    TurnStarted,
    UsageTold,
)
from schemas.events import Usage
from tests.bridge import scripted
from tests.bridge.conversation_play import Play


def test_a_session_starts_greets_and_is_idle() -> None:
    play = Play()
    assert play.wrote == [{"do": "greet"}]
    began, starting, initialised, settings, idle = play.new()
    assert began == contract.Began(pid=7, argv0="p")
    assert (starting, idle) == (StatusTold(status="starting"), StatusTold(status="idle"))
    assert initialised.can == ("approve", "clear", "interrupt", "resume", "set_mode", "set_model")
    assert settings == SettingsTold(provider="zeus", model="m1", mode="careful")


def test_a_message_is_accepted_at_once_and_given_after_the_greeting() -> None:
    play = Play(greeted=False)
    play.new()
    play.send()
    assert play.new() == [contract.Replied(ask=1)]
    play.say(say="greeted")
    assert play.new()[2:] == [
        TurnStarted(turn="t1"),
        TextAdded(turn="t1", item="prompt", channel="prompt", text="text of t1"),
        TextEnded(turn="t1", item="prompt", channel="prompt", length=10),
        StatusTold(status="working"),
    ]
    assert play.wrote[-1] == {"do": "prompt", "text": "text of t1"}


def test_one_message_is_given_behind_the_other() -> None:
    play = Play()
    play.send("t1", 1)
    play.send("t2", 2)
    assert [message.get("text") for message in play.wrote] == [None, "text of t1"]
    play.new()
    play.say(say="ended", outcome="completed")
    kinds = [type(piece) for piece in play.new()]
    assert kinds == [TurnEnded, TurnStarted, TextAdded, TextEnded]  # and the status stays what it was
    assert play.wrote[-1]["text"] == "text of t2"


def test_what_is_open_is_closed_before_its_turn() -> None:
    play = Play()
    play.send()
    play.say(say="text", text="four")
    play.say(say="tool", item="x", text="ls")
    play.say(say="ask", approval="a")
    play.new()
    play.say(say="ended", outcome="completed")
    assert play.new() == [
        ApprovalResolved(turn="t1", approval="a", option="", allowed=False, by="bridge", reason="the turn has ended"),
        TextEnded(turn="t1", item="reply", channel="reply", length=4),
        ToolEnded(turn="t1", item="x", ok=False),
        TurnEnded(turn="t1", outcome="completed"),
        StatusTold(status="idle"),
    ]
    assert play.wrote[-1] == {"do": "decide", "approval": "a", "option": None}


def test_what_comes_too_late_for_its_turn_is_left_out() -> None:
    play = Play()
    play.send()
    play.say(say="ended", outcome="completed")
    play.new()
    late = scripted.State("t1")
    for message in ({"say": "text", "text": "late"}, {"say": "tool_ended", "item": "x"}):
        play.state = replace(play.state, inner=late)
        play.say(**message)
    assert play.new() == []
    assert len(play.notes) == 2


def test_an_approval_waits_its_patience_and_is_denied() -> None:
    play = Play()
    play.send()
    play.new()
    play.say(say="ask", approval="a")
    asked, status = play.new()
    assert isinstance(asked, ApprovalRequested)
    assert asked.expires == "2027-01-15T08:21:40.000Z"  # 1,800,000,000 s, the moment and the patience
    assert status == StatusTold(status="waiting_permission")
    play.later(300.0)
    resolved, working = play.new()
    assert (resolved.by, resolved.allowed, resolved.option) == ("deadline", False, "")
    assert working == StatusTold(status="working")
    assert play.wrote[-1] == {"do": "decide", "approval": "a", "option": None}
    play.give(contract.Answer(ask=9, approval="a", option="yes", by="anna"))
    (late,) = play.new()
    assert (late.code, late.message) == ("already_answered", "deadline was first to answer approval 'a'")


def test_an_approval_can_be_taken_back_by_the_agent() -> None:
    play = Play()
    play.send()
    play.say(say="ask", approval="a")
    play.new()
    wrote = len(play.wrote)
    play.say(say="withdrawn", approval="a")
    play.say(say="withdrawn", approval="a")
    resolved, _ = play.new()
    assert (resolved.by, resolved.reason) == ("agent", "not needed")
    assert len(play.wrote) == wrote, "it knows by itself"


def test_an_id_may_be_asked_again_when_it_was_answered() -> None:
    play = Play()
    play.send()
    for by in ("anna", "bert"):
        play.say(say="ask", approval="a")
        play.say(say="ask", approval="a")  # twice at once counts once
        play.give(contract.Answer(ask=5, approval="a", option="yes", by=by))
    assert [piece.by for piece in play.pieces(ApprovalResolved)] == ["anna", "bert"]
    play.give(contract.Answer(ask=6, approval="a", option="yes", by="carla"))
    assert play.new()[0].message.startswith("bert was first")


def test_what_is_asked_behind_an_interrupt_is_denied_at_once() -> None:
    play = Play()
    play.send()
    play.give(contract.Interrupt(ask=2))
    play.new()
    play.say(say="ask", approval="a")
    assert [type(piece) for piece in play.new()] == [ApprovalRequested, ApprovalResolved]
    assert play.wrote[-1] == {"do": "decide", "approval": "a", "option": None}


def test_what_waits_for_the_greeting_can_be_given_back() -> None:
    play = Play(greeted=False)
    play.send()
    play.new()
    play.give(contract.Interrupt(ask=2))
    play.give(contract.Interrupt(ask=3, queued=True))
    refused, done, given_back = play.new()
    assert (refused.code, done.code) == ("no_turn", "")
    assert given_back.reason.startswith("not sent")


def test_an_end_of_what_is_not_open_is_left_out() -> None:
    play = Play()
    play.send()
    play.new()
    play.say(say="text_ended")
    play.say(say="text", text="four")
    play.say(say="text_ended")
    play.say(say="text_ended")
    assert play.pieces(TextEnded) == [TextEnded(turn="t1", item="reply", channel="reply", length=4)]


def test_an_agent_that_ignores_an_interrupt_is_ended() -> None:
    play = Play()
    play.send()
    play.give(contract.Interrupt(ask=2))
    play.later(10.0)
    assert play.ended == 1
    play.give(Exited(code=-9))
    over = play.new()[-1]
    assert (over.code, over.resumable) == ("interrupt_ignored", True)


def test_silence_in_a_turn_is_told_once_unless_a_tool_runs() -> None:
    play = Play()
    play.send()
    play.new()
    play.later(120.0)
    assert play.new() == [StatusTold(status="working", reason="scripted has said nothing for 120 s")]
    assert conversation.next_deadline(play.state) is None
    play.say(say="tool", item="x")
    assert play.pieces(StatusTold) == [StatusTold(status="working")]
    assert conversation.next_deadline(play.state) is None
    play.say(say="tool_ended", item="x")
    assert conversation.next_deadline(play.state) == play.now + 120.0


def test_a_change_is_answered_when_it_is_done_and_told_when_it_is_not() -> None:
    play = Play()
    play.new()
    play.give(contract.Change(ask=1, model="m2"))
    assert play.new() == [StatusTold(status="working")]
    play.say(say="changed")
    assert play.new() == [
        SettingsTold(provider="zeus", model="m2", mode="careful"),
        contract.Replied(ask=1),
        StatusTold(status="idle"),
    ]
    play.give(contract.Change(ask=2, model="wrong"))
    play.say(say="changed", refused="no such model")
    told, refused = play.new()[1:3]
    assert told == SettingsTold(provider="zeus", model="m2", mode="careful", reason="no such model")
    assert refused == contract.Replied(ask=2, code="refused", message="no such model")


def test_a_change_that_is_never_done_ends_the_agent() -> None:
    play = Play()
    play.give(contract.Change(ask=1, model="m2"))
    play.new()
    play.later(60.0)
    play.give(Exited(code=-15))
    assert [line.code for line in play.new() if isinstance(line, contract.Replied)] == ["agent_silent"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (contract.Change(ask=1, model="m"), "cannot_set_model"),
        (contract.Change(ask=1, mode="bold"), "cannot_set_mode"),
        (contract.Clear(ask=1), "cannot_clear"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_what_the_agent_cannot_do_is_refused(line: contract.Ask, code: str, early: bool) -> None:  # noqa: FBT001
    play = Play(greeted=False)
    nothing: frozenset[Ability] = frozenset()
    play.state = replace(play.state, can=nothing)
    if early:
        play.give(line)
        play.say(say="greeted")
    else:
        play.say(say="greeted")
        play.give(line)
    assert [one.code for one in play.new() if isinstance(one, contract.Replied)] == [code]
    play.send(ask=2)
    play.give(contract.Interrupt(ask=3))
    assert [one.code for one in play.new() if isinstance(one, contract.Replied)] == ["", "cannot_interrupt"]


def test_a_turn_that_nobody_sent_holds_up_messages() -> None:
    play = Play()
    play.new()
    play.say(say="woke", turn="w1")
    assert play.new() == [TurnStarted(turn="w1"), StatusTold(status="working")]
    play.send()
    play.say(say="text", text="by the way")
    play.say(say="ended", outcome="completed")
    assert [type(piece) for piece in play.pieces(TurnStarted, TurnEnded)] == [TurnEnded, TurnStarted]


def test_the_adapter_s_times_pass_once() -> None:
    play = Play()
    play.say(say="wait", name="n", seconds=5.0)
    play.say(say="wait", name="m", seconds=9.0)
    play.say(say="wait", name="n", seconds=7.0)
    assert conversation.next_deadline(play.state) == play.now + 7.0
    play.later(7.0)
    assert play.wrote[-1] == {"do": "passed", "name": "n"}
    play.say(say="wait", name="m", seconds=None)
    assert conversation.next_deadline(play.state) is None


def test_a_close_is_answered_when_nothing_is_left() -> None:
    play = Play()
    play.send("t1", 1)
    play.send("t2", 2)
    play.new()
    play.give(contract.Close(ask=3))
    play.give(contract.Close(ask=4))
    play.send("t3", 5)
    play.say(say="text", text="too late")
    assert (play.new(), play.ended) == ([contract.Replied(ask=5, code="ending", message="the session is being ended")], 1)
    play.give(Exited(code=0))
    assert play.new() == [
        TurnEnded(turn="t1", outcome="interrupted", reason="closed"),
        TurnEnded(turn="t2", outcome="interrupted", reason="not sent: closed"),
        contract.Replied(ask=3),
        contract.Replied(ask=4),
        contract.Over(code="closed", reason="closed", exit_code=0),
    ]
    play.give(contract.Close(ask=6))
    play.give(Tick())
    assert play.new() == []


@pytest.mark.parametrize(
    ("greeted", "code", "reason", "resumable"),
    [
        (False, 1, "scripted exited with 1 before it had answered its greeting", False),
        (False, 0, "scripted exited with 0 before it had answered its greeting", False),
        (False, -9, "scripted was killed by signal 9 before it had answered its greeting", True),
        (True, 1, "scripted exited with 1", True),
        (True, None, "scripted has ended", True),
    ],
)
def test_an_end_that_nobody_asked_for(greeted: bool, code: int | None, reason: str, resumable: bool) -> None:  # noqa: FBT001
    play = Play(greeted=greeted)
    play.new()
    play.give(Exited(code=code, words="last words", survivors=2))
    failure, survivors, over = play.new()
    assert failure == FailureTold(code="agent_exited", message=f"{reason}; its last words: last words")
    assert survivors.code == "survivors"
    assert (over.code, over.reason, over.resumable) == ("agent_exited", reason, resumable)


@pytest.mark.parametrize(
    ("input_", "code", "outcome"),
    [
        (Stuck(31.0), "agent_stuck", "failed"),
        (Broken("KeyError"), "bridge_crashed", "failed"),
        (HubGone(), "hub_gone", "interrupted"),
    ],
)
def test_ends_of_other_kinds_close_the_turn(input_: Input, code: str, outcome: str) -> None:
    play = Play()
    play.send()
    play.give(input_)
    play.give(Stuck(99.0))  # the first reason counts
    assert play.ended == 1
    play.give(Exited(code=-15))
    lines = play.new()
    assert lines[-1].code == code
    assert [piece.outcome for piece in lines if isinstance(piece, TurnEnded)] == [outcome]


def test_an_agent_that_does_not_greet_is_ended_and_one_that_did_is_not() -> None:
    silent, ready = Play(greeted=False), Play()
    silent.later(20.0)
    assert silent.ended == 1
    assert conversation.next_deadline(ready.state) is None


def test_the_words_of_a_failure_are_told_and_not_recorded() -> None:
    play = Play()
    play.say(say="fail", code="not_logged_in", message="log in as root:secret", resumable=False)
    play.give(Exited(code=1))
    lines = play.new()
    assert [piece.message for piece in lines if isinstance(piece, FailureTold)] == ["log in as root:secret"]
    assert "secret" not in lines[-1].reason
    assert not lines[-1].resumable


def test_usage_may_come_behind_its_turn() -> None:
    play = Play()
    assert conversation.next_deadline(play.state) is None
    usage = UsageTold(turn="old", usage=Usage(input=5, output=1, total=6))
    step = conversation._Step(scripted, play.state, Moment(0.0, 0.0))
    step.do(seam.Say(usage))
    assert [output.line for output in step.outputs if isinstance(output, Tell)] == [contract.Said(piece=usage)]
