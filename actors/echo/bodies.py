"""What the bodies of all dialects have in common: fields of a type, texts in parts, the last turn, the agent's shell. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from actors.echo.plan import CODEX_SHELL, Shell

REMINDER: Final = "<system-reminder>"
# The shell tool of each agent, by its name, and the argument that takes the command.
_SHELLS: Final = {
    CODEX_SHELL.name: CODEX_SHELL.argument,
    "Bash": "command",  # Claude Code
    "bash": "command",  # opencode
    "run_shell_command": "command",  # Gemini CLI, qwen-code
    "launch-process": "command",  # Auggie
}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing said in a conversation: by the user, by a tool that was called, or by whoever does not count here."""

    who: Literal["user", "tool", "other"]
    text: str = ""


OTHER: Final = Said("other")


@dataclass(frozen=True, slots=True)
class Turn:
    """The last turn: what the user said, how many tools have answered since, and what the last of them said."""

    text: str = ""
    answered: int = 0
    output: str = ""


class BodyError(ValueError):
    """A body that is no request of its dialect; the message names the field."""


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be one JSON object.

    Raises:
        BodyError: it is none.

    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BodyError("the body: expected an object")
    return document


def typed(document: dict[str, Any], name: str, type_: type[Any], default: Any) -> Any:
    """Return a field, or the default when it is absent or null.

    Raises:
        BodyError: it has another type.

    """
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, type_):
        raise BodyError(f"{name}: expected {type_.__name__}, got {type(value).__name__}")
    return value


def objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a field that must be a list of objects.

    Raises:
        BodyError: it is something else, or absent.

    """
    given = document.get(name)
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BodyError(f"{name}: expected a list of objects")
    return given


def inner(document: Any, *names: str) -> dict[str, Any]:
    """Follow names through objects; an empty object where one of them is absent or of another type."""
    for name in names:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def text_of(value: Any) -> str:
    """Return a text, or the texts of a list of parts, one a line."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "\n".join(str(part.get("text", "")) for part in value if isinstance(part, dict))


def own_text(value: Any) -> str:
    """Return what a user said in a message: its texts without the reminders that agents put beside them."""
    texts = [value] if isinstance(value, str) else [text_of([part]) for part in value] if isinstance(value, list) else []
    return "\n".join(text for text in texts if text and not text.lstrip().startswith(REMINDER))


def last_turn(conversation: Iterable[Said]) -> Turn:
    """Find the last turn of a conversation that is told from its end on; a user who says nothing begins none."""
    answered, output = 0, ""
    for said in conversation:
        if said.who == "tool":
            output = output or said.text
            answered += 1
        elif said.who == "user" and said.text:
            return Turn(said.text, answered, output.strip())
    return Turn("", answered, output.strip())


def shell_among(tools: Iterable[tuple[Any, Any]]) -> Shell:
    """Find the agent's shell among its tools (name and JSON Schema of the arguments); Codex's when none is known."""
    for name, schema in tools:
        if name in _SHELLS:
            required = inner(schema).get("required")
            properties = inner(schema, "properties")
            others = tuple(
                (other, properties.get(other, {}))
                for other in (required if isinstance(required, list) else ())
                if other != _SHELLS[name]
            )
            return Shell(name, _SHELLS[name], others)
    return CODEX_SHELL


def arguments_of(text: str) -> Any:
    """Return the arguments of a call as JSON; a text that is none stands for itself, so that this too can be tried."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"arguments": text}


def asks_for_title(schema: dict[str, Any] | None) -> bool:
    """Tell whether a JSON Schema is that of a title and nothing else."""
    properties = inner(schema, "properties")
    return list(properties) == ["title"]
