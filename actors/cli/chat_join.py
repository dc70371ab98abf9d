"""Joins what is under way in a driven session with its stream: every piece once, in order. Pure.

Theory of operation
-------------------
The stream numbers its frames densely for as long as the hub runs (``run``); it may lose some, never reorders them. What is
under way (``Pending``) tells everything up to its own ``sequence``. So: take what is under way, then every frame whose number
is the next one. A number that is not the next, another run, or a mark that is not the number reached: ask for what is under way
again. Frames wait in the stream's own queue until the answer is there, so what made us ask is always told by it.

A frame of a run that the answer is not of was left behind by a hub that is gone: its run is ``over``, and what still comes of
it is dropped. An answer that is no newer than what was taken says nothing new. Must not know what frames say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from schemas.bridge_rows import Pending
from schemas.content import Frame

Verdict = Literal["take", "drop", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Up to where a stream was taken."""

    run: str = ""
    sequence: int = 0
    over: frozenset[str] = frozenset()


def came(join: Join, frame: Frame) -> tuple[Join, Verdict]:
    """Judge a frame: it is the next one, or an old one, or what is under way must be asked for (and it is told by that)."""
    if frame.run in join.over or (frame.run == join.run and frame.sequence <= join.sequence):
        return join, "drop"
    if frame.run == join.run and frame.sequence == join.sequence + 1:
        return replace(join, sequence=frame.sequence), "take"
    return join, "ask"


def marked(join: Join, sequence: int) -> Verdict:
    """Judge a mark: the stream stands at this number."""
    return "drop" if sequence == join.sequence else "ask"


def told(join: Join, pending: Pending, because: str = "") -> tuple[Join, Verdict]:
    """Judge the answer; ``because`` is the run of the frame that made us ask."""
    over = (join.over | {join.run, because}) - {pending.run, ""}
    if join.run == pending.run and join.sequence >= pending.sequence:
        return replace(join, over=over), "drop"
    return Join(run=pending.run, sequence=pending.sequence, over=over), "take"
