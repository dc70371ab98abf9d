"""Which thread ``codex resume`` and ``codex fork`` mean: any unique beginning of an id, made whole before Codex sees it.

Theory of operation
-------------------
Codex takes a whole id or a name that its user gave. Tabwire takes what its own tables show as well: the beginning of an id,
``codex-<id>``, or a provisional id by which a session was once known. Rollouts are looked through first, then Codex's own
index of names, then the registry, if it runs.

What Codex would refuse later, with less to go by, is refused here: a thread that does not exist (Codex begins a new one
instead), one that is archived, one that a living process still writes. The kernel says which process holds its rollout or
its lock; a lock file that nobody holds open is left over and means nothing.

The provider that a thread is pinned to stands in its rollout (DESIGN: a resume keeps it, a fork does not).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.cli import past
from actors.cli.failures import CommandFailedError
from actors.cli.history import named
from actors.cli.thread_names import namings
from actors.launch.codex import makes_requests
from actors.launch.plan import LaunchRefusedError
from actors.probe import Probe, ProbeError, classify, find_terminal, worth_a_look
from actors.probe.codex_words import CodexCommand, read_command
from actors.transcripts.tree import UUID, Found, home_of

_BEGINNING: Final = re.compile(r"[0-9a-f][0-9a-f-]{3,35}")
_AGENT: Final = "codex"

Former = Callable[[str], str | None]
"""Asks the registry: the Codex id of the session that was or is known by this name, or None."""


@dataclass(frozen=True, slots=True)
class Target:
    """A Codex command with its thread's whole id, and the provider that a thread to be resumed is pinned to."""

    argv: tuple[str, ...]
    provider: str | None = None


def settle_thread(argv: Sequence[str], environ: Mapping[str, str], former: Former, probe: Callable[[], Probe]) -> Target:
    """Make the thread of a command whole; a command that names none stays as it is.

    Raises:
        CommandFailedError: no thread, or more than one, is meant.
        LaunchRefusedError: Codex could not go on with that thread.

    """
    command = read_command(argv[1:])
    if command.thread is None or not command.places or not makes_requests(command):
        return Target(tuple(argv))
    found = past.transcripts(environ, (_AGENT,))
    one = _find(command.thread, found, environ, former)
    whole = list(argv)
    whole[1 + command.places[0]] = one.name.thread
    if command.path[-1] != "resume":
        return Target(tuple(whole))
    _refuse_archived(one)
    _refuse_owned(one, command, probe())
    row = past.row_of(one)
    return Target(tuple(whole), None if row is None else row.agent_provider)


def _find(name: str, found: Sequence[Found], environ: Mapping[str, str], former: Former) -> Found:
    wanted = past.own_id(name).lower()
    if not UUID.fullmatch(wanted):
        wanted = _called(name, past.homes(environ)[_AGENT]) or wanted
    if _BEGINNING.fullmatch(wanted) and any(one.name.thread.startswith(wanted) for one in found):
        return named(found, wanted)
    known = former(name)
    if known is None:
        raise CommandFailedError(
            f"{name!r}: no Codex session's id begins with it, and none is called so; `tabwire history --archived` lists them"
        )
    try:
        return past.look_up(found, known)
    except past.UnknownThreadError:
        raise LaunchRefusedError(
            f"session {known} has no rollout below {past.homes(environ)[_AGENT]}",
            "nothing was asked in it yet, or it was deleted, or it belongs to another CODEX_HOME",
        ) from None


def _called(name: str, home: str) -> str | None:
    """Find a thread by the name that its user gave it; the last naming counts."""
    return next((thread for thread, given in namings(home) if given == name and UUID.fullmatch(thread)), None)


def _refuse_archived(found: Found) -> None:
    if found.root.archive:
        thread = found.name.thread
        raise LaunchRefusedError(
            f"session {thread} is archived, and Codex resumes no archived one",
            f"bring it back with `codex unarchive {thread}`, or fork it with `tabwire run codex fork {thread}`",
        )


def _refuse_owned(found: Found, command: CodexCommand, probe: Probe) -> None:
    """Refuse a thread that a living process still writes, and say which."""
    if command.has("--remote") or not {"survey", "open_files"} <= set(probe.capabilities):
        return  # Codex itself says so then, without a name
    home = home_of(_AGENT, found.path)
    if home is None:
        return
    held = {found.path, str(Path(home, "thread-writer-locks", f"{found.name.thread}.lock"))}
    for glimpse in probe.survey():
        if not glimpse.ours or not worth_a_look(glimpse.program, glimpse.name):
            continue
        try:
            if held.isdisjoint(file.path for file in probe.open_files(glimpse.pid, (home,))):
                continue
            owner, daemon = _described(probe, glimpse.pid)
        except ProbeError:
            continue  # gone, or not ours to look at
        advice = "close it there first"
        if daemon:
            advice = (
                "close its TUI, or end the server with `codex app-server daemon stop`, or go on in that TUI without tabwire"
            )
        raise LaunchRefusedError(f"session {found.name.thread} is still open in {owner}", advice)


def _described(probe: Probe, pid: int) -> tuple[str, bool]:
    facts = probe.process(pid)
    kind = classify(facts.exe, facts.argv, facts.script).kind
    if kind == "daemon":
        return f"Codex's shared background server (pid {pid})", True
    terminal = find_terminal(facts.variables, facts.tty, facts.leader).key
    where = f" in {terminal}" if terminal else ""
    return f"process {pid} ({kind}{where}{f', folder {facts.cwd}' if facts.cwd else ''})", False
