"""One bridge from its first line to its exit code: who it is, which adapter, which program, and every way in which it ends.

The agent is started before any thread runs, since then a fork is safe. What was not foreseen ends the agent, says so in
``Over`` and exits with 70; in whatever way it ends, nothing of the agent is left. Must not know any agent's protocol.
"""

from __future__ import annotations

import importlib
import os
import queue
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from actors.bridge import adapter as seam
from actors.bridge import conversation
from actors.bridge.agent_process import AgentProcess
from actors.bridge.contract import Begin, BridgeContractError, Over, Said
from actors.bridge.hub_port import Gone, HubPort
from actors.bridge.log import Log
from actors.bridge.loop import Crashed, Loop
from actors.bridge.state import Terms
from actors.launch.plan import Door, LaunchRefusedError
from actors.runtime import exits
from actors.runtime.hardening import adopt_orphans
from schemas.content import FailureTold
from schemas.terminals import Terminal

LAST_WORDS: Final = 2.0
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")

Load = Callable[[str], seam.Adapter]


class NoAgentError(Exception):
    """The agent cannot be started: why, as a code of ours and a sentence for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def load_adapter(name: str) -> seam.Adapter:
    """Return the adapter of an agent.

    Raises:
        NoAgentError: there is none.

    """
    module = f"actors.bridge.adapters.{name}"
    try:
        found: Any = importlib.import_module(module) if name and set(name) <= _NAME else None
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        found = None
    if getattr(getattr(found, "FACTS", None), "agent", None) != name:
        raise NoAgentError(
            "no_such_agent", f"Tabwire cannot drive an agent named {name!r}; `tabwire agents` lists those it can"
        )
    return cast("seam.Adapter", found)


def run_bridge(load: Load = load_adapter, terms: Terms | None = None) -> int:
    """Live as a bridge and return the exit code. ``terms`` are how long anything may take, where it is not the usual."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.excepthook = lambda thrown: inbox.put(Crashed(thrown.exc_value or RuntimeError("a thread has ended")))
    log = Log(2)
    hub = HubPort(lambda: inbox.put(None))
    weakness = adopt_orphans()
    try:
        begin = hub.first_line()
    except BridgeContractError as error:
        log.note("started in a wrong way", "error", reason=str(error))
        log.drain(LAST_WORDS)
        return exits.BAD_CONFIG
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):  # taken rather than ignored: an agent would inherit that they are ignored
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda caught, _: inbox.put(Gone(signal.Signals(caught).name)))
    log.fields.update(launch=begin.launch, agent=begin.agent)
    if weakness:
        log.note("what the agent leaves behind may escape", "warning", reason=weakness)
    try:
        return _drive(begin, load, terms, inbox=inbox, hub=hub, log=log)
    finally:
        hub.close(LAST_WORDS)
        log.drain(LAST_WORDS)


def _drive(begin: Begin, load: Load, terms: Terms | None, *, inbox: queue.SimpleQueue[Any], hub: HubPort, log: Log) -> int:
    agent: AgentProcess | None = None
    try:
        adapter = _adapter(begin, load)
        beginning = _beginning(begin, adapter.FACTS)
        agent = _start(adapter, beginning, log)
        terms = terms or Terms(patience=begin.patience, greeting=adapter.FACTS.greeting_seconds)
        state = conversation.begin(adapter, terms, beginning)
        hub.start()
        hub.listen(inbox.put)
        agent.listen(inbox.put)
        loop = Loop(hub=hub, agent=agent, adapter=adapter, state=state, inbox=inbox, log=log)
        return exits.OK if loop.run(beginning.program) else exits.CRASH
    except NoAgentError as error:
        log.note("the agent cannot be started", "error", code=error.code, reason=error.reason)
        failure = FailureTold(code=error.code, message=error.reason[:4_000])
        hub.say([Said(piece=failure), Over(code=error.code, reason=error.reason[:500], resumable=False)])
        return exits.OK
    except BaseException as error:  # noqa: BLE001 - whatever it was: the agent must not be left behind, and the hub must know
        log.note("crashed", "critical", exception="".join(traceback.format_exception(error)))
        if agent is not None:
            agent.end()
        hub.say([Over(code="bridge_crashed", reason=f"the bridge broke ({type(error).__name__}); its log says where")])
        return exits.CRASH


def _adapter(begin: Begin, load: Load) -> seam.Adapter:
    if begin.terminal is not None:
        return _declared(begin.agent, begin.terminal)
    if begin.attach is not None and begin.attach.channel != "app-server":
        from actors.bridge.followed.adapter import followed  # noqa: PLC0415 - costs memory, and few sessions need it

        return cast("seam.Adapter", followed(begin.agent, begin.attach.channel))
    return load(begin.agent)


def _declared(name: str, terminal: Terminal) -> seam.Adapter:
    from actors.bridge.terminal.declared import declared  # noqa: PLC0415 - costs memory, and few agents need it

    return cast("seam.Adapter", declared(name, terminal))


def _beginning(begin: Begin, facts: seam.AgentFacts) -> seam.Beginning:
    """Find the folder and the program.

    Raises:
        NoAgentError: there is no such folder, or no such program.

    """
    if not os.path.isdir(begin.cwd):  # noqa: PTH112 - the folder as it was written; a Path would take a final dot away
        raise NoAgentError("no_such_folder", f"{begin.cwd} is no folder that an agent can be started in")
    environ = {**os.environ, **begin.environ}
    return seam.Beginning(
        cwd=Path(begin.cwd),
        door=Door(begin.origin, begin.token),
        program=_program(begin.program, facts, environ),
        arguments=begin.arguments,
        environ=environ,
        provider=begin.provider,
        model=begin.model,
        mode=begin.mode,
        resume=begin.resume,
        fork=begin.fork,
        launch=begin.launch,
        read=_read_text,
        guarded=_is_guarded,
        now=time.time(),
        attach=begin.attach,
    )


def _program(wanted: str, facts: seam.AgentFacts, environ: Mapping[str, str]) -> str:
    names = (wanted,) if wanted else facts.programs
    for name in names:
        if found := shutil.which(name, path=environ.get("PATH")):
            return found
    if wanted:
        raise NoAgentError("not_installed", f"{wanted} is no program that can be run")
    how = f"; install it with: {facts.install}" if facts.install else ""
    raise NoAgentError("not_installed", f"{' or '.join(names)} is not on PATH{how}")


def _read_text(file: Path) -> str | None:
    from actors.launch.codex_home import read_text  # noqa: PLC0415 - costs memory, and only some agents have files to be read

    return read_text(file)


def _is_guarded(file: Path) -> bool:
    from actors.launch.codex_home import is_guarded  # noqa: PLC0415 - as above

    return is_guarded(file)


def _start(adapter: seam.Adapter, beginning: seam.Beginning, log: Log) -> AgentProcess:
    """Start the agent.

    Raises:
        NoAgentError: it cannot be pointed at the gateway, or cannot be started.

    """
    try:
        command = adapter.plan(beginning)
    except LaunchRefusedError as error:
        raise NoAgentError("launch_refused", str(error)) from error
    for note in command.notes:
        log.note(note)
    environ = dict(beginning.environ)
    for name, value in command.environ.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value
    try:
        return AgentProcess(command.argv, environ=environ, cwd=str(beginning.cwd))
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word or a name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise NoAgentError("cannot_start", f"{beginning.program} cannot be started: {reason}") from error
