"""What becomes of a driven session: playbooks of inputs and what follows from them."""

from __future__ import annotations

import pytest

from actors.bridge.contract import Answer, Close, Initialised, Interrupt, Over, Replied
from actors.bridges.session import STOPPED
from actors.bridges.terms import (
    CLOSE_SECONDS,
    HUNG_SECONDS,
    MAX_MESSAGES,
    Answered,
    Begun,
    Came,
    Changed,
    Closed,
    Forget,
    Gone,
    Interrupted,
    Keep,
    Kill,
    Moved,
    NotSpawned,
    Publish,
    Sent,
    Settle,
    Settled,
    Spawned,
    Start,
    Tell,
    Tick,
    Unwritten,
    Wish,
    Write,
)
from actors.transcripts.pieces import reply_of
from schemas.content import (
    ApprovalRequested,
    ApprovalResolved,
    Ended,
    FailureTold,
    Identified,
    TextAdded,
    TextEnded,
    TurnEnded,
    TurnStarted,
    UsageTold,
)
from schemas.events import Usage
from schemas.identity import LaunchId, SessionId
from tests.bridge.session_play import LAUNCH, PROCESS, TIME, Play, facts, of

HOUR = 3600.0


def waiting(play: Play) -> list[str]:
    return [one.turn for one in play.session.messages]


def test_a_session_begins_is_named_and_takes_its_older_names_along() -> None:
    play = Play()
    orders = play(Begun())
    assert of(orders, Start)
    assert of(orders, Keep)
    assert facts(play(Spawned(process=PROCESS, launch=LAUNCH))) == ["bridge.started"]
    assert play.session.phase == "running"
    assert facts(play(Came(Initialised(version="1")))) == ["bridge.ready"]
    first = play.hear(Identified(session=SessionId("codex-c"), conversation="codex:c"))
    assert of(first, Moved) == [Moved(SessionId(LAUNCH), SessionId("codex-c"))]
    assert (play.session.session, play.session.conversation, play.session.aliases) == ("codex-c", "c", ())
    assert play.hear(Identified(session=SessionId("codex-c"), conversation="c")) == []
    again = play.hear(Identified(session=SessionId("codex-d"), conversation="d", cleared=True))
    assert of(again, Publish)[0].fact.succeeds == "codex-c"
    assert (play.session.aliases, play.session.turns) == (("codex-c",), 0)


def test_a_message_before_the_bridge_runs_is_accepted_and_given_when_it_does() -> None:
    play = Play()
    play(Begun())
    assert of(play(Sent(ask=1, message="a", text="x", by="me")), Settle) == [Settle(ask=1)]
    given = of(play(Spawned(process=PROCESS, launch=LAUNCH)), Write)
    assert [(one.line.turn, one.line.text) for one in given] == [("a", "x")]
    assert given[0].line.ask < 0
    assert of(play(Sent(ask=2, message="a", text="x", by="me")), Settle) == [Settle(ask=2)]
    assert waiting(play) == ["a"]
    play.hear(TurnStarted(turn="a"))
    assert waiting(play) == []
    assert play.session.turns == 1


def test_a_message_that_is_refused_late_is_told_on_the_stream() -> None:
    play = Play()
    play(Begun())
    play(Sent(ask=1, message="a", text="x", by="me"))
    given = of(play(Spawned(process=PROCESS, launch=LAUNCH)), Write)[0].line
    orders = play(Came(Replied(ask=given.ask, code="too_large", message="no")))
    assert facts(orders) == ["bridge.failed"]
    assert FailureTold(code="too_large", message="no", turn="a") in play.frames
    assert (play.session.messages, play.session.known) == ((), ())


def test_so_many_messages_wait_and_no_more() -> None:
    play = Play()
    play(Begun())
    for number in range(MAX_MESSAGES):
        assert of(play(Sent(ask=number + 1, message=f"m{number}", text="x", by="me")), Settle)[0].code == ""
    assert of(play(Sent(ask=99, message="more", text="x", by="me")), Settle)[0].code == "busy"
    assert "more" not in play.session.known


def test_what_a_bridge_cannot_be_told_is_refused() -> None:
    play = Play().begin()
    play(Sent(ask=1, message="a", text="x", by="me"))
    assert of(play(Unwritten(ask=1, code="too_large", message="no")), Settle) == [Settle(ask=1, code="too_large", message="no")]
    assert play.session.messages == ()


