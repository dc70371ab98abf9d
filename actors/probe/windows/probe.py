"""The probe of Windows.

Theory of operation
-------------------
Windows numbers processes, and numbers are reused as soon as nobody holds the process. So a process is opened first; while
the handle lives its number is its own, and everything is read through the handle. That it has exited is told by waiting for
the handle for no time at all: an exited process stays openable while anybody holds it, and its exit code proves nothing
(259, "still active", is a code like any other). Its key holds the FILETIME of its creation, in steps of 100 ns.

*Connections.* The table of TCP connections names for each socket the process that opened it. A handle to a socket that was
passed on or inherited is not seen: the table goes on naming the opener. One row, one pid; there is nothing to search.

*Parameters.* Arguments, folder and environment are read from the process's own memory, by way of its PEB; no call gives
them. They are what the process says now, not what it was started with: it may change them, hence they rank as declared.

*Parents.* Windows remembers the number of a parent, not the parent. It was the parent only if it was created no later than
the child; a process that was given the number afterwards was created afterwards.

*Open files.* To list those of another process means to duplicate each of its handles, and to ask for a pipe's name hangs
while somebody reads it: not offered. A conversation is known from arguments and requests instead.

Must not know agents, terminals' meaning, or sessions.
"""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32", "this probe asks Windows; actors.probe.choose_probe() chooses"  # noqa: S101

import os
import socket
import struct
import winreg
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2s
from pathlib import PureWindowsPath

from actors.probe.agents import script_argument
from actors.probe.always_survey import AlwaysSurvey
from actors.probe.by_tuple import ConnectedPeer, ends
from actors.probe.contract import (
    Address,
    Capability,
    Glimpse,
    OpenFile,
    Peer,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    SessionLeader,
    SocketMovedError,
    Surroundings,
)
from actors.probe.variables import VARIABLES
from actors.probe.windows import native, tables, wsl
from actors.probe.windows.native import Handle, open_process
from actors.probe.windows.reading import LOOK, current_user, declared, open_living
from actors.probe.windows.tables import IPV4, IPV6, End, TableEntry, TcpForm
from actors.probe.windows.watch import HandleWatch
from schemas.identity import ProcessKey

_MAX_ANCESTORS = 128
_UNKNOWN_USER = "?"
_CONSOLE = "console"
_MACHINE = r"SOFTWARE\Microsoft\Cryptography"
_PORT = struct.Struct("!H")
_LIMITS = (
    "Windows: which files a process holds open is not told; processes that run as administrator are visible only to a Tabwire "
    "that does, too"
)
_MAPPED = b"\0" * 10 + b"\xff\xff"


