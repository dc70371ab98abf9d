"""From a request to the bytes of its reply and when each is due. Pure: ids and times are brought by the caller.

Theory of operation
-------------------
A dialect reads a request into an ``Asked``; ``plan_reply`` decides what is said (a ``Reply``, the same for every
dialect); the dialect turns that into frames, and ``plan_script`` lays pace and faults over them. A ``Script`` says
everything that a socket needs to know: the head or its absence, chunks with the pause before each, and how it ends.

Usage is a rule over texts, so that a test can say the figures in advance: a text is one token for each 4 bytes of its
UTF-8, rounded up; input is the sum over every text of the request's conversation (instructions, messages, tool calls and
their outputs, not the tools' definitions); output is that of the reply's text or tool call plus ``reasoning``; cached
input is what the previous request with the same cache key had as input, at most this one's; total is input plus output.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import cycle, islice
from typing import Any, Literal, Protocol

import orjson

from actors.echo.mode import FaultKind, Mode, ModeError
from schemas.events import Usage

Kind = Literal["turn", "title", "compaction", "auxiliary"]

ECHOED_CHARACTERS = 2_000
MAX_ITEMS = 1_000
_PIECE = 64
_WORDS = ("the", "echo", "actor", "keeps", "talking", "until", "it", "has", "said", "what", "was", "asked", "of")
_GARBAGE = b"\x00\xff\xfe not an event \x80\r\n{]\n\n"


@dataclass(frozen=True, slots=True)
class Shell:
    """The tool by which an agent runs commands: its name, the argument for the command, and what else it requires."""

    name: str
    argument: str
    others: tuple[tuple[str, Any], ...] = ()


CODEX_SHELL = Shell("exec_command", "cmd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request wants, whatever its dialect. ``answered`` counts tool outputs after the last user message.

    ``auxiliary`` requests are an agent's own, such as Gemini CLI's choice of a model before a turn.
    """

    model: str
    stream: bool
    kind: Kind = "turn"
    text: str = ""
    answered: int = 0
    tool_output: str = ""
    custom_tools: bool = False
    shell: Shell = CODEX_SHELL
    compaction_item: bool = False
    schema: dict[str, Any] | None = None
    cache_key: str = ""
    session: str = ""
    thread: str = ""
    input_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """What a reply needs from outside: 32 hex digits for its ids, Unix seconds, and the cached input of its cache key."""

    seed: str
    created: int
    cached: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one of the agent's tools: ``custom`` is free text to a custom tool, otherwise JSON to a function."""

    name: str
    arguments: str
    custom: bool
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reply ends in its dialect's own terms."""

    kind: Literal["completed", "failed", "error", "incomplete"] = "completed"
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is said, before a dialect puts it into words of its own."""

    moment: Moment
    model: str
    deltas: tuple[str, ...] = ()
    tool: ToolCall | None = None
    compaction: bool = False
    usage: Usage | None = None
    outcome: Outcome = Outcome()

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.deltas)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream; ``paced`` ones wait for the mode's pace."""

    content: bytes
    paced: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes written at once, ``after`` seconds after what came before; ``events`` counts the events it completes."""

    after: float
    content: bytes
    events: int = 0


class End(Enum):
    """How the connection goes on after the last chunk."""

    CLEAN = "clean"
    CUT = "cut"
    RESET = "reset"
    HANG = "hang"


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A whole reply on the wire. ``head`` False: no HTTP at all, chunks are raw bytes. ``length`` None: chunked."""

    status: int
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[Chunk, ...]
    end: End = End.CLEAN
    wait: float = 0.0
    head: bool = True
    length: int | None = None


class Dialect(Protocol):
    """One API's way to say a reply. Reading is the dialect's own business, since bodies differ in everything.

    ``content_type`` is that of its streams.
    """

    name: str
    content_type: str

    def response_id(self, reply: Reply) -> str:
        """Return the id by which a reply goes."""

    def stream(self, reply: Reply) -> Iterator[Frame]:
        """Say a reply as a stream of events."""

    def document(self, reply: Reply) -> tuple[int, bytes]:
        """Say a reply as one JSON document, with its status."""

    def error(self, status: int, *, code: str, kind: str, message: str) -> bytes:
        """Say an error as the body of a status."""


