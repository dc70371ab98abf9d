"""Evidence: one observed statement about who sent something, with the rank that says how far it may be believed.

Owns the ranks. Must not know how evidence is gathered (gateway, discovery, rollout) or joined (registry).
A lower number is a higher rank; a lower rank never overrides a higher one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct

Word = Annotated[str, Meta(max_length=64)]
Line = Annotated[str, Meta(max_length=300)]

Subject = Literal["launch", "process", "terminal", "conversation", "agent"]


class Rank(IntEnum):
    """How far a statement may be believed; 1 and 2 verify, the others never do by themselves."""

    TOLD_BY_US = 1
    KERNEL = 2
    PROCESS_DECLARED = 3
    REQUEST_DECLARED = 4
    TRANSCRIPT_DECLARED = 5


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """One statement: ``kind`` (how it was seen) says that ``proves`` is ``value``.

    ``rejected`` is empty when the statement was used, otherwise the reason why it was not; a rejected statement is kept
    because an explanation without it would be half of one. ``conflict`` marks a rejection in which two statements
    contradict each other (a forgery or a misconfiguration), as against one that is merely not good enough.
    """

    rank: Rank
    kind: Word
    proves: Subject
    value: Line
    note: Line = ""
    rejected: Line = ""
    conflict: bool = False
