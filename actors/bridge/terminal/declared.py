"""Makes an adapter of a declared terminal: its facts, how its host is started, its first state.

The bridge's agent is the terminal host (``actors.terminal``), whose environment is the program's; which program that is, is
told as its first line. Must not know any agent.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from actors.bridge.adapter import AgentFacts, Beginning, Command, Input
from actors.bridge.terminal import protocol
from actors.bridge.terminal.patterns import compiled
from actors.bridge.terminal.state import State
from actors.launch.choose import OTHER, agent_of, plan_launch
from actors.launch.plan import PLACEHOLDER, Door, LaunchRefusedError, Plan
from actors.terminal.contract import Open
from schemas.bridge_rows import Ability
from schemas.terminals import Terminal

if TYPE_CHECKING:
    from actors.launch.codex import CodexHome

COMMAND: Final = (sys.executable, "-I", "-m", "actors.terminal")
_KEY: Final = "{key}"
_GUESS: Final = "OPENAI_BASE_URL"
_NOTE: Final = "is driven through its screen: what it shows is what is known, and its conversation cannot be taken up again"


@dataclass(frozen=True, slots=True)
class Declared:
    """The adapter of one declared terminal."""

    FACTS: AgentFacts
    terminal: Terminal

    def plan(self, beginning: Beginning) -> Command:
        """Return how its host is started.

        Raises:
            LaunchRefusedError: it cannot be pointed at the gateway, or this system has no such terminals.

        """
        if sys.platform == "win32":
            raise LaunchRefusedError("Windows has no terminal that a program could be given so", "use WSL")
        plan = _plan(self.terminal, beginning)
        return Command(argv=COMMAND, environ=plan.environ, notes=plan.notes)

    def begin(self, beginning: Beginning) -> State:
        """Return the state before it runs."""
        terminal = self.terminal
        return State(
            name=self.FACTS.agent,
            launch=beginning.launch,
            terminal=terminal,
            patterns=compiled(terminal),
            open=Open(
                argv=_plan(terminal, beginning).argv,
                columns=terminal.columns,
                rows=terminal.rows,
                window=terminal.window,
                socket=terminal.socket,
                name=f"tabwire-{self.FACTS.agent}-{beginning.launch.removeprefix('launch-')}",
                farewell=terminal.quit,
            ),
        )

    def step(self, state: State, input_: Input) -> protocol.Told:
        """Take one input."""
        return protocol.step(state, input_)


def declared(
    name: str,
    terminal: Terminal,
    *,
    tested: str = "",
    install: str = "",
    notes: tuple[str, ...] = (),
    version_arguments: tuple[str, ...] = (),
) -> Declared:
    """Return the adapter of an agent that was declared; without ``version_arguments`` it is not asked for its version."""
    can: set[Ability] = {"interrupt"}
    if terminal.questions:
        can.add("approve")
    if terminal.clear:
        can.add("clear")
    facts = AgentFacts(
        agent=name,
        protocol=f"terminal ({terminal.window})",
        programs=(terminal.program,),
        tested=tested,
        can=frozenset(can),
        version_arguments=version_arguments,
        install=install,
        notes=(*notes, _NOTE),
        greeting_seconds=terminal.greeting_seconds,
    )
    return Declared(facts, terminal)


def _plan(terminal: Terminal, beginning: Beginning) -> Plan:
    """Point the program at the gateway: by its own rule where Tabwire knows it, and as its declaration says."""
    program = beginning.program or terminal.program
    if beginning.model and not terminal.model and agent_of(program) == OTHER:
        raise LaunchRefusedError(
            f"a model: Tabwire is not told how {PurePath(program).name!r} takes one",
            'declare it, such as model = ["--model", "{model}"]',
        )
    own = tuple(word.replace("{model}", beginning.model) for word in terminal.model) if beginning.model else ()
    plan = plan_launch(
        (program, *terminal.arguments, *own, *beginning.arguments),
        beginning.door,
        beginning.environ,
        lambda: _codex_home(beginning),
        model=beginning.model if beginning.model and not own else None,
        cwd=beginning.cwd,
        read=beginning.read,
        guarded=beginning.guarded,
    )
    own_environ = {
        name: _filled(value, beginning.door)
        for name, value in terminal.environ.items()
        if value != _KEY or not beginning.environ.get(name)  # a placeholder stands only where there is no key of the user's
    }
    if plan.agent == OTHER and any(
        own_environ.get(name, value) != value for name, value in terminal.environ.items()
    ):  # its declaration says how it finds the gateway
        guessed = {name: value for name, value in plan.environ.items() if name != _GUESS}
        return replace(plan, environ={**guessed, **own_environ}, notes=())
    return replace(plan, environ={**plan.environ, **own_environ})


def _filled(value: str, door: Door) -> str:
    places = {"openai": door.base_url, "anthropic": door.root, "gemini": door.root, "key": PLACEHOLDER}
    for place, said in places.items():
        value = value.replace(f"{{{place}}}", said)
    return value


def _codex_home(beginning: Beginning) -> CodexHome:
    from actors.bridge.codex.launch import home_of  # noqa: PLC0415 - only where the program is Codex

    return home_of(beginning)
