"""What was told of agent processes, and what is news: pure.

Theory of operation
-------------------
The account is a fold of this actor's own facts: those of former incarnations come from the journal (``Recalled``), those of
this one are folded as they are decided. ``step`` compares what is seen with what was told and tells the difference, so that a
restart tells nothing twice and everything that happened meanwhile. The broker records a fact before anything else is done
with it, and an actor without a broker ends; so what was decided is as good as told.

Ids are derived from the place of a fact (which process, which conversation, how many-th telling) and from what it says. A
process that died between the deciding and the recording decides the same again, under the same id.

Some things are kept though a later look does not show them: a parent that has exited was the parent, a launch that has ended
was the launch, a configuration that changed later was read when it was not. The first account of a start time stays, as it is
computed from a clock that may be set.

Must not know clocks, files or processes, nor the bus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.discovery.terms import Holding, Portrait
from actors.probe.agents import OTHER
from schemas.codec import encode
from schemas.envelope import subject
from schemas.events import ProcessConversationFound, ProcessConversationLost, ProcessExited, ProcessSeen
from schemas.evidence import Evidence, Rank
from schemas.identity import ProcessKey, SessionId, process_id
from schemas.ids import derived

MAX_PROCESSES: Final = 2_000
MAX_CONVERSATIONS: Final = 256  # that one process has at a time; a daemon has many
MAX_REMEMBERED: Final = 4_096  # that one process has had, so that ids never repeat
MAX_GONE: Final = 4_096


class Fact(Struct, frozen=True):
    """A fact to be published."""

    subject: str
    id: str
    data: ProcessSeen | ProcessExited | ProcessConversationFound | ProcessConversationLost


class Told(Struct, frozen=True):
    """What was told of a process's conversation; ``times`` counts all tellings of it."""

    found: ProcessConversationFound
    times: int = 1
    lost: bool = False


class Standing(Struct, frozen=True):
    """What was told of a process that lives as far as was told; ``times`` counts the tellings."""

    seen: ProcessSeen
    times: int = 1
    conversations: Mapping[SessionId, Told] = {}


class State(Struct, frozen=True):
    """The account: by process id, those that live; ``gone`` are the last that do not.

    ``refused`` were too many; ``crowded`` are those that have more conversations than are told.
    """

    processes: Mapping[str, Standing] = {}
    gone: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()
    crowded: frozenset[str] = frozenset()


class Observed(Struct, frozen=True):
    """Processes as they are now; those that are not among them were not looked at."""

    portraits: tuple[Portrait, ...]


class Exited(Struct, frozen=True):
    """A process that is gone."""

    process: ProcessKey


class Recalled(Struct, frozen=True):
    """A fact of our own, from the journal."""

    data: Any


Input = Observed | Exited | Recalled


def step(state: State, given: Input) -> tuple[State, tuple[Fact, ...]]:
    """Take in what is seen, and say what is news."""
    if isinstance(given, Recalled):
        return fold(state, given.data), ()
    if isinstance(given, Exited):
        facts = tuple(_exit(state, given.process))
        return _folded(state, facts), facts
    told: list[Fact] = []
    for portrait in sorted(given.portraits, key=lambda one: process_id(one.process)):
        state, news = _observe(state, portrait)
        told += news
    return state, tuple(told)


def living(state: State) -> tuple[ProcessKey, ...]:
    """Return the processes that were told of and live as far as was told."""
    return tuple(standing.seen.process for standing in state.processes.values())


def fold(state: State, data: Any) -> State:
    """Count one of our own facts."""
    if isinstance(data, ProcessSeen):
        name = process_id(data.process)
        before = state.processes.get(name)
        after = Standing(data) if before is None else replace(before, seen=data, times=before.times + 1)
        return replace(state, processes={**state.processes, name: after}, refused=state.refused - {name})
    if isinstance(data, ProcessExited):
        name = process_id(data.process)
        processes = {other: standing for other, standing in state.processes.items() if other != name}
        gone = (*(one for one in state.gone if one != name), name)[-MAX_GONE:]
        refused, crowded = state.refused - {name}, state.crowded - {name}
        return State(processes, gone, refused, crowded)
    if isinstance(data, ProcessConversationFound | ProcessConversationLost):
        return _fold_conversation(state, data)
    return state


def _fold_conversation(state: State, data: ProcessConversationFound | ProcessConversationLost) -> State:
    name = process_id(data.process)
    standing = state.processes.get(name)
    if standing is None:
        return state  # of a process that has exited meanwhile
    before = standing.conversations.get(data.session)
    if isinstance(data, ProcessConversationFound):
        told = Told(data, 1 if before is None else before.times + 1)
    elif before is not None:
        told = replace(before, lost=True)
    else:
        return state
    conversations = {**standing.conversations, data.session: told}
    return replace(state, processes={**state.processes, name: replace(standing, conversations=conversations)})


