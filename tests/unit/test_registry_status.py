"""Playbooks of the status: what a session is doing, by which source, and which source gives way to which."""

from __future__ import annotations

import pytest

from schemas import events as e
from schemas.identity import LaunchId, SessionId, process_id
from schemas.rows import SessionRow
from tests.story import CLIENT, Story, clock, process, provisional

P, Q = process(41), process(42)
C = SessionId("codex-01a1")
L = LaunchId("launch-0123456789ab")


def doing(row: SessionRow) -> tuple[str, str]:
    return row.status, row.status_source


@pytest.fixture
def story() -> Story:
    told = Story()
    told.seen(P, started="2026-11-21T00:00:00Z")
    told.found(P, C)
    return told


# ------------------------------------------------------------------------------------------------ each source


def test_starting_is_what_nobody_has_seen_yet_and_an_exec_that_sent_nothing() -> None:
    story = Story()
    story.launched(L, P)
    assert doing(story.row(L)) == ("starting", "launch")
    story.seen(P, launch=L, started="2026-11-21T01:00:00Z")
    assert doing(story.row(L)) == ("idle", "process")
    story.seen(Q, kind="exec", started="2026-11-21T01:00:00Z")
    assert doing(story.row(provisional(Q))) == ("starting", "process")


def test_requests_work_and_end(story: Story) -> None:
    name = story.request(C, P, end="")
    row = story.row(C)
    assert (doing(row), row.status_since, row.status_reason) == (("working", "request"), clock(4), "a request is in flight")
    story.finish(name, C)
    assert (doing(story.row(C)), story.row(C).status_since) == (("idle", "request"), clock(7))
    story.request(C, P, end="failed")
    row = story.row(C)
    assert (doing(row), row.status_reason) == (("error", "request"), "the last request failed in stream: cut (502)")
    story.request(C, P, end="cancelled")
    assert story.row(C).status == "idle"


def test_turns_of_a_transcript(story: Story) -> None:
    story.transcript(C)
    story.turn(C)
    assert (doing(story.row(C)), story.row(C).status_reason) == (("working", "transcript"), "turn t1")
    story.turn(C, "completed")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("idle", "transcript"), "the turn completed")
    story.turn(C, "failed", code="usage_limit")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("error", "transcript"), "the turn failed: usage_limit")
    story.turn(C, "aborted")
    assert story.row(C).status_reason == "the turn was aborted"


@pytest.mark.parametrize(
    ("hook", "detail", "status"),
    [
        ("SessionStart", "startup", "idle"),
        ("UserPromptSubmit", "", "working"),
        ("PreToolUse", "", "working"),
        ("PermissionRequest", "exec", "waiting_permission"),
        ("Notification", "permission_prompt", "waiting_permission"),
        ("Notification", "idle_prompt", "waiting_input"),
        ("Notification", "elicitation_dialog", "waiting_input"),
        ("Stop", "", "idle"),
        ("Interrupt", "", "idle"),
        ("SessionEnd", "other", "idle"),
        ("StopFailure", "", "error"),
    ],
)
def test_hooks(story: Story, hook: str, detail: str, status: str) -> None:
    story.hook(C, P, hook, detail)
    assert doing(story.row(C)) == (status, "hook")


@pytest.mark.parametrize(("hook", "detail"), [("Notification", "auth_success"), ("SubagentStop", ""), ("Unheard", "")])
def test_hooks_that_say_nothing_of_a_status_leave_it(story: Story, hook: str, detail: str) -> None:
    story.hook(C, P, "PermissionRequest")
    story.hook(C, P, hook, detail)
    assert story.row(C).status == "waiting_permission"


def test_an_exit_ends_everything(story: Story) -> None:
    story.request(C, P, end="")
    story.hook(C, P, "PermissionRequest")
    story.turn(C)
    story.exited(P)
    row = story.row(C)
    assert (doing(row), row.status_since) == (("gone", "process"), clock(story.seconds))
    assert row.status_reason == f"process {process_id(P)} exited"


# ------------------------------------------------------------------------------------------------ which gives way


