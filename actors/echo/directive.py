r"""The directives that a prompt can carry, and their grammar. Pure.

::

    directive = "[echo" *( spaces pair ) [ spaces ] "]"
    pair      = name [ "=" value ]                  ; a name alone is a flag
    value     = 1*( any character but spaces, ", [ and ] )  /  quoted
    quoted    = DQUOTE *( any character / "\" any ) DQUOTE  ; \" and \\ stand for themselves, \n is a line feed

Names (``actors.echo.mode`` holds their bounds):

=====================  ========================================================================================
``say=TEXT``           reply with this text; ``words=N`` N words, ``bytes=N`` exactly N bytes; else the prompt is echoed
``deltas=N``           the text in exactly N pieces (alone: N words); ``0`` is a reply without any output
``pace=50ms``          pause before each piece; ``wait=1s`` pause before the head
``tool=COMMAND``       call the agent's shell tool, answer when its output comes back
``call=NAME``          call any of its functions so, with ``arguments=JSON`` and ``namespace=`` if it has one
``status=503``         that status with an error body (``message= code= type=``), or ``body=TEXT`` word for word
``header="n: v"``      an extra response header, may be repeated; ``retry-after=2`` is short for one
``cut=K``              close the connection after K events, the HTTP message unfinished; ``reset=K`` with a TCP reset
``end=K``              end the HTTP message properly after K events; ``silence=K`` send nothing more, stay connected
``garbage=K``          bytes that are no event after K events. In place of K each of the five takes ``head``: before it
``failed=CODE``        end with the dialect's failure (``message=``); ``error=CODE`` with its error event
``incomplete=REASON``  end as incomplete
``model=NAME``         the served model's name
``input= cached=``     token counts to report, likewise ``output= reasoning=``; ``usage=no`` reports none
``split=N``            write in pieces of N bytes; ``join`` writes everything that is due at once in one piece
=====================  ========================================================================================

Several directives in one prompt are for the model requests of that turn in order: the first request, the one that
brings the first tool's output, and so on; the last one goes on being used, then without its tool call.
"""

from __future__ import annotations

from dataclasses import replace

from actors.echo.mode import ECHO, Mode, ModeError, build_mode
from actors.echo.plan import Asked

_OPENING = "[echo"
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def read_directives(text: str) -> tuple[str, tuple[Mode, ...]]:
    """Return the text without its directives, and the modes in order.

    Raises:
        ModeError: a directive that is not closed or cannot be played.

    """
    rest: list[str] = []
    modes: list[Mode] = []
    at = 0
    while (start := _find(text, at)) >= 0:
        rest.append(text[at:start])
        pairs, at = _pairs(text, start)
        try:
            modes.append(build_mode(pairs))
        except ModeError as error:
            raise ModeError(f"{text[start:at]}: {error}") from error
    rest.append(text[at:])
    return " ".join(part for part in (each.strip() for each in rest) if part), tuple(modes)


def obey_directives(asked: Asked) -> tuple[Asked, tuple[Mode, ...]]:
    """Return a request with the directives taken out of its text, and the modes they ask for.

    Titles and compactions repeat what was prompted elsewhere, so directives in them are taken out and not obeyed.

    Raises:
        ModeError: a directive of a turn that is not closed or cannot be played.

    """
    try:
        text, modes = read_directives(asked.text)
    except ModeError:
        if asked.kind == "turn":
            raise
        return asked, ()
    return replace(asked, text=text), modes if asked.kind == "turn" else ()


def parse_mode(text: str) -> Mode:
    """Read a mode written like the inside of a directive: ``status=503 retry-after=2``.

    Raises:
        ModeError: it cannot be read or played.

    """
    pairs, end = _pairs(f"{_OPENING} {text}]", 0)
    if end != len(text) + len(_OPENING) + 2:
        raise ModeError(f"a ']' inside {text!r} must be quoted")
    return build_mode(pairs)


def mode_of_request(modes: tuple[Mode, ...], answered: int) -> Mode:
    """Choose the mode of one request of a turn; ``answered`` is how many tool outputs the turn holds already."""
    if not modes:
        return ECHO
    if answered < len(modes):
        return modes[answered]
    return replace(modes[-1], tool=None, call=None)


def _find(text: str, at: int) -> int:
    while (start := text.find(_OPENING, at)) >= 0:
        after = text[start + len(_OPENING) : start + len(_OPENING) + 1]
        if after == "]" or after.isspace():
            return start
        at = start + 1
    return -1


def _pairs(text: str, start: int) -> tuple[list[tuple[str, str]], int]:
    """Read one directive; return its pairs and the index after its closing bracket."""
    pairs: list[tuple[str, str]] = []
    at = start + len(_OPENING)
    while at < len(text):
        if text[at] == "]":
            return pairs, at + 1
        if text[at].isspace():
            at += 1
            continue
        begun = at
        name, at = _bare(text, at, stop="=")
        if not name:
            raise ModeError(f"{text[start : at + 1]}: expected a name before {text[begun]!r}")
        value = ""
        if text[at : at + 1] == "=":
            value, at = _quoted(text, at + 2) if text[at + 1 : at + 2] == '"' else _bare(text, at + 1)
            if not value and text[at - 1] != '"':
                raise ModeError(f'{text[start:at]}: {name}= has no value; write {name}="" for an empty one')
        pairs.append((name, value))
    raise ModeError(f"{text[start : start + 60]!r}: the directive is not closed with ']'")


def _bare(text: str, at: int, stop: str = "") -> tuple[str, int]:
    end = at
    while end < len(text) and not text[end].isspace() and text[end] not in f'"[]{stop}':
        end += 1
    return text[at:end], end


def _quoted(text: str, at: int) -> tuple[str, int]:
    value: list[str] = []
    while at < len(text):
        if text[at] == '"':
            return "".join(value), at + 1
        if text[at] == "\\" and at + 1 < len(text):
            value.append(_ESCAPES.get(text[at + 1], text[at : at + 2]))
            at += 2
        else:
            value.append(text[at])
            at += 1
    raise ModeError("a quoted value is not closed")
