"""Looks at processes: who is new, what each is, which conversations it has. Lives in one worker thread.

Theory of operation
-------------------
``next`` waits until there is something to tell. It wakes up when a program starts (where the kernel says so) and otherwise
every ``TICK``, which costs a few microseconds when nothing has changed: one question to the kernel's account of new
processes, and one ``stat`` for each folder and file in which a conversation can appear (``thread-writer-locks``, the days of
threads whose rollouts are awaited, Claude's file about a process; see ``places``).

A process is read whole when it is new or has started another program, and its files again when there is a hint. Two slow
rounds find what hints have missed: ``SURVEY`` looks at every process, ``FILES`` at the files of every agent.

A thread, not the event loop: a file system that hangs, hangs here, and a thousand processes to look at delay nobody. Must not
know what was told before, nor the bus.
"""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from actors.discovery.daemons import Client, Daemons, Server
from actors.discovery.endpoints import claude_home, codex_home, config_files
from actors.discovery.files import Heads, TornFileError, day_folders, declared_session, read_configs
from actors.discovery.holdings import (
    LOCKS,
    find_holdings,
    join,
    open_threads,
    resumed_thread,
    thread_of_lock,
    thread_of_rollout,
)
from actors.discovery.lineage import Lineage
from actors.discovery.places import Places
from actors.discovery.portrait import arguments_of, hidden, is_listed, portray
from actors.discovery.terms import Files, Head, HeldFile, Holdings, Portrait, Reading
from actors.probe import (
    AgentFinding,
    ChangeHint,
    Glimpse,
    Probe,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    ProcessHiddenError,
    ProcessStartingError,
    classify,
    worth_a_look,
)
from actors.probe.codex_words import read_command
from actors.runtime.launches import read_launches
from actors.runtime.paths import Paths
from schemas.identity import LaunchId, ProcessKey

TICK: Final = 0.5
SURVEY: Final = 30.0
SURVEY_WITHOUT_EVENTS: Final = 10.0
FILES: Final = 15.0
BETWEEN_SURVEYS: Final = 1.0
GATHERING: Final = 0.02
_OTHER: Final = AgentFinding("other", "other")