class WindowsProbe:
    """A ``Probe``. It keeps who we are, which machine this is, and whose the processes of the last survey are."""

    def __init__(self) -> None:
        self._host = _host()
        self._boot = str(native.boot_number())
        self._user = current_user()
        self._session = _session_of(os.getpid())
        self._ours: dict[tuple[int, int], bool] = {}
        self.capabilities: tuple[Capability, ...] = ("peer", "owner", "process", "exit_watch", "ancestry", "survey")
        self.surroundings: Surroundings = "wine" if native.is_wine() else ""

    def limits(self) -> tuple[str, ...]:
        """See ``Probe.limits``. Asks WSL, which takes its time: use a worker thread."""
        return tuple(filter(None, ("Wine: not a real Windows" if self.surroundings else "", _LIMITS, wsl.sentence())))

    def this_user(self) -> str:
        """Return the security identifier of our user."""
        return self._user

    def this_process(self) -> ProcessKey:
        """Return the key of the calling process."""
        with native.own_handle() as handle:
            return self._key(handle)

    def peer(self, local: Address, remote: Address) -> ConnectedPeer | None:
        """See ``Probe.peer``."""
        source, destination = ends(remote, local)
        pid = _opener(source, destination)
        if pid is None:
            return None
        return ConnectedPeer(inode=source[1], uid=_user_of(pid), source=source, destination=destination, pid=pid)

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """See ``Probe.owner``."""
        return peer.pid if isinstance(peer, ConnectedPeer) and peer.pid in known else None

    def recognise(self, peer: Peer, known: Iterable[int]) -> ProcessFacts | None:
        """See ``Probe.recognise``."""
        pid = self.owner(peer, known)
        return None if pid is None else self.process(pid, holding=peer)

    def search_all(self, peers: Sequence[Peer]) -> tuple[tuple[int, ...], ...]:
        """See ``Probe.search_all``."""
        return tuple(self.search_owners(peer) for peer in peers)

    def search_owners(self, peer: Peer) -> tuple[int, ...]:
        """See ``Probe.search_owners``."""
        pid = _opener(peer.source, peer.destination) if isinstance(peer, ConnectedPeer) else None
        return () if pid is None else (pid,)

    def still_owner(self, pid: int, peer: Peer) -> bool:
        """See ``Probe.still_owner``."""
        return pid in self.search_owners(peer)

    def process(self, pid: int, holding: Peer | None = None) -> ProcessFacts:
        """See ``Probe.process``."""
        with open_living(pid) as handle:
            facts = self._read(handle)
            if holding is not None and not self.still_owner(pid, holding):
                raise SocketMovedError(pid, holding.inode)
            if handle.exited():
                raise ProcessGoneError(pid, "exited while it was read")
        return facts

    def exit_watch(self, process: ProcessKey) -> HandleWatch:
        """See ``Probe.exit_watch``."""
        return HandleWatch(process, self._open_exactly(process))

    def is_descendant(self, process: ProcessKey, ancestor: ProcessKey) -> bool:
        """See ``Probe.is_descendant``."""
        try:
            with self._open_exactly(ancestor) as above, self._open_exactly(process) as below:
                proven = process == ancestor or _reaches(below, above)
                return proven and not below.exited() and not above.exited()
        except ProcessGoneError:
            return False

    def identify(self, pid: int) -> ProcessKey:
        """See ``Probe.identify``."""
        with open_process(pid, LOOK) as handle:
            key = self._key(handle)
            if handle.exited():
                raise ProcessGoneError(pid, "has exited")
        return key

    def survey(self) -> tuple[Glimpse, ...]:
        """See ``Probe.survey``."""
        entries = _table()
        known = self._ours
        self._ours = {key: known[key] for entry in entries if (key := (entry.pid, entry.created)) in known}
        return tuple(self._glimpse(entry) for entry in entries)

    def glimpse(self, pid: int) -> Glimpse | None:
        """See ``Probe.glimpse``."""
        return next((self._glimpse(entry) for entry in _table() if entry.pid == pid), None)

    def watch_changes(self) -> AlwaysSurvey:
        """See ``Probe.watch_changes``."""
        return AlwaysSurvey()

    def open_files(self, pid: int, below: Sequence[str]) -> tuple[OpenFile, ...]:  # noqa: ARG002 - nothing is answered
        """Return nothing: see "Open files"."""
        return ()

    def started_at(self, process: ProcessKey) -> str:
        """See ``Probe.started_at``."""
        at = datetime.fromtimestamp(tables.wall_time_ns(process.started) / 1e9, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def close(self) -> None:
        """Nothing is held."""

    def _glimpse(self, entry: TableEntry) -> Glimpse:
        return Glimpse(
            pid=entry.pid,
            parent=entry.parent,
            started=entry.created,
            image=0,
            program=entry.name.lower(),
            name=entry.name,
            ours=self._is_ours(entry),
        )

    def _is_ours(self, entry: TableEntry) -> bool:
        """Tell whether a process is our user's; one that hides its user within our logon is most likely ours, elevated."""
        key = (entry.pid, entry.created)
        if key not in self._ours:
            user = _user_of(entry.pid)
            self._ours[key] = user == self._user or (user == _UNKNOWN_USER and entry.session == self._session)
        return self._ours[key]

    def _open_exactly(self, process: ProcessKey) -> Handle:
        """Open a process and prove that it is that very one, and lives."""
        if (process.host, process.boot) != (self._host, self._boot):
            raise ProcessGoneError(process.pid, "ran on another host or before a restart")
        handle = open_process(process.pid, LOOK)
        try:
            if self._key(handle) != process:
                raise ProcessGoneError(process.pid, "is another process by now")
            if handle.exited():
                raise ProcessGoneError(process.pid, "has exited")
        except ProbeError:
            handle.close()
            raise
        return handle

    def _key(self, handle: Handle) -> ProcessKey:
        return ProcessKey(host=self._host, boot=self._boot, pid=handle.pid, started=handle.created())

    def _read(self, handle: Handle) -> ProcessFacts:
        parent, _ = handle.parent_and_peb()
        exe = _program(handle.program())
        said = declared(handle, VARIABLES)
        console = _console(handle)
        return ProcessFacts(
            key=self._key(handle),
            parent=parent,
            exe=exe,
            argv=said.argv,
            script=_script(exe, said.argv, said.cwd),
            cwd=said.cwd,
            tty=_CONSOLE if console is not None else None,
            leader=console,
            variables=said.variables,
        )


def _table() -> tuple[TableEntry, ...]:
    """Return every process but the idle one, which is none."""
    raw, base = native.processes()
    try:
        return tuple(entry for entry in tables.process_table(raw, base, native.POINTER_WIDTH) if entry.pid)
    except ValueError as error:
        raise ProbeError(str(error)) from error


def _session_of(pid: int) -> int | None:
    return next((entry.session for entry in _table() if entry.pid == pid), None)


def _opener(source: Address, destination: Address) -> int | None:
    """Return who opened the socket at ``source`` that is connected to ``destination``."""
    attempts: list[tuple[int, TcpForm, End, End]]
    if ":" in source[0]:
        attempts = [(socket.AF_INET6, IPV6, _end(socket.AF_INET6, source), _end(socket.AF_INET6, destination))]
    else:
        start, goal = _end(socket.AF_INET, source), _end(socket.AF_INET, destination)
        attempts = [(socket.AF_INET, IPV4, start, goal), (socket.AF_INET6, IPV6, _mapped(start), _mapped(goal))]
    for family, form, start, goal in attempts:
        try:
            pid = tables.find_owner(native.connections(family), form, start, goal)
        except ValueError as error:
            raise ProbeError(str(error)) from error
        if pid is not None:
            return pid
    return None


def _end(family: int, address: Address) -> End:
    return End(socket.inet_pton(family, address[0]), _PORT.pack(address[1]))


def _mapped(end: End) -> End:
    return End(_MAPPED + end.address, end.port)


def _user_of(pid: int) -> str:
    """Return a process's user; unknown is nobody's name, so that it is not taken for ours."""
    try:
        with open_process(pid, native.QUERY_LIMITED) as handle:
            return handle.user() or _UNKNOWN_USER
    except ProbeError:
        return _UNKNOWN_USER


def _reaches(below: Handle, goal: Handle) -> bool:
    """Climb from child to parent: each is held, and was created no later than its child, so that it is the parent."""
    held = [below]
    try:
        for _ in range(_MAX_ANCESTORS):
            parent, _ = held[-1].parent_and_peb()
            try:
                above = open_process(parent, LOOK)
            except ProbeError:
                return False
            held.append(above)
            if above.created() > held[-2].created() or above.exited():
                return False
            if above.pid == goal.pid:
                return True
        return False
    finally:
        for handle in held[1:]:
            handle.close()


def _program(path: str) -> str:
    """Write a program's path as ``ProcessFacts`` has it: with slashes, its name in lower case, as Windows compares it."""
    whole = PureWindowsPath(path)
    return whole.with_name(whole.name.lower()).as_posix() if whole.name else path


def _script(exe: str, argv: tuple[str, ...], cwd: str | None) -> str | None:
    named = script_argument(exe, argv)
    if named is None:
        return None
    whole = PureWindowsPath(cwd or "") / named
    if whole.drive.startswith("\\\\"):  # on another computer, which might not answer
        return whole.as_posix()
    return PureWindowsPath(os.path.realpath(whole)).as_posix()


def _console(handle: Handle) -> SessionLeader | None:
    """Name the process that draws this one's console, one for each tab or window; None without a console."""
    pid = handle.console()
    if not pid:
        return None
    try:
        with open_process(pid, LOOK) as drawer:
            return None if drawer.exited() else SessionLeader(pid, drawer.created())
    except ProbeError:
        return None


def _host() -> str:
    """Name this machine; its own id stays private."""
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _MACHINE, 0, winreg.KEY_READ | winreg.KEY_WOW64_64KEY) as key:
            machine = str(winreg.QueryValueEx(key, "MachineGuid")[0])
    except OSError:
        machine = socket.gethostname()
    return blake2s(machine.encode(), digest_size=6, person=b"tabwire").hexdigest()
