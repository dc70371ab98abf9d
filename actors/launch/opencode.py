"""Points an opencode command at the gateway: every provider that the user has keeps its id, its key and its models.

Facts, tried with opencode 1.18.33:

- OPENCODE_CONFIG_CONTENT is laid over all other configuration, table by table: ``provider.<id>.options.baseURL`` there moves
  one provider and leaves the rest of it as it was. What the variable holds already is kept.
- A provider that is only named so becomes one of the user's, key or not. So only those are named that the user has: in a
  configuration, in ``auth.json``, or by the variable of their key. ``opencode`` (Zen) is always there.
- What follows the address depends on the adapter: ``@ai-sdk/openai`` asks ``/responses``, ``@ai-sdk/openai-compatible`` and
  its like ``/chat/completions``, ``@ai-sdk/anthropic`` ``/messages``, all below ``/v1``; ``@ai-sdk/google`` below ``/v1beta``.
- A model is ``provider/model`` and must be known: one given behind ``tabwire run --model`` is made known in the same variable.
- A provider with a login instead of a key (``"type": "oauth"``) is sent to an address of that login's own, whatever the
  configuration says; Bedrock, Vertex and Azure sign for theirs. Such a provider is refused when the command's model is its,
  else it is named: it still goes round the gateway. Keys are read by opencode, not here.

Pure, but for the function in the ``Wish`` that reads files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from actors.launch.plan import LaunchRefusedError, Plan, Wish
from actors.launch.words import merged, model_words, options, settings, table, under, upward
from actors.probe.agents import kind_of
from schemas.config import ServedDialect

AGENT: Final = "opencode"
_CONTENT: Final = "OPENCODE_CONFIG_CONTENT"
_ZEN: Final = "opencode"
_NAMES: Final = ("opencode.json", "opencode.jsonc")
_ADAPTERS: Final[dict[str, ServedDialect]] = {
    "@ai-sdk/openai": "openai.responses",
    "@ai-sdk/anthropic": "anthropic.messages",
    "@ai-sdk/google": "gemini.generate",
    **dict.fromkeys(
        """@ai-sdk/openai-compatible @openrouter/ai-sdk-provider @ai-sdk/groq @ai-sdk/mistral @ai-sdk/deepinfra @ai-sdk/cerebras
        @ai-sdk/togetherai @ai-sdk/xai @ai-sdk/perplexity""".split(),  # noqa: SIM905 - a list to read
        "openai.chat",
    ),
}
_COMPATIBLE: Final = "@ai-sdk/openai-compatible"
_BUILT_IN: Final = {
    "openai": "@ai-sdk/openai",
    "anthropic": "@ai-sdk/anthropic",
    "google": "@ai-sdk/google",
    "openrouter": "@openrouter/ai-sdk-provider",
    "groq": "@ai-sdk/groq",
    "mistral": "@ai-sdk/mistral",
    "deepinfra": "@ai-sdk/deepinfra",
    "cerebras": "@ai-sdk/cerebras",
    "togetherai": "@ai-sdk/togetherai",
    "xai": "@ai-sdk/xai",
    "perplexity": "@ai-sdk/perplexity",
    "deepseek": _COMPATIBLE,
    "moonshotai": _COMPATIBLE,
    "zai": _COMPATIBLE,
    _ZEN: _COMPATIBLE,
    "amazon-bedrock": "@ai-sdk/amazon-bedrock",
    "google-vertex": "@ai-sdk/google-vertex",
    "azure": "@ai-sdk/azure",
}
_KEYS: Final = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY"),
    "openrouter": ("OPENROUTER_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "mistral": ("MISTRAL_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "cerebras": ("CEREBRAS_API_KEY",),
    "togetherai": ("TOGETHER_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "perplexity": ("PERPLEXITY_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "moonshotai": ("MOONSHOT_API_KEY",),
    "zai": ("ZHIPU_API_KEY",),
    "amazon-bedrock": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"),
    "azure": ("AZURE_API_KEY",),
}


def plan_opencode(wish: Wish) -> Plan:
    """Decide how opencode is started.

    Raises:
        LaunchRefusedError: the requests for its model could not be brought to the gateway.

    """
    if kind_of(AGENT, wish.argv[1:]) in ("other", "mcp"):
        return Plan(argv=wish.argv, agent=AGENT, launched=False)
    if "attach" in wish.argv[1:2]:
        raise LaunchRefusedError(
            "`opencode attach` shows a server that runs elsewhere: the requests would be its own, not this command's",
            "start that server with `tabwire run -- opencode serve …`",
        )
    given = table(wish.environ[_CONTENT], _CONTENT) if wish.environ.get(_CONTENT, "").strip() else {}
    whole = merged(*_layers(wish), given)
    logins = _logins(wish)
    providers = _in_use(wish, whole, logins)
    adapters = {name: _adapter(name, whole) for name in providers}
    stuck = [name for name in providers if adapters[name] not in _ADAPTERS or logins.get(name) == "oauth"]
    chosen, model = _model(wish, whole, [name for name in providers if name not in stuck])
    if chosen in stuck:
        raise LaunchRefusedError(
            f"opencode's provider {chosen!r} goes to an address of its own, by its login or its adapter ({adapters[chosen]})",
            "choose a model of a provider that has a plain key, or run it without tabwire",
        )
    moved = {name: {"options": {"baseURL": _address(wish, adapters[name])}} for name in providers if name not in stuck}
    over: dict[str, Any] = {"provider": moved}
    words: tuple[str, ...] = ()
    if model is not None:
        words = model_words(wish.argv, f"{chosen}/{model}", "--model", "-m")
        over = merged(over, {"provider": {chosen: {"models": {model: {}}}}})
    note = f"opencode's {', '.join(stuck)} cannot be brought to the gateway and would still go round it"
    return Plan(
        argv=(wish.argv[0], *words, *wish.argv[1:]),
        agent=AGENT,
        environ={_CONTENT: json.dumps(merged(given, over), ensure_ascii=False)},
        notes=(note,) if stuck else (),
        speaks=(_ADAPTERS[adapters[chosen]],) if chosen in moved else (),
    )


def _layers(wish: Wish) -> list[dict[str, Any]]:
    """Read the configuration, lowest rank first: the user's, OPENCODE_CONFIG, the project's, OPENCODE_CONFIG_DIR."""
    own = Path(wish.environ.get("XDG_CONFIG_HOME") or wish.home / ".config") / "opencode"
    files = [own / name for name in ("config.json", *_NAMES)]
    if named := wish.environ.get("OPENCODE_CONFIG"):
        files.append(wish.cwd / named)
    nearest_last = [*reversed(upward(wish.cwd, *_NAMES, *(f".opencode/{name}" for name in _NAMES)))]
    files.extend(nearest_last)
    if folder := wish.environ.get("OPENCODE_CONFIG_DIR"):
        files.extend(wish.cwd / folder / name for name in _NAMES)
    return [settings(wish.read, file) for file in files]


def _logins(wish: Wish) -> dict[str, str]:
    """Return how the user is logged in at each provider: ``api`` (a key), ``oauth``, ``wellknown``."""
    if text := wish.environ.get("OPENCODE_AUTH_CONTENT"):
        found = table(text, "OPENCODE_AUTH_CONTENT")
    else:
        data = Path(wish.environ.get("XDG_DATA_HOME") or wish.home / ".local/share")
        found = settings(wish.read, data / "opencode" / "auth.json")
    return {name: str(under(found, name, "type") or "") for name in found}


def _in_use(wish: Wish, whole: Mapping[str, Any], logins: Mapping[str, str]) -> list[str]:
    configured = under(whole, "provider")
    by_key = [name for name, keys in _KEYS.items() if any(wish.environ.get(key) for key in keys)]
    names = dict.fromkeys((*(configured if isinstance(configured, dict) else ()), *logins, *by_key, _ZEN))
    disabled, enabled = under(whole, "disabled_providers") or (), under(whole, "enabled_providers")
    return [name for name in names if name not in disabled and (enabled is None or name in enabled)]


def _adapter(provider: str, whole: Mapping[str, Any]) -> str:
    """Return the package by which opencode talks to a provider; that of a configured one that names none is the usual one."""
    named = under(whole, "provider", provider, "npm")
    if isinstance(named, str):
        return named
    return _BUILT_IN.get(provider, _COMPATIBLE if under(whole, "provider", provider, "models") else "not known")


def _address(wish: Wish, adapter: str) -> str:
    return f"{wish.door.root}/v1beta" if _ADAPTERS[adapter] == "gemini.generate" else wish.door.base_url


def _model(wish: Wish, whole: Mapping[str, Any], brought: list[str]) -> tuple[str, str | None]:
    """Return the provider of the model in use (empty: not known), and the model that `tabwire run` was given."""
    named = options(wish.argv, "--model", "-m") or [under(whole, "model")]
    provider = named[-1].partition("/")[0] if isinstance(named[-1], str) and "/" in named[-1] else ""
    if wish.model is None:
        return provider, None
    if options(wish.argv, "--model", "-m"):
        raise LaunchRefusedError("a model is named twice: behind `tabwire run` and behind the agent", "leave one of them out")
    first, slash, rest = wish.model.partition("/")
    if slash and (first in brought or not provider):
        return first, rest
    own = [name for name in brought if name != _ZEN] or brought
    if not provider and len(own) != 1:
        raise LaunchRefusedError(
            f"--model {wish.model!r}: opencode has several providers ({', '.join(own)})", f"write {own[0]}/{wish.model}"
        )
    return provider or own[0], wish.model
