"""The lines between a supervisor and an actor: pure grammar, the same for both ends.

Theory of operation
-------------------
Down the actor's stdin goes one line, a ``Bootstrap`` as JSON, and then nothing; the pipe is held open, and its end means
*stop*. Up the actor's stdout come lines of a closed grammar, each at most ``MAX_LINE`` bytes with its newline, so that
one write to a pipe is one line (POSIX: a write of up to PIPE_BUF bytes is atomic):

    READY {"…": …}                        it works; facts about itself, such as the addresses it listens at
    BEAT                                  its event loop turns; every ``BEAT_INTERVAL`` seconds
    STATUS {"state": …, "note": …}        "ready" or "degraded", or "failed" with the reason, just before it exits
    STOPPING                              it knows that it should stop

stderr carries logs, one JSON object a line. Exit codes stand in ``actors.runtime.exits``.

Must not know: pipes, processes, clocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from schemas.codec import InvalidMessageError, convert, decode, parse

BEAT_INTERVAL: Final = 0.3
MAX_LINE: Final = 4096
MAX_NOTE: Final = 1000
MAX_BOOTSTRAP: Final = 1 << 20
ELSEWHERE: Final = " from elsewhere"  # behind an actor's name, for its address that other computers call

StatusState = Literal["ready", "degraded", "failed"]


class ContractError(ValueError):
    """A line that is not of the contract; the message says which and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One moment on two clocks, in nanoseconds: the time of day, and the steady clock that nobody sets (``runtime.clock``)."""

    wall: int
    steady: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """All that an actor is given: who it is, where its files are, its key pair on the bus, and settings of its own kind.

    ``anchor`` is the run's clock; without one an actor takes its own.
    """

    actor: str
    incarnation: str
    config_file: str
    state: str
    public_key: str
    secret_key: str = field(repr=False)
    anchor: Anchor | None = None
    settings: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Ready:
    """The actor works; ``facts`` is what it says of itself."""

    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beat:
    """The actor's event loop turns."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the actor does; ``note`` is one sentence for people."""

    state: StatusState
    note: str = ""


@dataclass(frozen=True, slots=True)
class Stopping:
    """The actor knows that it should stop."""


Line = Ready | Beat | Status | Stopping


def encode_bootstrap(bootstrap: Bootstrap) -> bytes:
    """Write a bootstrap as the one line that it is."""
    return orjson.dumps(bootstrap) + b"\n"


def decode_bootstrap(raw: bytes) -> Bootstrap:
    """Read a bootstrap line.

    Raises:
        ContractError: not a bootstrap; the message names the field.

    """
    try:
        return decode(raw, Bootstrap)
    except InvalidMessageError as error:
        raise ContractError(
            f"the first line on stdin is not a bootstrap: {error} (actors are started by `tabwire up`, not by hand)"
        ) from error


def encode_line(line: Line) -> bytes:
    """Write a line, newline included.

    Raises:
        ContractError: the facts of a READY are longer than a line may be (a note is cut instead, visibly).

    """
    match line:
        case Beat():
            return b"BEAT\n"
        case Stopping():
            return b"STOPPING\n"
        case Status(state, note):
            return b"STATUS " + orjson.dumps({"state": state, "note": _shortened(note)}) + b"\n"
        case Ready(facts):
            raw = b"READY " + orjson.dumps(facts) + b"\n"
            if len(raw) > MAX_LINE:
                raise ContractError(f"READY with {len(raw)} bytes of facts: a line holds {MAX_LINE}")
            return raw


def decode_line(raw: bytes) -> Line:
    """Read a line, with or without its newline.

    Raises:
        ContractError: none of the four.

    """
    word, _, rest = raw.rstrip(b"\r\n").partition(b" ")
    try:
        if word == b"BEAT" and not rest:
            return Beat()
        if word == b"STOPPING" and not rest:
            return Stopping()
        if word == b"STATUS":
            return decode(rest, Status)
        if word == b"READY":
            return Ready(convert(parse(rest), dict[str, Any]))
    except InvalidMessageError as error:
        raise ContractError(f"{word.decode(errors='replace')}: {error}") from error
    raise ContractError(f"not a line of the actor contract: {raw[:80]!r}")


def _shortened(note: str) -> str:
    """Cut a note so that its line stays within ``MAX_LINE`` even if every character takes four bytes or an escape."""
    flat = " ".join(note.split())
    while len(orjson.dumps(flat)) > MAX_LINE - 100 or len(flat) > MAX_NOTE:
        flat = flat[: min(MAX_NOTE, len(flat) * 3 // 4) - 1] + "…"
    return flat
