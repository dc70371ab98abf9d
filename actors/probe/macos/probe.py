"""The probe of macOS. Written from its headers and manuals; it has not run on a Mac of ours (README, "Support").

Theory of operation
-------------------
*Connections.* macOS numbers no sockets and tells no stranger's. What it tells is which sockets each process of our own user
holds. So the client's end of a connection is looked for in those that held one lately, then in all of them, some
milliseconds; that finds everybody who shares it, too. An end that nobody of ours holds is nobody's: another user's caller
is refused like one from elsewhere.

*Processes.* A process's record has its start in microseconds. It is read before and after everything else: the same start
means the same process. Arguments and environment are those that the program was started with.

*Exits* come through a kernel queue that is asked for the pid; the record is compared once more after that.

Must not know agents, terminals' meaning, or sessions.
"""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for macOS
from __future__ import annotations

import sys

assert sys.platform == "darwin", "this probe asks macOS; actors.probe.choose_probe() chooses"  # noqa: S101

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2s
from pathlib import Path

import psutil

from actors.probe.agents import script_argument
from actors.probe.always_survey import AlwaysSurvey
from actors.probe.by_tuple import ConnectedPeer, ends, plain
from actors.probe.contract import (
    Address,
    Capability,
    Glimpse,
    OpenFile,
    Peer,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    ProcessHiddenError,
    SessionLeader,
    SocketMovedError,
    Surroundings,
)
from actors.probe.macos import libproc
from actors.probe.macos.records import Record
from actors.probe.macos.watch import QueueWatch
from actors.probe.variables import VARIABLES
from schemas.identity import ProcessKey

_MAX_ANCESTORS = 128
_REMEMBERED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _SharedPeer(ConnectedPeer):
    """A peer with everybody who held it when it was looked for."""

    owners: tuple[int, ...]