def test_a_turn_is_counted_and_kept_as_it_was_shown() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    play.hear(UsageTold(turn="a", usage=Usage(input=1, total=1)), UsageTold(turn="a", usage=Usage(input=3, total=3)))
    play.hear(TextAdded(turn="a", item="r", channel="reply", text=" there"))
    play.hear(TextEnded(turn="a", item="r", channel="reply", length=8))
    play.at = 2.5
    orders = play.hear(TurnEnded(turn="a", outcome="completed"))
    fact = of(orders, Publish)[0].fact
    assert (fact.reply_length, fact.milliseconds, fact.usage) == (8, 2500.0, Usage(input=3, total=3))
    assert [reply_of(turn) for turn in play.session.past] == ["hi there"]
    assert UsageTold(turn="a", usage=Usage(input=3, total=3)) in play.session.past[0].pieces
    assert play.session.running is None


def test_a_turn_that_begins_while_another_runs_ends_that_one() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    orders = play.hear(TurnStarted(turn="b"))
    assert facts(orders) == ["bridge.turn_ended", "bridge.turn_started"]
    assert of(orders, Publish)[0].fact.outcome == "failed"


def test_approvals_are_counted_timed_and_told_by_their_outcome() -> None:
    play = Play(patience=300.0).begin()
    play.turn("a", end=False)
    asked = play.hear(ApprovalRequested(turn="a", approval="q", tool="sh\nell", title="rm", options=(), expires=TIME))
    fact = of(asked, Publish)[0].fact
    assert (fact.kind, fact.seconds) == ("sh?ell", 300)
    assert [one.approval for one in play.session.questions] == ["q"]
    assert of(play(Answered(ask=5, approval="q", option="yes", by="me")), Write) == [
        Write(Answer(ask=5, approval="q", option="yes", by="me"))
    ]
    play.at = 1.0
    for by, allowed, outcome in (("me", True, "allowed"), ("deadline", False, "denied"), ("interrupt", False, "cancelled")):
        orders = play.hear(ApprovalResolved(turn="a", approval="q", option="x", allowed=allowed, by=by))
        assert of(orders, Publish)[0].fact.outcome == outcome
    assert [one.approval for one in play.session.questions] == []


def test_the_agent_s_words_are_on_the_stream_and_not_in_facts() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    orders = play.hear(
        FailureTold(code="upstream", message="secret words", turn="a"),
        TurnEnded(turn="a", outcome="failed", reason="secret words"),
    )
    assert "secret" not in repr(of(orders, Publish))
    assert of(orders, Publish)[1].fact.reason == "upstream"


def test_an_interrupt_gives_back_what_waited_when_it_was_given_and_nothing_later() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    play(Sent(ask=1, message="b", text="x", by="me"))
    assert of(play(Interrupted(ask=2, queued=True)), Write) == [Write(Interrupt(ask=2, queued=True))]
    play(Sent(ask=3, message="c", text="x", by="me"))
    play(Came(Replied(ask=2)))
    assert [one.turn for one in play.session.messages] == ["c"]


def test_a_bridge_that_dies_is_followed_by_one_that_goes_on_with_the_conversation() -> None:
    play = Play().begin()
    play.turn("a")
    play.turn("b", end=False)
    play(Sent(ask=1, message="c", text="x", by="me"))
    play(Interrupted(ask=2))
    orders = play(Gone(-9))
    assert of(orders, Settle) == [
        Settle(ask=1),
        Settle(ask=2, code="lost", message="the bridge ended before it answered; ask again"),
    ]
    assert facts(orders) == ["bridge.turn_ended", "bridge.failed"]
    assert of(orders, Start)
    assert (play.session.wish.resume, play.session.restarts, play.session.phase) == ("c", 1, "starting")
    given = play(Spawned(process=PROCESS, launch=LaunchId("launch-2")))
    assert of(given, Publish)[0].fact.spawned == "launch-2"
    assert [one.line.turn for one in of(given, Write)] == ["c"]


