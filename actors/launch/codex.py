"""Points a Codex command at the gateway and keeps the user's provider id, login and every argument.

Theory of operation
-------------------
Codex takes the address of a model provider from its configuration, and the id of the provider is pinned in each thread.
So the id stays and only its address is overridden, on the command line, which also keeps the TUI away from the shared
daemon (``-c`` bypasses it) whose requests belong to no tab:

- the built-in ``openai``: ``-c openai_base_url="<gateway>"`` (its table is reserved);
- any other: ``-c model_providers.<id>.base_url="<gateway>"``, as an inline table where the id holds a dot.

The options go last, before a lone ``--``, since the last override wins. ``codex exec`` uses exactly one provider, so one
override is put there. A TUI or an app-server can open any thread of the past, each pinned to a provider of its own, so there
every provider that the configuration knows is pointed at the gateway.

On ``exec resume`` Codex refuses a thread that is pinned to another provider than the configured one; the pin is then given
as ``-c model_provider=…``, unless the command line names a provider itself.

Configuration that decides: ``/etc/codex/config.toml``, the user's ``config.toml``, the profile's file, ``-c`` in order. A
project's ``.codex/config.toml`` cannot choose providers. All of this was tried with Codex 0.169.0.

Pure: texts come in, a plan goes out. ``actors.launch.codex_home`` reads the files.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from actors.launch.plan import Door, LaunchRefusedError, Plan
from actors.probe.codex_words import CodexCommand, read_command

AGENT: Final = "codex"
_OPENAI: Final = "openai"
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_FIXED: Final = {
    "amazon-bedrock": "signs every request with AWS credentials for Amazon's own address",
    "ollama": "is built in with an address that Codex does not let anybody override",
    "lmstudio": "is built in with an address that Codex does not let anybody override",
}
_REQUESTING: Final = frozenset(((), ("exec",), ("review",), ("resume",), ("fork",), ("agents",), ("app-server",)))
_ROAMING: Final = frozenset(((), ("resume",), ("fork",), ("agents",), ("app-server",)))
_WITHOUT_MODEL_OPTION: Final = frozenset((("review",), ("agents",), ("app-server",)))
_DAEMON: Final = frozenset((("remote-control",), ("app-server", "daemon")))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexHome:
    """What the files say: configuration texts by name in order of precedence (lowest first), and the thread's own pin."""

    layers: tuple[tuple[str, str], ...] = ()
    thread_provider: str | None = None


def plan_codex(argv: Sequence[str], home: CodexHome, door: Door, model: str | None = None) -> Plan:
    """Decide how ``argv`` (the program first) is started.

    Raises:
        LaunchRefusedError: its requests could not be brought to the gateway, or not without losing what the user asked for.

    """
    command = read_command(argv[1:])
    if not makes_requests(command):
        return Plan(argv=tuple(argv), agent=AGENT, launched=False)
    _refuse_detours(command)
    configured = _configuration(command, home)
    providers = configured.get("model_providers", {})
    effective, extra = _effective(command, configured, home.thread_provider)
    _check(effective, providers, home.thread_provider)
    targets = _roaming(providers, effective) if command.path in _ROAMING else (effective,)
    for target in targets:
        _refuse_rival(command, target)
        extra.extend(("-c", _address(target, door.base_url)))
    extra.extend(_model(command, model))
    place = 1 + command.end
    return Plan(argv=(*argv[:place], *extra, *argv[place:]), agent=AGENT, speaks=("openai.responses",))


def makes_requests(command: CodexCommand) -> bool:
    """Tell whether a command talks to a model; all others are passed through."""
    if command.has("-h", "--help", "-V", "--version") or "help" in command.path:
        return False
    return command.path in _REQUESTING or command.path[:1] == ("exec",) or command.path in _DAEMON


def uses_user_config(command: CodexCommand) -> bool:
    """Tell whether the user's own configuration and profile count."""
    return not command.has("--ignore-user-config")


def _refuse_detours(command: CodexCommand) -> None:
    if command.has("--remote"):
        raise LaunchRefusedError(
            "--remote attaches to an app-server that runs elsewhere: the requests would be its own, not this command's",
            "start that server with `tabwire run -- codex app-server …`, or leave --remote out",
        )
    if command.has("--oss"):
        raise LaunchRefusedError(
            "--oss talks to a model server on this machine in ways of its own, and its address cannot be overridden",
            "add that server to Tabwire's config.toml as a provider and run without --oss",
        )
    if command.path in _DAEMON:
        raise LaunchRefusedError(
            f"`codex {' '.join(command.path)}` works on Codex's shared background server, whose requests belong to no terminal",
            "run it without tabwire",
        )


