"""What is remembered of processes' sockets: whoever has a copy of one, by forks alone, is always suspected of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from actors.probe.linux.places import Places
from schemas.identity import ProcessKey

PIDS = range(1, 6)
DESCRIPTORS = range(3, 6)


@dataclass
class Process:
    key: ProcessKey
    sockets: dict[int, int] = field(default_factory=dict)


class World:
    """Processes that connect, close, fork, exec and exit, and are read at any time; a free pid goes to the next fork."""

    def __init__(self) -> None:
        self.places = Places()
        self.numbers = count(100)
        self.living: dict[int, Process] = {}
        self.met: dict[int, ProcessKey] = {}
        self.begin(1)

    def begin(self, pid: int, sockets: dict[int, int] | None = None) -> None:
        key = ProcessKey(host="host", boot="boot", pid=pid, started=next(self.numbers))
        self.living[pid] = Process(key, dict(sockets or {}))

    def do(self, deed: str, pid: int, descriptor: int) -> None:
        one = self.living.get(pid)
        if one is None:
            return
        if deed == "connect":
            one.sockets[descriptor] = next(self.numbers)
        elif deed == "close":
            one.sockets.pop(descriptor, None)
        elif deed == "fork" and (free := [number for number in PIDS if number not in self.living]):
            self.begin(free[0], one.sockets)
        elif deed == "exec":
            one.sockets.clear()
        elif deed == "exit" and len(self.living) > 1:
            del self.living[pid]
        elif deed == "read":
            self.places.meet(one.key)
            self.met[pid] = one.key
        elif deed == "recognise" and descriptor in one.sockets:
            self.recognise(one, descriptor)

    def recognise(self, one: Process, descriptor: int) -> None:
        inode = one.sockets[descriptor]
        look = self.places.moment()
        others = [pid for pid in PIDS if pid != one.key.pid]
        suspects = self.places.may_share(one.key, descriptor, inode, others)
        holders = {pid for pid, other in self.living.items() if other is not one and inode in other.sockets.values()}
        as_met = {pid for pid in holders if self.met.get(pid) == self.living[pid].key}
        assert as_met <= set(suspects)
        assert set(PIDS) - set(self.met) - {one.key.pid} <= set(suspects)
        if not holders & set(suspects):
            self.places.prove(one.key, descriptor, inode, look)
            self.met[one.key.pid] = one.key


DEEDS = st.sampled_from(("connect", "close", "fork", "exec", "exit", "read", "recognise", "recognise"))


@given(st.lists(st.tuples(DEEDS, st.sampled_from(PIDS), st.sampled_from(DESCRIPTORS)), max_size=60))
def test_whoever_was_met_and_shares_a_socket_by_forks_is_suspected(deeds: list[tuple[str, int, int]]) -> None:
    world = World()
    for deed in deeds:
        world.do(*deed)


def test_places_are_looked_at_again_the_latest_first_and_the_one_after_it_last() -> None:
    places = Places()
    assert places.likely(1) == ()
    for descriptor in (7, 9, 7, 12, 11):
        places.found(1, descriptor)
    assert places.likely(1) == (11, 12, 9, 7, 12)


def test_of_a_process_that_opens_many_the_next_place_is_looked_at_first() -> None:
    places = Places()
    for descriptor in (7, 9, 10, 11, 12):
        places.found(1, descriptor)
    assert places.likely(1) == (13, 12, 11, 10, 9)


def test_nothing_is_remembered_for_ever() -> None:
    places = Places()
    for pid in range(1, 1000):
        places.found(pid, 7)
        places.prove(ProcessKey(host="h", boot="b", pid=pid, started=1), 7, pid, places.moment())
    assert sum(bool(places.likely(pid)) for pid in range(1, 1000)) <= 256
    last = ProcessKey(host="h", boot="b", pid=999, started=1)
    assert places.may_share(last, 7, 5, [998, 1]) == [1]
    for descriptor in range(100):
        places.prove(last, descriptor, 4, places.moment())
    assert places.may_share(last, 7, 5, [998, 1]) == [998, 1]
