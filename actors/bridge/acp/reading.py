"""What is in the messages of ACP agents: texts, tools, questions, plans, settings, tokens. Pure, and sure to give something.

An agent may write anything, so everything is looked at before it is taken: what has another shape than the protocol says is
as if it were not there. Must not know in which order messages come (``acp``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import islice
from typing import Any, Final, Literal

import msgspec

from schemas.content import Option, OptionKind, PlanStep
from schemas.events import Usage

MAX_SHOWN: Final = 8_192
MAX_LISTED: Final = 200
_MAX_COUNT: Final = 2**53
_DIFFED_LINES: Final = 400  # the time that a comparison takes grows with the square of it
_KINDS: Final[Mapping[str, OptionKind]] = {
    "allow_once": "allow_once",
    "allow_always": "allow_always",
    "reject_once": "deny_once",
    "reject_always": "deny_always",
}
Setting = Literal["mode", "model"]
_STATES: Final = frozenset(("pending", "in_progress", "completed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a conversation's modes and models are, and which are in use; empty where the agent says nothing of them."""

    modes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    mode: str = ""
    model: str = ""

    def having(self, kind: Setting, value: str) -> Settings:
        """Return them with another mode or model in use."""
        return replace(self, mode=value) if kind == "mode" else replace(self, model=value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One use of a tool, as far as it was told."""

    kind: str = ""
    title: str = ""
    arguments: str = ""
    output: str = ""
    told: bool = False
    ended: bool = False


def read_line(line: bytes) -> dict[str, Any] | None:
    """Read a message; None when it is none."""
    try:
        document = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def table(place: Any, *path: str) -> dict[str, Any]:
    """Return the object at a path, an empty one where there is none."""
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else {}


def rows(place: Any, name: str) -> list[dict[str, Any]]:
    """Return the objects of a list."""
    found = place.get(name) if isinstance(place, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def word(place: Any, *names: str) -> str:
    """Return the first of some fields that holds a text, an empty one where none does."""
    for name in names:
        found = place.get(name) if isinstance(place, dict) else None
        if isinstance(found, str) and found:
            return found
    return ""


def count(place: Any, name: str) -> int:
    """Return a number of tokens, 0 where there is none."""
    found = place.get(name) if isinstance(place, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < _MAX_COUNT else 0


def text_of(block: Any) -> str:
    """Return what a content block shows: its text, or of which kind it is."""
    kind = word(block, "type")
    if kind == "text":
        return word(block, "text")
    if kind == "resource_link":
        return f"[{word(block, 'uri', 'name')}]"
    if kind == "resource":
        return word(table(block, "resource"), "text", "uri")
    return f"[{kind}]" if kind else ""


def tool_named(told: Mapping[str, Any], known: Tool) -> Tool:
    """Return a tool with what a message adds to it; what it leaves out stays."""
    given = told.get("rawInput")
    meta = table(told, "_meta")
    return Tool(
        kind=word(meta, "toolName") or known.kind or word(told, "kind"),
        title=word(told, "title") or known.title,
        arguments=_bounded(_arguments(given)) or known.arguments,
        output=_bounded(_output(told)) or known.output,
        told=known.told,
        ended=known.ended,
    )


def _bounded(text: str) -> str:
    """Return the beginning of a text, and one more character where it goes on, so that it shows as cut."""
    return text[: MAX_SHOWN + 1]


def _arguments(given: Any) -> str:
    """Return what a tool is given: its command where it is one, else JSON; nothing of an empty object."""
    command = word(given, "command")
    if command:
        return command
    return "" if given in (None, {}, "") else written(given)


def _output(told: Mapping[str, Any]) -> str:
    raw = told.get("rawOutput")
    own = raw if isinstance(raw, str) else word(raw, "output")
    return own or shown(told) or word(raw, "text", "error") or ("" if raw in (None, {}, "") else written(raw))


def shown(told: Any) -> str:
    """Return what a tool shows of itself: texts, and differences of files."""
    return "\n".join(filter(None, islice((_shown(each) for each in rows(told, "content")), MAX_LISTED)))


def _shown(each: Mapping[str, Any]) -> str:
    if each.get("type") == "diff":
        return difference(word(each, "path"), word(each, "oldText"), word(each, "newText"))
    return text_of(each.get("content")) if each.get("type") == "content" else ""


def difference(path: str, old: str, new: str) -> str:
    """Return how a file is to change; of a large one what it was and what it shall be."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if max(len(before), len(after)) > _DIFFED_LINES:
        half = MAX_SHOWN // 2
        return f"--- {path}\n{old[:half]}\n+++ {path}\n{new[:half]}"
    lines = unified_diff(before, after, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def written(value: Any) -> str:
    """Write a value as JSON."""
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, TypeError, RecursionError):
        return ""


def options_of(params: Any) -> tuple[Option, ...]:
    """Return the answers that a question takes; one of a kind that the protocol does not know is not offered."""
    return tuple(
        Option(id=word(each, "optionId"), label=word(each, "name") or word(each, "optionId"), kind=kind)
        for each in rows(params, "options")
        if (kind := _KINDS.get(word(each, "kind"))) is not None and word(each, "optionId")
    )


def refusal(options: tuple[Option, ...]) -> str | None:
    """Return the answer that denies, for once if possible; None where there is none."""
    for wanted in ("deny_once", "deny_always"):
        for option in options:
            if option.kind == wanted:
                return option.id
    return None


def plan_of(update: Any) -> tuple[PlanStep, ...]:
    """Return the steps of a plan."""
    return tuple(
        PlanStep(text=word(each, "content")[:MAX_SHOWN], state=state if state in _STATES else "pending")  # type: ignore[arg-type]
        for each in islice(rows(update, "entries"), MAX_LISTED)
        for state in (word(each, "status"),)
    )


def settings_of(place: Any) -> Settings:
    """Read modes and models, which agents tell as such or among their options."""
    modes, models = table(place, "modes"), table(place, "models")
    chosen = {word(each, "category") or word(each, "id"): each for each in rows(place, "configOptions")}
    mode, model = chosen.get("mode"), chosen.get("model")
    return Settings(
        modes=tuple(_listed(rows(modes, "availableModes"), "id")) or tuple(_values(mode)),
        models=tuple(_listed(rows(models, "availableModels"), "modelId")) or tuple(_values(model)),
        mode=word(modes, "currentModeId") or word(mode, "currentValue"),
        model=word(models, "currentModelId") or word(model, "currentValue"),
    )


def _listed(entries: list[dict[str, Any]], name: str) -> Iterator[str]:
    return islice((found for each in entries if (found := word(each, name))), MAX_LISTED)


def _values(option: Any) -> Iterator[str]:
    """Yield what an option may be set to, also where the values stand in groups."""
    entries = rows(option, "options")
    every = [one for each in entries for one in (rows(each, "options") or [each])]
    return _listed(every, "value")


def words_of(error: Any) -> str:
    """Return what an error says, with what stands in its data; some agents say it as JSON within a text."""
    said = word(error, "message")
    inner = read_line(said.encode(errors="replace")) if said.startswith("{") else None
    if inner is not None:
        said = word(table(inner, "error"), "message") or word(inner, "message") or said
    data = error.get("data") if isinstance(error, dict) else None
    more = data if isinstance(data, str) else word(data, "details") or word(table(data, "errorDetails"), "message")
    if not more:
        more = word(data, "message")
    whole = said if more in said else f"{said}: {more}" if said else more
    return whole or "an error without words"


def whole_usage(told: Any) -> Usage | None:
    """Read tokens of an agent whose input has what it had cached in it."""
    if not told:
        return None
    put, given, thought = count(told, "inputTokens"), count(told, "outputTokens"), count(told, "thoughtTokens")
    cached = min(count(told, "cachedReadTokens"), put)
    return Usage(input=put, cached_input=cached, output=given, reasoning=min(thought, given), total=put + given)


def parted_usage(told: Any) -> Usage | None:
    """Read tokens of an agent that counts what it had cached, and what it thought, beside input and output."""
    if not told:
        return None
    cached = count(told, "cachedReadTokens")
    put = count(told, "inputTokens") + cached + count(told, "cachedWriteTokens")
    thought = count(told, "thoughtTokens")
    given = count(told, "outputTokens") + thought
    return Usage(input=put, cached_input=cached, output=given, reasoning=thought, total=put + given)
