"""Playbooks of the registry's fold: each rule of identity, verdict, lifecycle and counting, one story each."""

from __future__ import annotations

import pytest

from actors.registry.fold import Limits, State, fold, pending
from schemas import events as e
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.evidence import Rank
from schemas.identity import LaunchId, RequestId, SessionId, process_id
from tests.story import (
    CLIENT,
    EPOCH,
    GATEWAY,
    Story,
    clock,
    header,
    kernel,
    process,
)

P, Q, DAEMON = process(41), process(42), process(99)
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")
L = LaunchId("launch-0123456789ab")
AT_FIRST = SessionId(L)  # until its conversation is known


# ------------------------------------------------------------------------------------------------ lifecycle


def test_active_idle_gone() -> None:
    story = Story()
    story.request(C, P)
    assert story.row(C, after=59).activity == "active"
    assert story.row(C, after=61).activity == "idle"
    story.exited(P)
    assert story.row(C).activity == "gone"


def test_a_request_in_flight_keeps_a_session_active() -> None:
    story = Story()
    name = story.request(C, P, end="")
    assert (story.row(C, after=600).activity, story.row(C).in_flight) == ("active", 1)
    story.finish(name, C)
    assert story.row(C, after=600).activity == "idle"


def test_a_session_is_gone_with_its_last_process_only() -> None:
    story = Story()
    story.request(C, P)
    story.request(C, Q)
    story.announce()
    story.exited(P)
    assert story.announce() == []
    story.exited(Q)
    (gone,) = story.announce()
    assert gone.data == e.SessionGone(session=C, reason=f"process {process_id(Q)} exited")


def test_gone_and_returned_alternate_with_ids_of_their_own() -> None:
    story = Story()
    ids = []
    for pid in range(50, 54):
        story.request(C, process(pid))
        ids += [effect.id for effect in story.announce()]
        story.exited(process(pid))
        ids += [effect.id for effect in story.announce()]
    assert len(ids) == len(set(ids)) == 2 + 4 + 3


def test_a_launch_that_ended_without_a_request_is_gone() -> None:
    story = Story()
    story.launched(L, P)
    story.announce()
    story.tell(e.LaunchEnded(launch=L), source=CLIENT)
    (gone,) = story.announce()
    assert gone.data == e.SessionGone(
        session=AT_FIRST, reason=f"process {process_id(P)} ended with its launch (process exited)"
    )


def test_a_launch_known_by_requests_alone_ends_with_its_launch() -> None:
    story = Story()
    story.request(C, None, launch=L)
    story.tell(e.LaunchEnded(launch=L), source=CLIENT)
    assert story.row(C).activity == "gone"


def test_a_request_told_after_its_process_exited_brings_nothing_back() -> None:
    story = Story()
    story.exited(P)
    story.request(C, P)
    assert story.row(C).activity == "gone"
    kinds = [type(effect.data) for effect in story.announce()]
    assert kinds == [e.SessionSeen, e.SessionVerified, e.SessionGone]


def test_a_new_boot_ends_what_ran_before_it() -> None:
    story = Story()
    story.request(C, P)
    story.request(D, process(41, boot="boot-2"))
    assert (story.row(C).activity, story.row(D).activity) == ("gone", "active")
    story.request("codex-late", process(43))
    assert story.row("codex-late").activity == "gone"
    story.request("codex-elsewhere", process(43, host="host-2", boot="boot-9"))
    assert story.row("codex-elsewhere").activity == "active"


# ------------------------------------------------------------------------------------------------ counting


def test_failures_cancellations_and_usage() -> None:
    story = Story()
    story.request(C, P, usage=e.Usage(input=10, cached_input=4, output=2, reasoning=1, total=12), response="resp-1")
    story.request(C, P, end="failed", usage=e.Usage(input=1, total=1))
    story.request(C, P, end="cancelled")
    row = story.row(C)
    assert (row.requests, row.failures, row.cancellations, row.in_flight) == (3, 1, 1, 0)
    assert row.usage == e.Usage(input=11, cached_input=4, output=2, reasoning=1, total=13)


def test_usage_counts_once_for_a_response_and_the_highest_figures_stand() -> None:
    story = Story()
    story.request(C, P, usage=e.Usage(input=10, total=10), response="resp-1", end="cancelled")
    story.request(C, P, usage=e.Usage(input=10, output=7, total=17), response="resp-1")
    story.request(C, P, usage=e.Usage(input=3, total=3), response="resp-1")
    assert story.row(C).usage == e.Usage(input=10, output=7, total=17)


def test_a_request_whose_beginning_was_lost_counts_at_its_end() -> None:
    story = Story()
    story.finish("lost", C, usage=e.Usage(input=1, total=1))
    row = story.row(C)
    assert (row.requests, row.in_flight, row.verdict, row.agent) == (1, 0, "unverified", "codex")


@pytest.mark.parametrize("fact", [e.ActorStarted, e.ActorExited])
def test_requests_of_a_gateway_that_ended_are_given_up(fact: type) -> None:
    story = Story()
    story.request(C, P, end="")
    if fact is e.ActorStarted:
        story.tell(e.ActorStarted(actor="gateway", incarnation="g2", pid=1, restarts=1), source="/actor/supervisor/s1")
    else:
        story.tell(
            e.ActorExited(actor="gateway", incarnation="g1", pid=1, code=-9, reason="killed"), source="/actor/supervisor/s1"
        )
    row = story.row(C)
    assert (row.in_flight, row.failures) == (0, 1)
    assert story.explain(C).decisions[-1].outcome == "not known: gateway ended before it said"


