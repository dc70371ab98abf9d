"""Where words go: data to stdout, messages to stderr; colour only on a terminal that wants it.

Owns the consoles. Everything that people see passes through ``printable``, in here or before.
"""

from __future__ import annotations

import shutil
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from actors.cli.failures import CLOSED_PIPE, CommandFailedError
from actors.cli.text import printable
from schemas.codec import encode

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def say(message: str) -> None:
    """Tell people something on stderr, one line."""
    print(f"tabwire: {printable(message)}", file=sys.stderr)


def show(line: str = "") -> None:
    """Print a line of data, at once: whoever reads it through a pipe may be waiting for it."""
    write_line(printable(line).encode(errors="backslashreplace"))


def show_json(value: Any) -> None:
    """Print a value of ``schemas`` as one JSON document on one line (indented for a person at a terminal)."""
    write_line(encode(value, indent=2 if sys.stdout.isatty() else 0))


def write_line(raw: bytes) -> None:
    """Print bytes and a newline, at once.

    Raises:
        CommandFailedError: the reader has left, which is its right: nothing is said.

    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(raw + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise CommandFailedError("", CLOSED_PIPE) from None


def line_width() -> int | None:
    """Return how much a line may hold: the terminal's width, and no limit elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def draw(picture: RenderableType) -> None:
    """Print a table or the like; elsewhere than on a terminal without the blanks that fill its lines."""
    if sys.stdout.isatty():
        console().print(picture)
        return
    with console().capture() as drawn:
        console().print(picture)
    for line in drawn.get().splitlines():
        show(line.rstrip())


@cache
def console() -> Console:
    """Return the console of stdout; rich knows NO_COLOR, TERM=dumb and the absence of a terminal."""
    from rich.console import Console  # noqa: PLC0415 - `run` and `--json` do without rich

    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    return Console(highlight=False, markup=False, emoji=False, width=10_000, soft_wrap=False)
