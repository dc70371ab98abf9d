"""Past sessions as agents' own files tell them: found, looked up by the beginning of an id, and read into rows.

Needs neither the system nor its journal. Metadata only; what people typed is read by ``preview``, when they ask for it.
Must not know how anything is printed or launched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from actors.transcripts.files import find
from actors.transcripts.tree import UUID, Agent, Found, roots
from actors.transcripts.whole import all_facts, first_facts
from bus.source import rfc3339
from schemas.events import (
    TranscriptLineRejected,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.rows import HistoryDetail, HistoryRow

AGENTS: Final[tuple[Agent, ...]] = get_args(Agent)
_TELLING_TIME: Final = "7"
_HOMES: Final = {"codex": ("CODEX_HOME", ".codex"), "claude": ("CLAUDE_CONFIG_DIR", ".claude")}


class UnknownThreadError(LookupError):
    """No file of an agent has an id that begins like that."""


class AmbiguousThreadError(LookupError):
    """Several threads begin like that; ``candidates`` are theirs, the latest first."""

    def __init__(self, prefix: str, candidates: Sequence[Found]) -> None:
        super().__init__(prefix)
        self.candidates = tuple(candidates)


@dataclass(frozen=True, slots=True)
class Page:
    """The first of what was looked for; ``more``: the files did not end with it."""

    rows: tuple[HistoryRow, ...]
    unreadable: int
    more: bool


def homes(environ: Mapping[str, str]) -> dict[Agent, str]:
    """Return where each agent keeps its files, by the environment that it would see."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    return {agent: str(Path(environ.get(_HOMES[agent][0]) or home / _HOMES[agent][1]).resolve()) for agent in AGENTS}


def transcripts(environ: Mapping[str, str], agents: Iterable[Agent] = AGENTS) -> list[Found]:
    """Find every transcript, the latest changed first.

    Raises:
        OSError: a folder exists and cannot be read.

    """
    where = homes(environ)
    found = [one for agent in agents for root in roots(agent, where[agent]) for one in find(root)]
    found.sort(key=lambda one: (-one.mark.modified, one.path))
    return found


def page(found: Sequence[Found], limit: int, keep: Callable[[HistoryRow], bool]) -> Page:
    """Read conversations in order until there are ``limit``; sub-agents and reviews stand inside theirs."""
    rows: list[HistoryRow] = []
    unreadable = 0
    for place, one in enumerate(found):
        if one.name.subagent:
            continue
        row, bad = _read(one)
        unreadable += bad
        if row is not None and row.thread_kind == "main" and keep(row):
            rows.append(row)
            if len(rows) == limit:
                return Page(tuple(rows), unreadable, more=place + 1 < len(found))
    return Page(tuple(rows), unreadable, more=False)


def row_of(found: Found) -> HistoryRow | None:
    """Read what a file says of itself at its beginning; None when it does not.

    Raises:
        OSError: it cannot be read.

    """
    seen = next((fact for fact in first_facts(found) if isinstance(fact, TranscriptSeen)), None)
    return None if seen is None else _row(found, seen)


def look_up(found: Sequence[Found], prefix: str) -> Found:
    """Find the one thread whose id begins like that; an exact id names only its own, whichever file of it is the latest.

    Raises:
        UnknownThreadError: none does.
        AmbiguousThreadError: several do.

    """
    wanted = own_id(prefix)
    by_id: dict[str, Found] = {}
    for one in found:
        if wanted and one.name.thread.startswith(wanted):
            by_id.setdefault(one.name.thread, one)
    if wanted in by_id:
        return by_id[wanted]
    if not by_id:
        raise UnknownThreadError(prefix)
    if len(by_id) > 1:
        raise AmbiguousThreadError(prefix, tuple(by_id.values()))
    return next(iter(by_id.values()))


def own_id(name: str) -> str:
    """Return an agent's own id of ``codex-01a1…`` or ``codex:01a1…``, and any other name as it is."""
    for agent in AGENTS:
        for mark in ("-", ":"):
            if name.startswith(f"{agent}{mark}"):
                return name[len(agent) + 1 :]
    return name


