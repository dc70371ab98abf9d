"""The threads' parts of a bridge, one by one: lines of chunks, valves, outlets, and what is shortened."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bridge.pieces import clean, item_name, shortened
from actors.bridge.pipes import HEAD, Lines, Outlet, TooLong, Valve, read_chunks

DEADLINE = 10.0


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(1, 60))
def test_lines_are_the_same_however_they_come(parts: list[bytes], size: int) -> None:
    whole = b"\n".join(parts)
    lines = Lines(1_000)
    found = [line for start in range(0, len(whole), size) for line in lines.feed(whole[start : start + size])]
    found += lines.close()
    assert found == [part.removesuffix(b"\r") for part in whole.split(b"\n") if part.removesuffix(b"\r")]


@pytest.mark.parametrize("size", [1, 7, 1_000, 100_000])
def test_a_line_too_long_is_counted_and_the_next_one_is_whole(size: int) -> None:
    raw = b"a" * 5_000 + b"\nnext\n"
    lines = Lines(2_000)
    found = [line for start in range(0, len(raw), size) for line in lines.feed(raw[start : start + size])]
    assert found == [TooLong(5_000, b"a" * HEAD), b"next"]


def test_the_longest_line_is_taken() -> None:
    assert list(Lines(10).feed(b"0123456789\n0123456789a\n")) == [b"0123456789", TooLong(11, b"0123456789a")]


def test_a_valve_holds_back_and_lets_go() -> None:
    valve = Valve(10)
    assert valve.enter(100), "a single thing may be larger than the valve"
    entered = threading.Event()

    def enter() -> None:
        valve.enter(1)
        entered.set()

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    assert not entered.is_set()
    valve.hold(held=True)
    valve.leave(100)
    assert not entered.is_set()
    valve.hold(held=False)
    assert entered.wait(DEADLINE)
    thread.join(DEADLINE)


def test_an_open_valve_wants_nothing_and_keeps_nobody() -> None:
    valve = Valve(1)
    valve.hold(held=True)
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(valve.enter(5)), daemon=True)
    thread.start()
    valve.open()
    thread.join(DEADLINE)
    assert answers == [False]


def test_an_outlet_writes_in_order_and_closes_behind_it() -> None:
    reading, writing = os.pipe()
    drained = threading.Event()
    outlet = Outlet(writing, "test", drained.set)
    outlet.put(b"before ")
    outlet.start()
    outlet.put(b"behind")
    assert drained.wait(DEADLINE)
    outlet.close()
    assert b"".join(read_chunks(reading)) == b"before behind"
    os.close(reading)
    outlet.join(DEADLINE)
    outlet.put(b"nobody hears this")
    assert (outlet.pending, outlet.stuck(), outlet.broken) == (0, 0.0, False)


def test_an_outlet_tells_that_its_reader_does_not_read() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(writing, "test")
    outlet.start()
    outlet.put(b"x" * 1_000_000)
    while not outlet.stuck():
        pass
    assert outlet.pending > 0
    os.close(reading)
    outlet.join(DEADLINE)
    assert (outlet.broken, outlet.pending, outlet.stuck()) == (True, 0, 0.0)


def test_an_outlet_in_a_hurry_forgets_what_waits() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(writing, "test")
    outlet.put(b"never")
    outlet.close(hurry=True)
    outlet.start()
    assert b"".join(read_chunks(reading)) == b""
    os.close(reading)
    outlet.join(DEADLINE)


def test_texts_are_cut_where_they_say_so() -> None:
    assert shortened("short", 10) == "short"
    assert shortened("x" * 100, 20) == "x" * 12 + " … (cut)"
    assert clean("a\ud800b") == "a�b"
    names = {item_name("n" * 300 + end) for end in ("", "a", "b")}
    assert len(names) == 3
    assert max(map(len, names)) <= 200
