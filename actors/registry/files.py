"""What the agent's own files say of a conversation, as far as they agree: transcripts are claims, shown and never trusted.

Theory of operation
-------------------
A conversation's main thread is one file, and each sub-agent or review has a file of its own inside it. Two files that name
one thread contradict each other. The one that the kernel sees held open by the conversation's process is the right one;
without that neither is, and nothing is read from them. A single file of another name than the one that is held open is set
aside in the same way.

Pure: questions about a state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.registry.state import File, Session, State
from schemas.evidence import Evidence, Rank
from schemas.identity import ConversationKey, SessionId

INSIDE: Final = frozenset({"subagent", "review"})
_COMPRESSED: Final = ".zst"


def main_thread(session: Session) -> str:
    """Return the thread whose file is the conversation's own."""
    return session.id.partition("-")[2]


def judged(state: State, session: Session) -> Iterator[tuple[File, str]]:
    """Yield each file of a conversation with the reason why it is set aside (empty: it is not)."""
    transcript = state.transcripts.get(session.id)
    if transcript is None:
        return
    held = {claim.path for claim in session.claims.values() if claim.path is not None and not claim.rejected}
    if len(transcript.files) == 1:  # nearly always
        (only,) = transcript.files.values()
        yield only, _against(only, [], held if only.thread == main_thread(session) else set())
        return
    by_thread: dict[str, list[File]] = {}
    for file in transcript.files.values():
        by_thread.setdefault(file.thread, []).append(file)
    for thread, found in by_thread.items():
        here = [file for file in found if file.path is not None]
        paths = sorted({file.path for file in here if file.path is not None})
        main = thread == main_thread(session)
        for file in found:
            yield file, _against(file, paths, held if main else set())


def _against(file: File, paths: list[str], held: set[str]) -> str:
    if file.path is None or file.path in held:
        return ""
    if len(paths) > 1:
        right = [path for path in paths if path in held]
        if len(right) == 1:
            return f"the kernel sees the process of this conversation hold {right[0]} open"
        return f"ambiguous: {len(paths)} files name this thread"
    if held and all(_name(path) != _name(file.path) for path in held):
        return f"the kernel sees the process of this conversation hold {min(held)} open"
    return ""


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2].removesuffix(_COMPRESSED)


def standing(state: State, session: Session) -> list[File]:
    """Return the files that may be read for a conversation."""
    return [file for file, reason in judged(state, session) if not reason]


def main_file(state: State, session: Session) -> File | None:
    """Return the file of a conversation's main thread: the one that is known best of those that stand."""
    thread = main_thread(session)
    found = [file for file in standing(state, session) if file.thread == thread]
    return max(found, key=lambda file: (file.path is not None, file.seen is not None, file.path or ""), default=None)


def conflicts(state: State, session: Session) -> Iterator[Evidence]:
    """Yield what is set aside, as statements that contradict the kernel's or each other."""
    for file, reason in judged(state, session):
        if reason:
            yield statement(session, file, reason)


def statement(session: Session, file: File, reason: str) -> Evidence:
    """Return what a file that is set aside says."""
    return Evidence(
        rank=Rank.TRANSCRIPT_DECLARED,
        kind="transcript",
        proves="conversation",
        value=str(session.conversation or session.id),
        note=(file.path or "")[:300],
        rejected=reason[:300],
        conflict=True,
    )


def threads_inside(state: State, session: Session) -> dict[str, str]:
    """Return the sub-agents and reviews inside a conversation, with their kind, by requests and by files."""
    found = {thread: kind for thread, kind in session.threads.items() if kind in INSIDE}
    for file in standing(state, session):
        if file.seen is not None and file.seen.thread_kind in INSIDE:
            found.setdefault(file.thread, file.seen.thread_kind)
    return found


def forked_from(state: State, session: Session) -> SessionId | None:
    """Return the conversation that a session was forked from, as its file says."""
    file = main_file(state, session)
    origin: ConversationKey | None = None if file is None or file.seen is None else file.seen.forked_from
    if origin is None:
        return None
    agent, _, own = origin.partition(":")
    return SessionId(f"{agent}-{own}")
