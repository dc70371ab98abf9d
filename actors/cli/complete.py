"""What a shell offers while a command is typed: ids that exist, agents that are known, providers that are configured.

Completion never fails and says nothing: what cannot be found out is not offered.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

_MOST: Final = 50


def sessions(incomplete: str) -> list[str]:
    """Offer sessions that the registry knows, as their agents call them and as it does."""
    return _offered(_sessions(), incomplete)


def bridges(incomplete: str) -> list[str]:
    """Offer driven sessions."""
    return _offered(_bridges(), incomplete)


def driven_agents(incomplete: str) -> list[str]:
    """Offer the agents that can be driven."""
    return _offered(iter(("codex", "claude", "auggie", "gemini", "opencode", "qwen")), incomplete)


def history(incomplete: str) -> list[str]:
    """Offer past sessions from agents' own files, the latest changed first."""
    return _offered(_history(), incomplete)


def agents(incomplete: str) -> list[str]:
    """Offer the agents whose files and hooks are understood."""
    return _offered(iter(("codex", "claude")), incomplete)


def providers(incomplete: str) -> list[str]:
    """Offer the providers that a launch can name."""
    return _offered(_providers(), incomplete)


def any_provider(incomplete: str) -> list[str]:
    """Offer every provider that is configured, disabled ones too."""
    return _offered(_any_provider(), incomplete)


def targets(incomplete: str) -> list[str]:
    """Offer what can be pinned: verified sessions and the terminals of sessions; the shell itself knows folders."""
    return _offered(_targets(), incomplete)


def pinned(incomplete: str) -> list[str]:
    """Offer what is pinned."""
    return _offered(_pinned(), incomplete)


def ledger_keys(incomplete: str) -> list[str]:
    """Offer what usage can be summed by."""
    return _offered(iter(("session", "provider", "model", "project", "day")), incomplete)


def policies(incomplete: str) -> list[str]:
    """Offer what a pin can do when it cannot be kept."""
    return _offered(iter(("fallback", "fail", "ask")), incomplete)


def dialects(incomplete: str) -> list[str]:
    """Offer what a provider can speak."""
    return _offered(_dialects(), incomplete)


def _offered(names: Iterator[str], incomplete: str) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(Exception):  # a shell that waits for a word is no place for an error
        for name in names:
            if name.startswith(incomplete):
                found.append(name)
            if len(found) == _MOST:
                break
    return found


def _sessions() -> Iterator[str]:
    from actors.cli import bus  # noqa: PLC0415 - completion of anything else does without
    from actors.cli.tail import names_of  # noqa: PLC0415
    from schemas.commands import ListSessions  # noqa: PLC0415

    for row in bus.ask(ListSessions()).sessions:
        yield from reversed(names_of(row))


def _bridges() -> Iterator[str]:
    from actors.cli import bus  # noqa: PLC0415
    from actors.cli.chat_session import ask  # noqa: PLC0415
    from schemas.commands.bridges import ListBridges  # noqa: PLC0415

    for row in bus.with_client(lambda client: ask(client, ListBridges())).bridges:
        yield from dict.fromkeys((row.session, row.launch))


def _history() -> Iterator[str]:
    from actors.cli.past import transcripts  # noqa: PLC0415

    for found in transcripts(os.environ):
        if not found.name.subagent:
            yield found.name.thread


def _providers() -> Iterator[str]:
    from actors.runtime.config_file import load_config  # noqa: PLC0415
    from actors.runtime.paths import Paths  # noqa: PLC0415

    config = load_config(Paths.default(os.environ))
    yield from sorted({"echo", *(name for name, provider in config.providers.items() if provider.enabled)})


def _any_provider() -> Iterator[str]:
    from actors.runtime.config_file import load_config  # noqa: PLC0415
    from actors.runtime.paths import Paths  # noqa: PLC0415

    yield from sorted({"echo", *load_config(Paths.default(os.environ)).providers})


def _targets() -> Iterator[str]:
    from actors.cli import bus  # noqa: PLC0415
    from actors.cli.tail import names_of  # noqa: PLC0415
    from schemas.commands import ListSessions  # noqa: PLC0415

    rows = bus.ask(ListSessions()).sessions
    for row in rows:
        if row.verdict == "verified":
            yield from reversed(names_of(row))
    yield from sorted({row.terminal for row in rows if row.terminal is not None})


def _pinned() -> Iterator[str]:
    from actors.runtime.config_file import load_config  # noqa: PLC0415
    from actors.runtime.paths import Paths  # noqa: PLC0415

    for pin in load_config(Paths.default(os.environ)).pins:
        yield pin.target


def _dialects() -> Iterator[str]:
    from typing import get_args  # noqa: PLC0415

    from schemas.config import ServedDialect  # noqa: PLC0415

    yield from get_args(ServedDialect)