class MacosProbe:
    """A ``Probe``. It keeps who we are and which processes held a connection lately (hints, checked at each use)."""

    def __init__(self) -> None:
        self._host = blake2s(libproc.machine() or socket.gethostname().encode(), digest_size=6, person=b"tabwire").hexdigest()
        self._boot = libproc.boot_session()
        self._lately: dict[int, None] = {}
        self.capabilities: tuple[Capability, ...] = (
            "peer",
            "owner",
            "process",
            "exit_watch",
            "ancestry",
            "survey",
            "open_files",
        )
        self.surroundings: Surroundings = ""

    def limits(self) -> tuple[str, ...]:
        """See ``Probe.limits``."""
        return ("macOS: which of its files a process has locked is not told; this probe has not been tested on a Mac",)

    def this_user(self) -> int:
        """Return the effective uid."""
        return os.geteuid()

    def this_process(self) -> ProcessKey:
        """Return the key of the calling process."""
        return self._key(libproc.record_of(os.getpid()))

    def peer(self, local: Address, remote: Address) -> ConnectedPeer | None:
        """See ``Probe.peer``; milliseconds here."""
        source, destination = ends(remote, local)
        owners = self._holders(source, destination)
        if not owners:
            return None
        for pid in owners:
            self._lately.pop(pid, None)
            self._lately[pid] = None
        while len(self._lately) > _REMEMBERED:
            del self._lately[next(iter(self._lately))]
        return _SharedPeer(
            inode=source[1], uid=self.this_user(), source=source, destination=destination, pid=owners[0], owners=owners
        )

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """See ``Probe.owner``."""
        owners = peer.owners if isinstance(peer, _SharedPeer) else ()
        return owners[0] if len(owners) == 1 and owners[0] in known else None

    def recognise(self, peer: Peer, known: Iterable[int]) -> ProcessFacts | None:
        """See ``Probe.recognise``."""
        pid = self.owner(peer, known)
        return None if pid is None else self.process(pid, holding=peer)

    def search_all(self, peers: Sequence[Peer]) -> tuple[tuple[int, ...], ...]:
        """See ``Probe.search_all``; one look each here."""
        return tuple(self.search_owners(peer) for peer in peers)

    def search_owners(self, peer: Peer) -> tuple[int, ...]:
        """See ``Probe.search_owners``."""
        return self._holders(peer.source, peer.destination) if isinstance(peer, ConnectedPeer) else ()

    def still_owner(self, pid: int, peer: Peer) -> bool:
        """See ``Probe.still_owner``."""
        return isinstance(peer, ConnectedPeer) and _holds(pid, peer.source, peer.destination)

    def process(self, pid: int, holding: Peer | None = None) -> ProcessFacts:
        """See ``Probe.process``."""
        before = _living(pid)
        with _said_in_our_words(pid):
            facts = self._read(before)
        if holding is not None and not self.still_owner(pid, holding):
            raise SocketMovedError(pid, holding.inode)
        if _living(pid).started != before.started:
            raise ProcessGoneError(pid, "is another process by now")
        return facts

    def exit_watch(self, process: ProcessKey) -> QueueWatch:
        """See ``Probe.exit_watch``."""
        if (process.host, process.boot) != (self._host, self._boot):
            raise ProcessGoneError(process.pid, "ran on another host or before a restart")
        watch = QueueWatch(process)
        try:
            if self._key(_living(process.pid)) != process:
                raise ProcessGoneError(process.pid, "is another process by now")
        except ProbeError:
            watch.close()
            raise
        return watch

    def is_descendant(self, process: ProcessKey, ancestor: ProcessKey) -> bool:
        """See ``Probe.is_descendant``."""
        try:
            with self.exit_watch(process) as watched, self.exit_watch(ancestor) as above:
                proven = process == ancestor or _reaches(process.pid, ancestor.pid)
                return proven and not watched.exited() and not above.exited()
        except ProcessGoneError:
            return False

    def identify(self, pid: int) -> ProcessKey:
        """See ``Probe.identify``."""
        return self._key(_living(pid))

    def survey(self) -> tuple[Glimpse, ...]:
        """See ``Probe.survey``."""
        found = (self.glimpse(pid) for pid in libproc.all_processes())
        return tuple(glimpse for glimpse in found if glimpse is not None)

    def glimpse(self, pid: int) -> Glimpse | None:
        """See ``Probe.glimpse``."""
        try:
            record = libproc.record_of(pid)
        except (ProcessGoneError, ProcessHiddenError):
            return None
        if record.exited:
            return None
        return Glimpse(
            pid=pid,
            parent=record.parent,
            started=record.started,
            image=0,
            program=libproc.program_of(pid),
            name=record.name,
            ours=record.user == self.this_user(),
        )

    def watch_changes(self) -> AlwaysSurvey:
        """See ``Probe.watch_changes``."""
        return AlwaysSurvey()

    def open_files(self, pid: int, below: Sequence[str]) -> tuple[OpenFile, ...]:
        """See ``Probe.open_files``."""
        _living(pid)
        with _said_in_our_words(pid):
            paths = {file.path for file in psutil.Process(pid).open_files()}
        folders = tuple(folder.rstrip("/") + "/" for folder in below)
        return tuple(OpenFile(path) for path in sorted(paths) if path.startswith(folders))

    def started_at(self, process: ProcessKey) -> str:
        """See ``Probe.started_at``."""
        at = datetime.fromtimestamp(process.started / 1e6, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def close(self) -> None:
        """Nothing is held."""

    def _key(self, record: Record) -> ProcessKey:
        return ProcessKey(host=self._host, boot=self._boot, pid=record.pid, started=record.started)

    def _holders(self, source: Address, destination: Address) -> tuple[int, ...]:
        """Return everybody of our user who holds a connection, in order of pid."""
        user = self.this_user()
        found = []
        for pid in dict.fromkeys((*self._lately, *libproc.all_processes())):
            try:
                if libproc.record_of(pid).user == user and _holds(pid, source, destination):
                    found.append(pid)
            except (ProcessGoneError, ProcessHiddenError):
                continue
        return tuple(sorted(found))

    def _read(self, record: Record) -> ProcessFacts:
        shown = psutil.Process(record.pid)
        exe = libproc.program_of(record.pid)
        argv = tuple(shown.cmdline())
        cwd = shown.cwd() or None
        tty = (shown.terminal() or "").removeprefix("/dev/") if record.has_terminal else ""
        environ = shown.environ()
        return ProcessFacts(
            key=self._key(record),
            parent=record.parent,
            exe=exe,
            argv=argv,
            script=_script(exe, argv, cwd),
            cwd=cwd,
            tty=tty or None,
            leader=_leader(record.pid) if tty else None,
            variables={name: environ[name] for name in VARIABLES if name in environ},
        )


def _living(pid: int) -> Record:
    record = libproc.record_of(pid)
    if record.exited:
        raise ProcessGoneError(pid, "has exited and waits for its parent to notice")
    return record


def _holds(pid: int, source: Address, destination: Address) -> bool:
    """Tell whether a process holds the socket at ``source`` that is connected to ``destination``."""
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except (psutil.Error, OSError):
        return False
    return any(
        held.laddr and held.raddr and (plain(held.laddr), plain(held.raddr)) == (source, destination) for held in connections
    )


def _reaches(pid: int, goal: int) -> bool:
    """Climb from child to parent, taking each step only if the child has the same parent before and after it was seen."""
    for _ in range(_MAX_ANCESTORS):
        parent = _living(pid).parent
        if parent == 0:
            return False
        _living(parent)
        if _living(pid).parent != parent:
            return False
        if parent == goal:
            return True
        pid = parent
    return False


def _leader(pid: int) -> SessionLeader | None:
    try:
        session = os.getsid(pid)
        return SessionLeader(session, _living(session).started)
    except (OSError, ProbeError):
        return None


def _script(exe: str, argv: tuple[str, ...], cwd: str | None) -> str | None:
    named = script_argument(exe, argv)
    if named is None:
        return None
    return str(Path(os.path.realpath(os.path.join(cwd or "/", named))))  # noqa: PTH118 - realpath never fails on a loop


@contextmanager
def _said_in_our_words(pid: int) -> Iterator[None]:
    try:
        yield
    except psutil.NoSuchProcess as error:
        raise ProcessGoneError(pid, "exited while it was read") from error
    except psutil.AccessDenied as error:
        raise ProcessHiddenError(pid, "belongs to another user, or is protected by macOS") from error
    except OSError as error:
        raise ProbeError(f"process {pid} cannot be read: {error.strerror}") from error
