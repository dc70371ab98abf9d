"""``tabwire tail``: what was recorded since some point, then what is recorded now, filtered, as lines or JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import orjson

from actors.cli import bus
from actors.cli.failures import USAGE, CommandFailedError
from actors.cli.lines import event_line
from actors.cli.output import line_width, say, show, write_line
from actors.cli.points import Point, find_time, read_point
from bus.client import Gap
from bus.errors import BusError
from schemas.codec import encode_envelope
from schemas.envelope import Recorded, segment
from schemas.identity import process_id

if TYPE_CHECKING:
    from bus.client import Client
    from schemas.rows import SessionRow, SessionTable

RECENT: Final = 20
FARTHEST: Final = 20_000


def tail(*, sessions: Sequence[str], types: Sequence[str], since: str | None, json: bool) -> None:
    """Print events until interrupted."""
    point = _point(since)

    async def follow(client: Client) -> None:
        prefixes = await _prefixes(client, sessions) if sessions else (b"",)
        after = await _recent(client, prefixes, types) if point is None else await _position(client, point)
        async with client.feed(after, prefixes=prefixes) as feed:
            async for told in feed:
                if isinstance(told, Recorded):
                    if matches(told.envelope.type, types):
                        _print(told, json=json)
                elif isinstance(told, Gap):
                    say(f"positions {told.first} to {told.last} are missing: {told.reason} {told.detail}".rstrip())

    bus.with_client(follow)


def matches(type_: str, patterns: Sequence[str]) -> bool:
    """Tell whether an event's type is asked for: a pattern such as ``request.*``, or the beginning ``request``."""
    return not patterns or any(fnmatchcase(type_, pattern) or type_.startswith(f"{pattern}.") for pattern in patterns)


def document(event: Recorded) -> bytes:
    """Write an event as one JSON object: the envelope's attributes with the stamp's as CloudEvents extensions."""
    stamp = {"epoch": event.stamp.epoch, "position": event.stamp.position, "recordedtime": event.stamp.recordedtime}
    return orjson.dumps({**stamp, **orjson.loads(encode_envelope(event.envelope))})


def rows_of(prefix: str, table: SessionTable) -> list[SessionRow]:
    """Return the rows that a prefix names: of a session, an alias or the agent's own id; an exact id names only its own."""
    exact = [row for row in table.sessions if prefix in names_of(row)]
    return exact or [row for row in table.sessions if any(name.startswith(prefix) for name in names_of(row))]


def names_of(row: SessionRow) -> tuple[str, ...]:
    """Return everything that a session can be called."""
    own = (row.conversation.partition(":")[2],) if row.conversation else ()
    return (row.session, *row.aliases, *own)


def topics_of(row: SessionRow) -> tuple[bytes, ...]:
    """Return the topic prefixes of everything that is said about a session, its launch and its process."""
    names = [f"session.{segment(name)}." for name in (row.session, *row.aliases)]
    names += [f"launch.{segment(row.launch)}."] if row.launch else []
    names += [f"process.{segment(process_id(row.process))}."] if row.process else []
    return tuple(name.encode() for name in names)


async def _prefixes(client: Client, sessions: Sequence[str]) -> tuple[bytes, ...]:
    """Look the prefixes up; while the registry is down, take them for beginnings of session ids as they are.

    Raises:
        CommandFailedError: a prefix names several sessions, or none.

    """
    try:
        table = await bus.sessions(client)
    except BusError as error:
        say(f"the registry does not answer ({error}): ids are taken literally and aliases are not followed")
        return tuple(f"session.{segment(prefix)}".encode() for prefix in sessions)
    found: list[bytes] = []
    for prefix in sessions:
        rows = rows_of(prefix, table)
        if len(rows) > 1:
            names = ", ".join(row.session for row in rows)
            raise CommandFailedError(f"--session {prefix!r} names {len(rows)} sessions: {names}", USAGE)
        if not rows:
            raise CommandFailedError(f"--session {prefix!r}: no session begins with it (tabwire sessions --all)")
        found.extend(topics_of(rows[0]))
    return tuple(dict.fromkeys(found))


def _point(since: str | None) -> Point | None:
    try:
        return None if since is None else read_point(since, datetime.now(UTC))
    except ValueError as error:
        raise CommandFailedError(f"--since: {error}", USAGE) from error


async def _recent(client: Client, prefixes: Sequence[bytes], types: Sequence[str]) -> int:
    """Return the position to start after so that the last few matching events are shown, looking back so far and no further."""
    head = client.head
    back = RECENT
    while True:
        start = max(0, head - back)
        found = [
            event.position async for event in _between(client, start, head, prefixes) if matches(event.envelope.type, types)
        ]
        if len(found) >= RECENT:
            return found[-RECENT] - 1
        if start == 0 or back >= FARTHEST:
            return start
        back = min(back * 8, FARTHEST)


async def _between(client: Client, after: int, head: int, prefixes: Sequence[bytes]) -> AsyncIterator[Recorded]:
    more = after < head
    while more:
        page = await client.read(after, prefixes=prefixes)
        for event in page.events():
            if event.position <= head:
                yield event
        after = page.through
        more = page.more and after < head


async def _position(client: Client, point: Point) -> int:
    """Return the position to start after."""
    if point.time is None:
        return min(point.position or 0, client.head)
    search = find_time(1, client.head, point.time)
    try:
        asked = next(search)
        while True:
            rows = (await client.read(asked, limit=1)).rows
            asked = search.send(rows[0].recorded().stamp.recordedtime if rows else None)
    except StopIteration as found:
        return int(found.value)


def _print(event: Recorded, *, json: bool) -> None:
    if json:
        write_line(document(event))
    else:
        show(event_line(event, None, line_width()))
