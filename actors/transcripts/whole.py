"""Reading a whole transcript once, from its first line to its last: what a history is made of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from actors.transcripts.facts import Fact, Place, Thread
from actors.transcripts.files import Unpacked, opened, read_span
from actors.transcripts.lines import MAX_HEAD, START, frame, name_of, shortened, span
from actors.transcripts.story import take
from actors.transcripts.tree import Found

_Read = Callable[[int, int], bytes]
_ENDLESS = 1 << 62


def place_of(found: Found, file: str) -> Place:
    """Say where lines come from."""
    return Place(
        path=found.path,
        file=file,
        thread=found.name.thread,
        session=found.name.session,
        subagent=found.name.subagent,
        archived=found.root.archive,
    )


def first_facts(found: Found) -> list[Fact]:
    """Read as much as says whose file it is (usually the first line), and return the facts up to there.

    Raises:
        OSError: it cannot be read.

    """
    facts: list[Fact] = []
    for part in _parts(found):
        facts += part
        if any(fact.TYPE == "transcript.seen" for fact in facts):
            break
    return facts


def all_facts(found: Found) -> Iterator[Fact]:
    """Read a file to its end. Of a very large one its middle is passed over, as one rejected line says.

    Raises:
        OSError: it cannot be read.

    """
    for part in _parts(found):
        yield from part


def _parts(found: Found) -> Iterator[list[Fact]]:
    with opened(found.root, found.path) as descriptor:
        if not found.name.compressed:
            yield from _facts(found, lambda first, end: read_span(descriptor, first, end), os.fstat(descriptor).st_size)
            return
        with contextlib.closing(Unpacked(os.dup(descriptor))) as unpacked:
            yield from _facts(found, unpacked.read_span, _ENDLESS)


def _facts(found: Found, read: _Read, size: int) -> Iterator[list[Fact]]:
    file = name_of(read(0, min(size, MAX_HEAD)))
    if file is None:
        return
    position, thread, place = START, Thread(), place_of(found, file)
    while True:
        if size < _ENDLESS:
            position = shortened(position, size)
        first, end = span(position, size)
        raw = read(first, end)
        framed = frame(position, first, raw, ended=len(raw) < end - first or end == size)
        if framed is None:
            return  # it was rewritten while it was read
        thread, facts = take(found.root.agent, thread, place, framed.found)
        yield facts
        if not framed.more:
            return
        position = framed.position
