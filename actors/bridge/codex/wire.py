"""The frame of Codex's app-server protocol: lines of JSON that ask, answer or tell; a JSON-RPC without its version. Pure.

Tried with Codex 0.169.0: it writes ``method`` first, then ``id``, then ``params``; an answer begins with its ``id``. That order
is all that is left to go by where a line was too long to be taken (``read_head``).

Must not know what any method means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

NO_SUCH_METHOD: Final = -32601
REFUSED: Final = -32000
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(dict[str, Any]).decode
_ANSWER_HEAD: Final = re.compile(rb'\{"id":(\d{1,18}),')
_METHOD_HEAD: Final = re.compile(rb'\{"method":"([A-Za-z/]{1,100})"(?:,"id":(\d{1,18}|"[ -!#-\[\]-~]{1,200}"))?,"params":\{')
_THREAD: Final = re.compile(rb'"threadId":"([0-9A-Za-z-]{1,100})"')

RequestId = int | str


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request of ours."""

    id: RequestId
    result: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """A request of ours was refused, in Codex's words."""

    id: RequestId
    message: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """Codex asks, and waits for an answer to this id."""

    id: RequestId
    method: str
    params: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """Codex tells something."""

    method: str
    params: Mapping[str, Any] = field(repr=False)


Message = Answered | Refused | Asked | Told


def read_line(line: bytes) -> Message | None:
    """Read a line; None when it is not of the protocol."""
    try:
        frame = _DECODE(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    method, name = frame.get("method"), frame.get("id")
    if isinstance(method, str) and name is None:
        return Told(method, table(frame, "params"))
    if not isinstance(name, int | str) or isinstance(name, bool):
        return None
    if isinstance(method, str):
        return Asked(name, method, table(frame, "params"))
    if "error" in frame:
        return Refused(name, text(table(frame, "error"), "message") or "it gave no reason")
    return Answered(name, table(frame, "result"))


def read_head(head: bytes) -> Message | None:
    """Read what the beginning of a line tells of it: whose answer it is, or what is asked or told, and of which thread."""
    if answer := _ANSWER_HEAD.match(head):
        return Refused(int(answer[1]), "its answer was too long to be read")
    opening = _METHOD_HEAD.match(head)
    if opening is None:
        return None
    thread = _THREAD.search(head, opening.end(), opening.end() + 200)
    params = {"threadId": thread[1].decode()} if thread else {}
    method = opening[1].decode()
    if opening[2] is None:
        return Told(method, params)
    name = opening[2].decode()
    return Asked(name[1:-1] if name.startswith('"') else int(name), method, params)


def request(number: int, method: str, params: Mapping[str, Any]) -> bytes:
    """Write a request."""
    return _ENCODE({"id": number, "method": method, "params": params}) + b"\n"


def notification(method: str) -> bytes:
    """Write a notification."""
    return _ENCODE({"method": method}) + b"\n"


def answer(name: RequestId, result: Mapping[str, Any]) -> bytes:
    """Write the answer to a request of Codex."""
    return _ENCODE({"id": name, "result": result}) + b"\n"


def refusal(name: RequestId, code: int, message: str) -> bytes:
    """Write that a request of Codex is not granted."""
    return _ENCODE({"id": name, "error": {"code": code, "message": message}}) + b"\n"


def text(of: Mapping[str, Any], name: str) -> str:
    """Return a field that is a text; nothing when it is none."""
    value = of.get(name)
    return value if isinstance(value, str) else ""


def table(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a field that is an object; an empty one when it is none."""
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def rows(of: Mapping[str, Any], name: str) -> list[Any]:
    """Return a field that is a list; an empty one when it is none."""
    value = of.get(name)
    return value if isinstance(value, list) else []


def count(of: Mapping[str, Any], name: str) -> int:
    """Return a field that is a number of things; 0 when it is none."""
    value = of.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def written(value: Any) -> str:
    """Write a value as JSON for people to read."""
    return _ENCODE(value).decode()
