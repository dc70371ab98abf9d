"""Lines of JSON that say by their tag which message they are: one grammar, the same for both ends of a pipe. Pure.

A contract names its messages, its error and its words; how a line is written and read stands here. Must not know any message.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

_WRITE: Final = msgspec.json.Encoder().encode
_M = TypeVar("_M")


class Message(Struct, frozen=True, gc=False, kw_only=True, tag_field="line", omit_defaults=True):
    """What all messages have in common: the tag ``line``; a field that is as usual is left out."""


class Grammar(Generic[_M]):
    """The lines of one direction: any of ``messages``, a union; ``what`` is what such a line is called.

    ``error`` is raised for whatever is none; ``limit`` is the most bytes of one that is written, its newline included.
    """

    def __init__(self, messages: Any, what: str, error: type[ValueError], limit: int | None = None) -> None:
        self._decoder: msgspec.json.Decoder[_M] = msgspec.json.Decoder(messages)
        self._what = what
        self._error = error
        self._limit = limit

    def write(self, message: _M) -> bytes:
        """Write a line, newline included.

        Raises:
            ValueError: as ``error``; it is longer than the limit, or holds what is no text.

        """
        try:
            raw = _WRITE(message) + b"\n"
        except UnicodeError as error:
            raise self._error(f"a {type(message).__name__} that cannot be written: {error}") from error
        if self._limit is not None and len(raw) > self._limit:
            raise self._error(f"a {type(message).__name__} of {len(raw)} bytes: a line holds {self._limit}")
        return raw

    def read(self, raw: bytes | str) -> _M:
        """Read a line, with or without its newline.

        Raises:
            ValueError: as ``error``; it is none of the messages, and the text names the field.

        """
        try:
            return self._decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise self._error(f"not {self._what}: {error}") from error
