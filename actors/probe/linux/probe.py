"""The probe of Linux.

Theory of operation
-------------------
Everything that ``/proc`` says, it says of a *number*, and numbers are reused. So a process is first opened as a pidfd, then
read, then shown to be alive still: as long as it lives, its number is its own, so that every read in between was of it.
An exec in between would mix two programs; it moves the program's environment, so ``Stat.image`` is compared around the reads.
Within an exec, for a millisecond or more, the new program is there and has no arguments and no environment yet. Read then it
would be one that declares nothing: it is told apart (``ProcessStartingError``), and to be read again.

A connection's owner is looked for among the known agents first. One of them holding the socket is enough for a quick answer
only when nobody else can: a descriptor that is closed on exec never reaches another program by inheritance, and a copy made
by a fork alone has the same descriptor number, which is looked at in those of the other known processes that may have such a
copy (``places``). What remains (a fork without exec between ``connect`` and this look, in a process that is not known; a socket
deliberately passed on) needs the owner's own program to do it. Everything doubtful is left to the full search.

``recognise`` asks all that of one process in one go: a socket that an exec would have closed and that is there before and
after the process is read also shows that no exec came between, so that one look at its memory is enough.

Must not know agents, terminals' meaning, or sessions.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2s
from pathlib import Path

from actors.probe.agents import script_argument
from actors.probe.contract import (
    Address,
    Capability,
    Glimpse,
    OpenFile,
    Peer,
    ProbeError,
    ProcessFacts,
    ProcessGoneError,
    ProcessStartingError,
    SessionLeader,
    SocketMovedError,
    Surroundings,
)
from actors.probe.linux import procfs, survey
from actors.probe.linux.changes import ExecEvents, LastPid, open_exec_events, watch_changes
from actors.probe.linux.inet_diag import SocketTable
from actors.probe.linux.pidfd import PidfdWatch, has_exited, held, inodes_are_unique, open_pidfd, unique_inode
from actors.probe.linux.places import Places
from actors.probe.linux.procfs import Stat, read_stat
from actors.probe.linux.surroundings import find_surroundings, sentences
from schemas.identity import ProcessKey

_NO_NETLINK = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EACCES, errno.EPERM)
_CREDENTIALS = struct.Struct("=3i")
_EXEC_RETRIES = 3
_MAX_ANCESTORS = 128
_TICKS = os.sysconf("SC_CLK_TCK")


class LinuxProbe:
    """A ``Probe``.

    Its only state is a netlink socket and where sockets were found before.
    """

    def __init__(self) -> None:
        self._host = _host()
        self._boot = _first_line("/proc/sys/kernel/random/boot_id")
        self._sockets = _socket_table()
        self._places = Places()
        self.surroundings: Surroundings = find_surroundings()
        self.capabilities = self._find_capabilities()

    def this_user(self) -> int:
        """Return the effective uid, which new sockets are given."""
        return os.geteuid()

    def limits(self) -> tuple[str, ...]:
        """See ``Probe.limits``."""
        return sentences(self.surroundings)

    def this_process(self) -> ProcessKey:
        """Return the key of the calling process."""
        pid = os.getpid()
        with held(pid) as descriptor:
            return self._key(pid, read_stat(pid), descriptor)

    def peer(self, local: Address, remote: Address) -> Peer | None:
        """See ``Probe.peer``."""
        return self._sockets.find(remote, local) if self._sockets is not None else None

    def listener(self, address: Address) -> Peer | None:
        """See ``Probe.listener``."""
        return self._sockets.find_listener(address) if self._sockets is not None else None

    def server(self, connection: socket.socket) -> int:
        """See ``Probe.server``."""
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(credentials)[0]
        return pid

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """See ``Probe.owner``."""
        candidates = tuple(known)
        pid, descriptor = self._holder(peer, candidates)
        if pid is None or not self._is_private(pid, descriptor):
            return None
        shared = any(procfs.is_socket_at(other, descriptor, peer.inode) for other in candidates if other != pid)
        return None if shared else pid

    def recognise(self, peer: Peer, known: Iterable[int]) -> ProcessFacts | None:
        """See ``Probe.recognise``."""
        candidates = tuple(known)
        pid, at = self._holder(peer, candidates)
        if pid is None:
            return None
        descriptor = open_pidfd(pid)
        try:
            if not self._is_private(pid, at):
                return None
            look = self._places.moment()
            facts = self._read(pid, _living(pid, read_stat(pid)), descriptor)
            others = (other for other in candidates if other != pid)
            suspects = self._places.may_share(facts.key, at, peer.inode, others)
            if any(procfs.is_socket_at(other, at, peer.inode) for other in suspects):
                return None
            holds = procfs.is_socket_at(pid, at, peer.inode)
            if has_exited(descriptor):
                raise ProcessGoneError(pid, "exited while it was read")
        finally:
            os.close(descriptor)
        if not holds:
            raise SocketMovedError(pid, peer.inode)
        self._places.prove(facts.key, at, peer.inode, look)
        return facts

    def search_owners(self, peer: Peer) -> tuple[int, ...]:
        """See ``Probe.search_owners``."""
        return self.search_all((peer,))[0]

    def search_all(self, peers: Sequence[Peer]) -> tuple[tuple[int, ...], ...]:
        """See ``Probe.search_all``."""
        owners: dict[int, list[int]] = {peer.inode: [] for peer in peers}
        wanted = {f"socket:[{inode}]": inode for inode in owners}
        for uid in {peer.uid for peer in peers}:
            for pid in procfs.processes_of(uid):
                try:
                    for inode in procfs.find_sockets(pid, wanted):
                        owners[inode].append(pid)
                except procfs.UNREADABLE:
                    continue  # gone, or not to be read by us: then it cannot be shown to be an owner
                except OSError as error:
                    raise procfs.failure(pid, error) from error
        return tuple(tuple(sorted(owners[peer.inode])) for peer in peers)

    def still_owner(self, pid: int, peer: Peer) -> bool:
        """See ``Probe.still_owner``."""
        return self._find(pid, peer) is not None

    def process(self, pid: int, holding: Peer | None = None) -> ProcessFacts:
        """See ``Probe.process``."""
        descriptor = open_pidfd(pid)
        try:
            facts = self._read_steadily(pid, descriptor)
            holds = holding is None or self.still_owner(pid, holding)
            if has_exited(descriptor):
                raise ProcessGoneError(pid, "exited while it was read")
        finally:
            os.close(descriptor)
        if holding is not None and not holds:
            raise SocketMovedError(pid, holding.inode)
        self._places.meet(facts.key)
        return facts

    def exit_watch(self, process: ProcessKey) -> PidfdWatch:
        """See ``Probe.exit_watch``."""
        watch = PidfdWatch(process, open_pidfd(process.pid))
        try:
            self._prove(process, watch)
        except BaseException:
            watch.close()
            raise
        return watch

    def is_descendant(self, process: ProcessKey, ancestor: ProcessKey) -> bool:
        """See ``Probe.is_descendant``."""
        try:
            with self.exit_watch(process) as watched, self.exit_watch(ancestor) as above:
                proven = process == ancestor or self._reaches(process.pid, ancestor.pid)
                return proven and not watched.exited() and not above.exited()
        except ProcessGoneError:
            return False

    def identify(self, pid: int) -> ProcessKey:
        """See ``Probe.identify``."""
        with held(pid) as descriptor:
            key = self._key(pid, _living(pid, read_stat(pid)), descriptor)
            if has_exited(descriptor):
                raise ProcessGoneError(pid, "exited while it was read")
        return key

    def survey(self) -> tuple[Glimpse, ...]:
        """See ``Probe.survey``."""
        return tuple(survey.survey(self.this_user()))

    def glimpse(self, pid: int) -> Glimpse | None:
        """See ``Probe.glimpse``."""
        return survey.glimpse(pid, self.this_user())

    def watch_changes(self) -> ExecEvents | LastPid:
        """See ``Probe.watch_changes``."""
        return watch_changes()

    def open_files(self, pid: int, below: Sequence[str]) -> tuple[OpenFile, ...]:
        """See ``Probe.open_files``."""
        return survey.open_files(pid, below)

    def started_at(self, process: ProcessKey) -> str:
        """See ``Probe.started_at``; ticks are hundredths of a second, so nothing finer is lost."""
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        at = datetime.fromtimestamp(booted + process.started / _TICKS, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def close(self) -> None:
        """Give the netlink socket back."""
        if self._sockets is not None:
            self._sockets.close()

    def _prove(self, process: ProcessKey, watch: PidfdWatch) -> None:
        """Check that a watch is on that very process and not on another one with its pid."""
        if (process.host, process.boot) != (self._host, self._boot):
            raise ProcessGoneError(process.pid, "ran on another host, in another pid namespace or before a restart")
        if self._key(process.pid, read_stat(process.pid), watch.fileno()) != process:
            raise ProcessGoneError(process.pid, "is another process by now")
        if watch.exited():
            raise ProcessGoneError(process.pid, "has exited")

    def _reaches(self, pid: int, goal: int) -> bool:
        """Climb from child to parent, taking each step only if the child has the same parent before and after it was seen.

        A parent that exits hands its children on *before* its pid can be given to another, so a parent that is unchanged
        was alive, and was the process that was looked at.
        """
        for _ in range(_MAX_ANCESTORS):
            parent = read_stat(pid).parent
            if parent == 0:
                return False
            above = read_stat(parent)
            if read_stat(pid).parent != parent or above.exited:
                return False
            if parent == goal:
                return True
            pid = parent
        return False

    def _holder(self, peer: Peer, candidates: Sequence[int]) -> tuple[int | None, int]:
        """Return which process holds a socket, and at which descriptor; likely places of all come before a search in any."""
        for find in (self._find_again, self._find):
            for pid in candidates:
                if (descriptor := find(pid, peer)) is not None:
                    return pid, descriptor
        return None, -1

    def _find_again(self, pid: int, peer: Peer) -> int | None:
        """Look for a socket only where it is likely."""
        for descriptor in self._places.likely(pid):
            if procfs.is_socket_at(pid, descriptor, peer.inode):
                self._places.found(pid, descriptor)
                return descriptor
        return None

    def _find(self, pid: int, peer: Peer) -> int | None:
        """Return the descriptor by which a process holds a socket."""
        if (again := self._find_again(pid, peer)) is not None:
            return again
        try:
            found = procfs.find_socket(pid, peer.inode)
        except procfs.UNREADABLE:
            return None
        except OSError as error:
            raise procfs.failure(pid, error) from error
        if found is not None:
            self._places.found(pid, found)
        return found

    def _is_private(self, pid: int, descriptor: int) -> bool:
        try:
            return procfs.closes_on_exec(pid, descriptor)
        except procfs.UNREADABLE:
            return False
        except OSError as error:
            raise procfs.failure(pid, error) from error

    def _read_steadily(self, pid: int, descriptor: int) -> ProcessFacts:
        """Read a process between two looks at its memory: an exec in between would mix two programs."""
        file = procfs.StatFile(pid)
        try:
            for _ in range(_EXEC_RETRIES):
                before = _living(pid, file.read())
                facts = self._read(pid, before, descriptor)
                if _living(pid, file.read()).image == before.image:
                    return facts
        finally:
            file.close()
        raise ProcessStartingError(pid, "starts one program after the other, faster than it can be read")

    def _read(self, pid: int, stat: Stat, descriptor: int) -> ProcessFacts:
        key = self._key(pid, stat, descriptor)
        try:
            exe, argv, cwd = procfs.read_program(pid), procfs.read_arguments(pid), procfs.read_folder(pid)
            variables = procfs.read_variables(pid)
        except OSError as error:
            raise procfs.failure(pid, error) from error
        if exe and not argv and not stat.image:
            raise ProcessStartingError(pid, "begins a program just now, whose arguments are not there yet")
        return ProcessFacts(
            key=key,
            parent=stat.parent,
            exe=exe,
            argv=argv,
            script=_script(exe, argv, cwd),
            cwd=cwd,
            tty=procfs.tty_name(stat.tty),
            leader=_leader(stat.session) if stat.tty else None,
            variables=variables,
        )

    def _key(self, pid: int, stat: Stat, descriptor: int) -> ProcessKey:
        return ProcessKey(host=self._host, boot=self._boot, pid=pid, started=stat.started, pidfd=unique_inode(descriptor))

    def _find_capabilities(self) -> tuple[Capability, ...]:
        found: list[Capability] = ["owner", "process", "exit_watch", "ancestry", "survey", "change_hint", "open_files"]
        if (events := open_exec_events()) is not None:
            events.close()
            found.append("start_events")
        if self._sockets is not None:
            found.insert(0, "peer")
        if inodes_are_unique():
            found.append("unrepeatable_key")
        return tuple(found)


def _living(pid: int, stat: Stat) -> Stat:
    if stat.exited:
        raise ProcessGoneError(pid, "has exited and waits for its parent to notice")
    return stat


def _leader(session: int) -> SessionLeader | None:
    """Return the leader of a session; while the session has members its number belongs to nobody else."""
    try:
        return SessionLeader(session, _living(session, read_stat(session)).started)
    except ProcessGoneError:
        return None


def _socket_table() -> SocketTable | None:
    """Open the table of connections and look up one of our own: a kernel without tcp_diag answers as if there were none."""
    try:
        table = SocketTable()
    except OSError as error:
        if error.errno in _NO_NETLINK:
            return None
        raise ProbeError(f"inet_diag cannot be opened: {error.strerror}") from error
    if _sees_connections(table):
        return table
    table.close()
    return None


def _sees_connections(table: SocketTable) -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        try:
            return table.find(client.getsockname(), server.getsockname()) is not None
        except ProbeError:
            return False


def _script(exe: str, argv: tuple[str, ...], cwd: str | None) -> str | None:
    named = script_argument(exe, argv)
    if named is None:
        return None
    return str(Path(os.path.realpath(os.path.join(cwd or "/", named))))  # noqa: PTH118 - realpath never fails on a loop


def _host() -> str:
    """Name this host and pid namespace, since a pid means something only inside one; the machine's id stays private."""
    try:
        machine = _first_line("/etc/machine-id")
    except OSError:
        machine = ""
    namespace = Path("/proc/self/ns/pid").readlink()
    return blake2s(f"{machine or socket.gethostname()}\0{namespace}".encode(), digest_size=6, person=b"tabwire").hexdigest()


def _first_line(path: str) -> str:
    return Path(path).read_text().strip()
