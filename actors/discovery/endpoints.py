"""Where an agent sends its requests, as far as its arguments, its environment and its configuration tell. Pure.

Theory of operation
-------------------
Each agent has its own order of precedence, found by experiment:

- Codex: ``-c`` (the last one wins), the profile's file, the user's ``config.toml``, the system's. The provider decides which
  address counts; a resumed thread keeps the provider that it was begun with, so there every provider that it may have must
  agree. ``OPENAI_BASE_URL`` means nothing to Codex. The shared daemon reads its configuration anew for each thread.
- Claude Code: ``env`` in settings overrides the process's own environment, unless the environment says that a host manages
  the provider.
- Others: their variables, where they are set; their files are not read.

A file proves nothing of a process that started before it was last changed: that is ``unknown``, with the file's name.

An address may hold a token or a password, so only scheme, host and port are ever kept of it. Must not know files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from actors.discovery.terms import Config
from actors.probe.agents import AgentFinding
from actors.probe.codex_words import CodexCommand, read_command
from schemas.codec import InvalidMessageError, parse
from schemas.events import Endpoint

_LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))
_SCHEMES: Final = {"http": 80, "https": 443}
_LINE: Final = 300
_OPENAI: Final = "openai"
_PROFILE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BUILT_IN: Final = {"amazon-bedrock": "Amazon Bedrock", "ollama": "a local Ollama", "lmstudio": "a local LM Studio"}
_ANTHROPIC: Final = "ANTHROPIC_BASE_URL"
_MANAGED: Final = "CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"
_CLAUDE_CLOUDS: Final = {"CLAUDE_CODE_USE_BEDROCK": "Amazon Bedrock", "CLAUDE_CODE_USE_VERTEX": "Google Vertex AI"}
_VARIABLES: Final = {
    "gemini": ("GOOGLE_GEMINI_BASE_URL",),
    "qwen": ("OPENAI_BASE_URL", _ANTHROPIC),
    "auggie": ("AUGMENT_API_URL",),
}


def config_files(
    agent: AgentFinding, arguments: Sequence[str], variables: Mapping[str, str], cwd: str | None
) -> tuple[str, ...]:
    """Name the files that decide about an agent's endpoint, the weakest first."""
    if agent.agent == "codex":
        return _codex_files(read_command(arguments), codex_home(variables))
    if agent.agent == "claude":
        home = claude_home(variables)
        project = [f"{cwd}/.claude/settings.json", f"{cwd}/.claude/settings.local.json"] if cwd else []
        own = [f"{home}/settings.json"] if home else []
        return (*own, *project, *_named_settings(arguments, cwd), "/etc/claude-code/managed-settings.json")
    return ()


def codex_home(variables: Mapping[str, str]) -> str | None:
    """Return the folder in which a Codex process keeps its files."""
    return variables.get("CODEX_HOME") or _below_home(variables, ".codex")


def claude_home(variables: Mapping[str, str]) -> str | None:
    """Return the folder in which a Claude Code process keeps its files."""
    return variables.get("CLAUDE_CONFIG_DIR") or _below_home(variables, ".claude")


def find_endpoint(
    agent: AgentFinding, arguments: Sequence[str], variables: Mapping[str, str], configs: Sequence[Config], gateway_port: int
) -> Endpoint:
    """Say where an agent's process sends its requests."""
    if agent.agent == "codex":
        command = read_command(arguments)
        if command.has("--remote"):
            return _unknown("--remote: another app-server sends its requests")
        if command.has("--oss"):
            return Endpoint(verdict="other", source="--oss: a model server on this computer")
        return _codex(agent, command, configs, gateway_port)
    if agent.agent == "claude":
        return _claude(arguments, variables, configs, gateway_port)
    return _by_variables(agent, variables, gateway_port)


