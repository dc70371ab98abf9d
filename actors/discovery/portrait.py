"""What a look at one process amounts to: the fact to be told of it. Pure.

Must not know what was told before (``account``) or how anything is read (``scout``).
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from actors.discovery.endpoints import find_endpoint
from actors.discovery.terms import Holdings, Portrait, Reading
from actors.probe.agents import OTHER, AgentFinding, script_argument
from actors.probe.terminal import find_terminal
from schemas.events import Endpoint, ProcessSeen
from schemas.evidence import Evidence, Rank
from schemas.identity import ProcessKey

LISTED: Final = frozenset(("tui", "exec", "app_server", "daemon", "mcp", "wrapper"))
_DAEMON_TERMINAL: Final = (
    "the shared daemon sends for every tab, with the environment of the one that started it; `tabwire run codex` proves the tab"
)
_LINE: Final = 300


def is_listed(agent: AgentFinding) -> bool:
    """Tell whether a process is one that sessions are made of, or may be: no tool of an agent, no ``login``, nobody else."""
    return agent.agent != OTHER and agent.kind in LISTED


def arguments_of(exe: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what stands behind the program, or behind the script that an interpreter runs."""
    script = script_argument(exe, argv)
    return argv[argv.index(script) + 1 :] if script is not None else argv[1:]


def portray(reading: Reading, agent: AgentFinding, holdings: Holdings | None, gateway_port: int) -> Portrait:
    """Say all that one look found; of a process that is nobody's only that."""
    facts = reading.facts
    if not is_listed(agent):
        nobody = ProcessSeen(process=facts.key, agent=OTHER, kind=OTHER, started=reading.started)
        return Portrait(nobody, Holdings())
    terminal = find_terminal(facts.variables, facts.tty, facts.leader)
    seated = (*(() if terminal.used is None else (terminal.used,)), *terminal.rejected)
    key, missing, cwd = terminal.key, terminal.missing, facts.cwd
    if agent.kind == "daemon":
        seated = tuple(replace(one, rejected=one.rejected or _DAEMON_TERMINAL) for one in seated)
        key, missing, cwd = None, _DAEMON_TERMINAL, None
    seen = ProcessSeen(
        process=facts.key,
        agent=agent.agent,
        kind=agent.kind,
        terminal=key,
        terminal_missing=missing[:_LINE],
        cwd=cwd,
        launch=reading.launch,
        evidence=(_program(agent), *seated, *(holdings.rejected if holdings is not None else ())),
        started=reading.started,
        parent=reading.above,
        endpoint=_endpoint(reading, agent, gateway_port),
    )
    return Portrait(seen, holdings)


def hidden(process: ProcessKey, agent: str, started: str, reason: str) -> Portrait:
    """List a process that may not be read, under the name that the system lists it by."""
    said = Evidence(rank=Rank.PROCESS_DECLARED, kind="process name", proves="agent", value=agent, note="its program is hidden")
    missing = f"it cannot be read: {reason}"[:_LINE]
    return Portrait(
        ProcessSeen(
            process=process,
            agent=agent,
            kind=OTHER,
            terminal_missing=missing,
            evidence=(said,),
            started=started,
            endpoint=Endpoint(verdict="unknown", source=missing),
            unreadable=reason[:_LINE],
        )
    )


def _program(agent: AgentFinding) -> Evidence:
    return Evidence(rank=Rank.KERNEL, kind="executable", proves="agent", value=agent.agent, note=f"runs as {agent.kind}")


def _endpoint(reading: Reading, agent: AgentFinding, gateway_port: int) -> Endpoint | None:
    """Say where it sends its requests; a wrapper sends none."""
    if agent.kind == "wrapper":
        return None
    facts = reading.facts
    found = find_endpoint(agent, arguments_of(facts.exe, facts.argv), facts.variables, reading.configs, gateway_port)
    if reading.launch is not None and found.verdict == "unknown":
        return Endpoint(verdict="gateway", source="launched by tabwire run")
    return found
