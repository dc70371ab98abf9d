"""Which agents can be driven: one for each adapter, with the program that was found and its version.

What is in the folder of the adapters is what there is; nobody else lists them. A version is asked for once for each state of a
program's file, with a deadline. Must not know sessions, nor any agent.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from actors.bridge import adapters
from actors.bridge.adapter import AgentFacts
from actors.bridge.terminal.declared import declared
from actors.bridges.children import Children
from actors.bridges.course import word
from schemas.bridge_rows import AgentRow, AgentTable
from schemas.terminals import Terminal

VERSION_SECONDS: Final = 5.0
_MOST: Final = 65_536
_VERSION: Final = re.compile(r"\d+(?:\.\d+)+[0-9A-Za-z.+-]*")


class MissingProgramError(Exception):
    """An agent's program is not there, or may not be run; the text says what to do."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A state of a program's file."""

    path: str
    inode: int
    size: int
    modified: int


def facts(terminals: Mapping[str, Terminal]) -> Mapping[str, AgentFacts]:
    """Return what is known of each agent, by its name; ``terminals`` are those that the configuration declares.

    An adapter's name is its own, whatever is declared.
    """
    own = {name: declared(name, terminal).FACTS for name, terminal in terminals.items()}
    return dict(sorted({**own, **_adapters()[0]}.items()))


@cache
def _adapters() -> tuple[Mapping[str, AgentFacts], Mapping[str, str]]:
    """Load every adapter; one that cannot be loaded costs only its own agent, and the second part says why."""
    found, broken = {}, {}
    for module in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."):
        name = module.name.rpartition(".")[2]
        try:
            known = getattr(importlib.import_module(module.name), "FACTS", None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the adapter's, and is shown
            broken[name] = f"its adapter cannot be loaded: {type(error).__name__}: {error}"
            continue
        if isinstance(known, AgentFacts) and name == known.agent:
            found[name] = known
    return dict(sorted(found.items())), broken


def find_program(known: AgentFacts, wanted: str, environ: Mapping[str, str]) -> str:
    """Return the file of an agent: the one that is wanted, or the first of its names on PATH.

    What a PATH names from whoever's folder is looked for in none.

    Raises:
        MissingProgramError: there is none.

    """
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    path = os.pathsep.join(one for one in folders if Path(one).is_absolute())
    for name in (wanted,) if wanted else known.programs:
        if found := shutil.which(name, path=path):
            return str(Path(found).absolute())
    if wanted:
        raise MissingProgramError(f"{wanted}: not a program that can be run")
    advice = f"install it with: {known.install}" if known.install else "is it installed, and on PATH?"
    raise MissingProgramError(f"{known.programs[0]}: no such program; {advice}")


class Agents:
    """The agents of this computer."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._versions: dict[_Mark, str] = {}
        self._one_each = anyio.Lock()

    async def table(self, terminals: Mapping[str, Terminal], environ: Mapping[str, str]) -> AgentTable:
        """Return every agent as it is found with these variables on top of ours.

        Programs that were not asked for their version yet are asked now, all at once.
        """
        every = {**os.environ, **environ}
        async with self._one_each:
            rows: dict[str, AgentRow] = {}
            known = await anyio.to_thread.run_sync(facts, terminals)
            async with anyio.create_task_group() as tasks:
                for one in known.values():
                    tasks.start_soon(self._look, one, every, rows)
            for name, problem in _adapters()[1].items():
                rows[name] = AgentRow(agent=name, protocol="", problem=problem)
            return AgentTable(agents=tuple(rows[name] for name in sorted(rows)))

    async def _look(self, known: AgentFacts, environ: Mapping[str, str], rows: dict[str, AgentRow]) -> None:
        program = version = problem = ""
        try:
            program = await anyio.to_thread.run_sync(find_program, known, "", environ)
            if known.version_arguments:
                version, problem = await self._version(known, program, environ)
        except MissingProgramError as error:
            problem = str(error)
        notes = list(known.notes)
        if version and known.tested and version != known.tested:
            notes.append(f"driven here with {known.tested}; this is {version}")
        rows[known.agent] = AgentRow(
            agent=known.agent,
            protocol=known.protocol,
            program=program,
            version=version,
            tested=known.tested,
            can=tuple(sorted(known.can)),
            modes=known.modes,
            problem=problem,
            notes=tuple(notes),
        )

    async def _version(self, known: AgentFacts, program: str, environ: Mapping[str, str]) -> tuple[str, str]:
        """Return the version of a program, or what keeps it from telling."""
        try:
            mark = await anyio.to_thread.run_sync(_mark, program)
            if mark in self._versions:
                return self._versions[mark], ""
            command = (program, *known.version_arguments)
            code, told, complained = await self._children.output(
                command, environ=environ, cwd=Path.home(), deadline=VERSION_SECONDS, most=_MOST
            )
        except OSError as error:
            return "", f"{program}: {error.strerror}"
        if code is None:
            return "", f"{program} {' '.join(known.version_arguments)}: no answer within {VERSION_SECONDS:g} s"
        found = _VERSION.search(told.decode(errors="replace")) or _VERSION.search(complained.decode(errors="replace"))
        if code != 0 or found is None:
            return "", f"{program} {' '.join(known.version_arguments)}: ended with code {code} and told no version"
        self._versions[mark] = word(found[0])
        return self._versions[mark], ""


def _mark(program: str) -> _Mark:
    state = Path(program).stat()
    return _Mark(program, state.st_ino, state.st_size, state.st_mtime_ns)