def _by_variables(agent: AgentFinding, variables: Mapping[str, str], gateway_port: int) -> Endpoint:
    named = [name for name in _VARIABLES.get(agent.agent, ()) if variables.get(name)]
    if len(named) == 1:
        return _judged(variables[named[0]], f"{named[0]} in its environment", gateway_port)
    if named:
        return _unknown(f"{' and '.join(named)} are both set; which one counts depends on how it logs in")
    return _unknown("no variable of its environment says so, and its own files are not read")


# ---------------------------------------------------------------------------------------------------- Codex


def _codex_files(command: CodexCommand, home: str | None) -> tuple[str, ...]:
    files = ["/etc/codex/config.toml"]
    if home is not None and not command.has("--ignore-user-config"):
        files.append(f"{home}/config.toml")
        profile = command.last("-p", "--profile")
        if profile is not None and _PROFILE.fullmatch(profile):
            files.append(f"{home}/{profile}.config.toml")
    return tuple(files)


def _codex(agent: AgentFinding, command: CodexCommand, configs: Sequence[Config], port: int) -> Endpoint:
    arguments: dict[str, Any] = {}
    for key, value in command.overrides:
        _put(arguments, key.split("."), value)
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for config in configs:
        if config.newer:
            return _by_arguments_alone(arguments, config, port)
        try:
            _merge(merged, tomllib.loads(config.text or ""), origins, _name(config))
        except (tomllib.TOMLDecodeError, RecursionError):
            return _unknown(f"{_name(config)} is not TOML")
    _merge(merged, arguments, origins, "-c on its command line")
    if agent.kind == "daemon":
        return _of_any(merged, origins, port, "the daemon reads its configuration for each thread anew")
    if command.path[-1:] == ("resume",):
        return _of_any(merged, origins, port, "a resumed thread keeps its provider")
    return _of_provider(merged, str(merged.get("model_provider", _OPENAI)), origins, port)


def _by_arguments_alone(arguments: Mapping[str, Any], config: Config, port: int) -> Endpoint:
    """Say what the command line settles by itself when a file below it may have been another one at the start."""
    provider = arguments.get("model_provider")
    if isinstance(provider, str) and isinstance(address := _addresses(arguments).get(provider), str):
        return _judged(address, "-c on its command line", port)
    return _unknown(f"{_name(config)} changed after it started")


def _of_provider(merged: Mapping[str, Any], provider: str, origins: Mapping[str, str], port: int) -> Endpoint:
    if provider in _BUILT_IN:
        return Endpoint(verdict="other", source=f"model_provider {provider}: {_BUILT_IN[provider]}"[:_LINE])
    address = _addresses(merged).get(provider)
    key = "openai_base_url" if provider == _OPENAI else f"model_providers.{provider}.base_url"
    source = origins.get(key) or origins.get(f"model_providers.{provider}") or origins.get("model_providers") or "configuration"
    if isinstance(address, str):
        return _judged(address, f"{key} ({source})", port)
    if provider == _OPENAI:
        return Endpoint(verdict="other", source="the built-in provider openai, whose address nothing overrides")
    return _unknown(f"provider {provider} is not in its configuration")


def _of_any(merged: Mapping[str, Any], origins: Mapping[str, str], port: int, why: str) -> Endpoint:
    """Say where requests go when the provider is not known: only what is the same for every provider."""
    found = [_of_provider(merged, provider, origins, port) for provider in (_OPENAI, *_addresses(merged))]
    verdicts = {one.verdict for one in found}
    if len(verdicts) != 1:
        return _unknown(f"{why}, and its providers have different addresses")
    origin = found[0].origin if len({one.origin for one in found}) == 1 else ""
    return Endpoint(verdict=found[0].verdict, source=found[0].source, origin=origin)


def _addresses(merged: Mapping[str, Any]) -> dict[str, Any]:
    found = {_OPENAI: merged["openai_base_url"]} if "openai_base_url" in merged else {}
    providers = merged.get("model_providers")
    for name, table in providers.items() if isinstance(providers, dict) else ():
        if isinstance(table, dict) and name != _OPENAI:
            found[name] = table.get("base_url")
    return found


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in reversed(path):
        value = {part: value}
    _merge(into, value, {}, "")


