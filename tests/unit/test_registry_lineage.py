"""Playbooks of an agent that starts itself a second time, as Gemini CLI does: what was told of it, with its real order."""

from __future__ import annotations

import pytest

from actors.registry.replay import replay_state
from schemas import events as e
from schemas.events.values import ProcessKind
from schemas.identity import LaunchId, SessionId
from tests.story import CLIENT, GATEWAY, TAB, Story, kinds, of, process, provisional

BRIDGES = "/actor/bridges/b1"
BRIDGE, OUTER, INNER = process(36), process(57), process(86)
L = LaunchId("launch-c780779ccb07")
C = SessionId("gemini-d5d34be9")


def outer(story: Story, kind: ProcessKind, launch: LaunchId | None = None, *, tab: bool = False) -> None:
    """Tell of the first process: an agent like any other, until the one that it starts shows what it is."""
    story.seen(OUTER, agent="gemini", kind=kind, cwd="/w", launch=launch, terminal=TAB if tab else None)


def test_what_a_bridge_started_and_starts_itself_again_is_one_session() -> None:
    story = Story()
    story.launched(L, BRIDGE, agent="gemini", cwd="/w")
    started = e.BridgeStarted(launch=L, session=SessionId(L), agent="gemini", process=BRIDGE, cwd="/w")
    story.tell(started, source=BRIDGES)
    outer(story, "app_server")
    assert set(story.rows()) == {L, provisional(OUTER)}  # nothing tells yet that it will not send for itself
    story.announce()
    outer(story, "wrapper")
    story.seen(INNER, agent="gemini", kind="app_server", cwd="/w")
    named = e.BridgeIdentified(launch=L, session=C, conversation="d5d34be9")
    story.tell(named, source=BRIDGES)
    story.seen(INNER, agent="gemini", kind="app_server", source=GATEWAY)
    story.request(C, INNER, agent="gemini", launch=L, process_kind="app_server")
    (row,) = story.table().sessions
    assert (row.session, row.process, row.verdict, row.launch) == (C, INNER, "verified", L)


def test_in_a_terminal_it_is_one_row_too_and_the_other_is_said_to_be_gone() -> None:
    story = Story()
    outer(story, "tui", tab=True)
    assert story.row(provisional(OUTER)).status == "idle"
    assert kinds(story) == ["SessionSeen"]
    outer(story, "wrapper", tab=True)
    story.seen(INNER, agent="gemini", kind="tui", cwd="/w", terminal=TAB)
    said = of(story, e.SessionGone)
    assert [(one.session, one.reason) for one in said] == [
        (provisional(OUTER), f"{provisional(OUTER).replace('proc-', 'process ')} only started the agent's own process")
    ]
    assert kinds(story) == []
    assert set(story.rows()) == {provisional(INNER)}
    assert story.explain(provisional(OUTER)).row.status == "gone"
    story.exited(OUTER)
    assert kinds(story) == []
    assert replay_state(story.journal).processes[OUTER].kind == "wrapper"


def test_known_for_what_it_is_from_the_beginning_it_is_never_announced() -> None:
    story = Story()
    outer(story, "tui", tab=True)
    outer(story, "wrapper", tab=True)
    story.seen(INNER, agent="gemini", kind="tui", cwd="/w", terminal=TAB)
    assert {one.session for one in of(story, e.SessionSeen)} == {provisional(INNER)}
    assert of(story, e.SessionGone) == []


@pytest.mark.parametrize("announced", [False, True])
def test_launched_by_us_it_is_the_launch(announced: bool) -> None:  # noqa: FBT001 - a parameter
    story = Story()
    story.launched(L, OUTER, agent="gemini", cwd="/w", terminal=TAB)
    outer(story, "exec", L, tab=True)
    if announced:
        story.announce()
    outer(story, "wrapper", L, tab=True)
    story.seen(INNER, agent="gemini", kind="exec", cwd="/w", launch=L, terminal=TAB)
    story.request(L, INNER, agent="gemini", launch=L)
    story.announce()
    (row,) = story.table().sessions
    assert (row.session, row.process, row.verdict, row.terminal) == (SessionId(L), INNER, "verified", TAB)
    story.exited(INNER)
    story.exited(OUTER)
    story.tell(e.LaunchEnded(launch=L, reason="exit code 0"), source=CLIENT)
    assert [one.session for one in of(story, e.SessionGone)] == [SessionId(L)]


@pytest.mark.parametrize("first", ["tui", "app_server"])
def test_what_it_asked_for_itself_keeps_its_row(first: ProcessKind) -> None:
    story = Story()
    outer(story, first)
    story.request(provisional(OUTER), OUTER, agent="gemini", process_kind=first)
    outer(story, "wrapper")
    assert (story.row(provisional(OUTER)).requests, story.row(provisional(OUTER)).process_kind) == (1, "wrapper")
