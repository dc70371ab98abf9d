"""Reads a Codex command line as Codex does: which subcommand, which thread, which profile, which overrides.

Theory of operation
-------------------
Codex's parser (clap) takes options anywhere before a lone ``--``, and the first word that is a subcommand's name is the
subcommand even behind a prompt (``codex hello exec hi`` is an ``exec``), unless an option took it as its value; ``-i`` takes
every word up to the next option. Overrides are applied in the order in which they stand, outer levels first, so the last one
wins. All of this was tried with Codex 0.169.0.

An option that is not known here is taken for one without a value. Its value then looks like a prompt, which harms nobody.

Pure. Must not know files, nor what is done with the answer (``actors.launch.codex``, ``actors.discovery.endpoints``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_VALUED: Final = frozenset(
    """-c --config --enable --disable --remote --remote-auth-item-env -m --model --local-provider -p --profile -s --sandbox
    -C --cd --add-dir -a --ask-for-approval --thread-source --cyber-access-program --output-schema --color
    -o --output-last-message --base --commit --title --thread --message --listen""".split()  # noqa: SIM905 - a list to read
)
_VARIADIC: Final = frozenset(("-i", "--image"))
_ALIASES: Final = {"e": "exec", "a": "apply"}
_SUBCOMMANDS: Final = frozenset(
    """agents exec review login logout mcp plugin app-server remote-control completion update doctor sandbox debug apply
    resume queue archive delete migrate-rollouts migrate-nfs-db unarchive fork cloud exec-server features help
    execpolicy responses-api-proxy stdio-to-uds""".split()  # noqa: SIM905 - a list to read
)
_COMMANDS: Final = {
    (): _SUBCOMMANDS,
    ("exec",): frozenset(("resume", "fork", "review", "help")),
    ("app-server",): frozenset(("daemon", "proxy", "generate-ts", "generate-json-schema", "help")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodexCommand:
    """A Codex command line as it was understood.

    ``path`` is the subcommand and the one below it; ``words`` what else stands there without a dash, at ``places``; ``end``
    the place where further options can be put so that they come last (the lone ``--``, or the end).
    """

    path: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    overrides: tuple[tuple[str, Any], ...] = ()
    end: int = 0

    def has(self, *names: str) -> bool:
        """Tell whether one of these options stands there."""
        return any(name in self.options for name in names)

    def last(self, *names: str) -> str | None:
        """Return the last value of an option, whichever of its names was used."""
        values = [value for name in names for value in self.options.get(name, ())]
        return values[-1] if values else None

    @property
    def thread(self) -> str | None:
        """Return the thread that is to be resumed or forked, if one is named."""
        if not self.path or self.path[-1] not in ("resume", "fork") or self.has("--last"):
            return None
        return self.words[0] if self.words else None


def read_command(arguments: Sequence[str]) -> CodexCommand:
    """Read the arguments behind ``codex``."""
    path: list[str] = []
    places: list[int] = []
    options: dict[str, list[str]] = {}
    overrides: list[tuple[str, Any]] = []
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before = list(arguments[:end])
    place = 0
    while place < end:
        item = before[place]
        place += 1
        if not item.startswith("-") or item == "-":
            word = _ALIASES.get(item, item) if not path else item
            if word in _COMMANDS.get(tuple(path), ()):
                path.append(word)
                places.clear()  # a prompt before a subcommand is not the subcommand's
            else:
                places.append(place - 1)
            continue
        for name, attached in _split(item):
            taken = [attached] if attached is not None else _following(before, place, name)
            place += len(taken) if attached is None else 0
            options.setdefault(name, []).extend(taken)
            if name in ("-c", "--config") and taken:
                overrides.append(_override(taken[0]))
    places.extend(range(end + 1, len(arguments)))
    return CodexCommand(
        path=tuple(path),
        words=tuple(arguments[place] for place in places),
        places=tuple(places),
        options={name: tuple(values) for name, values in options.items()},
        overrides=tuple(overrides),
        end=end,
    )


def _split(item: str) -> Iterator[tuple[str, str | None]]:
    """Take an option apart: ``--name=value``, ``-cvalue``, ``-c=value``, a cluster of short flags."""
    if item.startswith("--"):
        name, equals, value = item.partition("=")
        yield name, value if equals else None
        return
    for index, letter in enumerate(item[1:], 1):
        name = f"-{letter}"
        rest = item[index + 1 :]
        if rest and (name in _VALUED or name in _VARIADIC):
            yield name, rest.removeprefix("=")
            return
        yield name, None


def _following(items: Sequence[str], place: int, name: str) -> list[str]:
    """Return the words behind an option that are its values."""
    most = 1 if name in _VALUED else len(items) if name in _VARIADIC else 0
    taken: list[str] = []
    for item in items[place : place + most]:
        if item.startswith("-") and item != "-":
            break
        taken.append(item)
    return taken


def _override(text: str) -> tuple[str, Any]:
    """Read ``key=value`` of ``-c``: the value is TOML, or else the text itself."""
    key, _, value = text.partition("=")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return key.strip(), value.strip().strip("\"'")
