"""Playbooks of what our own bridges say: a row before any request, which conversation, what it does, what it comes from."""

from __future__ import annotations

from typing import Any

import pytest

from actors.registry.fold import pending
from actors.registry.replay import replay_state
from schemas import events as e
from schemas.identity import LaunchId, ProcessKey, SessionId, process_id
from schemas.rows import SessionRow
from tests.story import CLIENT, GATEWAY, Story, clock, of, process, provisional

BRIDGES = "/actor/bridges/b1"
B, A = process(50), process(51)  # a bridge, and the agent's own process below it
B2, A2 = process(60), process(61)
L, X = LaunchId("launch-0123456789ab"), LaunchId("launch-ba9876543210")
AT_FIRST = SessionId(L)  # until its conversation is known
C, D = SessionId("codex-01a1"), SessionId("codex-01b2")


class Hub:
    """Tells what the hub publishes of one bridge."""

    def __init__(self, story: Story, launch: str = L, key: ProcessKey = B, agent: str = "codex") -> None:
        self.story, self.launch, self.key, self.agent = story, launch, key, agent
        self.session = launch

    def say(self, fact: type[Any], **more: Any) -> None:
        self.story.tell(fact(launch=self.launch, session=self.session, **more), source=BRIDGES)

    def start(self, *, spawned: str | None = None, **more: Any) -> None:
        own = spawned or self.launch
        launched = e.LaunchStarted(launch=LaunchId(own), agent=self.agent, process=self.key, cwd="/w")
        self.story.tell(launched, source=BRIDGES)
        self.say(e.BridgeStarted, agent=self.agent, process=self.key, cwd="/w", spawned=spawned, **more)

    def ready(self) -> None:
        self.say(e.BridgeReady, process=self.key, version="0.169.0")

    def identify(self, session: str, *, succeeds: str | None = None) -> None:
        self.session = session
        self.say(e.BridgeIdentified, conversation=session.partition("-")[2], succeeds=succeeds)

    def turn(self, turn: str = "t1", outcome: str = "", **more: Any) -> None:
        if outcome:
            self.say(e.BridgeTurnEnded, turn=turn, outcome=outcome, milliseconds=5.0, **more)
        else:
            self.say(e.BridgeTurnStarted, turn=turn, length=9)

    def ask(self, approval: str = "a1") -> None:
        self.say(e.BridgeApprovalRequested, approval=approval, kind="exec", seconds=300)

    def answer(self, approval: str = "a1", outcome: str = "allowed") -> None:
        self.say(e.BridgeApprovalResolved, approval=approval, outcome=outcome, by="client", milliseconds=4.0)

    def end(self, reason: str = "closed") -> None:
        self.say(e.BridgeEnded, reason=reason)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def hub(story: Story) -> Hub:
    told = Hub(story)
    told.start()
    return told


def doing(row: SessionRow) -> tuple[str, str]:
    return row.status, row.status_source


# ------------------------------------------------------------------------------------------------ which row


def test_a_bridge_has_a_row_before_any_request(story: Story, hub: Hub) -> None:
    row = story.row(L)
    assert (row.provisional, row.agent, row.launch, row.process, row.cwd) == (True, "codex", L, B, "/w")
    assert (doing(row), row.status_reason) == (("starting", "bridge"), "its bridge was started")
    hub.ready()
    assert doing(story.row(L)) == ("idle", "bridge")
    assert [one.session for one in of(story, e.SessionSeen)] == [AT_FIRST]


def test_its_conversation_is_known_without_a_request_and_not_verified_by_that(story: Story, hub: Hub) -> None:
    hub.identify(C)
    row = story.row(C)
    assert list(story.rows()) == [C]
    assert (row.conversation, row.aliases) == ("codex:01a1", (AT_FIRST, provisional(B)))
    assert (row.verdict, row.launch) == ("unverified", L)
    assert row.missing == ("no request through the gateway yet",)
    assert [(one.session, one.provisional) for one in of(story, e.SessionIdentified)] == [(C, AT_FIRST)]
    assert "bridge" in {line.evidence.kind for line in story.explain(C).evidence}
    assert f"Tabwire drives it, by the bridge {L}" in " ".join(story.explain(C).because)


def test_an_app_server_below_it_verifies_and_is_no_row_of_its_own(story: Story, hub: Hub) -> None:
    story.seen(A, kind="app_server", launch=L, parent=B)
    hub.identify(C)
    story.request(C, A, process_kind="app_server", launch=L)
    row = story.row(C)
    assert (list(story.rows()), row.verdict, row.process, row.requests) == ([C], "verified", A, 1)
    assert doing(row) == ("starting", "bridge")  # what its bridge says, whatever else is told
    story.announce(statuses=True)
    assert pending(replay_state(story.journal)) == ()


def test_requests_before_the_bridge_names_it_are_the_same_session(story: Story, hub: Hub) -> None:
    story.request(C, A, process_kind="app_server", launch=L)
    assert set(story.rows()) == {C, L}  # an app-server may speak for many: it alone does not tell what the launch is
    hub.identify(C)
    assert list(story.rows()) == [C]