def _configuration(command: CodexCommand, home: CodexHome) -> dict[str, Any]:
    """Merge what decides about providers, lowest precedence first.

    Raises:
        LaunchRefusedError: a file is not TOML.

    """
    merged: dict[str, Any] = {}
    for name, text in home.layers:
        try:
            _merge(merged, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise LaunchRefusedError(f"{name} is not TOML: {error}", "repair it; Codex refuses it too") from error
    for key, value in command.overrides:
        for part in reversed(key.split(".")):
            value = {part: value}  # noqa: PLW2901 - grows from the inside out
        _merge(merged, value)
    if not isinstance(merged.get("model_providers", {}), dict):
        raise LaunchRefusedError("model_providers is not a table", "write [model_providers.<id>]")
    return merged


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        old = into.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        else:
            into[key] = value


def _effective(command: CodexCommand, configured: Mapping[str, Any], pinned: str | None) -> tuple[str, list[str]]:
    """Return the provider that the command will use, and what must be said for that."""
    effective = str(configured.get("model_provider", _OPENAI))
    if pinned is None or pinned == effective or command.path[-1:] != ("resume",):
        return effective, []
    if command.path == ("resume",):
        return pinned, []  # the TUI keeps the thread's own provider by itself
    named = [value for key, value in command.overrides if key == "model_provider"]
    if named:
        raise LaunchRefusedError(
            f"this thread is pinned to provider {pinned!r} and the command line names {named[-1]!r}, which Codex refuses",
            "leave -c model_provider out, or fork the thread (codex exec fork)",
        )
    return pinned, ["-c", f"model_provider={json.dumps(pinned)}"]


def _check(provider: str, providers: Mapping[str, Any], pinned: str | None) -> None:
    """Refuse a provider whose requests cannot be brought to the gateway.

    Raises:
        LaunchRefusedError: with the reason.

    """
    whose = "this thread is pinned to" if provider == pinned else "Codex is configured for"
    if provider in _FIXED:
        raise LaunchRefusedError(
            f"{whose} provider {provider!r}, which {_FIXED[provider]}",
            "choose another model_provider, such as openai, for this run (the gateway decides where requests really go)",
        )
    if provider == _OPENAI:
        return
    table = providers.get(provider)
    if not isinstance(table, dict):
        known = ", ".join(sorted({_OPENAI, *providers} - set(_FIXED)))
        raise LaunchRefusedError(f"{whose} provider {provider!r}, which its configuration does not define", f"known: {known}")
    if "aws" in table:
        raise LaunchRefusedError(
            f"{whose} provider {provider!r}, which signs requests with AWS credentials", "choose another model_provider"
        )
    if '"' in provider or "\\" in provider or not provider.isprintable():
        raise LaunchRefusedError(f"provider id {provider!r} cannot be written on a command line", "rename it")


def _roaming(providers: Mapping[str, Any], effective: str) -> tuple[str, ...]:
    """Return every provider that a TUI may come to use: the one in use first, then the others that can be pointed at us."""
    targets = [effective]
    for provider in (_OPENAI, *providers):
        if provider in targets:
            continue
        try:
            _check(provider, providers, None)
        except LaunchRefusedError:
            continue  # not in use; refusing is for the one that is
        targets.append(provider)
    return tuple(targets)


def _refuse_rival(command: CodexCommand, provider: str) -> None:
    """Refuse a command line that itself says where this provider is."""
    keys = ("openai_base_url",) if provider == _OPENAI else (f"model_providers.{provider}.base_url",)
    if any(key in keys for key, _ in command.overrides):
        raise LaunchRefusedError(
            f"the command line sets {keys[0]}, and so would `tabwire run`: requests can only go to one place",
            "leave that -c out, or run codex without tabwire",
        )


def _address(provider: str, base_url: str) -> str:
    """Write the override of one provider's address."""
    value = json.dumps(base_url)
    if provider == _OPENAI:
        return f"openai_base_url={value}"
    if _BARE_KEY.fullmatch(provider):
        return f"model_providers.{provider}.base_url={value}"
    return f"model_providers={{{json.dumps(provider, ensure_ascii=False)}={{base_url={value}}}}}"


def _model(command: CodexCommand, model: str | None) -> list[str]:
    if model is None:
        return []
    if command.has("-m", "--model"):
        raise LaunchRefusedError("a model is named twice: behind `tabwire run` and behind `codex`", "leave one of them out")
    if command.path in _WITHOUT_MODEL_OPTION:
        return ["-c", f"model={json.dumps(model, ensure_ascii=False)}"]
    return ["-m", model]
