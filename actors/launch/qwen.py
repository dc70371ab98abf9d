"""Points a Qwen Code command at the gateway and keeps the user's key, settings and every argument.

Facts, tried with Qwen Code 0.24.4:

- The address comes from ``--openai-base-url``, else OPENAI_BASE_URL or ANTHROPIC_BASE_URL by the auth type, else settings
  (``security.auth.baseUrl``); variables in settings and ``.env`` do not override the environment. The types ``openai``,
  ``openai-responses``, ``anthropic`` and ``gemini`` (GOOGLE_GEMINI_BASE_URL) all follow. A person can change the type
  while it runs, so all of them are set.
- The ``baseUrl`` of a model listed in ``modelProviders`` outranks every one of these: refused for the model in use.
- ``qwen-oauth`` and ``vertex-ai`` take their addresses from their logins: refused.
- Without an auth type it ends ("No auth type is selected") unless one is given: ``--auth-type`` by the key that is set.
- Without a key it ends. Only when none is found (environment, settings, the first ``.env``) the type's variable is set to
  a placeholder.

``--model`` is sent as it is given. Pure, but for the function in the ``Wish`` that reads files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from actors.launch.plan import PLACEHOLDER, LaunchRefusedError, Plan, Wish
from actors.launch.words import dotenv, merged, model_words, options, settings, under, upward, variables
from actors.probe.agents import kind_of
from schemas.config import ServedDialect

AGENT: Final = "qwen"
_SYSTEM: Final = Path("/etc/qwen-code/settings.json")
_KEYS: Final = {
    "openai": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
_MODELS: Final = {
    "openai": ("OPENAI_MODEL", "QWEN_MODEL"),
    "openai-responses": ("OPENAI_MODEL",),
    "anthropic": ("ANTHROPIC_MODEL",),
    "gemini": ("GEMINI_MODEL",),
}
_SPEAKS: Final[dict[str, ServedDialect]] = {
    "openai": "openai.chat",
    "openai-responses": "openai.responses",
    "anthropic": "anthropic.messages",
    "gemini": "gemini.generate",
}
_REFUSED: Final = {
    "qwen-oauth": "its Qwen login, which names its own address",
    "vertex-ai": "Vertex AI, with Google's credentials for Google's own addresses",
}


def plan_qwen(wish: Wish) -> Plan:
    """Decide how Qwen Code is started.

    Raises:
        LaunchRefusedError: its requests could not be brought to the gateway.

    """
    if kind_of(AGENT, wish.argv[1:]) in ("other", "mcp"):
        return Plan(argv=wish.argv, agent=AGENT, launched=False)
    if options(wish.argv, "--openai-base-url"):
        raise LaunchRefusedError(
            "the command line sets --openai-base-url, and so would `tabwire run`: requests can only go to one place",
            "leave that option out, or run qwen without tabwire",
        )
    system = Path(wish.environ.get("QWEN_CODE_SYSTEM_SETTINGS_PATH") or _SYSTEM)
    own = wish.home / ".qwen"
    whole = merged(*(settings(wish.read, file) for file in (own / "settings.json", wish.cwd / ".qwen/settings.json", system)))
    files = [*upward(wish.cwd, ".qwen/.env", ".env"), own / ".env", wish.home / ".env"]
    known = {*dotenv(wish.read, files), *variables(whole), *(name for name, value in wish.environ.items() if value)}
    words = model_words(wish.argv, wish.model, "--model", "-m")
    type_, chosen = _auth_type(wish, whole, known)
    _refuse_listed(wish, whole, type_)
    added = {
        "OPENAI_BASE_URL": wish.door.base_url,
        "ANTHROPIC_BASE_URL": wish.door.root,
        "GOOGLE_GEMINI_BASE_URL": wish.door.root,
    }
    notes: tuple[str, ...] = ()
    given = options(wish.argv, "--openai-api-key") or under(whole, "security", "auth", "apiKey")
    if _KEYS[type_] not in known and not given:
        added[_KEYS[type_]] = PLACEHOLDER
        notes = ("Qwen Code has no key here: it is given a placeholder; the gateway's provider needs a key of its own",)
    argv = (wish.argv[0], *chosen, *words, *wish.argv[1:])
    return Plan(argv=argv, agent=AGENT, environ=added, notes=notes, speaks=(_SPEAKS[type_],))


def _auth_type(wish: Wish, whole: Mapping[str, Any], known: set[str]) -> tuple[str, tuple[str, ...]]:
    """Return the auth type in use, and the words for it where the user chose none."""
    given = options(wish.argv, "--auth-type")
    type_ = given[-1] if given else under(whole, "security", "auth", "selectedType")
    if type_ in (None, ""):
        type_ = next((each for each, key in _KEYS.items() if key in known), "openai")
        return type_, ("--auth-type", type_)
    if type_ in _REFUSED:
        raise LaunchRefusedError(
            f"Qwen Code is set to use {_REFUSED[type_]}", "choose another with --auth-type openai or --auth-type anthropic"
        )
    if type_ not in _KEYS:
        raise LaunchRefusedError(f"Qwen Code is set to use {str(type_)[:64]!r}, which Tabwire does not know", "use --auth-type")
    return type_, ()


def _refuse_listed(wish: Wish, whole: Mapping[str, Any], type_: str) -> None:
    """Refuse a model whose own entry in the settings says where it is."""
    listed = under(whole, "modelProviders", type_)
    named = [wish.model, *options(wish.argv, "--model", "-m")[-1:], *(wish.environ.get(name) for name in _MODELS[type_])]
    model = next((name for name in (*named, under(whole, "model", "name")) if name), None)
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and entry.get("baseUrl") and entry.get("id") == model:
            raise LaunchRefusedError(
                f"Qwen Code's settings list {model!r} in modelProviders with a baseUrl, which nothing overrides",
                "take that baseUrl out (the gateway decides where requests go), or run it without tabwire",
            )
