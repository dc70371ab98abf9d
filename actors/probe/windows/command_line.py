r"""How Windows programs split their command line: the rules of Microsoft's C run-time, which Rust and Go follow. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def split(line: str) -> tuple[str, ...]:
    r"""Split a command line as programs do.

    The program ends at a blank or is quoted, without escapes. In arguments ``\`` escapes only before a quote, and a doubled
    quote within quotes is one.
    """
    if not line:
        return ()
    if line.startswith('"'):
        program, _, rest = line[1:].partition('"')
    else:
        ends = [at for at in (line.find(" "), line.find("\t")) if at >= 0]
        end = min(ends, default=len(line))
        program, rest = line[:end], line[end:]
    return (program, *_arguments(rest))


def _arguments(rest: str) -> Iterator[str]:
    word: list[str] = []
    begun = quoted = False
    at = 0
    while at < len(rest):
        slashes = 0
        while at < len(rest) and rest[at] == "\\":
            slashes += 1
            at += 1
        character = rest[at : at + 1]
        at += 1
        begun = begun or slashes > 0 or character not in ("", " ", "\t")
        if character == '"':
            word.append("\\" * (slashes // 2))
            if slashes % 2:
                word.append('"')
            elif quoted and rest[at : at + 1] == '"':
                word.append('"')
                at += 1
            else:
                quoted = not quoted
            continue
        word.append("\\" * slashes)
        if character in (" ", "\t") and not quoted:
            if begun:
                yield "".join(word)
            word, begun = [], False
        else:
            word.append(character)
    if begun:
        yield "".join(word)
