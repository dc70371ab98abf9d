"""What a probe answers: the values, the errors and the protocol that every operating system's probe fulfils.

Owns the seam between "who is this, says the operating system" and everybody who asks. Must not know any operating system,
nor what is believed of its answers (``actors.gateway``, ``actors.registry``).

How to name the sender of an accepted connection, in this order, each step cheap enough for an event loop but one::

    peer = probe.peer(local, remote)            # who holds the client's end; None: nobody on this host and network
    peer.uid == probe.this_user()               # otherwise it is not ours to look at
    facts = probe.recognise(peer, known)        # None: look further, in a worker thread:
    owners = probe.search_owners(peer)          # exactly one, or the answer is "ambiguous" or "unknown"
    facts = probe.process(pid, holding=peer)    # read between two proofs that it is still the same process and socket

Facts belong to one moment: an ``exec`` keeps a process's key and replaces program, arguments and environment. Keep them
with the connection that they were read for (a socket that is closed on exec cannot outlive the program), not with the key.

How to keep an account of all agents, all of it in a worker thread but the waiting::

    watch = probe.watch_changes()               # before the first survey, so that nothing falls between the two
    probe.survey()                              # everybody, shallow: enough to see who is worth a look
    watch.take()                                # who may be new since; ``survey`` when that cannot be said
    probe.process(pid)                          # the look
    probe.open_files(pid, folders)              # which conversations' files it holds
    probe.exit_watch(facts.key)                 # never poll for an exit
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, Self

from schemas.identity import ProcessKey

Address = tuple[str, int]
Capability = Literal[
    "peer",  # the client's end of a connection, by its exact tuple
    "owner",  # the processes that hold a socket
    "process",  # program, arguments, folder, some variables of a process of this user
    "exit_watch",  # an exit noticed without polling
    "ancestry",  # whose child a process is
    "unrepeatable_key",  # ProcessKey.pidfd is set: a key that no later process can have
    "survey",  # every process, in a shallow look
    "change_hint",  # watch_changes costs next to nothing when nothing changes; without it every take() asks for a survey
    "start_events",  # watch_changes names each program as it starts, and wakes whoever waits
    "open_files",  # the files that a process of this user holds open
]
Surroundings = Literal["", "wsl1", "wsl2", "wine", "container"]
"""What this operating system runs inside of, as far as that decides what can be seen; "" for nothing of the kind."""


class ProbeError(Exception):
    """The operating system would not say; the message tells what was asked and why there is no answer."""


class UnsupportedPlatformError(ProbeError):
    """There is no probe for this operating system."""


class ProcessGoneError(ProbeError):
    """The process has exited, or its pid belongs to another process by now."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"process {pid}: {reason}")
        self.pid = pid
        self.reason = reason


class ProcessHiddenError(ProbeError):
    """The process exists and may not be read; ``reason`` is in words for the user."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"process {pid}: {reason}")
        self.pid = pid
        self.reason = reason


class ProcessStartingError(ProbeError):
    """The process begins another program at this very moment; a moment later it can be read."""

    def __init__(self, pid: int, reason: str) -> None:
        super().__init__(f"process {pid}: {reason}")


class SocketMovedError(ProbeError):
    """The process does not hold the socket that it was to be read for: closed meanwhile, or a recycled pid."""

    def __init__(self, pid: int, inode: int) -> None:
        super().__init__(f"process {pid} does not hold socket {inode} any more")
        self.pid = pid
        self.inode = inode


@dataclass(frozen=True, slots=True)
class Peer:
    """The client's end of a connection: the kernel's number of that socket and the user who created it."""

    inode: int
    uid: int | str


@dataclass(frozen=True, slots=True)
class SessionLeader:
    """The process that opened a tty, by the two numbers that name it for as long as its session has members."""

    pid: int
    started: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """One process at one moment.

    ``exe`` is the resolved program ("" for a kernel thread), ``script`` the resolved file that an interpreter runs (None
    for a native program), ``tty`` the controlling terminal as ``ps`` prints it, ``leader`` the process that opened it, the
    leader of its session (None when that has exited, or without a tty).
    ``variables`` are those of ``actors.probe.variables.VARIABLES`` that were set when the program started (names in upper
    case where the OS ignores case), and never the rest of the environment. A process can overwrite what it declares there;
    that is why it ranks as declared only. Arguments and variables may hold secrets (a token in a URL): they never leave
    the process that asked.
    """

    key: ProcessKey
    parent: int
    exe: str
    argv: tuple[str, ...] = field(repr=False)
    script: str | None
    cwd: str | None
    tty: str | None
    leader: SessionLeader | None
    variables: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """One process in a shallow look: enough to decide whether to look closer (``actors.probe.agents.worth_a_look``).

    ``started`` is as in ``ProcessKey``. ``image`` changes when an exec replaces the program (0 where there is no exec, or
    where it may not be read). ``program`` is the path of the program, or its base name where the path costs more, or ""
    (a kernel thread, or hidden). ``name`` is what the OS lists it as, possibly cut or changed by the process itself: worth
    something only when ``program`` is hidden. ``ours``: it runs as our user. Nothing here is proven to be of one process:
    a pid may have gone to another between two of these readings.
    """

    pid: int
    parent: int
    started: int
    image: int
    program: str
    name: str
    ours: bool


@dataclass(frozen=True, slots=True)
class ChangeHint:
    """Which processes may run a new program since the last hint; ``survey``: others may, so look at everybody."""

    pids: tuple[int, ...] = ()
    survey: bool = False


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that a process holds open. None: that cannot be told.

    ``locked``: it holds an exclusive lock on it. ``written``: it is open for writing; whoever reads a file has no claim on it.
    """

    path: str
    locked: bool | None = None
    written: bool | None = None