class Found(Struct, frozen=True):
    """What a look found: processes as they are now. ``problem`` is why some could not be looked at ("" when all could)."""

    portraits: tuple[Portrait, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class _Subject:
    """A process that is or may be an agent, as it was read."""

    glimpse: Glimpse
    agent: AgentFinding = _OTHER
    reading: Reading | None = None
    arguments: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    home: str = ""
    locks: dict[str, str] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    sessions: frozenset[str] = frozenset()
    doubted: bool = False


class Scout:
    """One look-out. Its methods but ``wake`` are called from one thread at a time."""

    def __init__(self, probe: Probe, paths: Paths, gateway_port: int, log: Any) -> None:
        self._probe = probe
        self._paths = paths
        self._port = gateway_port
        self._log = log
        self._heads = Heads()
        self._daemons = Daemons(probe, log)
        self._portrayed = 0
        self._asked = (0, 0)
        self._subjects: dict[int, _Subject] = {}
        self._lineage = Lineage(probe)
        self._changes = probe.watch_changes()
        self._slow = SURVEY if "start_events" in probe.capabilities else SURVEY_WITHOUT_EVENTS
        self._wake, self._woken = socket.socketpair()
        self._stopped = False
        self._wanted = True
        self._problem = ""
        self._first = True
        self._survey_at = self._files_at = 0.0
        self.looked = time.monotonic()

    def wake(self) -> None:
        """Make ``next`` return at once, for good. From any thread."""
        self._stopped = True
        self._wake.send(b"\0")

    def close(self) -> None:
        """Give descriptors back."""
        self._changes.close()
        self._wake.close()
        self._woken.close()

    def next(self) -> Found:
        """Wait for something to tell, and tell it; nothing after ``wake``. The first call tells all there is."""
        if self._problem:
            self._wait(TICK)
        while not self._stopped:
            before, self._problem = self._problem, ""
            try:
                portraits = self.look()
            except ProbeError as error:
                portraits, self._problem = (), str(error)
            if portraits or self._first or self._problem != before:
                self._first = False
                return Found(portraits, self._problem)
            self._wait(TICK)
        return Found()

    def look(self) -> tuple[Portrait, ...]:
        """Look at whatever hints say may have changed; what could not be looked at is looked at again.

        Raises:
            ProbeError: nobody can be looked at.

        """
        now = time.monotonic()
        self.looked = now
        hint = self._changes.take()
        self._wanted |= hint.survey
        overdue = now - self._survey_at >= self._slow
        portraits: dict[int, Portrait] = {}
        if overdue or (self._wanted and now - self._survey_at >= BETWEEN_SURVEYS):
            self._survey(portraits)
            # A fork comes before its exec: where execs are not told, one more survey follows.
            self._survey_at = now
            self._wanted = (hint.survey and not overdue) or bool(self._problem)
        else:
            self._meet(hint, portraits)
        round_is_due = now - self._files_at >= FILES
        if round_is_due:
            self._files_at = now
        stamps: dict[str, int] = {}  # many agents share a folder, which is asked about once
        for pid, subject in tuple(self._subjects.items()):
            if pid not in portraits and (round_is_due or subject.places.may_have_changed(stamps)):
                self._look_again(pid, subject, portraits)
        self._ask_daemons(portraits)
        return tuple(portraits.values())

    # ------------------------------------------------------------------------------------------------ processes

    def _wait(self, seconds: float) -> None:
        """Wait for a program to start, or for the time to pass; then let what starts together gather."""
        told = self._changes.fileno()
        ready, _, _ = select.select([self._woken, *(() if told is None else (told,))], [], [], seconds)
        if told in ready and not self._stopped:
            select.select([self._woken], [], [], GATHERING)

    def _survey(self, portraits: dict[int, Portrait]) -> None:
        glimpses = {glimpse.pid: glimpse for glimpse in self._probe.survey()}
        for pid in self._subjects.keys() - glimpses.keys():
            del self._subjects[pid]
        self._lineage.forget_all_but(glimpses)
        for glimpse in glimpses.values():
            self._consider(glimpse, portraits)

    def _meet(self, hint: ChangeHint, portraits: dict[int, Portrait]) -> None:
        for pid in hint.pids:
            glimpse = self._probe.glimpse(pid)
            if glimpse is None:
                self._subjects.pop(pid, None)
            else:
                self._consider(glimpse, portraits)

    def _consider(self, glimpse: Glimpse, portraits: dict[int, Portrait]) -> None:
        """Read a process if it is new, or runs another program than before."""
        before = self._subjects.get(glimpse.pid)
        if before is not None and _same_program(before.glimpse, glimpse):
            return
        known = before is not None and before.reading is not None and is_listed(before.agent)
        if not known and not (glimpse.ours and worth_a_look(glimpse.program, glimpse.name) and not self._is_copy(glimpse)):
            self._subjects.pop(glimpse.pid, None)
            return
        subject = _Subject(glimpse)
        try:
            portrait = self._read(subject)
        except ProcessGoneError:
            self._subjects.pop(glimpse.pid, None)
            return
        except ProcessStartingError:
            self._wanted = True  # what it was stands until it is another
            return
        except ProbeError as error:
            self._subjects.pop(glimpse.pid, None)
            self._problem, self._wanted = str(error), True
            return
        self._subjects[glimpse.pid] = subject
        if portrait is not None:
            portraits[glimpse.pid] = portrait
        for pid, outer in self._subjects.items():
            if outer.reading is not None and outer.reading.facts.key in self._lineage.twice and outer.agent.kind != "wrapper":
                outer.agent, outer.folders = AgentFinding(outer.agent.agent, "wrapper"), ()
                portraits[pid] = self._portray(outer, outer.reading)

    def _is_copy(self, glimpse: Glimpse) -> bool:
        """Tell a fork that has begun no program of its own yet: agents fork for every tool, and that is no other agent."""
        if glimpse.parent <= 0 or glimpse.image == 0:
            return False
        parent = self._subjects.get(glimpse.parent)
        above = self._probe.glimpse(glimpse.parent) if parent is None else parent.glimpse
        return above is not None and (above.image, above.program) == (glimpse.image, glimpse.program)

    def _read(self, subject: _Subject) -> Portrait | None:
        """Read all of one process; None when it was never worth telling.

        Raises:
            ProcessGoneError: it has exited.
            ProcessStartingError: it is just becoming another program.

        """
        pid = subject.glimpse.pid
        try:
            facts = self._probe.process(pid)
        except ProcessHiddenError as error:
            return self._hidden(subject.glimpse, error)
        subject.agent = classify(facts.exe, facts.argv, facts.script)
        if facts.key in self._lineage.twice:
            subject.agent = AgentFinding(subject.agent.agent, "wrapper")
        started = self._probe.started_at(facts.key)
        if not is_listed(subject.agent):
            return portray(Reading(facts=facts, started=started), subject.agent, None, self._port)
        above, wrapper = self._lineage.above(subject.glimpse, facts)
        subject.arguments = arguments_of(facts.exe, facts.argv)
        wanted = config_files(subject.agent, subject.arguments, facts.variables, facts.cwd)
        subject.reading = Reading(
            facts=facts,
            started=started,
            above=above,
            launch=self._launch(facts.key, wrapper),
            configs=read_configs(wanted, datetime.fromisoformat(started).timestamp()),
        )
        self._place(subject, facts)
        portrait = self._portray(subject, subject.reading)
        subject.sessions = _sessions(portrait)
        return portrait

    def _hidden(self, glimpse: Glimpse, error: ProcessHiddenError) -> Portrait | None:
        """List a process of this user that may not be read, if the system lists it by an agent's own name."""
        agent = classify(glimpse.name, (glimpse.name,), None)
        if not is_listed(agent):
            return None
        key = self._probe.identify(glimpse.pid)
        return hidden(key, agent.agent, self._probe.started_at(key), error.reason)

    def _launch(self, process: ProcessKey, wrapper: ProcessKey | None) -> LaunchId | None:
        """Return the launch whose process this one, or the wrapper around it, is."""
        try:
            records = read_launches(self._paths).records
        except OSError as error:
            self._log.warning("launch records cannot be read", reason=str(error))
            return None
        found = {record.launch for record in records if record.process in (process, wrapper)}
        return min(found) if len(found) == 1 else None

    # ------------------------------------------------------------------------------------------------ files

    def _ask_daemons(self, portraits: dict[int, Portrait]) -> None:
        """Ask the shared daemons of Codex about their TUIs, and look again at those of which there is news."""
        mark = (self._portrayed, len(self._subjects))
        if mark == self._asked and not self._daemons.waits():
            return
        read = [(one, one.reading) for one in self._subjects.values() if one.reading is not None and one.home]
        servers = [Server(now.facts.key, one.home, one.locks) for one, now in read if one.agent.kind == "daemon"]
        tuis = [(one, now) for one, now in read if one.agent.kind == "tui"] if servers else []
        clients = [_client(one, now) for one, now in tuis]
        changed = self._daemons.update(servers, clients)
        for subject, now in tuis:
            if now.facts.key in changed:
                self._look_again(now.facts.key.pid, subject, portraits)
        self._asked = mark

    def _place(self, subject: _Subject, facts: ProcessFacts) -> None:
        """Find out where the files of an agent's process are."""
        if subject.agent.kind == "wrapper":
            return
        if subject.agent.agent == "codex" and (home := codex_home(facts.variables)) is not None:
            home = os.path.realpath(os.path.join(facts.cwd or "/", home))  # noqa: PTH118 - realpath never fails on a loop
            subject.home, subject.folders = home, (f"{home}/{LOCKS}", f"{home}/sessions")
        elif subject.agent.agent == "claude" and (home := claude_home(facts.variables)) is not None:
            subject.folders = (f"{home}/sessions/{facts.key.pid}.json",)

    def _look_again(self, pid: int, subject: _Subject, portraits: dict[int, Portrait]) -> None:
        if subject.reading is None or not subject.folders:
            return
        try:
            portrait = self._portray(subject, subject.reading)
        except ProcessGoneError:
            self._subjects.pop(pid, None)
        except ProbeError as error:
            self._problem = str(error)
        else:
            if subject.sessions - _sessions(portrait) and not subject.doubted and portrait.holdings is not None:
                # Who exits closes its files a moment before: seen twice, half a second apart, or else it is gone by then.
                subject.doubted = subject.places.unsettled = True
                return
            subject.doubted = False
            subject.sessions = subject.sessions if portrait.holdings is None else _sessions(portrait)
            portraits[pid] = portrait

    def _portray(self, subject: _Subject, reading: Reading) -> Portrait:
        """Look at the files of a process, and say what it is.

        Raises:
            ProcessGoneError: it has exited.

        """
        self._portrayed += 1
        holdings: Holdings | None = None
        if subject.folders or subject.agent.agent != "codex":
            subject.places.note(subject.folders[:1])
            try:
                files = self._files(subject, reading)
                holdings = find_holdings(subject.agent, reading.facts.key, subject.arguments, files)
                holdings = join(holdings, self._daemons.of(reading.facts.key))
            except ProcessHiddenError:
                holdings = None
            except TornFileError:
                holdings, subject.places.unsettled = None, True  # what was told stands until it can be read
        return portray(reading, subject.agent, holdings, self._port)

    def _files(self, subject: _Subject, reading: Reading) -> Files:
        if subject.agent.agent == "claude":
            return Files(declared=declared_session(subject.folders[0]) if subject.folders else None)
        if subject.agent.agent != "codex":
            return Files()
        held = tuple(
            HeldFile(file.path, file.locked, file.written, self._head(file.path))
            for file in self._probe.open_files(reading.facts.key.pid, subject.folders)
        )
        locked = {thread_of_lock(file.path): file.path for file in held if file.locked is not False}
        subject.locks = {thread: path for thread, path in locked.items() if thread is not None}
        locks, sessions = subject.folders
        awaited = open_threads(held)
        named = read_command(subject.arguments).thread
        stored = {thread: head for thread in (*awaited, named) if thread and (head := self._heads.stored(sessions, thread))}
        days = {day for thread in awaited for day in day_folders(sessions, thread)}
        unread = any(file.head is None and thread_of_rollout(file.path) for file in held)
        subject.places.watch((locks, *sorted(days)))
        subject.places.unsettled |= unread
        return Files(held, stored)

    def _head(self, path: str) -> Head | None:
        return self._heads.of(path) if thread_of_rollout(path) else None


def _client(subject: _Subject, reading: Reading) -> Client:
    resumes = resumed_thread(subject.arguments)
    return Client(reading.facts.key, subject.home, datetime.fromisoformat(reading.started).timestamp(), resumes)


def _sessions(portrait: Portrait) -> frozenset[str]:
    return frozenset(one.session for one in (portrait.holdings.found if portrait.holdings is not None else ()))


def _same_program(one: Glimpse, other: Glimpse) -> bool:
    return (one.started, one.image, one.program) == (other.started, other.image, other.program)
