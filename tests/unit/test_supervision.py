"""Playbooks of supervision: what happens, moment by moment, and what is ordered."""

from __future__ import annotations

import pytest

from actors.runtime.contract import Beat, Line, Ready, Status
from actors.supervisor.supervision import LADDER, LONGEST_DELAY, SILENCE, STOP_BUDGET, begin, step
from actors.supervisor.terms import (
    Child,
    ChildSpec,
    Done,
    Exited,
    Input,
    Kill,
    Output,
    Publish,
    RetryAsked,
    Said,
    Spawn,
    Spawned,
    SpawnFailed,
    StopAsked,
    Terminate,
    Tick,
    What,
)
from schemas.events import ActorExited, ActorFailed, ActorReady, ActorStarted

SPECS = (
    ChildSpec(actor="broker"),
    ChildSpec(actor="registry", needs="broker"),
    ChildSpec(actor="gateway"),
)


class Play:
    """Plays inputs into supervision and remembers what was ordered."""

    def __init__(self, *specs: ChildSpec) -> None:
        self.now = 1000.0
        self.state = begin(specs or SPECS, self.now)
        self.orders: list[Output] = []
        self.facts: list[Publish] = []
        self.give(Tick())

    def give(self, what: What, chance: float = 0.5) -> list[Output]:
        self.state, outputs = step(self.state, Input(self.now, chance, what))
        self.facts += [output for output in outputs if isinstance(output, Publish)]
        orders = [output for output in outputs if not isinstance(output, Publish)]
        self.orders += orders
        answers: list[Output] = []
        for order in orders:
            if isinstance(order, Spawn):
                answers += self.give(Spawned(order.actor, order.incarnation, 100 + order.incarnation, f"i{order.incarnation}"))
        return orders + answers

    def child(self, actor: str) -> Child:
        return next(child for child in self.state.children if child.spec.actor == actor)

    def say(self, actor: str, line: Line) -> list[Output]:
        return self.give(Said(actor, self.child(actor).incarnation, line))

    def exit(self, actor: str, code: int, chance: float = 0.5) -> list[Output]:
        return self.give(Exited(actor, self.child(actor).incarnation, code), chance)

    def wait(self, seconds: float, beating: tuple[str, ...] = ("broker", "registry", "gateway")) -> list[Output]:
        """Let time pass in ticks while these actors beat."""
        orders: list[Output] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.25, end)
            for child in self.state.children:
                if child.spec.actor in beating and child.phase in ("starting", "ready", "degraded"):
                    orders += self.say(child.spec.actor, Beat())
            orders += self.give(Tick())
        return orders

    def up(self) -> Play:
        for spec in (child.spec for child in self.state.children):
            self.say(spec.actor, Ready())
        return self


def test_children_start_one_after_the_other_each_when_the_one_before_is_ready() -> None:
    play = Play()
    assert play.orders == [Spawn("broker", 1)]
    play.say("broker", Ready({"port": 1}))
    assert play.orders == [Spawn("broker", 1), Spawn("registry", 1)]
    play.say("registry", Ready())
    assert play.orders[-1] == Spawn("gateway", 1)
    assert play.child("broker").facts == {"port": 1}
    assert [fact.event.TYPE for fact in play.facts][:3] == [ActorStarted.TYPE, ActorReady.TYPE, ActorStarted.TYPE]


def test_a_child_that_does_not_get_ready_holds_up_the_others_only_until_its_deadline() -> None:
    play = Play()
    assert play.wait(9) == []
    assert play.wait(1.5)[0] == Spawn("registry", 1)
    assert play.child("broker").phase == "starting"


def test_a_child_whose_configuration_is_bad_fails_at_once_says_why_and_the_others_go_on() -> None:
    play = Play()
    play.say("broker", Status("failed", "config.toml:3: gateway.prot: unknown key"))
    orders = play.exit("broker", 78)
    assert orders == [Spawn("registry", 1)]
    assert play.child("broker").phase == "failed"
    assert play.child("broker").note == "bad configuration (78): config.toml:3: gateway.prot: unknown key"
    assert play.facts[-2].event == ActorFailed(actor="broker", reason=play.child("broker").note)


def test_a_child_that_had_been_ready_for_a_second_starts_again_at_once() -> None:
    play = Play().up()
    play.wait(1.5)
    assert play.exit("gateway", -9) == [Spawn("gateway", 2)]
    assert play.child("gateway").last_exit == "killed by signal 9"
    assert play.child("gateway").restarts == 1
    exited = next(fact.event for fact in play.facts if isinstance(fact.event, ActorExited))
    assert (exited.code, exited.reason, exited.incarnation) == (-9, "killed by signal 9", "i1")


def test_a_crash_loop_backs_off_with_growing_delays_and_is_failed_within_fifteen_seconds() -> None:
    for chance in (0.0, 0.5, 0.999):
        play = Play(ChildSpec(actor="gateway"))
        starts = [play.now]
        begun = play.now
        while play.child("gateway").phase != "failed":
            play.wait(0.2)
            play.exit("gateway", 70, chance)
            if play.child("gateway").phase == "backoff":
                due = play.child("gateway").due
                assert due is not None
                play.wait(due - play.now)
                starts.append(play.now)
                assert play.child("gateway").phase == "starting"
        assert len([start for start in starts if start < begun + 10]) <= 5
        assert play.now - begun < 15
        assert play.child("gateway").note == "crashed 6 times in 60 s; last: crashed (70)"
        assert play.wait(120) == []