class ChangeWatch(Protocol):
    """Tells which processes may be new since the last call; to be closed.

    It may miss an exec in an old process where there is no "start_events": a slow survey finds that.
    """

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when there is something to take; None: there is none, so take often."""

    def take(self) -> ChangeHint:
        """Take what has gathered, without waiting. With "change_hint" microseconds when there is nothing."""

    def close(self) -> None:
        """Give its resources back; closing twice does nothing."""


class ExitWatch(Protocol):
    """Tells when one process exits; to be closed, as it holds a file descriptor."""

    @property
    def process(self) -> ProcessKey:
        """The watched process."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the process exits."""

    def exited(self) -> bool:
        """Tell whether the process has exited, without waiting."""

    def close(self) -> None:
        """Give the descriptor back; closing twice does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Probe(Protocol):
    """The operating system, asked who is who. Every method may be called from any thread.

    Every question may raise ``ProbeError`` when we ourselves are short of what it takes to ask (no descriptor left): never
    an answer that nobody was found.
    """

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """What this probe can answer here; what is not listed answers None or nothing, never something wrong."""

    @property
    def surroundings(self) -> Surroundings:
        """What this operating system runs inside of."""

    def limits(self) -> tuple[str, ...]:
        """Say what cannot be seen here, each in a sentence for people, beginning with where we are."""

    def this_user(self) -> int | str:
        """Return the user we run as, in the form of ``Peer.uid``."""

    def this_process(self) -> ProcessKey:
        """Return the key of the calling process."""

    def peer(self, local: Address, remote: Address) -> Peer | None:
        """Find the client's end of a connection that we accepted: ``local`` is our end's address, ``remote`` the client's.

        Microseconds. None when no process of this network namespace holds it (closed, or from elsewhere).
        """

    def owner(self, peer: Peer, known: Iterable[int]) -> int | None:
        """Name the one process among ``known`` (most likely first) that holds the peer's socket; some 50 µs.

        None when none holds it, and also when it may be shared (a second known process has it, or it would survive an
        exec): then only a full search can tell.
        """

    def recognise(self, peer: Peer, known: Iterable[int]) -> ProcessFacts | None:
        """Do ``owner`` and then ``process`` of whom it names, holding that socket, in less time than one after the other.

        Raises:
            ProbeError: as ``process``; a full search can tell what happened.

        """

    def search_all(self, peers: Sequence[Peer]) -> tuple[tuple[int, ...], ...]:
        """Do ``search_owners`` for many at once, in about the time of one."""

    def search_owners(self, peer: Peer) -> tuple[int, ...]:
        """Name every process of the peer's user that holds its socket, in order of pid. Milliseconds: use a worker thread."""

    def process(self, pid: int, holding: Peer | None = None) -> ProcessFacts:
        """Read a process, proving that it was one and the same all the while, and held the peer's socket if one is given.

        Raises:
            ProcessGoneError: it has exited (a zombie has).
            ProcessHiddenError: it may not be read.
            ProcessStartingError: it begins another program just now.
            SocketMovedError: it does not hold that socket.

        """

    def still_owner(self, pid: int, peer: Peer) -> bool:
        """Tell whether a process holds the peer's socket now; False also when it is gone or hidden."""

    def exit_watch(self, process: ProcessKey) -> ExitWatch:
        """Watch a process.

        Raises:
            ProcessGoneError: that process is gone, whoever has its pid now.

        """

    def is_descendant(self, process: ProcessKey, ancestor: ProcessKey) -> bool:
        """Tell whether a process is proven to be ``ancestor`` or to descend from it through living processes.

        False is "not proven" (one of them is gone, or a process in between was), not the proof of the contrary.
        """

    def identify(self, pid: int) -> ProcessKey:
        """Return the key of a process, of a hidden one too.

        Raises:
            ProcessGoneError: it has exited (a zombie has).
            ProcessHiddenError: not even that may be known.

        """

    def survey(self) -> tuple[Glimpse, ...]:
        """Glance at every process, in any order. Milliseconds: use a worker thread."""

    def glimpse(self, pid: int) -> Glimpse | None:
        """Glance at one process; None when it is gone (a zombie is)."""

    def watch_changes(self) -> ChangeWatch:
        """Begin to watch for new processes."""

    def open_files(self, pid: int, below: Sequence[str]) -> tuple[OpenFile, ...]:
        """Name the regular files below some folders (resolved paths) that a process holds open, in order of path.

        Raises:
            ProcessGoneError: it has exited.
            ProcessHiddenError: it may not be asked.

        """

    def started_at(self, process: ProcessKey) -> str:
        """Return when a process of this boot started, as RFC 3339 in UTC with milliseconds; a few may differ between calls."""
