"""What is news of agent processes: playbooks of sightings and exits, without any process."""

from __future__ import annotations

from typing import Any

from actors.discovery import account
from actors.discovery.account import Exited, Fact, Observed, Recalled, State, step
from actors.discovery.terms import Holding, Holdings, Portrait
from schemas.events import Endpoint, ProcessConversationFound, ProcessConversationLost, ProcessExited, ProcessSeen
from schemas.evidence import Evidence, Rank
from schemas.identity import LaunchId, ProcessKey, conversation_key, session_of

FIRST, SECOND = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60", "01a1fb09-0000-7cf3-a2b2-400eaf1e2b60"


def process(pid: int, started: int = 1) -> ProcessKey:
    return ProcessKey("host", "boot", pid, started)


def seen(pid: int, **more: Any) -> ProcessSeen:
    return ProcessSeen(
        **{"process": process(pid), "agent": "codex", "kind": "tui", "started": "2026-11-21T05:00:00.000Z", **more}
    )


def holding(own: str, rank: Rank = Rank.KERNEL, kind: str = "lock file", transcript: str | None = None) -> Holding:
    conversation = conversation_key("codex", own)
    evidence = Evidence(rank=rank, kind=kind, proves="conversation", value=conversation)
    return Holding(
        conversation=conversation, session=session_of(conversation), thread=own, transcript=transcript, evidence=(evidence,)
    )


def look(state: State, *portraits: ProcessSeen | Portrait) -> tuple[State, list[Any]]:
    given = tuple(one if isinstance(one, Portrait) else Portrait(one) for one in portraits)
    state, facts = step(state, Observed(given))
    return state, [fact.data for fact in facts]


def holds(pid: int, *holdings: Holding, **more: Any) -> Portrait:
    return Portrait(seen(pid, **more), Holdings(holdings))


def test_a_process_is_told_once_and_again_when_it_changed() -> None:
    state, told = look(State(), seen(7))
    assert told == [seen(7)]
    state, told = look(state, seen(7))
    assert told == []
    state, told = look(state, seen(7, cwd="/shop"))
    assert told == [seen(7, cwd="/shop")]
    _, told = look(state, seen(7))
    assert told == [seen(7)]


def test_what_was_so_once_is_kept_when_it_is_seen_no_more() -> None:
    gateway = Endpoint(verdict="gateway", source="config.toml", origin="http://127.0.0.1:8129")
    whole = seen(7, parent=process(6), launch=LaunchId("launch-1"), endpoint=gateway)
    state, _ = look(State(), whole)
    later = seen(7, started="2026-11-21T05:00:01.000Z", endpoint=Endpoint(verdict="unknown", source="config.toml changed"))
    state, told = look(state, later)
    assert told == []
    other = Endpoint(verdict="other", source="-c", origin="https://a.test")
    _, told = look(state, seen(7, endpoint=other))
    assert [one.endpoint for one in told] == [other]
    _, told = look(state, seen(7, kind="exec", endpoint=later.endpoint))  # another program in the same process
    assert [one.endpoint for one in told] == [later.endpoint]


def test_nobody_is_told_unless_it_was_somebody() -> None:
    nobody = Portrait(seen(7, agent="other", kind="other"), Holdings())
    assert look(State(), nobody)[1] == []
    state, _ = look(State(), holds(7, holding(FIRST)))
    state, told = look(state, nobody)
    assert [one.TYPE for one in told] == ["process.seen", "process.conversation_lost"]
    assert look(state, nobody)[1] == []


def test_an_exit_is_told_once_and_what_was_seen_before_it_revives_nobody() -> None:
    state, _ = look(State(), seen(7))
    state, facts = step(state, Exited(process(7)))
    assert [fact.data for fact in facts] == [ProcessExited(process=process(7))]
    assert step(state, Exited(process(7)))[1] == ()
    assert look(state, seen(7))[1] == []
    assert step(State(), Exited(process(8)))[1] == ()
    assert look(state, seen(7, process=process(7, started=2)))[1] != []  # the pid of another process


def test_conversations_are_found_better_known_and_lost() -> None:
    state, told = look(State(), holds(7, holding(FIRST)))
    assert [one.TYPE for one in told] == ["process.seen", "process.conversation_found"]
    state, told = look(state, holds(7, holding(FIRST)))
    assert told == []
    state, told = look(state, holds(7, holding(FIRST, transcript="/r.jsonl")))
    assert [(one.TYPE, one.transcript) for one in told] == [("process.conversation_found", "/r.jsonl")]
    assert look(state, holds(7, holding(FIRST)))[1] == []  # its rollout was closed, and it is still that thread's
    state, told = look(state, holds(7, holding(SECOND)))
    assert [(one.TYPE, one.thread if isinstance(one, ProcessConversationFound) else one.session) for one in told] == [
        ("process.conversation_found", SECOND),
        ("process.conversation_lost", f"codex-{FIRST}"),
    ]
    assert isinstance(told[1], ProcessConversationLost)
    assert "another" in told[1].reason
    state, told = look(state, holds(7, holding(FIRST), holding(SECOND)))
    assert [one.session for one in told] == [f"codex-{FIRST}"]
    state, told = look(state, Portrait(seen(7)))  # could not be looked at: nothing is lost
    assert told == []


def test_an_argument_says_how_a_process_began_and_no_more_once_that_was_seen() -> None:
    argument = holding(FIRST, Rank.PROCESS_DECLARED, "argument")
    state, told = look(State(), holds(7, argument))
    assert [one.TYPE for one in told] == ["process.seen", "process.conversation_found"]
    state, _ = look(state, holds(7, holding(FIRST)))
    state, told = look(state, holds(7, argument))
    assert [one.TYPE for one in told] == ["process.conversation_lost"]
    assert look(state, holds(7, argument))[1] == []


def test_a_fact_that_comes_back_is_another_fact_and_a_repeated_one_is_the_same() -> None:
    ids: list[str] = []
    state = State()
    for portrait in (holds(7, holding(FIRST)), holds(7), holds(7, holding(FIRST)), holds(7)):
        state, facts = step(state, Observed((portrait,)))
        ids += [fact.id for fact in facts]
        assert step(State(), Observed((holds(7, holding(FIRST)),)))[1][0].id == ids[0]
    assert len(set(ids)) == len(ids) == 5


def test_an_account_that_is_recalled_goes_on_where_it_had_ended() -> None:
    first: list[Fact] = []
    state = State()
    for given in (Observed((holds(7, holding(FIRST)), Portrait(seen(8)))), Exited(process(8)), Observed((holds(7),))):
        state, facts = step(state, given)
        first += facts
    recalled = State()
    for fact in first:
        recalled, nothing = step(recalled, Recalled(fact.data))
        assert nothing == ()
    assert recalled == state
    assert account.living(recalled) == (process(7),)


def test_the_account_is_bounded_and_says_whom_it_left_out() -> None:
    state, _ = look(State(), *(seen(pid) for pid in range(1, account.MAX_PROCESSES + 2)))
    assert len(state.processes) == account.MAX_PROCESSES
    assert len(state.refused) == 1
    many = [holding(f"{at:08x}-0000-7000-8000-000000000000") for at in range(300)]
    state, told = look(State(), holds(7, *many))
    assert len(told) == 1 + account.MAX_CONVERSATIONS
    assert len(state.crowded) == 1
    state, told = look(state, holds(7, *many[-20:]))
    assert len([one for one in told if one.TYPE == "process.conversation_found"]) == 20
    assert not state.crowded
