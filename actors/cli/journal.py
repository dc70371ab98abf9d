"""``tabwire replay`` and ``tabwire events export``: the journal read as it lies on disk, with or without a broker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import orjson

from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.output import say, show_json, write_line
from actors.cli.points import Point, find_time, read_point
from actors.cli.text import moment
from actors.runtime.paths import Paths
from bus.journal import Journal
from bus.protocol import Page, Row
from bus.source import rfc3339
from schemas.codec import InvalidMessageError
from schemas.envelope import Recorded

_PAGE = 1000


def replay_sessions(*, until: str | None, at: str | None, json: bool, everything: bool) -> None:
    """Print the sessions table as it was: every event through a point, folded as the registry folds it."""
    from actors.registry.replay import replay  # noqa: PLC0415 - pure; the same fold as the registry's

    end = _point("--until", until)
    _check_time("--at", at)
    with _open() as journal:
        if end is not None and end.position is not None and end.position > journal.head:
            raise CommandFailedError(f"--until {end.position}: the journal ends at {journal.head}", USAGE)
        until_time = None if end is None or end.time is None else rfc3339(int(end.time.timestamp() * 1e9))
        table = replay(
            events(journal),
            until_position=None if end is None else end.position,
            until_time=until_time,
            now=at,
        )
    if json:
        show_json(table)
        return
    from actors.cli.sessions import print_table  # noqa: PLC0415

    print_table(table, everything=everything)


def export(*, since: str | None, until: str | None) -> None:
    """Print every event of a stretch, one JSON object a line, with its stamp."""
    start, end = _point("--since", since), _point("--until", until)
    last = None if end is None or end.time is None else end.time
    with _open() as journal:
        for row in rows(journal, _start(journal, start)):
            stamp = orjson.loads(row.stamp)
            if end is not None and end.position is not None and row.position > end.position:
                break
            if last is not None and moment(stamp["recordedtime"]) > last:
                break
            write_line(orjson.dumps({**stamp, **orjson.loads(row.envelope)}))


def events(journal: Journal) -> Iterator[Recorded]:
    """Read every event that can be read; what cannot is said."""
    for row in rows(journal, 0):
        try:
            yield row.recorded()
        except InvalidMessageError as error:
            say(f"position {row.position} is not understood and left out: {error}")


def rows(journal: Journal, after: int) -> Iterator[Row]:
    """Read the journal in pages from a position on."""
    head = journal.head
    if journal.first > max(after, 0) + 1:
        say(f"positions {after + 1} to {journal.first - 1} were removed by the retention rule")
    while after < head:
        page = journal.read(after, _PAGE)
        _say_damage(page)
        yield from page.rows
        after = page.through


@contextmanager
def _open() -> Iterator[Journal]:
    """Open the journal for reading for the length of a block."""
    journal = Journal.open_readonly(Paths.default(os.environ).journal)
    try:
        yield journal
    finally:
        journal.close()


def _say_damage(page: Page) -> None:
    for first, last in page.damaged:
        say(f"positions {first} to {last} are damaged and left out")


def _point(option: str, text: str | None) -> Point | None:
    try:
        return None if text is None else read_point(text, datetime.now(UTC))
    except ValueError as error:
        raise CommandFailedError(f"{option}: {error}", USAGE) from error


def _check_time(option: str, text: str | None) -> None:
    try:
        if text is not None:
            moment(text)
    except ValueError as error:
        raise CommandFailedError(f"{option}: {text!r} is no time, such as 2026-11-21T01:50:01Z", USAGE) from error


def _start(journal: Journal, since: Point | None) -> int:
    """Return the position to start after."""
    if since is None:
        return 0
    if since.time is None:
        return min(since.position or 0, journal.head)
    search = find_time(max(1, journal.first), journal.head, since.time)
    try:
        asked = next(search)
        while True:
            found = journal.read(asked, 1).rows
            asked = search.send(orjson.loads(found[0].stamp)["recordedtime"] if found else None)
    except StopIteration as place:
        return int(place.value)