def _merge(into: dict[str, Any], other: Mapping[str, Any], origins: dict[str, str], name: str, prefix: str = "") -> None:
    """Lay one layer over those below it, and remember whose each value is."""
    for key, value in other.items():
        path = f"{prefix}{key}"
        old = into.get(key)
        if isinstance(value, dict):
            below = into[key] = dict(old) if isinstance(old, dict) else {}
            _merge(below, value, origins, name, f"{path}.")
        else:
            into[key] = value
            origins[path] = name


# ---------------------------------------------------------------------------------------------------- Claude Code


def _claude(arguments: Sequence[str], variables: Mapping[str, str], configs: Sequence[Config], port: int) -> Endpoint:
    environment = dict(variables)
    sources = dict.fromkeys(environment, "in its environment")
    if environment.get(_MANAGED) != "1":
        inline = [Config("--settings", text) for text in _inline_settings(arguments)]
        managed = [config for config in configs if config.path.endswith("/managed-settings.json")]
        for config in (*(one for one in configs if one not in managed), *inline, *managed):
            if config.newer:
                return _unknown(f"{_name(config)} changed after it started")
            settings = _settings(config)
            if settings is None:
                return _unknown(f"{_name(config)} is not JSON")
            environment.update(settings)
            sources.update(dict.fromkeys(settings, f"in env of {_name(config)}"))
    for name, title in _CLAUDE_CLOUDS.items():
        if environment.get(name, "").lower() in ("1", "true", "yes", "on"):
            return Endpoint(verdict="other", source=f"{name} {sources[name]}: {title}"[:_LINE])
    if environment.get(_ANTHROPIC):
        return _judged(environment[_ANTHROPIC], f"{_ANTHROPIC} {sources[_ANTHROPIC]}", port)
    return Endpoint(verdict="other", source=f"no {_ANTHROPIC} is set", origin="https://api.anthropic.com")


def _settings(config: Config) -> dict[str, str] | None:
    """Return the variables that a settings file sets; None when it is no JSON."""
    if not config.text:
        return {}
    try:
        told = parse(config.text.encode())
    except InvalidMessageError:
        return None
    env = told.get("env") if isinstance(told, dict) else None
    return {str(key): value for key, value in env.items() if isinstance(value, str)} if isinstance(env, dict) else {}


def _settings_arguments(arguments: Sequence[str]) -> list[str]:
    found = []
    for at, word in enumerate(arguments):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name == "--settings":
            found.append(value if equals else next(iter(arguments[at + 1 : at + 2]), ""))
    return found


def _inline_settings(arguments: Sequence[str]) -> list[str]:
    return [value for value in _settings_arguments(arguments) if value.lstrip().startswith("{")]


def _named_settings(arguments: Sequence[str], cwd: str | None) -> list[str]:
    named = [value for value in _settings_arguments(arguments) if value and not value.lstrip().startswith("{")]
    return [value if value.startswith("/") or cwd is None else f"{cwd}/{value}" for value in named]


# ---------------------------------------------------------------------------------------------------- addresses


def _judged(address: str, source: str, gateway_port: int) -> Endpoint:
    try:
        parts = urlsplit(address.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return _unknown(f"{source}: not an address")
    if parts.scheme not in _SCHEMES or not host or not host.isprintable():
        return _unknown(f"{source}: not an address of http or https")
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" if port is None else f"{parts.scheme}://{shown}:{port}"
    ours = host in _LOOPBACK and (port or _SCHEMES[parts.scheme]) == gateway_port
    return Endpoint(verdict="gateway" if ours else "other", source=source[:_LINE], origin=origin[:_LINE])


def _unknown(reason: str) -> Endpoint:
    return Endpoint(verdict="unknown", source=reason[:_LINE])


def _below_home(variables: Mapping[str, str], name: str) -> str | None:
    home = variables.get("HOME") or variables.get("USERPROFILE")
    return f"{home.rstrip('/')}/{name}" if home else None


def _name(config: Config) -> str:
    return config.path.replace("\\", "/").rpartition("/")[2]
