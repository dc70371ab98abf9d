"""What is declared of an agent that has nothing but a terminal: how it is started, and what its screen means.

Every pattern is a regular expression (Python's ``re``, searched), of one row of the screen without blanks at its end; only a
question's and an opening's are of the whole screen, rows joined by newlines, in which ``^`` and ``$`` mean rows. Keys are as
in ``schemas.keys``. Must not know terminals, nor any agent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Window = Literal["pty", "tmux"]
Pause = Annotated[float, Meta(ge=0.05, le=60)]


class Question(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the agent asks, and the keys that answer it: once yes, from now on, no. Nobody's answer is ``no``."""

    pattern: str
    yes: str
    no: str
    always: str = ""
    tool: str = "tool"


class Opening(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A screen that stands before the first prompt, and the keys that lead on from it."""

    pattern: str
    keys: str


class Terminal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An agent with nothing but a terminal.

    ``ready`` is its prompt, with nothing typed; ``busy`` a row that is there as long as it works; ``end`` one that only a
    finished turn leaves. ``reply`` is where a reply's first row begins; without it a reply is what stands below the row that
    was typed. ``marker``: a word of ours is put behind each message where neither tells, and never shown. ``leave_out`` are
    rows that are no part of a reply. A turn has ended when ``ready`` is there, ``busy`` is not, and for ``settle_seconds``
    nothing changed; when ``busy`` was not seen at all, not before ``start_seconds`` have passed. ``enter_seconds`` lie
    between a text and its Enter; ``newline`` are the keys for the end of a line that sends nothing.

    ``environ`` may name the gateway: ``{openai}`` (with ``/v1``), ``{anthropic}``, ``{gemini}``, ``{key}`` (a placeholder,
    set only where there is no key).
    Without any of these it is told as ``tabwire run`` tells the program.
    """

    program: str
    ready: str
    arguments: tuple[str, ...] = ()
    environ: dict[str, str] = {}
    model: tuple[str, ...] = ()
    window: Window = "pty"
    socket: str = ""
    columns: Annotated[int, Meta(ge=20, le=500)] = 160
    rows: Annotated[int, Meta(ge=5, le=200)] = 48
    busy: str = ""
    end: str = ""
    reply: str = ""
    marker: bool = False
    leave_out: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    openings: tuple[Opening, ...] = ()
    interrupt: str = "C-c"
    newline: str = ""
    clear: str = ""
    quit: str = ""
    settle_seconds: Pause = 0.6
    start_seconds: Pause = 3.0
    enter_seconds: Pause = 0.15
    greeting_seconds: Annotated[float, Meta(ge=1, le=600)] = 60.0