def test_what_waits_when_the_agent_dies_is_given_to_the_next_or_told_as_not_sent() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    play(Sent(ask=1, message="b", text="x", by="me"))
    play(Came(Replied(ask=1)))
    play.hear(FailureTold(code="agent_exited", message="its last words", turn="a"))
    play.hear(
        TurnEnded(turn="a", outcome="failed", reason="it exited with 1"),
        TurnEnded(turn="b", outcome="failed", reason="not sent: it exited with 1"),
    )
    play(Came(Over(code="agent_exited", reason="it exited with 1")))
    orders = play(Gone(0))
    assert facts(orders) == []  # told by the bridge already
    assert waiting(play) == ["b"]
    assert [one.line.turn for one in of(play(Spawned(process=PROCESS, launch=LAUNCH)), Write)] == ["b"]
    play(Came(Over(code="no_login", reason="log in first", resumable=False)))
    play(Gone(0))
    assert TurnEnded(turn="b", outcome="failed", reason="not sent: log in first") in play.frames
    assert [piece for piece in play.frames if isinstance(piece, TurnEnded) and piece.turn == "b"] == [
        TurnEnded(turn="b", outcome="failed", reason="not sent: log in first")
    ]


def test_restarts_are_delayed_and_given_up_within_a_minute_and_forgotten_after_it() -> None:
    play = Play().begin()
    play.turn("a")
    assert of(play(Gone(1), at=10.0), Start)
    for at, delay in ((11.0, 1.0), (13.0, 4.0)):
        play(Spawned(process=PROCESS, launch=LAUNCH), at=at)
        assert of(play(Gone(1), at=at), Start) == []
        assert of(play(Tick(HOUR), at=at + delay - 0.1), Start) == []
        assert of(play(Tick(HOUR), at=at + delay), Start)
    play(Spawned(process=PROCESS, launch=LAUNCH), at=60.0)
    late = Play()
    late.session = play.session
    assert "bridge.ended" in facts(play(Gone(1), at=60.0))
    assert play.session.phase == "ended"
    assert of(late(Gone(1), at=75.0), Forget) == []
    assert late.session.phase == "starting"


@pytest.mark.parametrize(
    ("over", "code", "said"),
    [
        (Over(code="no_login", reason="log in first", resumable=False), 0, "log in first"),
        (None, 70, "the bridge ended with code 70"),
        (None, -11, "signal 11"),
    ],
)
def test_what_never_worked_is_not_tried_again(over: Over | None, code: int, said: str) -> None:
    play = Play()
    play(Begun())
    play(Spawned(process=PROCESS, launch=LAUNCH))
    if over is not None:
        play(Came(over))
    orders = play(Gone(code))
    assert of(orders, Start) == []
    assert said in of(orders, Publish)[-1].fact.reason
    assert isinstance(play.frames[-1], Ended)
    assert of(orders, Forget)
    assert of(orders, Moved) == [Moved(SessionId(LAUNCH), None)]


def test_a_conversation_that_cannot_be_taken_up_ends_unless_nothing_was_said() -> None:
    play = Play(can=("interrupt",)).begin()
    assert of(play(Gone(1)), Start)
    assert play.session.wish.resume == ""
    play = Play(can=("interrupt",)).begin()
    play.turn("a")
    assert "start a new session" in of(play(Gone(1)), Publish)[-1].fact.reason


def test_what_cannot_be_taken_up_ends_when_the_hub_runs_again() -> None:
    play = Play(turns=1, can=("interrupt",))
    orders = play(Begun())
    assert of(orders, Start) == []
    assert play.session.phase == "ended"
    assert of(orders, Forget)
    assert "start a new session" in play.session.ending


def test_a_cleared_conversation_without_a_turn_is_not_taken_up() -> None:
    play = Play(wish=Wish(agent="codex", cwd="/w", resume="old")).begin()
    play.turn("a")
    play.hear(Identified(session=SessionId("codex-d"), conversation="d", cleared=True))
    play(Gone(1))
    assert play.session.wish.resume == ""


def test_a_fork_is_made_again_until_it_has_a_name_of_its_own() -> None:
    wish = Wish(agent="codex", cwd="/w", resume="parent", fork=True)
    play = Play(wish=wish, ever=True)
    play(Begun())
    play(Spawned(process=PROCESS, launch=LAUNCH))
    play(Gone(1))
    assert play.session.wish == wish
    play(Spawned(process=PROCESS, launch=LAUNCH))
    play.hear(Identified(session=SessionId("codex-child"), conversation="child"))
    play(Gone(1))
    assert (play.session.wish.resume, play.session.wish.fork) == ("child", False)