# ------------------------------------------------------------------------------------------------ what it does


def test_turns_and_approvals_are_its_status(story: Story, hub: Hub) -> None:
    hub.identify(C)
    hub.turn()
    row = story.row(C)
    assert (doing(row), row.status_reason, row.activity) == (("working", "bridge"), "turn t1", "active")
    hub.ask("a1")
    asked = clock(story.seconds)
    hub.ask("a2")
    row = story.row(C)
    assert (doing(row), row.status_since) == (("waiting_permission", "bridge"), asked)
    assert row.status_reason == "asks for approval (exec)"
    hub.answer("a1")
    assert doing(story.row(C)) == ("waiting_permission", "bridge")
    hub.answer("a2", "denied")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("working", "bridge"), "turn t1")
    hub.turn(outcome="completed")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("idle", "bridge"), "the turn completed")
    hub.turn("t2")
    hub.turn("t2", outcome="interrupted")
    assert story.row(C).status_reason == "the turn was interrupted"
    hub.turn("t3")
    hub.ask("a3")
    hub.turn("t3", outcome="failed", reason="the provider refused")
    assert (doing(story.row(C)), story.row(C).status_reason) == (
        ("error", "bridge"),
        "the turn failed: the provider refused",
    )
    hub.answer("a3")
    assert story.state.counted["approvals resolved that nobody had requested"] == 1


def test_each_change_is_announced_once(story: Story, hub: Hub) -> None:
    hub.identify(C)
    for step in (hub.ready, hub.turn, hub.ask, hub.answer, lambda: hub.turn(outcome="completed")):
        story.announce(statuses=True)
        step()
    statuses = [one.status for one in of(story, e.SessionStatusChanged)]
    assert statuses == ["idle"]
    said = [event.envelope.data for event in story.journal if isinstance(event.envelope.data, e.SessionStatusChanged)]
    assert [one.status for one in said if one.session == C] == [
        "starting",
        "idle",
        "working",
        "waiting_permission",
        "working",
        "idle",
    ]


def test_what_began_after_the_bridge_saw_the_end_of_a_turn_counts(story: Story, hub: Hub) -> None:
    hub.identify(C)
    hub.turn()
    name = story.request(C, A, process_kind="app_server", launch=L, end="")
    hub.turn(outcome="completed")
    assert doing(story.row(C)) == ("idle", "bridge")  # a request that is still in flight is of the turn that ended
    story.finish(name, C)
    name = story.request(C, A, process_kind="app_server", launch=L, end="")
    assert doing(story.row(C)) == ("working", "request")
    story.finish(name, C)
    assert doing(story.row(C)) == ("idle", "bridge")
    story.transcript(C)
    story.turn(C)
    assert doing(story.row(C)) == ("working", "transcript")


def test_a_failure_at_rest_is_an_error_and_in_a_turn_waits_for_its_end(story: Story, hub: Hub) -> None:
    hub.identify(C)
    hub.turn()
    hub.say(e.BridgeFailed, code="stream_cut", reason="shown", retrying=True)
    assert doing(story.row(C)) == ("working", "bridge")
    hub.turn(outcome="failed")
    hub.say(e.BridgeFailed, code="not_installed", reason="no codex on PATH")
    assert (doing(story.row(C)), story.row(C).status_reason) == (("error", "bridge"), "not_installed: no codex on PATH")


# ------------------------------------------------------------------------------------------------ beginning again, and the end


def test_between_two_of_its_processes_it_is_not_gone(story: Story, hub: Hub) -> None:
    hub.identify(C)
    story.request(C, A, process_kind="app_server", launch=L)
    hub.turn()
    hub.turn(outcome="failed", reason="the agent was killed")
    hub.say(e.BridgeFailed, code="bridge_killed", reason="started again", retrying=True)
    story.exited(A)
    story.exited(B)
    assert doing(story.row(C)) == ("error", "bridge")
    again = Hub(story, key=B2)
    again.session = C
    again.start(spawned=X, resumed="01a1", restarts=1)
    row = story.row(C)
    assert (list(story.rows()), doing(row), row.process) == ([C], ("starting", "bridge"), B2)
    assert {L, X} <= set(row.aliases)
    story.request(C, A2, process_kind="app_server", launch=X)
    assert story.row(C).process == A2
    assert of(story, e.SessionGone) == []
    again.end()
    assert story.row(C).status == "gone"


def test_a_bridge_that_is_dead_and_not_started_again_says_nothing_more(story: Story, hub: Hub) -> None:
    hub.identify(C)
    hub.turn()
    story.exited(B)
    row = story.row(C)
    assert (doing(row), row.status_reason) == (("gone", "process"), f"process {process_id(B)} exited")