def test_a_wait_outranks_work_and_ends_with_the_main_thread_s_next_request(story: Story) -> None:
    story.turn(C)
    story.request(C, P, end="")
    story.hook(C, P, "PermissionRequest", "exec")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("waiting_permission", "hook"), "PermissionRequest (exec)")
    story.request(C, P, thread="child", thread_kind="subagent")
    assert story.row(C).status == "waiting_permission"
    story.request(C, P, thread="01a1", thread_kind="main")
    assert doing(story.row(C)) == ("working", "transcript")


@pytest.mark.parametrize("how", ["hook", "turn"])
def test_a_wait_ends_with_another_hook_or_the_turn(story: Story, how: str) -> None:
    story.turn(C)
    story.hook(C, P, "PermissionRequest")
    if how == "hook":
        story.hook(C, P, "PostToolUse")
        assert doing(story.row(C)) == ("working", "transcript")
    else:
        story.turn(C, "aborted")
        assert doing(story.row(C)) == ("idle", "transcript")


def test_between_the_requests_of_an_open_turn_the_agent_works(story: Story) -> None:
    story.turn(C)
    story.request(C, P)
    assert doing(story.row(C)) == ("working", "transcript")
    story.request(C, P, end="failed")
    assert story.row(C).status == "working"  # it will try again
    story.turn(C, "completed")
    assert doing(story.row(C)) == ("idle", "transcript")


def test_a_hook_s_stop_ends_a_turn_whose_end_was_not_read(story: Story) -> None:
    story.turn(C)
    story.hook(C, P, "Stop")
    assert doing(story.row(C)) == ("idle", "hook")
    story.turn(C)
    assert doing(story.row(C)) == ("working", "transcript")


def test_a_request_in_flight_is_work_whatever_ended(story: Story) -> None:
    story.turn(C, "completed")
    story.hook(C, P, "Stop")
    story.request(C, P, end="")
    assert doing(story.row(C)) == ("working", "request")


def test_a_sub_agent_s_turn_is_work_of_its_conversation(story: Story) -> None:
    story.transcript(C)
    story.turn(C, "completed")
    story.transcript(C, thread="child", kind="subagent")
    story.turn(C, thread="child")
    assert (story.row(C).status, story.row(C).status_reason) == ("working", "turn t1 of a thread inside it")


def test_the_turn_of_a_process_that_died_in_it_is_no_work_of_the_next_one(story: Story) -> None:
    story.turn(C)
    story.exited(P)
    story.found(Q, C)
    assert story.row(C).status == "idle"
    story.turn(C)
    assert story.row(C).status == "working"


def test_an_open_turn_that_is_read_late_is_work_only_of_a_process_that_lived_then(story: Story) -> None:
    story.seconds = 4000
    story.turn(C, at="2026-11-20T20:00:00Z")
    assert story.row(C).status == "idle"
    assert story.row(C).activity == "idle"
    story.turn(C, at="2026-11-21T00:30:00Z")
    assert story.row(C).status == "working"


# ------------------------------------------------------------------------------------------------ announced


def test_each_change_of_status_is_announced_once_in_a_chain_of_ids(story: Story) -> None:
    ids = []
    told = []
    for _ in range(3):
        name = story.request(C, P, end="")
        said = [one for one in story.announce(statuses=True) if isinstance(one.data, e.SessionStatusChanged)]
        story.finish(name, C)
        said += [one for one in story.announce(statuses=True) if isinstance(one.data, e.SessionStatusChanged)]
        ids += [one.id for one in said]
        told += [one.data.status for one in said if one.data.session == C]
    assert told == ["working", "idle"] * 3
    assert len(set(ids)) == len(ids)


def test_an_alias_announces_no_status(story: Story) -> None:
    story.request(C, P)
    said = [one.data.session for one in story.announce(statuses=True) if isinstance(one.data, e.SessionStatusChanged)]
    assert said == [C]


def test_a_launch_ended_by_a_user_s_clock_does_not_confuse_the_times(story: Story) -> None:
    story.launched(L, P)
    story.tell(e.LaunchEnded(launch=L), source=CLIENT)
    assert story.row(C).status_since == clock(story.seconds)