def test_retry_starts_a_failed_child_with_new_counters() -> None:
    play = Play(ChildSpec(actor="gateway"))
    play.exit("gateway", 78)
    assert play.give(RetryAsked("nobody")) == []
    assert play.give(RetryAsked("gateway")) == [Spawn("gateway", 2)]
    assert play.child("gateway").crashes == ()
    assert play.give(RetryAsked("gateway")) == []  # it runs: nothing to do


def test_sixty_healthy_seconds_clear_the_count() -> None:
    play = Play().up()
    for _ in range(4):
        play.wait(1.5)
        play.exit("gateway", 70)
        play.say("gateway", Ready())
    assert len(play.child("gateway").crashes) == 4
    play.wait(59)
    assert len(play.child("gateway").crashes) == 4
    play.wait(1.5)
    assert play.child("gateway").crashes == ()


def test_silence_is_a_hang_terminate_then_kill_then_a_new_start() -> None:
    play = Play().up()
    assert play.wait(SILENCE, ("broker", "registry")) == []
    assert play.wait(0.5, ("broker", "registry")) == [Terminate("gateway", 1)]
    assert play.child("gateway").note == "hung: no beat for 3 s"
    assert play.wait(LADDER - 0.5, ("broker", "registry")) == []
    assert play.wait(0.5, ("broker", "registry")) == [Kill("gateway", 1)]
    assert play.wait(1, ("broker", "registry")) == []  # killing twice would not help
    assert play.exit("gateway", -9) == [Spawn("gateway", 2)]
    assert play.child("gateway").last_exit == "hung: no beat for 3 s, killed"


def test_before_the_first_beat_more_patience_is_due() -> None:
    play = Play(ChildSpec(actor="gateway", start_deadline=15))
    assert play.wait(14.9, ()) == []
    assert play.wait(0.5, ()) == [Terminate("gateway", 1)]


def test_when_the_supervisor_was_away_nobody_is_hung() -> None:
    play = Play().up()
    play.now += 3600
    assert play.give(Tick()) == []
    assert play.wait(SILENCE, ()) == []
    assert len(play.wait(0.5, ())) == 3


def test_stop_goes_in_reverse_one_at_a_time() -> None:
    play = Play().up()
    assert play.give(StopAsked()) == [Terminate("gateway", 1)]
    assert play.give(StopAsked()) == []
    assert play.exit("gateway", 0) == [Terminate("registry", 1)]
    assert play.exit("registry", 0) == [Terminate("broker", 1)]
    assert play.exit("broker", 0) == [Done()]
    assert {child.phase for child in play.state.children} == {"stopped"}
    assert play.give(Tick()) == []


def test_stop_kills_what_does_not_end_and_everything_when_its_time_is_up() -> None:
    play = Play().up()
    play.give(StopAsked())
    assert play.wait(5.4) == []
    assert play.wait(0.3) == [Kill("gateway", 1)]
    assert play.exit("gateway", -9) == [Terminate("registry", 1)]
    assert play.wait(STOP_BUDGET - 5.9) == []
    assert play.wait(0.25) == [Kill("registry", 1), Terminate("broker", 1), Kill("broker", 1)]
    play.exit("registry", -9)
    assert play.exit("broker", -9) == [Done()]


def test_nothing_starts_once_a_stop_was_asked_for() -> None:
    play = Play().up()
    play.exit("gateway", 70)  # crashed within its first second: backing off
    assert play.child("gateway").phase == "backoff"
    play.give(StopAsked())
    assert play.child("gateway").phase == "stopped"
    assert play.give(RetryAsked("gateway")) == []
    assert play.exit("registry", 70) == [Terminate("broker", 1)]


def test_a_lost_broker_is_no_crash_and_its_return_ends_the_wait() -> None:
    play = Play().up()
    play.wait(2)
    play.exit("broker", -9)  # starts again at once, not ready yet
    assert play.exit("registry", 75) == []
    assert play.child("registry").phase == "backoff"
    assert play.child("registry").crashes == ()
    assert play.say("broker", Ready()) == [Spawn("registry", 2)]


def test_an_exit_with_zero_that_nobody_asked_for_is_a_crash() -> None:
    play = Play().up()
    play.exit("gateway", 0)
    assert play.child("gateway").phase == "backoff"
    assert play.child("gateway").last_exit == "ended although nobody had asked it to"


def test_a_process_that_cannot_be_started_is_a_crash_with_a_reason() -> None:
    play = Play(ChildSpec(actor="gateway"))
    play.give(SpawnFailed("gateway", 1, "Too many open files"))
    assert play.child("gateway").phase == "backoff"
    assert play.child("gateway").last_exit == "could not be started: Too many open files"


def test_what_an_earlier_incarnation_said_changes_nothing() -> None:
    play = Play().up()
    play.wait(2)
    play.exit("gateway", 70)
    before = play.state
    play.give(Said("gateway", 1, Ready()))
    play.give(Exited("gateway", 1, 0))
    assert play.state == before


def test_degraded_is_shown_with_its_note_and_ends() -> None:
    play = Play().up()
    play.say("broker", Status("degraded", "disk full"))
    assert (play.child("broker").phase, play.child("broker").note) == ("degraded", "disk full")
    play.say("broker", Status("ready"))
    assert (play.child("broker").phase, play.child("broker").note) == ("ready", "")


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_no_delay_is_longer_than_the_longest(chance: float) -> None:
    play = Play(ChildSpec(actor="gateway", intensity=1000))
    for _ in range(20):
        play.exit("gateway", 70, chance)
        due = play.child("gateway").due
        assert due is not None
        assert due - play.now <= LONGEST_DELAY
        play.wait(due - play.now)
