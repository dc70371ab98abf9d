"""Points a Claude Code command at the gateway and keeps the user's login, settings and every argument.

Facts, tried with Claude Code 2.1.329:

- ``env`` in any settings file overrides the process's environment, so ANTHROPIC_BASE_URL set for one launch is silently
  replaced when the user's settings name a provider.
- CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST=1 turns that round, but with it the login is taken from the environment alone: a
  claude.ai login, a key in settings and an ``apiKeyHelper`` are all "Not logged in". So it is of no use here.
- ``--settings`` outranks the settings of user, project and local, one variable at a time: ``{"env": {"ANTHROPIC_BASE_URL":
  …}}`` moves the requests and leaves login and model as they were. Of several ``--settings`` only the last counts, so one
  of the user's is read and what it says is kept. Settings that an administrator manages outrank even that: refused when
  they name an address.
- Both keys (``x-api-key``) and logins (``Authorization``) are sent to whatever address is set.
- Without any login it does not even ask the gateway. Only then ANTHROPIC_AUTH_TOKEN is set to a placeholder.

Bedrock, Vertex and Foundry sign for addresses of their own: refused. ``--model`` is sent as it is given.

Pure, but for the function in the ``Wish`` that reads files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from actors.launch.plan import PLACEHOLDER, LaunchRefusedError, Plan, Wish
from actors.launch.words import merged, model_words, options, settings, table, truthy, variables, without
from actors.probe.agents import kind_of

AGENT: Final = "claude"
MANAGED: Final = (
    Path("/etc/claude-code/managed-settings.json"),
    Path("/Library/Application Support/ClaudeCode/managed-settings.json"),
    Path("C:/Program Files/ClaudeCode/managed-settings.json"),
)
_ADDRESS: Final = "ANTHROPIC_BASE_URL"
_ELSEWHERE: Final = {
    "CLAUDE_CODE_USE_BEDROCK": "signs its requests for Amazon Bedrock",
    "CLAUDE_CODE_USE_VERTEX": "signs its requests for Google's Vertex AI",
    "CLAUDE_CODE_USE_FOUNDRY": "signs its requests for Microsoft Foundry",
}
_KEYS: Final = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR",
    "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
)


def plan_claude(wish: Wish) -> Plan:
    """Decide how Claude Code is started.

    Raises:
        LaunchRefusedError: its requests could not be brought to the gateway.

    """
    if kind_of(AGENT, wish.argv[1:]) in ("other", "mcp"):
        return Plan(argv=wish.argv, agent=AGENT, launched=False)
    managed = merged(*(settings(wish.read, file) for file in MANAGED))
    if _ADDRESS in variables(managed):
        raise LaunchRefusedError(
            f"this computer's administrator sets {_ADDRESS} in Claude Code's managed settings, which nothing overrides",
            "run it without tabwire",
        )
    given = _given(wish)
    layers = [*_layers(wish), given, managed]
    environ = merged(wish.environ, *(variables(layer) for layer in layers))
    for name, why in _ELSEWHERE.items():
        if truthy(environ.get(name)):
            raise LaunchRefusedError(f"Claude Code {why} ({name} is set)", f"unset {name} for this run, in its settings too")
    own = merged(given, {"env": {_ADDRESS: wish.door.root}})
    argv = without(wish.argv, "--settings")
    words = ("--settings", json.dumps(own, ensure_ascii=False), *model_words(wish.argv, wish.model, "--model"))
    added = {_ADDRESS: wish.door.root}
    notes: tuple[str, ...] = ()
    if not _logged_in(wish, environ, merged(*layers)):
        added["ANTHROPIC_AUTH_TOKEN"] = PLACEHOLDER
        notes = ("Claude Code has no login here: it is given a placeholder; the gateway's provider needs a key of its own",)
    return Plan(argv=(argv[0], *words, *argv[1:]), agent=AGENT, environ=added, notes=notes, speaks=("anthropic.messages",))


def _folder(wish: Wish) -> Path:
    own = wish.environ.get("CLAUDE_CONFIG_DIR")
    return Path(own) if own else wish.home / ".claude"


def _layers(wish: Wish) -> list[dict[str, Any]]:
    project = wish.cwd / ".claude"
    files = (_folder(wish) / "settings.json", project / "settings.json", project / "settings.local.json")
    return [settings(wish.read, file) for file in files]


def _given(wish: Wish) -> dict[str, Any]:
    """Return what the user's own ``--settings`` says: JSON, or a file of it."""
    found = options(wish.argv, "--settings")
    if not found:
        return {}
    if found[-1].lstrip().startswith("{"):
        return table(found[-1], "--settings")
    file = wish.cwd / found[-1]
    text = wish.read(file)
    if text is None:
        raise LaunchRefusedError(f"--settings {found[-1]}: no such file")
    return table(text, str(file))


def _logged_in(wish: Wish, environ: Mapping[str, Any], whole: Mapping[str, Any]) -> bool:
    if any(environ.get(name) for name in _KEYS) or whole.get("apiKeyHelper"):
        return True
    if wish.read(_folder(wish) / ".credentials.json") is not None:
        return True
    own = wish.environ.get("CLAUDE_CONFIG_DIR")
    state = settings(wish.read, (Path(own) if own else wish.home) / ".claude.json")
    return bool(state.get("oauthAccount") or state.get("primaryApiKey"))