def test_a_request_attributed_twice_counts_once() -> None:
    story = Story()
    name = story.request(C, P, end="")
    story.tell(e.RequestAttributed(request=name, session=C, agent="codex", process=P, evidence=(kernel(P),)))
    assert (story.row(C).requests, story.row(C).in_flight) == (1, 1)


def test_requests_in_flight_are_bounded() -> None:
    story = Story(State(limits=Limits(flights=3)))
    for _ in range(5):
        story.request(C, P, end="")
    assert (len(story.state.flights), story.row(C).in_flight, story.row(C).failures) == (3, 3, 2)
    assert story.state.counted["requests in flight forgotten"] == 2


# ------------------------------------------------------------------------------------------------ bounds


def test_statements_are_kept_once_with_a_count_and_bounded_by_rank() -> None:
    story = Story(State(limits=Limits(statements=4)))
    for number in range(10):
        story.request(C, P, evidence=[header(f"codex-{number}"), kernel(P)])
    lines = story.explain(C).evidence
    assert len(lines) == 4
    assert (lines[0].evidence.rank, lines[0].repeated) == (Rank.KERNEL, 10)


def test_decisions_are_the_last_ones() -> None:
    story = Story(State(limits=Limits(decisions=3)))
    for _ in range(5):
        story.request(C, P)
    decisions = story.explain(C).decisions
    assert [one.request for one in decisions] == ["r3", "r4", "r5"]
    assert decisions[0].outcome == "completed 200 after 12 ms"


def test_claims_of_processes_that_exited_are_added_up() -> None:
    story = Story(State(limits=Limits(claims=3)))
    for pid in range(100, 120):
        story.request(C, process(pid), usage=e.Usage(input=1, total=1))
        story.exited(process(pid))
    row = story.row(C)
    assert (row.requests, row.verdict, row.usage) == (20, "verified", e.Usage(input=20, total=20))
    assert len(story.state.sessions[C].claims) <= 4


def test_gone_sessions_are_forgotten_by_recorded_time_once_announced() -> None:
    story = Story(State(limits=Limits(gone_hours=1)))
    story.launched(L, P)
    story.request(C, P, launch=L)
    story.announce()
    story.exited(P)
    story.announce()
    story.seconds += 7200
    for _ in range(1100):
        story.tell(e.ProcessExited(process=Q))
    assert story.table().sessions == ()
    assert (story.state.sessions, story.state.launches, set(story.state.processes)) == ({}, {}, {Q})
    story.request(C, process(77))
    assert story.row(C).activity == "active"
    assert [effect.data.TYPE for effect in story.announce()] == [e.SessionSeen.TYPE, e.SessionVerified.TYPE]


def test_a_full_table_forgets_gone_sessions_first() -> None:
    story = Story(State(limits=Limits(sessions=20)))
    for number in range(30):
        story.request(f"codex-{number}", process(200 + number))
        if number % 2:
            story.exited(process(200 + number))
    kept = story.rows()
    assert len(kept) <= 20
    assert all(f"codex-{number}" in kept for number in range(0, 30, 2))
    assert story.state.counted["sessions forgotten"] >= 10


def test_processes_without_a_session_are_bounded() -> None:
    story = Story(State(limits=Limits(strays=5)))
    for pid in range(50):
        story.exited(process(pid))
    assert len(story.state.processes) == 5


# ------------------------------------------------------------------------------------------------ the journal


def test_a_repeated_event_changes_nothing() -> None:
    story = Story()
    story.request(C, P)
    before = story.table()
    for event in story.journal:
        assert fold(story.state, event) == ()
    assert story.table() == before


def test_another_epoch_begins_again() -> None:
    story = Story()
    story.request(C, P)
    envelope = Envelope(id="x", source=GATEWAY, type="process.exited", subject="process/x", time="t", data={})
    fold(story.state, Recorded(Stamp("epoch-2", 1, clock(1)), envelope))
    assert (story.state.epoch, story.state.position, story.state.sessions) == ("epoch-2", 1, {})


def test_unknown_types_are_counted() -> None:
    state = State()
    envelope = Envelope(id="x", source=GATEWAY, type="weather.changed", subject="bus/x", time="t", data={"a": 1})
    assert fold(state, Recorded(Stamp(EPOCH, 1, clock(1)), envelope)) == ()
    assert state.counted == {"events of an unknown type": 1}


def test_only_the_registry_announces_and_only_actors_tell_of_requests() -> None:
    story = Story()
    story.tell(e.SessionVerified(session=C, request=RequestId("r"), rank=1))
    story.tell(e.SessionVerified(session=C, request=RequestId("r"), rank=1), source="/client/evil/1")
    story.tell(
        e.RequestAttributed(request=RequestId("r"), session=C, agent="codex", process=P, evidence=(kernel(P),)),
        source="/client/evil/1",
    )
    assert story.table().sessions == ()
    assert sum(story.state.counted.values()) == 3


def test_conclusions_outlive_the_trimming_of_their_evidence() -> None:
    story = Story()
    story.launched(L, P)
    story.request(C, P, launch=L)
    first = len(story.journal)
    story.announce()
    state = State()
    for event in story.journal[first:]:
        fold(state, event)
    late = Story(state)
    late.seconds = story.seconds
    row = late.row(C)
    assert (row.verdict, row.aliases) == ("verified", (AT_FIRST,))
    assert pending(state) == ()