def count_tokens(*texts: str) -> int:
    """Count by the rule above: 4 bytes of UTF-8 are a token, each text rounded up."""
    return sum((len(text.encode(errors="replace")) + 3) // 4 for text in texts)


def plan_reply(asked: Asked, mode: Mode, moment: Moment) -> Reply:
    """Decide what is said.

    Raises:
        ModeError: the text that was asked for cannot be cut into that many pieces.

    """
    tool = _tool_call(asked, mode)
    deltas = () if tool else _deltas(asked, mode)
    reply = Reply(moment=moment, model=mode.model or asked.model, deltas=deltas, tool=tool, compaction=asked.compaction_item)
    return replace(reply, usage=_usage(asked, mode, reply), outcome=_outcome(mode))


def _tool_call(asked: Asked, mode: Mode) -> ToolCall | None:
    if mode.call is not None:
        return ToolCall(mode.call, mode.arguments, custom=False, namespace=mode.namespace)
    if mode.tool is None:
        return None
    shell = asked.shell
    others = {name: sample(schema, "echo") for name, schema in shell.others}
    command = orjson.dumps({shell.argument: mode.tool, **others}).decode()
    if asked.custom_tools:
        return ToolCall("exec", f"const r = await tools.exec_command({command}); text(r.output);", custom=True)
    return ToolCall(shell.name, command, custom=False)


def _deltas(asked: Asked, mode: Mode) -> tuple[str, ...]:
    if mode.deltas == 0:
        return ()
    words = mode.words
    if mode.deltas is not None and (mode.say, words, mode.bytes) == (None, None, None):
        words = mode.deltas
    if words is not None:
        pieces = tuple(word + " " for word in islice(cycle(_WORDS), words))
        return pieces if mode.deltas in (None, words) else _even("".join(pieces), mode.deltas or 1)
    text = _filler(mode.bytes) if mode.bytes is not None else mode.say if mode.say is not None else _answer(asked)
    if mode.deltas is not None:
        return _even(text, mode.deltas)
    if mode.bytes is not None:
        return tuple(text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
    return tuple(re.findall(r"\S+\s*|\s+", text))


def _filler(size: int) -> str:
    line = " ".join(_WORDS) + "\n"
    return (line * (size // len(line) + 1))[:size]


def _even(text: str, pieces: int) -> tuple[str, ...]:
    if len(text) < pieces:
        raise ModeError(f"deltas: {pieces} pieces cannot be made of a text of {len(text)} characters")
    return tuple(text[len(text) * n // pieces : len(text) * (n + 1) // pieces] for n in range(pieces))


def _answer(asked: Asked) -> str:
    if asked.schema is not None:
        return orjson.dumps(sample(asked.schema, asked.text or "Echo")).decode()
    if asked.kind == "compaction":
        return f"Summary by the echo server: a conversation of {asked.input_tokens} tokens, nothing left to do."
    if asked.answered:
        return f"The tool said: {_shorten(asked.tool_output)}"
    return f"You said: {_shorten(asked.text)}" if asked.text else "This is the echo server."


def _shorten(text: str) -> str:
    left = len(text) - ECHOED_CHARACTERS
    return text if left <= 0 else f"{text[:ECHOED_CHARACTERS]}… and {left} more characters"


def sample(schema: Any, text: str) -> Any:
    """Return a value of a JSON Schema (the subset that agents send); strings are made of ``text``.

    Raises:
        ModeError: the schema asks for a longer list than the server will make.

    """
    if not isinstance(schema, dict):
        return text
    if "const" in schema:
        return schema["const"]
    for name in ("enum", "anyOf", "oneOf"):
        if isinstance(given := schema.get(name), list) and given:
            return given[0] if name == "enum" else sample(given[0], text)
    kind = schema.get("type", "string")
    kind = str(kind[0] if isinstance(kind, list) and kind else kind).lower()  # Gemini's schemas say OBJECT
    if kind == "object":
        properties = schema.get("properties")
        return {name: sample(each, text) for name, each in properties.items()} if isinstance(properties, dict) else {}
    if kind == "array":
        return [sample(schema.get("items"), text)] * max(1, _whole(schema, "minItems", 1))
    line = text[: max(1, _whole(schema, "maxLength", len(text)))].rstrip() or "-"
    least = schema.get("minimum", 1)  # some agents check for at least 1 what their schema does not bound
    return {"string": line, "integer": least, "number": least, "boolean": True}.get(kind)


def _whole(schema: dict[str, Any], name: str, default: int) -> int:
    value = schema.get(name, default)
    if name == "minItems" and isinstance(value, int) and value > MAX_ITEMS:
        raise ModeError(f"the schema's minItems is {value}; at most {MAX_ITEMS} are made")
    return value if isinstance(value, int) else default


def _usage(asked: Asked, mode: Mode, reply: Reply) -> Usage | None:
    if not mode.usage:
        return None
    said = reply.tool.arguments if reply.tool else reply.text
    input_ = asked.input_tokens if mode.input is None else mode.input
    output = count_tokens(said) + mode.reasoning if mode.output is None else mode.output
    cached = min(reply.moment.cached, input_) if mode.cached is None else mode.cached
    return Usage(input=input_, cached_input=cached, output=output, reasoning=mode.reasoning, total=input_ + output)


def _outcome(mode: Mode) -> Outcome:
    if mode.failed is not None:
        return Outcome("failed", mode.failed, mode.message or f"The echo server was asked to fail with {mode.failed}.")
    if mode.error is not None:
        return Outcome("error", mode.error, mode.message or f"The echo server was asked for the error {mode.error}.")
    if mode.incomplete is not None:
        return Outcome("incomplete", mode.incomplete)
    return Outcome()


def plan_script(dialect: Dialect, asked: Asked, mode: Mode, reply: Reply) -> Script:
    """Lay status, pace and faults over a reply."""
    if mode.status is not None:
        script = _status_script(dialect, mode)
    elif asked.stream:
        script = _stream_script(dialect, mode, reply)
    else:
        status, document = dialect.document(reply)
        script = _document_script(status, document, "application/json")
    request_id = (("x-request-id", f"req_{reply.moment.seed}"),)
    script = replace(script, headers=(*script.headers, *request_id, *mode.headers), wait=mode.wait)
    script = _with_fault(script, mode)
    return replace(script, chunks=tuple(_written(script.chunks, mode)))


def _status_script(dialect: Dialect, mode: Mode) -> Script:
    status = mode.status or 200
    if mode.body is not None:
        return _document_script(status, mode.body.encode(), "text/plain; charset=utf-8")
    kind = mode.type or ("server_error" if status >= 500 else "invalid_request_error")  # noqa: PLR2004  # HTTP's own line
    message = mode.message or f"The echo server was asked for status {status}."
    return _document_script(status, dialect.error(status, code=mode.code, kind=kind, message=message), "application/json")


def _document_script(status: int, content: bytes, content_type: str) -> Script:
    bodiless = status in (204, 304)
    return Script(
        status=status,
        headers=() if bodiless else (("content-type", content_type),),
        chunks=() if bodiless else (Chunk(0.0, content),),
        length=None if bodiless else len(content),
    )


def _stream_script(dialect: Dialect, mode: Mode, reply: Reply) -> Script:
    chunks = tuple(Chunk(mode.pace if frame.paced else 0.0, frame.content, events=1) for frame in dialect.stream(reply))
    headers = (("content-type", dialect.content_type), ("cache-control", "no-cache"))
    return Script(status=200, headers=headers, chunks=chunks)


_ENDS: dict[FaultKind, End] = {
    "cut": End.CUT,
    "reset": End.RESET,
    "silence": End.HANG,
    "end": End.CLEAN,
    "garbage": End.CLEAN,
}


def _with_fault(script: Script, mode: Mode) -> Script:
    fault = mode.fault
    if fault is None:
        return script
    noise = (Chunk(0.0, _GARBAGE),) if fault.kind == "garbage" else ()
    end = _ENDS[fault.kind]
    if fault.at is None:
        return replace(script, head=False, chunks=noise, end=End.CUT if end is End.CLEAN else end)
    kept = script.chunks[: fault.at]
    if script.length is not None:  # a document is one chunk: half of it stands for "in the middle"
        kept = tuple(replace(chunk, content=chunk.content[: len(chunk.content) // 2]) for chunk in kept)
    return replace(script, chunks=(*kept, *noise), end=end, length=None if end is End.CLEAN else script.length)


def _written(chunks: Iterable[Chunk], mode: Mode) -> Iterator[Chunk]:
    """Cut or join chunks into the writes that the mode asks for."""
    if mode.join:
        chunks = _joined(chunks)
    if mode.split is None:
        yield from chunks
        return
    for chunk in chunks:
        pieces = [chunk.content[at : at + mode.split] for at in range(0, len(chunk.content), mode.split)]
        for n, piece in enumerate(pieces):
            yield Chunk(0.0 if n else chunk.after, piece, chunk.events if n == len(pieces) - 1 else 0)


def _joined(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    due: list[Chunk] = []
    for chunk in chunks:
        if due and chunk.after:
            yield _one(due)
            due = []
        due.append(chunk)
    if due:
        yield _one(due)


def _one(due: list[Chunk]) -> Chunk:
    return Chunk(due[0].after, b"".join(chunk.content for chunk in due), sum(chunk.events for chunk in due))
