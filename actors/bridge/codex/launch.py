"""How Codex's app-server is started: its provider ids and logins stay the user's, its requests go to the gateway.

``actors.launch.codex`` says what that takes. Tried with Codex 0.169.0: an app-server takes no ``--profile``, and starts
threads with ``-c`` overrides like any other. Files come in through the ``Beginning``. Must not know the protocol.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actors.bridge.adapter import Beginning, Command
from actors.bridge.codex.state import AGENT, MODE_NAMES
from actors.launch.codex import CodexHome, plan_codex
from actors.launch.codex_home import SYSTEM_CONFIG
from actors.launch.environment import without_proxy
from actors.launch.plan import LaunchRefusedError
from actors.probe.codex_words import read_command

_OUTER: Final = ("CODEX_THREAD_ID", "CODEX_SESSION_ID", "CODEX_TOOL_CALL_ID", "CODEX_VERSION")


def plan(beginning: Beginning) -> Command:
    """Return how the app-server is started.

    Raises:
        LaunchRefusedError: it cannot be pointed at the gateway, or cannot do what is asked.

    """
    if beginning.mode not in ("", *MODE_NAMES):
        raise LaunchRefusedError(f"Codex has no mode {beginning.mode!r}", f"modes: {', '.join(MODE_NAMES)}")
    argv = (beginning.program or AGENT, "app-server", *beginning.arguments)
    command = read_command(argv[1:])
    if command.path != ("app-server",) or command.has("--listen", "--help", "-h", "--version", "-V"):
        raise LaunchRefusedError(
            f"`codex app-server {' '.join(beginning.arguments)}` is no app-server on stdin and stdout",
            "give only -c, --enable and --disable for a driven Codex",
        )
    own = plan_codex(argv, home_of(beginning), beginning.door)
    variables, note = without_proxy(beginning.environ)
    outer = dict.fromkeys(name for name in _OUTER if name in beginning.environ)
    notes = (*own.notes, note) if note else own.notes
    return Command(argv=own.argv, environ={**outer, **own.environ, **variables}, notes=notes)


def home_of(beginning: Beginning) -> CodexHome:
    """Return what Codex reads of its home."""
    environ = beginning.environ
    user = Path(environ.get("HOME") or environ.get("USERPROFILE") or "~")
    folder = Path(environ.get("CODEX_HOME") or user / ".codex")
    texts = [(str(file), beginning.read(file)) for file in (SYSTEM_CONFIG, folder / "config.toml")]
    return CodexHome(layers=tuple((name, content) for name, content in texts if content is not None))
