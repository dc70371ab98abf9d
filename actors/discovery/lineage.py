"""Whose child an agent is: the agent above it, and what is only wrapped around it.

Read from living processes, up from the child: what has exited on the way is not seen any more. Must not know what is told.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from actors.discovery.portrait import arguments_of, is_listed
from actors.probe import AgentFinding, Glimpse, Probe, ProbeError, ProcessFacts, classify, worth_a_look
from schemas.identity import ProcessKey

MAX_ANCESTORS: Final = 64
_OTHER: Final = AgentFinding("other", "other")


class Lineage:
    """The looks upwards. ``twice`` are agents that have started themselves a second time: what they started is the agent."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self.twice: set[ProcessKey] = set()

    def above(self, glimpse: Glimpse, own: ProcessFacts) -> tuple[ProcessKey | None, ProcessKey | None]:
        """Find the nearest agent above a process, and the wrapper around it: its parent, if that only started it.

        A wrapper is known by its package, or by being the very same as what it started.
        """
        parent, wrapper, child = glimpse.parent, None, own
        for _ in range(MAX_ANCESTORS):
            above = self._probe.glimpse(parent) if parent > 0 else None
            if above is None:
                break
            facts = self._facts(above) if worth_a_look(above.program, above.name) else None
            agent = _OTHER if facts is None else classify(facts.exe, facts.argv, facts.script)
            if facts is not None and facts.key.pid == child.parent and _is_the_same(facts, child):
                wrapper, child = facts.key, facts
                self.twice.add(facts.key)
            elif facts is not None and agent.kind == "wrapper" and facts.key.pid == child.parent:
                wrapper = facts.key
            elif facts is not None and is_listed(agent) and agent.kind != "wrapper":
                return facts.key, wrapper
            parent = above.parent
        return None, wrapper

    def forget_all_but(self, pids: Collection[int]) -> None:
        """Forget processes that are gone."""
        self.twice = {process for process in self.twice if process.pid in pids}

    def _facts(self, glimpse: Glimpse) -> ProcessFacts | None:
        try:
            return self._probe.process(glimpse.pid)
        except ProbeError:
            return None


def _is_the_same(one: ProcessFacts, other: ProcessFacts) -> bool:
    """Tell whether an interpreter runs the very same script for the very same command on the same terminal."""
    if one.script is None or one.script != other.script or (one.tty, one.leader) != (other.tty, other.leader):
        return False
    return arguments_of(one.exe, one.argv) == arguments_of(other.exe, other.argv)
