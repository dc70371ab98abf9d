"""The bound of every table of the registry, and what happens at it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; whatever goes beyond that is counted."""

    sessions: int = 10_000  # the session that went longest ago goes, or else the one not heard of for longest
    flights: int = 10_000  # the oldest request in flight is counted as lost
    strays: int = 10_000  # the process without a session that was seen longest ago is forgotten
    aliases: int = 100_000  # the oldest alias is forgotten
    transcripts: int = 25_000  # the transcript that was mentioned first is forgotten; its file is the agent's anyway
    files: int = 64  # further files of one conversation (its sub-agents') are only counted
    inside: int = 50_000  # the oldest thread that is known to be inside another conversation is forgotten
    responses: int = 100_000  # the oldest response goes; the same id said again after that would count again
    cells: int = 50_000  # the oldest day of the ledger is folded into what was before it
    quotas: int = 1_000  # the quota window that was told of longest ago goes
    statements: int = 64  # a better-ranked statement replaces the worst, any other is left out
    conflicts: int = 50  # further contradictions are only counted
    decisions: int = 20  # the oldest decision goes
    claims: int = 128  # the claim of the process that exited longest ago is added to those of unknown processes
    terminals: int = 8  # further terminals of one process are only counted
    threads: int = 256  # further threads are not listed
    gone_hours: float = 24.0  # a session that has been gone for longer, and was said to be, is forgotten
