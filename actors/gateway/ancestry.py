"""Whose hook it was: the nearest agent of a kind at or above a process, by parents that are proven to live.

Asks the probe; milliseconds at most, for a worker thread. Must not know hooks' contents, nor what is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from actors.probe import Probe, ProbeError, ProcessFacts, classify
from schemas.identity import ProcessKey, process_id

OTHER: Final = "other"
_DEEPEST: Final = 16  # a hook runs in a shell, that in the agent; nobody needs more


class Kinship(Struct, frozen=True):
    """The agent, and the wrappers right above it that started it (npm's); or why there is none."""

    agent: ProcessFacts | None = None
    wrappers: tuple[ProcessKey, ...] = ()
    missing: str = ""


def nearest_agent(probe: Probe, process: ProcessKey, agent: str) -> Kinship:
    """Climb from a process to the nearest one that is an agent of this name; one of another name ends the search."""
    try:
        for facts in _upwards(probe, process.pid):
            name, kind = _named(facts)
            if name == agent and kind not in ("wrapper", OTHER):
                if not probe.is_descendant(process, facts.key):
                    return Kinship(missing=f"that process {process_id(facts.key)} is above the caller could not be proven")
                return Kinship(facts, tuple(_wrappers(probe, facts, agent)))
            if name not in (agent, OTHER):
                return Kinship(missing=f"the caller belongs to {name} (process {process_id(facts.key)})")
    except ProbeError as error:
        return Kinship(missing=f"the way up from the caller could not be read: {error}")
    return Kinship(missing=f"no {agent} is above the caller")


def _upwards(probe: Probe, pid: int) -> Iterator[ProcessFacts]:
    for _ in range(_DEEPEST):
        facts = probe.process(pid)
        yield facts
        if facts.parent == 0:
            return
        pid = facts.parent


def _wrappers(probe: Probe, agent: ProcessFacts, name: str) -> Iterator[ProcessKey]:
    """Yield the wrappers right above an agent; what cannot be read up there is no wrapper of it."""
    try:
        for facts in _upwards(probe, agent.parent):
            if _named(facts) != (name, "wrapper") or not probe.is_descendant(agent.key, facts.key):
                return
            yield facts.key
    except ProbeError:
        return


def _named(facts: ProcessFacts) -> tuple[str, str]:
    finding = classify(facts.exe, facts.argv, facts.script)
    return finding.agent, finding.kind
