r"""The lines of Claude Code's stream-json, both ways: pure grammar.

Theory of operation
-------------------
A line is read in two steps: what it is (``Head``), then only those fields that are used, by a type for that kind of line.
Fields that nobody uses may be of any type or missing, so that a newer Claude Code is understood as long as it can be. What
cannot be read is ``None``: the caller says so and goes on.

JSON may spell halves of characters (``\ud800``), which are no Unicode; they become a mark before such a line is read. What is
asked of a tool stays as the bytes that Claude Code wrote (``Raw``) and goes back to it unchanged.

Must not know what any of it means for a conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Raw, Struct, field

_NOTHING: Final = Raw(b"null")
_ANY: Final[Any] = Any
_PAIR: Final = rb"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rb"\\(?:" + _PAIR + rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)
_S = TypeVar("_S")


class Head(Struct):
    """What a line is."""

    type: str
    subtype: str | None = None


class Init(Struct):
    """``system/init``: at the start of each turn."""

    session_id: str = ""
    model: str = ""
    mode: str = field(default="", name="permissionMode")
    version: str = field(default="", name="claude_code_version")


class Status(Struct):
    """``system/status``: a request begins, or the mode changed."""

    status: str | None = None
    mode: str | None = field(default=None, name="permissionMode")
    uuid: str | None = None


class Retry(Struct):
    """``system/api_retry``: a request failed and is sent again."""

    attempt: int = 0
    max_retries: int = 0
    retry_delay_ms: float = 0
    error_status: int | None = None


class Compaction(Struct):
    """What ``system/compact_boundary`` says of itself."""

    pre_tokens: int = 0
    post_tokens: int = 0


class Compacted(Struct):
    """``system/compact_boundary``."""

    metadata: Compaction | None = field(default=None, name="compact_metadata")


class Informed(Struct):
    """``system/informational``: a sentence for people."""

    content: str = ""


class ThinkingTokens(Struct):
    """The part of the output that was thought."""

    thinking_tokens: int | None = None


class Tokens(Struct):
    """The usage of one message, or of a whole turn."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    output_tokens_details: ThinkingTokens | None = None


class Block(Struct):
    """One block of a message's content."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = _NOTHING
    tool_use_id: str | None = None
    content: Raw = _NOTHING
    is_error: bool | None = None


class Message(Struct):
    """A message of the API."""

    id: str | None = None
    model: str | None = None
    content: str | list[Block] = ""
    usage: Tokens | None = None


class Said(Struct):
    """``assistant`` and ``user``: a message, complete. ``parent_tool_use_id`` names the tool whose sub-agent said it."""

    message: Message
    parent_tool_use_id: str | None = None
    is_api_error_message: bool | None = None
    uuid: str | None = None
    tool_use_result: Raw = _NOTHING


class Delta(Struct):
    """More of a block."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class Event(Struct):
    """One event of the API's stream."""

    type: str
    index: int | None = None
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Tokens | None = None


class Streamed(Struct):
    """``stream_event``."""

    event: Event
    parent_tool_use_id: str | None = None
    uuid: str | None = None


class Origin(Struct):
    """Why a turn ran that nobody asked for."""

    kind: str | None = None


class Result(Struct):
    """``result``: a turn has ended."""

    subtype: str | None = None
    session_id: str = ""
    is_error: bool | None = None
    result: str | None = None
    errors: list[str] | None = None
    terminal_reason: str | None = None
    api_error_status: int | None = None
    local_command: str | None = None
    origin: Origin | None = None
    user_message_uuid: str | None = None
    user_message_uuids: list[str] | None = None
    usage: Tokens | None = None

    @property
    def messages(self) -> frozenset[str]:
        """Return the uuids of the messages that it answers."""
        return frozenset((*(self.user_message_uuids or ()), *((self.user_message_uuid,) if self.user_message_uuid else ())))


class Lifecycle(Struct):
    """``command_lifecycle``: what became of a message that was given with a uuid."""

    command_uuid: str = ""
    state: str = ""
    session_id: str = ""


class Permission(Struct):
    """What a ``control_request`` of Claude Code's asks; ``subtype`` is ``can_use_tool`` when it wants to be allowed a tool."""

    subtype: str = ""
    tool_name: str = ""
    display_name: str | None = None
    description: str | None = None
    decision_reason: str | None = None
    input: Raw = _NOTHING
    suggestions: Raw = field(default=_NOTHING, name="permission_suggestions")


class Asked(Struct):
    """``control_request``."""

    request_id: str
    request: Permission


class AskedId(Struct):
    """``control_request`` of a form that is not known, and ``control_cancel_request``."""

    request_id: str


class Answer(Struct):
    """What came of a request of ours."""

    request_id: str
    subtype: str = ""
    error: str | None = None
    response: Raw = _NOTHING


class Answered(Struct):
    """``control_response``."""

    response: Answer


class Model(Struct):
    """A model that can be chosen."""

    value: str = ""


class Greeting(Struct):
    """The answer to ``initialize``."""

    version: str = field(default="", name="claude_code_version")
    mode: str = field(default="", name="current_permission_mode")
    models: list[Model] | None = None


class Settled(Struct):
    """The answer to ``set_model`` and ``set_permission_mode``: what it is now."""

    model: str | None = None
    mode: str | None = None


def read(kind: type[_S], raw: bytes | Raw) -> _S | None:
    """Read a line, or a part of one; None when it is not of this kind."""
    decoder: msgspec.json.Decoder[_S] = _decoder(cast("Any", kind))
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    except RecursionError:
        return None
    try:
        return decoder.decode(_mended(bytes(raw)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def value(raw: Raw) -> Any:
    """Return what stands in a part that was left as it is; None when it cannot be read."""
    return read(_ANY, raw)


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _mended(raw: bytes) -> bytes:
    """Put a mark in the place of what is no Unicode: halves of characters, and bytes that are no UTF-8."""
    return _ESCAPE.sub(_whole, raw.decode(errors="replace").encode())


def _whole(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]


def line(document: Mapping[str, Any]) -> bytes:
    """Write a line. All of it is ASCII, so that any text can be in it, also one that is not Unicode."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def message(text: str, uuid: str) -> bytes:
    """Write a message of the user."""
    return line({"type": "user", "message": {"role": "user", "content": text}, "parent_tool_use_id": None, "uuid": uuid})


def request(name: str, subtype: str, **more: Any) -> bytes:
    """Write a request of ours."""
    return line({"type": "control_request", "request_id": name, "request": {"subtype": subtype, **more}})


def allow(name: str, input_: Raw, permissions: Raw | None = None) -> bytes:
    """Allow a tool with the very input that it was asked for, and perhaps more from then on."""
    more = b"" if permissions is None else b',"updatedPermissions":[' + bytes(permissions) + b"]"
    return _answer(name, b'{"behavior":"allow","updatedInput":' + bytes(input_) + more + b"}")


def deny(name: str, why: str) -> bytes:
    """Refuse a tool; the model reads why."""
    return _answer(name, json.dumps({"behavior": "deny", "message": why}).encode())


def refuse(name: str, why: str) -> bytes:
    """Tell Claude Code that what it asks of its host is not done here."""
    return line({"type": "control_response", "response": {"subtype": "error", "request_id": name, "error": why}})


def _answer(name: str, response: bytes) -> bytes:
    head = b'{"type":"control_response","response":{"subtype":"success","request_id":' + json.dumps(name).encode()
    return head + b',"response":' + response + b"}}\n"