def _observe(state: State, portrait: Portrait) -> tuple[State, list[Fact]]:
    """Say what is new about one process."""
    name = process_id(portrait.process)
    standing = state.processes.get(name)
    if name in state.gone:
        return state, []  # looked at before it exited
    if standing is None:
        if portrait.seen.agent == OTHER:
            return state, []
        if len(state.processes) >= MAX_PROCESSES:
            return replace(state, refused=state.refused | {name}), []
    facts = [*_see(name, standing, portrait.seen)]
    state = _folded(state, facts)
    if portrait.holdings is not None:
        now, left_out = _current(state.processes[name], portrait.holdings.found)
        crowded = state.crowded | {name} if left_out else state.crowded - {name}
        news = tuple(_compare(name, state.processes[name], now))
        state = replace(_folded(state, news), crowded=crowded)
        facts += news
    return state, facts


def _see(name: str, standing: Standing | None, seen: ProcessSeen) -> Iterable[Fact]:
    if standing is not None:
        seen = _kept(standing.seen, seen)
        if seen == standing.seen:
            return
    times = 0 if standing is None else standing.times
    yield Fact(subject("process", name), derived("process.seen", name, str(times), _digest(seen)), seen)


def _kept(before: ProcessSeen, seen: ProcessSeen) -> ProcessSeen:
    """Keep what stays true though it is seen no more; see "Theory of operation"."""
    if seen.agent == OTHER and not before.unreadable:
        return replace(seen, started=before.started or seen.started)
    same = (before.agent, before.kind) == (seen.agent, seen.kind)
    settled = same and before.endpoint is not None and before.endpoint.verdict != "unknown"
    doubtful = seen.endpoint is None or seen.endpoint.verdict == "unknown"
    return replace(
        seen,
        started=before.started or seen.started,
        parent=seen.parent or before.parent,
        launch=seen.launch or before.launch,
        endpoint=before.endpoint if settled and doubtful else seen.endpoint,
    )


def _current(standing: Standing, holdings: Iterable[Holding]) -> tuple[dict[SessionId, Holding], int]:
    """Return the conversations that count now, those first that were told before, and how many are too many."""
    now = {holding.session: holding for holding in holdings}
    past = standing.conversations
    if any(_from_kernel(told.found.evidence) for told in past.values()) and not any(
        _from_kernel(one.evidence) for one in now.values()
    ):  # How it began says nothing of what it has, once that was seen.
        now = {session: one for session, one in now.items() if any(line.kind != "argument" for line in one.evidence)}
    known = [session for session in now if session in past]
    new = sorted(session for session in now if session not in past)
    room = max(0, min(MAX_CONVERSATIONS - len(known), MAX_REMEMBERED - len(past)))
    return {session: now[session] for session in (*known, *new[:room])}, len(new[room:])


def _compare(name: str, standing: Standing, now: Mapping[SessionId, Holding]) -> Iterable[Fact]:
    """Say which conversations were found, which of them are better known, and which are lost."""
    past = standing.conversations
    for session in sorted(now):
        told = past.get(session)
        found = _found(standing.seen, now[session])
        if told is not None and not told.lost:
            found = _known_better(told.found, found)
        if told is None or told.lost or told.found != found:
            times = 0 if told is None else told.times
            id_ = derived("process.conversation_found", name, session, str(times), _digest(found))
            yield Fact(subject("session", session), id_, found)
    for session in sorted(set(past) - set(now)):
        told = past[session]
        if not told.lost:
            yield _lost(name, standing.seen, told, bool(now))


def _found(seen: ProcessSeen, holding: Holding) -> ProcessConversationFound:
    return ProcessConversationFound(
        process=seen.process,
        agent=seen.agent,
        session=holding.session,
        conversation=holding.conversation,
        thread=holding.thread,
        transcript=holding.transcript,
        evidence=holding.evidence,
    )


def _known_better(before: ProcessConversationFound, now: ProcessConversationFound) -> ProcessConversationFound:
    """Keep what was told if nothing is added to it, as when one of two files is closed; its best statement must still hold."""
    if _best(before.evidence) == _best(now.evidence) and all(one in before.evidence for one in now.evidence):
        now = replace(now, evidence=before.evidence)
    return replace(now, transcript=now.transcript or before.transcript)


def _lost(name: str, seen: ProcessSeen, told: Told, others: bool) -> Fact:  # noqa: FBT001 - inside this module
    session = told.found.session
    held = (
        "its files are not held open any more"
        if _from_kernel(told.found.evidence)
        else "the process does not declare it any more"
    )
    lost = ProcessConversationLost(
        process=seen.process,
        agent=told.found.agent,
        session=session,
        conversation=told.found.conversation,
        reason=f"{held}; it has another one" if others else held,
    )
    id_ = derived("process.conversation_lost", name, session, str(told.times))
    return Fact(subject("session", session), id_, lost)


def _exit(state: State, process: ProcessKey) -> Iterable[Fact]:
    name = process_id(process)
    if name in state.processes:
        yield Fact(subject("process", name), derived("process.exited", name), ProcessExited(process=process))


def _folded(state: State, facts: Iterable[Fact]) -> State:
    for fact in facts:
        state = fold(state, fact.data)
    return state


def _from_kernel(evidence: Iterable[Evidence]) -> bool:
    return any(one.rank <= Rank.KERNEL for one in evidence)


def _best(evidence: Iterable[Evidence]) -> int | None:
    return min((one.rank for one in evidence), default=None)


def _digest(value: Any) -> str:
    return blake2b(encode(value), digest_size=12).hexdigest()
