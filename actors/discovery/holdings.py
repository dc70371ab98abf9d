"""Which conversations a process has, by the files that it holds open and by what it declares. Pure.

Theory of operation
-------------------
Codex holds ``thread-writer-locks/<thread>.lock`` from the start of a thread and its rollout from the first prompt on; the
kernel says which process has a file open and locked (rank 2). A *thread* is not yet a *conversation*: sub-agents and reviews
are threads inside their root conversation, and which one a thread is stands in the first line of its rollout. So

- a rollout that is open for writing names its root conversation, provided that its name and its first line agree on the
  thread, and that the same process holds the root too; a file alone could claim anybody's, and reading one is no claim;
- a lock without a rollout names a conversation only when it can belong to no other thread: in a process of one user (a TUI
  or an ``exec``), the oldest thread. Sub-agents are started by a turn of their root, which is held in the same process and
  has an older id (ids are ordered by time). A rollout in the folder settles it too, as when a thread is resumed.

Anything else waits for the rollout: a session too late is better than a wrong one.

What a process declares ranks third: the thread on a ``resume`` command line, and Claude's file about its own process, which
counts only when pid and start time are that process's: a killed process leaves it behind. An argument says how a process
began; as soon as the kernel or a file says what it has now, it counts no more by itself.

Must not know how files are found or read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.discovery.terms import Declared, Files, Head, HeldFile, Holding, Holdings
from actors.probe.agents import AgentFinding
from actors.probe.codex_words import read_command
from schemas.evidence import Evidence, Rank
from schemas.identity import IdentityError, ProcessKey, conversation_key, session_of

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_WHOLE_UUID: Final = re.compile(_UUID, re.ASCII)
_ORDERED_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_LOCK: Final = re.compile(rf"({_UUID})\.lock", re.ASCII)
_ROLLOUT: Final = re.compile(rf"rollout-[0-9T-]{{19}}-({_UUID})\.jsonl", re.ASCII)
LOCKS: Final = "thread-writer-locks"
_LINE: Final = 300
_ALONE: Final = frozenset(("tui", "exec"))


def thread_of_lock(path: str) -> str | None:
    """Return the thread that a lock file is of."""
    folder, _, name = path.replace("\\", "/").rpartition("/")
    match = _LOCK.fullmatch(name)
    return match[1] if match and folder.endswith(f"/{LOCKS}") else None


def thread_of_rollout(path: str) -> str | None:
    """Return the thread that a rollout is named after."""
    match = _ROLLOUT.fullmatch(path.replace("\\", "/").rpartition("/")[2])
    return match[1] if match else None


def find_holdings(agent: AgentFinding, process: ProcessKey, arguments: Sequence[str], files: Files) -> Holdings:
    """Say which conversations a process has; ``arguments`` are those behind its program or script."""
    if agent.agent == "codex":
        return _codex(agent, arguments, files)
    if agent.agent == "claude":
        return _claude(process, arguments, files.declared)
    return Holdings()


def join(holdings: Holdings, opened: Iterable[Holding]) -> Holdings:
    """Add what a process opened in a shared daemon to what it shows by itself."""
    found = {holding.session: holding for holding in holdings.found}
    for one in opened:
        known = found.get(one.session)
        found[one.session] = one if known is None else replace(known, evidence=(*known.evidence, *one.evidence))
    return replace(holdings, found=tuple(found.values()))


def resumed_thread(arguments: Sequence[str]) -> str:
    """Return the thread that a command line of Codex resumes; "" when it names none."""
    command = read_command(arguments)
    thread = (command.thread or "").lower() if command.path[-1:] == ("resume",) else ""
    return thread if _WHOLE_UUID.fullmatch(thread) else ""


def open_threads(held: Iterable[HeldFile]) -> set[str]:
    """Return the threads of which only a lock is held: their rollouts are still to come, or are not held."""
    locks = {thread for file in held if (thread := thread_of_lock(file.path)) is not None}
    return locks - {
        thread for file in held if file.written is not False and (thread := thread_of_rollout(file.path)) is not None
    }


# ---------------------------------------------------------------------------------------------------- Codex


class _Threads(Struct, frozen=True):
    """The threads of a process: by lock, by rollout, and the first lines of all rollouts that are known of them."""

    locks: dict[str, HeldFile]
    rollouts: dict[str, HeldFile]
    heads: dict[str, Head]

    def holds(self, thread: str) -> bool:
        """Tell whether the process holds anything of a thread that can be believed."""
        return thread in self.locks or (thread in self.rollouts and thread in self.heads)


def _codex(agent: AgentFinding, arguments: Sequence[str], files: Files) -> Holdings:
    """Join locks and rollouts by thread; see "Theory of operation"."""
    rejected: list[Evidence] = []
    locks: dict[str, HeldFile] = {}
    rollouts: dict[str, HeldFile] = {}
    for file in files.held:
        if (thread := thread_of_lock(file.path)) is not None:
            if file.locked is False:
                rejected.append(_statement("lock file", thread, _name(file), rejected="it is open and not locked"))
            else:
                locks[thread] = file
        elif (thread := thread_of_rollout(file.path)) is not None and file.written is not False:
            rollouts[thread] = file
    heads = {thread: file.head for thread, file in rollouts.items() if file.head is not None}
    threads = _Threads(locks, rollouts, {**files.stored, **heads})
    found: dict[str, Holding] = {}
    for root in sorted({*_roots(threads, rejected), *_first_of_its_process(agent, threads)}):
        evidence = []
        if root in locks:
            evidence.append(_statement("lock file", root, _name(locks[root])))
        if root in heads:
            evidence.append(_statement("rollout file", root, "held open by the process"))
        _add(found, evidence, "codex", root, rollouts[root].path if root in heads else None)
    _codex_argument(arguments, files.stored, found)
    return Holdings(tuple(found.values()), tuple(rejected))


def _roots(threads: _Threads, rejected: list[Evidence]) -> set[str]:
    """Return the threads that their rollouts show to be main threads."""
    roots: set[str] = set()
    for thread, head in threads.heads.items():
        if not threads.holds(thread):
            continue
        file = threads.rollouts.get(thread)
        if head.thread == head.session == thread:
            roots.add(thread)
        elif file is not None and head.thread != thread:
            claim = "its name and its first line name different threads"
            rejected.append(_statement("rollout file", head.session, _name(file), rejected=claim, conflict=True))
        elif file is not None and not threads.holds(head.session):
            claim = "it says that it is part of a conversation that this process does not hold"
            rejected.append(_statement("rollout file", head.session, _name(file), rejected=claim))
    return roots


def _first_of_its_process(agent: AgentFinding, threads: _Threads) -> set[str]:
    """Return the oldest thread of a process of one user, if nothing but its lock is known of it.

    The root of a sub-agent that is held was held before it, so the oldest is nobody's sub-agent.
    """
    held = sorted({*threads.locks, *threads.rollouts})
    if not held or agent.kind not in _ALONE or not all(_ORDERED_UUID.fullmatch(thread) for thread in held):
        return set()
    first = held[0]
    return set() if first in threads.heads or first in threads.rollouts else {first}


def _codex_argument(arguments: Sequence[str], stored: Mapping[str, Head], found: dict[str, Holding]) -> None:
    """Count the thread of a ``resume``, unless the process is shown to have others, or it is no main thread."""
    thread = resumed_thread(arguments)
    head = stored.get(thread)
    if head is None or head.session != thread or (found and thread not in found):
        return
    before = found.get(thread)
    said = _statement("argument", thread, "resume", rank=Rank.PROCESS_DECLARED)
    evidence = [*(before.evidence if before else ()), said]
    _add(found, evidence, "codex", thread, before.transcript if before else None)


# ---------------------------------------------------------------------------------------------------- Claude Code


def _claude(process: ProcessKey, arguments: Sequence[str], declared: Declared | None) -> Holdings:
    found: dict[str, Holding] = {}
    rejected: list[Evidence] = []
    argument = _claude_argument(arguments)
    if declared is not None:
        said = _statement("session file", declared.session, f"sessions/{process.pid}.json", rank=Rank.PROCESS_DECLARED)
        if (declared.pid, declared.started) != (process.pid, str(process.started)):
            reason = "left behind by an earlier process with this pid"
            rejected.append(_statement("session file", declared.session, said.note, rank=said.rank, rejected=reason))
        else:
            evidence = [said]
            if argument == declared.session:
                evidence.append(_statement("argument", argument, "session", rank=Rank.PROCESS_DECLARED))
            try:
                _add(found, evidence, "claude", declared.session)
            except IdentityError as error:
                rejected.append(_statement("session file", "", said.note, rank=said.rank, rejected=str(error)))
    if not found and argument is not None:
        said = _statement("argument", argument, "session", rank=Rank.PROCESS_DECLARED)
        _add(found, [said], "claude", argument)
    return Holdings(tuple(found.values()), tuple(rejected))


def _claude_argument(arguments: Sequence[str]) -> str | None:
    """Return the session that a command line names, if it is the one that the process has from then on."""
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    options: dict[str, str] = {}
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        options[name] = value if equals else next(iter(words[at + 1 : at + 2]), "")
    names = ["--session-id"] if "--fork-session" in options else ["--session-id", "--resume", "-r"]
    return next((options[name].lower() for name in names if _WHOLE_UUID.fullmatch(options.get(name, "").lower())), None)


# ---------------------------------------------------------------------------------------------------- values


def _add(found: dict[str, Holding], evidence: Sequence[Evidence], agent: str, own: str, transcript: str | None = None) -> None:
    """Count a conversation.

    Raises:
        IdentityError: its id cannot be one.

    """
    conversation = conversation_key(agent, own)
    thread = own if agent == "codex" else None
    found[own] = Holding(
        conversation=conversation,
        session=session_of(conversation),
        thread=thread,
        transcript=transcript,
        evidence=tuple(replace(one, value=conversation) for one in evidence),
    )


def _statement(
    kind: str, value: str, note: str = "", *, rank: Rank = Rank.KERNEL, rejected: str = "", conflict: bool = False
) -> Evidence:
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value)[:_LINE]
    return Evidence(
        rank=rank,
        kind=kind,
        proves="conversation",
        value=clean,
        note=note[:_LINE],
        rejected=rejected[:_LINE],
        conflict=conflict,
    )


def _name(file: HeldFile) -> str:
    return file.path.replace("\\", "/").rpartition("/")[2]
