"""What reading a transcript line by line needs and gives, whichever agent wrote it: pure.

A dialect is a function ``read(thread, place, line, end)`` that returns the thread as it stands after the line and the facts
that the line told, or raises ``RejectedError``. It takes a line's metadata by typed decoding, so what is not named in a
type (what was typed, what was answered, instructions) is skipped over and never becomes a value.

Must not know files, nor any dialect.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from schemas.events import (
    TranscriptLineRejected,
    TranscriptQuotaObserved,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.evidence import Line, Word

Fact = (
    TranscriptSeen
    | TranscriptTurnStarted
    | TranscriptTurnEnded
    | TranscriptUsageRecorded
    | TranscriptQuotaObserved
    | TranscriptSettingsChanged
    | TranscriptLineRejected
)
Outcome = Literal["completed", "aborted", "failed"]
Id = Annotated[str, Meta(max_length=200)]
Path = Annotated[str, Meta(max_length=4096)]
Tokens = Annotated[int, Meta(ge=0, le=1 << 53)]

_FIRST_YEAR: Final = 2020
_LAST_YEAR: Final = 2100
_MAX_TIME: Final = 40
_MAX_WORD: Final = 64
_MAX_TAG: Final = 4096
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)


class RejectedError(ValueError):
    """A line cannot be read. The reason never quotes it."""


class Place(Struct, frozen=True, kw_only=True):
    """The file that lines come from: its path, its name by content, and what its path says of it."""

    path: str
    file: str
    thread: str
    session: str = ""
    subagent: bool = False
    archived: bool = False


class Spot(Struct, frozen=True, kw_only=True):
    """One line: its file, the offset of its end, its time, and its number where lines have one."""

    place: Place
    end: int
    timestamp: str = ""
    ordinal: int | None = None


class Settings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for the next turn, as far as the file told."""

    agent_provider: str = ""
    model: str | None = None
    cwd: str | None = None
    approval_policy: str = ""
    sandbox: str = ""


class Held(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A response whose usage is not final yet."""

    request: str
    response: str
    usage: Usage
    model: str | None = None


class Limit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A quota window as it was told last; ``resets`` in seconds of Unix time, 0 when it was not told."""

    name: str
    minutes: int = 0
    used: float = 0.0
    resets: int = 0


class Thread(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has been read of a file so far, as much as the meaning of its next line depends on.

    ``session`` and ``thread`` are empty until the file has said whose it is; ``refused``: it cannot say so any more.
    ``turn`` is the turn that runs, ``prompt`` the last message that may begin one. ``records``: each response's usage is
    recorded by its id, so running totals (``total``, the last one) say nothing new. ``last_request`` is the request whose
    usage was told last, ``limits`` are the quota windows that were told. ``rejected`` and ``ignored`` count lines.
    """

    session: str = ""
    thread: str = ""
    created: str = ""
    turn: str = ""
    prompt: str = ""
    settings: Settings = Settings()
    told: Settings | None = None
    records: bool = False
    total: int = 0
    held: Held | None = None
    last_request: str = ""
    limits: tuple[Limit, ...] = ()
    refused: bool = False
    rejected: int = 0
    ignored: int = 0


Told = tuple[Thread, tuple[Fact, ...]]
"""The thread as it stands after a line, and what that line told."""


class _Tag(Struct):
    type: str | None = None
    mode: str | None = None


_TEXT: Final = msgspec.json.Decoder(str)
_TAG: Final = msgspec.json.Decoder(_Tag)
_KEYS: Final = msgspec.json.Decoder(dict[str, Raw])


def decoded(decoder: msgspec.json.Decoder[Any], raw: bytes | Raw) -> Any:
    """Read JSON as a type.

    Raises:
        RejectedError: it is not JSON, nests too deeply, or a value is missing, of a wrong type or too large.

    """
    try:
        return decoder.decode(raw)
    except _UNDECODABLE as error:  # msgspec names fields and types, never values
        raise RejectedError(f"{'nested too deeply' if isinstance(error, RecursionError) else error}"[:300]) from None


def moment(text: str) -> str:
    """Check a time.

    Raises:
        RejectedError: it is none, or one before agents existed, or far in the future.

    """
    try:
        year = datetime.fromisoformat(text).year if len(text) <= _MAX_TIME else 0
    except ValueError:
        year = 0
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise RejectedError("its timestamp is not a time that can be believed")
    return text


def word(raw: Raw) -> str:
    """Read a choice that is written as a word, as an object with a ``type`` or ``mode``, or as an object with one key.

    Raises:
        RejectedError: it is none of these, or longer than a word.

    """
    text = bytes(raw)
    if not text or text == b"null":
        return ""
    if len(text) > _MAX_TAG:
        raise RejectedError("a choice is longer than any word")
    if text[:1] == b'"':
        found: str = decoded(_TEXT, raw)
    elif text[:1] == b"{":
        tag = decoded(_TAG, raw)
        found = tag.type or tag.mode or next(iter(decoded(_KEYS, raw)), "")
    else:
        raise RejectedError("a choice is neither a word nor an object")
    if len(found) > _MAX_WORD or not found.isprintable():
        raise RejectedError("a choice is longer than any word")
    return found


def printable(text: str, what: str) -> str:
    """Let text through that can be shown.

    Raises:
        RejectedError: it has control characters.

    """
    if text and not text.isprintable():
        raise RejectedError(f"its {what} has control characters")
    return text


__all__ = [
    "Fact",
    "Held",
    "Id",
    "Limit",
    "Line",
    "Path",
    "Place",
    "RejectedError",
    "Settings",
    "Spot",
    "Thread",
    "Tokens",
    "Word",
]
