"""Where processes were seen to hold sockets, and whom a socket can therefore not be shared with. Pure.

Theory of operation
-------------------
Programs get the same descriptors again and again, so that a socket is looked for first where one was found before. Such a
place is a hint, to be checked at each use.

A place says more when the process was *proven* to be one and the same while it was looked at. If it held another socket then,
this one came there since; a fork copies a socket to the same place; so whoever was alive already at that look, as the process
itself was, has no copy of it. Moments are counted, not taken from a clock: every look and every first meeting has its own.

A pid in ``others`` may have gone to another process since it was met. Only a fork of the owner could hold the copy, and
such a fork is as unknown as any other process that was never met. Must not know how anything is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from schemas.identity import ProcessKey

_PROCESSES: Final = 256
_PLACES: Final = 4


@dataclass(slots=True)
class _Acquaintance:
    """A process that was read: since which moment it is known, and which socket was where at which moment."""

    key: ProcessKey
    met: int
    looks: dict[int, tuple[int, int]] = field(default_factory=dict)


class Places:
    """The memory of one probe. Each change is one assignment, so that threads may share it."""

    def __init__(self) -> None:
        self._likely: dict[int, tuple[int, ...]] = {}
        self._met: dict[int, _Acquaintance] = {}
        self._moments = count(1)

    def moment(self) -> int:
        """Begin a look: return a number that is greater than that of all that was seen before."""
        return next(self._moments)

    def likely(self, pid: int) -> tuple[int, ...]:
        """Return the descriptors at which a process may hold a socket: where one was found, and the one after the last."""
        places = self._likely.get(pid, ())
        if len(places) == _PLACES and places[0] == places[1] + 1 == places[2] + 2:  # it is opening many
            return (places[0] + 1, *places)
        return (*places, places[0] + 1) if places else ()

    def found(self, pid: int, descriptor: int) -> None:
        """Remember where a socket was found."""
        places = self._likely.get(pid, ())
        if descriptor not in places:
            if len(self._likely) >= _PROCESSES:
                self._likely = {}
            self._likely[pid] = (descriptor, *places)[:_PLACES]

    def meet(self, process: ProcessKey) -> _Acquaintance:
        """Remember that a process was read, and so is alive."""
        known = self._met.get(process.pid)
        if known is None or known.key != process:
            if len(self._met) >= _PROCESSES:
                self._met = {}
            known = self._met[process.pid] = _Acquaintance(process, self.moment())
        return known

    def prove(self, process: ProcessKey, descriptor: int, inode: int, look: int) -> None:
        """Remember that a process, proven to be this one, held a socket at a descriptor some time after a look was begun."""
        known = self.meet(process)
        if len(known.looks) >= _PLACES and descriptor not in known.looks:
            known.looks = {}
        known.looks[descriptor] = (inode, look)

    def may_share(self, process: ProcessKey, descriptor: int, inode: int, others: Iterable[int]) -> list[int]:
        """Return who of others may have a copy of the socket that a process holds at a descriptor, by a fork alone."""
        known = self._met.get(process.pid)
        held, look = known.looks.get(descriptor, (inode, 0)) if known is not None and known.key == process else (inode, 0)
        if held == inode:
            return list(others)
        met = self._met
        return [pid for pid in others if (other := met.get(pid)) is None or other.met > look]