def test_a_bridge_that_is_silent_is_killed_but_not_for_our_own_sleep() -> None:
    play = Play().begin()
    assert of(play(Tick(HOUR, late=HUNG_SECONDS + 1), at=HUNG_SECONDS + 1), Kill) == []
    assert of(play(Tick(HOUR), at=2 * HUNG_SECONDS + 2), Kill)
    orders = play(Gone(-9))
    assert of(orders, Publish)[0].fact.code == "bridge_hung"


def test_a_close_is_answered_when_all_is_over_and_killed_when_it_takes_too_long() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    play(Sent(ask=1, message="b", text="x", by="me"))
    assert isinstance(of(play(Closed(ask=2, reason="asked to")), Write)[0].line, Close)
    assert of(play(Sent(ask=3, message="c", text="x", by="me")), Settle)[0].code == "ended"
    assert of(play(Closed(ask=4, reason="asked to")), Write) == []
    assert of(play(Tick(HOUR), at=CLOSE_SECONDS - 0.1), Kill) == []
    assert of(play(Tick(HOUR), at=CLOSE_SECONDS), Kill)
    orders = play(Gone(-9))
    assert {one.ask: one.code for one in of(orders, Settle)} == {1: "ended", 2: "", 4: ""}
    assert facts(orders) == ["bridge.turn_ended", "bridge.ended"]
    assert of(orders, Forget)
    assert of(orders, Moved) == []
    assert play.session.status == "gone"
    assert of(play(Closed(ask=5, reason="x")), Settle) == [Settle(ask=5)]


def test_a_bridge_that_cannot_be_started_again_at_once_is_tried_later() -> None:
    play = Play().begin()
    play(Gone(1))
    assert of(play(NotSpawned("no processes left")), Start) == []
    assert play.session.phase == "resting"
    assert of(play(Tick(HOUR), at=2.0), Start)
    never = Play()
    never(Begun())
    assert of(never(NotSpawned("no processes left")), Publish)[-1].fact.reason == "no processes left"
    assert never.session.phase == "ended"


def test_a_close_before_the_bridge_runs_reaches_it_when_it_does() -> None:
    play = Play()
    play(Begun())
    play(Closed(ask=1, reason="asked to"))
    orders = play(Spawned(process=PROCESS, launch=LAUNCH))
    assert isinstance(of(orders, Write)[0].line, Close)
    assert of(play(Gone(0)), Settle)[-1] == Settle(ask=1)
    resting = Play()
    assert of(resting(Closed(ask=1, reason="asked to")), Settle) == [Settle(ask=1)]
    failing = Play()
    failing(Begun())
    failing(Closed(ask=1, reason="asked to"))
    assert of(failing(NotSpawned("no")), Settle) == [Settle(ask=1)]


def test_what_ends_for_now_stays_written_down() -> None:
    play = Play().begin()
    play(Closed(reason=STOPPED, keep=True))
    orders = play(Gone(0))
    assert of(orders, Keep)
    assert of(orders, Forget) == []


def test_one_that_nobody_uses_ends_unless_it_works_or_waits() -> None:
    play = Play().begin()
    play.turn("a", end=False)
    assert of(play(Tick(HOUR), at=2 * HOUR), Write) == []
    play = Play().begin()
    play(Came(Replied(ask=0)), at=HOUR)
    assert isinstance(of(play(Tick(HOUR), at=HOUR), Write)[0].line, Close)
    assert "idle_hours" in play.session.ending


def test_settings_that_change_are_wished_for_again_after_a_restart() -> None:
    play = Play(can=("set_model", "resume")).begin()
    play(Changed(ask=1, model="large"))
    play(Settled(provider="echo"))
    play(Gone(1))
    assert (play.session.wish.model, play.session.wish.provider) == ("large", "echo")
    assert of(play(Changed(ask=2, mode="x")), Settle)[0].code == "starting"


def test_a_turn_cut_off_by_the_hub_s_own_death_is_told() -> None:
    play = Play(turns=1)
    orders = play(Begun(cut_off="a"))
    fact = of(orders, Publish)[0].fact
    assert (fact.turn, fact.outcome, fact.reason) == ("a", "failed", "tabwire_ended")
    assert [turn.turn for turn in play.session.past] == ["a"]


def test_frames_count_from_one_and_name_the_session_of_their_time() -> None:
    play = Play()
    orders = play(Begun())
    play.begin()
    play.turn("a")
    assert play.session.sequence == len(play.frames)
    assert all(one.frame.session == LAUNCH for one in of(orders, Tell))