def detail(found: Found, everything: Sequence[Found]) -> HistoryDetail | None:
    """Read one file to its end, and the beginnings of the files of threads inside it; None when it says nothing of itself.

    Raises:
        OSError: it cannot be read.

    """
    tally = _Tally()
    row: HistoryRow | None = None
    for fact in all_facts(found):
        if isinstance(fact, TranscriptSeen):
            row = _row(found, fact)
        else:
            tally.take(fact)
    return None if row is None else tally.detail(row, tuple(_inside(row, found, everything)))


def _inside(row: HistoryRow, found: Found, everything: Sequence[Found]) -> Iterator[HistoryRow]:
    """Yield the threads inside a conversation: begun while its own file still grew, as far as ids tell when they were drawn."""
    began, ended = _drawn(row.thread), found.mark.modified // 1_000_000
    for one in everything:
        if one.root.agent != row.agent or one.path == found.path or one.name.session not in ("", row.thread):
            continue
        if row.agent == "claude" and not one.name.subagent:
            continue
        drawn = _drawn(one.name.thread)
        if began is not None and drawn is not None and not began <= drawn <= ended:
            continue
        other, _ = _read(one)
        if other is not None and other.conversation == row.conversation:
            yield other


def _drawn(thread: str) -> int | None:
    """Return when an id was drawn, in milliseconds; None for one that does not tell (a UUID of another version)."""
    if not UUID.fullmatch(thread) or thread[14] != _TELLING_TIME:
        return None
    return int(thread[:8] + thread[9:13], 16)


class _Tally:
    """What a file's facts add up to."""

    def __init__(self) -> None:
        self._turns = 0
        self._ended: dict[str, int] = {"completed": 0, "aborted": 0, "failed": 0}
        self._codes: dict[str, None] = {}
        self._models: dict[str, None] = {}
        self._providers: dict[str, None] = {}
        self._working = 0.0
        self._last = ""
        self._usage: Usage | None = None
        self._rejected = 0

    def take(self, fact: object) -> None:
        match fact:
            case TranscriptTurnStarted():
                self._turns += 1
                self._last = fact.at
            case TranscriptTurnEnded():
                self._ended[fact.outcome] += 1
                self._working += fact.duration_ms or 0.0
                self._last = fact.at or self._last
                if fact.code:
                    self._codes[fact.code] = None
            case TranscriptUsageRecorded():
                self._usage = fact.usage if self._usage is None else self._usage + fact.usage
            case TranscriptSettingsChanged():
                if fact.model:
                    self._models[fact.model] = None
                if fact.agent_provider:
                    self._providers[fact.agent_provider] = None
            case TranscriptLineRejected():
                self._rejected += 1

    def detail(self, row: HistoryRow, threads: tuple[HistoryRow, ...]) -> HistoryDetail:
        return HistoryDetail(
            row=row,
            turns=self._turns,
            completed=self._ended["completed"],
            aborted=self._ended["aborted"],
            failed=self._ended["failed"],
            failure_codes=tuple(self._codes),
            working_ms=self._working,
            last_turn=self._last,
            models=tuple(self._models),
            providers=tuple(self._providers),
            usage=self._usage,
            rejected_lines=self._rejected,
            threads=threads,
        )


def _read(found: Found) -> tuple[HistoryRow | None, bool]:
    """Read a row; a file that cannot be read is counted, one that has just been begun (or is no session) is not."""
    try:
        facts = first_facts(found)
    except OSError:
        return None, True
    seen = next((fact for fact in facts if isinstance(fact, TranscriptSeen)), None)
    return (None, bool(facts)) if seen is None else (_row(found, seen), False)


def _row(found: Found, seen: TranscriptSeen) -> HistoryRow:
    return HistoryRow(
        conversation=seen.conversation,
        agent=seen.agent,
        thread=seen.thread,
        thread_kind=seen.thread_kind,
        path=found.path,
        size=found.mark.size,
        changed=rfc3339(found.mark.modified),
        created=seen.created,
        archived=found.root.archive,
        compressed=found.name.compressed,
        cwd=seen.cwd,
        git_branch=seen.git_branch or None,
        git_commit=seen.git_commit or None,
        origin=seen.origin,
        originator=seen.originator,
        agent_version=seen.agent_version,
        agent_provider=seen.agent_provider or None,
        parent_thread=seen.parent_thread,
        forked_from=seen.forked_from,
    )
