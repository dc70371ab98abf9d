"""Replay: the journal through the real fold, to a position or a time, as a table.

Pure over what it is given; reading the journal is the caller's. The same ``fold`` and ``rows`` as the living registry's.
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.registry.fold import State, take
from actors.registry.rows import as_of, table
from actors.registry.statements import moment
from schemas.envelope import Recorded
from schemas.rows import SessionTable


def replay_state(records: Iterable[Recorded], *, until_position: int | None = None, until_time: str | None = None) -> State:
    """Fold recorded events, in order, through a position or a time (RFC 3339; both inclusive), and return the state.

    Raises:
        ValueError: ``until_time`` is no time.

    """
    end = None if until_time is None else moment(until_time)
    if until_time is not None and end is None:
        raise ValueError(f"until_time {until_time!r}: expected RFC 3339, such as 2026-11-21T01:50:01Z")
    state = State()
    for event in records:
        if until_position is not None and event.stamp.position > until_position:
            break
        if end is not None and (recorded := moment(event.stamp.recordedtime)) is not None and recorded > end:
            break
        take(state, event)
    return state


def replay(
    records: Iterable[Recorded],
    *,
    until_position: int | None = None,
    until_time: str | None = None,
    now: str | None = None,
) -> SessionTable:
    """Return the sessions table as it was at a position or a time.

    Activity is measured against ``now``, or else against ``until_time``, or else against the last event's own time.

    Raises:
        ValueError: ``until_time`` is no time.

    """
    state = replay_state(records, until_position=until_position, until_time=until_time)
    present = now or until_time or state.time
    return table(state, present, as_of(state, present))
