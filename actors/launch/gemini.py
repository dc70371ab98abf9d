"""Points a Gemini CLI command at the gateway and keeps the user's key, settings and every argument.

Facts, tried with Gemini CLI 0.61.0:

- GOOGLE_GEMINI_BASE_URL in the environment is where requests with an API key go; a path in it is kept, and ``.env`` files
  do not override what is set.
- While it is set and no ``security.auth.selectedType`` is chosen in its settings, the program makes a choice ("gateway")
  that it refuses itself: "Invalid auth method selected". Its settings of lowest rank, GEMINI_CLI_SYSTEM_DEFAULTS_PATH, may
  choose ``gemini-api-key``: the file ``gemini_defaults.json`` beside this module says nothing else. It is not read where others
  can write in a folder above it, however far up.
- Without a key it does not start. Only when none is found (environment, the first ``.env``, its own store of keys)
  GEMINI_API_KEY is set to a placeholder.
- A Google login talks to the Code Assist API, and Vertex signs for its own address: both are refused.

``--model`` is sent as it is given. Pure, but for the function in the ``Wish`` that reads files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from actors.launch.plan import PLACEHOLDER, LaunchRefusedError, Plan, Wish
from actors.launch.words import dotenv, merged, model_words, settings, truthy, under, upward
from actors.probe.agents import kind_of

AGENT: Final = "gemini"
DEFAULTS: Final = Path(__file__).with_name("gemini_defaults.json")
_SYSTEM: Final = Path("/etc/gemini-cli")
_KEY_TYPE: Final = "gemini-api-key"
_ADVICE: Final = "choose 'Use Gemini API key' once (in Gemini CLI: /auth), or run it without tabwire"
_REFUSED: Final = {
    "oauth-personal": "logs in with Google, and then talks to the Code Assist API, which is no model provider's",
    "compute-default-credentials": "logs in as this machine of Google's, and then talks to the Code Assist API",
    "cloud-shell": "logs in as this machine of Google's, and then talks to the Code Assist API",
    "vertex-ai": "talks to Vertex AI, with Google's credentials for Google's own addresses",
}


def plan_gemini(wish: Wish) -> Plan:
    """Decide how Gemini CLI is started.

    Raises:
        LaunchRefusedError: its requests could not be brought to the gateway.

    """
    if kind_of(AGENT, wish.argv[1:]) in ("other", "mcp"):
        return Plan(argv=wish.argv, agent=AGENT, launched=False)
    defaults = Path(wish.environ.get("GEMINI_CLI_SYSTEM_DEFAULTS_PATH") or _SYSTEM / "system-defaults.json")
    whole = _settings(wish, defaults)
    chosen = under(whole, "security", "auth", "selectedType")
    chosen = under(whole, "security", "auth", "enforcedType") or chosen
    if chosen in (None, ""):
        chosen = _by_environment(wish)
    if chosen in _REFUSED:
        raise LaunchRefusedError(f"Gemini CLI {_REFUSED[chosen]}", _ADVICE)
    added = {"GOOGLE_GEMINI_BASE_URL": wish.door.root}
    if chosen is None:
        if wish.read(defaults) is not None:
            raise LaunchRefusedError(f"Gemini CLI has no way to log in chosen, and {defaults} must stay as it is", _ADVICE)
        if not wish.guarded(DEFAULTS):
            raise LaunchRefusedError(
                f"Gemini CLI has no way to log in chosen, and does not trust {DEFAULTS}: others can write in a folder above it",
                _ADVICE,
            )
        added["GEMINI_CLI_SYSTEM_DEFAULTS_PATH"] = str(DEFAULTS)
    elif chosen != _KEY_TYPE:
        raise LaunchRefusedError(f"Gemini CLI logs in by {str(chosen)[:64]!r}, which Tabwire does not know", _ADVICE)
    notes: tuple[str, ...] = ()
    if not _has_key(wish):
        added["GEMINI_API_KEY"] = PLACEHOLDER
        notes = ("Gemini CLI has no key here: it is given a placeholder; the gateway's provider needs a key of its own",)
    words = model_words(wish.argv, wish.model, "--model", "-m")
    argv = (wish.argv[0], *words, *wish.argv[1:])
    return Plan(argv=argv, agent=AGENT, environ=added, notes=notes, speaks=("gemini.generate",))


def _settings(wish: Wish, defaults: Path) -> dict[str, Any]:
    system = Path(wish.environ.get("GEMINI_CLI_SYSTEM_SETTINGS_PATH") or _SYSTEM / "settings.json")
    files = (defaults, _own(wish) / "settings.json", wish.cwd / ".gemini" / "settings.json", system)
    return merged(*(settings(wish.read, file) for file in files))


def _own(wish: Wish) -> Path:
    return Path(wish.environ.get("GEMINI_CLI_HOME") or wish.home) / ".gemini"


def _by_environment(wish: Wish) -> str | None:
    """Return what Gemini CLI takes from its environment when its settings choose nothing."""
    if wish.environ.get("GOOGLE_GENAI_USE_GCA") == "true":
        return "oauth-personal"
    return "vertex-ai" if truthy(wish.environ.get("GOOGLE_GENAI_USE_VERTEXAI")) else None


def _has_key(wish: Wish) -> bool:
    if wish.environ.get("GEMINI_API_KEY"):
        return True
    files = [*upward(wish.cwd, ".gemini/.env", ".env"), _own(wish) / ".env", wish.home / ".env"]
    return "GEMINI_API_KEY" in dotenv(wish.read, files) or wish.read(_own(wish) / "gemini-credentials.json") is not None
