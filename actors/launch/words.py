"""What several agents' launches read alike: options on a command line, settings in JSON with comments, names in ``.env``.

Pure. Must not know any agent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from actors.launch.plan import LaunchRefusedError

_ASIDE: Final = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING: Final = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_NAMED: Final = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$", re.MULTILINE)


def options(argv: Sequence[str], *names: str) -> list[str]:
    """Return the values of an option in order, wherever it stands before a lone ``--``; its program's name is ``argv[0]``."""
    words = list(argv[1:])
    if "--" in words:
        words = words[: words.index("--")]
    found = []
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word in names:
            found.extend(words[at + 1 : at + 2])
        elif equals and name in names:
            found.append(value)
    return found


def without(argv: Sequence[str], *names: str) -> tuple[str, ...]:
    """Return a command line without an option and its values."""
    kept = [argv[0]]
    skip = False
    for at, word in enumerate(argv[1:], 1):
        if word == "--":
            return (*kept, *argv[at:])
        if skip:
            skip = False
        elif word in names:
            skip = True
        elif word.partition("=")[0] not in names or "=" not in word:
            kept.append(word)
    return tuple(kept)


def settings(read: Callable[[Path], str | None], file: Path) -> dict[str, Any]:
    """Read a file of settings; an empty table when there is none.

    Raises:
        LaunchRefusedError: it is no JSON object.

    """
    text = read(file)
    return {} if text is None or not text.strip() else table(text, str(file))


def table(text: str, where: str) -> dict[str, Any]:
    """Read a JSON object that may hold comments and trailing commas.

    Raises:
        LaunchRefusedError: it is none.

    """
    plain = _TRAILING.sub(_strings, _ASIDE.sub(_strings, text))
    try:
        document = json.loads(plain)
    except ValueError as error:
        raise LaunchRefusedError(f"{where} is not JSON: {error}", "mend it; the agent reads it too") from error
    if not isinstance(document, dict):
        raise LaunchRefusedError(f"{where} holds no table of settings", "mend it; the agent reads it too")
    return document


def _strings(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith('"') else " "


def under(document: Mapping[str, Any], *path: str) -> Any:
    """Return what stands at a path of settings; None where there is nothing."""
    place: Any = document
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    return place


def variables(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that settings set (``env``)."""
    found = document.get("env")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay tables over each other, the last on top."""
    whole: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            below = whole.get(name)
            whole[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return whole


def dotenv(read: Callable[[Path], str | None], files: Iterable[Path]) -> set[str]:
    """Return the names that the first ``.env`` file found gives a value; what else it holds is not kept."""
    for file in files:
        if (text := read(file)) is not None:
            return {found[1] for found in _NAMED.finditer(text) if found[2]}
    return set()


def upward(folder: Path, *names: str) -> list[Path]:
    """List files that a program looks for in its folder and every folder above, nearest first."""
    return [above / name for above in (folder, *folder.parents) for name in names]


def truthy(value: str | None) -> bool:
    """Tell whether a switch in the environment is on."""
    return (value or "").strip().lower() in ("1", "true", "yes", "on")


def model_words(argv: Sequence[str], model: str | None, *names: str) -> tuple[str, ...]:
    """Return the agent's own words for a model that ``tabwire run`` was given; ``names`` are its option, longest first.

    Raises:
        LaunchRefusedError: the command names one too.

    """
    if model is None:
        return ()
    if options(argv, *names):
        raise LaunchRefusedError("a model is named twice: behind `tabwire run` and behind the agent", "leave one of them out")
    return (names[0], model)