def test_with_its_end_everything_that_it_started_is_gone(story: Story, hub: Hub) -> None:
    hub.identify(C)
    story.request(C, A, process_kind="app_server", launch=L)
    hub.end("closed by a client")
    row = story.row(C)
    assert (doing(row), row.status_since) == (("gone", "bridge"), clock(story.seconds))
    assert row.status_reason == "its bridge ended: closed by a client"
    story.seen(A2, kind="app_server", launch=L)  # seen before, and told late
    assert story.row(C).status == "gone"
    assert [one.session for one in of(story, e.SessionGone)] == [C]
    story.found(process(77), C)
    assert story.row(C).status == "idle"  # resumed by a person, in a tab
    assert [one.session for one in of(story, e.SessionReturned)] == [C]


def test_a_bridge_that_never_named_a_conversation_ends_as_its_launch(story: Story, hub: Hub) -> None:
    hub.end("codex is not installed")
    assert (doing(story.row(L)), story.row(L).status_reason) == (("gone", "bridge"), "its bridge ended: codex is not installed")


# ------------------------------------------------------------------------------------------------ what it comes from


def test_a_cleared_conversation_is_succeeded_and_gone(story: Story, hub: Hub) -> None:
    hub.identify(C)
    story.request(C, A, process_kind="app_server", launch=L)
    hub.identify(D, succeeds=C)
    rows = story.rows()
    assert (rows[D].relation, rows[D].parent, rows[D].status) == ("succeeds", C, "starting")
    assert (rows[C].status, rows[C].status_reason) == (
        "gone",
        f"process {process_id(A)} left it: its bridge began another conversation in its place",
    )
    assert [(one.session, one.relation, one.to) for one in of(story, e.SessionLinked)] == [(D, "succeeds", C)]
    story.request(D, A, process_kind="app_server", launch=L)
    assert (list(story.rows()), story.row(D).requests, story.row(D).process) == ([D, C], 1, A)
    hub.identify(C, succeeds=D)  # taken up again
    assert (story.row(C).status, story.row(D).status) == ("starting", "gone")


@pytest.mark.parametrize("relation", ["forks", "reviews"])
def test_a_child_is_linked_to_its_parent(story: Story, hub: Hub, relation: str) -> None:
    hub.identify(C)
    child = Hub(story, X, B2, "claude")
    child.start(parent=C, relation=relation)
    assert (story.row(X).relation, story.row(X).parent) == (relation, C)
    child.identify("claude-77")
    row = story.row("claude-77")
    assert (row.relation, row.parent, row.agent) == (relation, C, "claude")
    child.identify("claude-78", succeeds="claude-77")
    assert (story.row("claude-78").relation, story.row("claude-78").parent) == ("succeeds", "claude-77")
    linked = [(one.session, one.relation, one.to) for one in of(story, e.SessionLinked)]
    assert linked == [("claude-77", relation, C), ("claude-78", "succeeds", "claude-77")]
    assert f"it {relation} {C}" in " ".join(story.explain("claude-77").because)


def test_a_parent_is_linked_by_its_conversation_once_that_is_known(story: Story, hub: Hub) -> None:
    child = Hub(story, X, B2)
    child.start(parent=L, relation="reviews")
    child.identify(D)
    assert (story.row(D).relation, story.row(D).parent) == ("reviews", AT_FIRST)
    assert of(story, e.SessionLinked) == []
    hub.identify(C)
    child.turn()
    child.say(e.BridgeSettingsChanged, model="m")
    assert story.row(D).parent == C
    assert [(one.relation, one.to) for one in of(story, e.SessionLinked)] == [("reviews", C)]


# ------------------------------------------------------------------------------------------------ who may say so, and bounds


def test_nobody_but_an_actor_may_say_so(story: Story) -> None:
    fact = e.BridgeTurnStarted(launch=L, session=C, turn="t1")
    story.tell(fact, source=CLIENT)
    assert story.rows() == {}
    story.tell(fact, source=GATEWAY)
    assert doing(story.row(C)) == ("working", "bridge")  # also when nothing older of it is in the journal any more


def test_open_approvals_are_bounded(story: Story, hub: Hub) -> None:
    hub.turn()
    for number in range(100):
        hub.ask(f"a{number}")
    assert story.state.counted["open approvals forgotten"] == 36
    hub.turn(outcome="completed")
    assert doing(story.row(L)) == ("idle", "bridge")


def test_what_a_session_asked_for_at_its_start_is_given_up_with_its_provider(story: Story) -> None:
    launched = e.LaunchStarted(launch=L, agent="codex", process=B, cwd="/w", provider="mine")
    story.tell(launched, source=BRIDGES)
    hub = Hub(story)
    hub.say(e.BridgeStarted, agent="codex", process=B, cwd="/w", provider="mine")
    hub.identify(C)
    assert story.row(C).preferred_provider == "mine"
    hub.say(e.BridgeSettingsChanged, provider="other")
    assert story.row(C).preferred_provider == "mine"
    hub.say(e.BridgeSettingsChanged, provider="")
    assert story.row(C).preferred_provider != "mine"
