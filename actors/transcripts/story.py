"""From framed lines to facts, whichever agent wrote them: pure.

A line that cannot be read costs itself and nothing else: it becomes one ``transcript.line_rejected``. Of a file with many
of them the first ``MAX_REJECTED`` are told one by one, the last of these says so, and the rest is counted in the thread. A
rollout whose first line does not say whose it is says nothing at all.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from actors.transcripts import claude, codex
from actors.transcripts.facts import Fact, Place, RejectedError, Thread
from actors.transcripts.lines import Discarded, Line
from actors.transcripts.tree import Agent
from schemas.events import TranscriptLineRejected
from schemas.identity import SessionId

MAX_REJECTED: Final = 20
_LAST: Final = "; further ones of this file are only counted"
_DIALECTS: Final = {"codex": codex.read, "claude": claude.read}


def take(agent: Agent, thread: Thread, place: Place, found: Iterable[Line | Discarded]) -> tuple[Thread, list[Fact]]:
    """Read lines on from where ``thread`` stands."""
    read = _DIALECTS[agent]
    facts: list[Fact] = []
    for one in found:
        if isinstance(one, Discarded):
            thread = _reject(agent, thread, place, one, facts)
        elif thread.refused or not one.raw.strip():
            thread = replace(thread, ignored=thread.ignored + 1)
        else:
            try:
                thread, told = read(thread, place, one.raw, one.end)
                facts += told
            except RejectedError as error:
                thread = _reject(agent, thread, place, Discarded(one.end, len(one.raw) + 1, str(error)), facts)
    return thread, facts


def _reject(agent: Agent, thread: Thread, place: Place, what: Discarded, facts: list[Fact]) -> Thread:
    count = thread.rejected + 1
    if count <= MAX_REJECTED:
        facts.append(
            TranscriptLineRejected(
                session=SessionId(thread.session) if thread.session else None,
                path=place.path,
                file=place.file,
                offset=what.end,
                length=what.length,
                reason=what.reason[:200] + (_LAST if count == MAX_REJECTED else ""),
            )
        )
    return replace(thread, rejected=count, refused=thread.refused or (agent == "codex" and not thread.thread))
