"""What a program writes to a terminal, with only that left in which changes what stands on the screen.

Programs ask terminals for much that changes no letter: colours, shapes of the cursor, protocols of keyboards, links, pictures.
Of these pyte knows few and takes some for text, so they end here, whatever they hold and however they are cut into pieces. What
stays is text, the single controls that move, and the few sequences that pyte understands. Nothing that a program can write
raises, and of a string that never ends no more than ``MAX_HELD`` is held.

Pure but for what it holds between two pieces. Must not know screens.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

MAX_HELD: Final = 65_536
MAX_TITLE: Final = 200
_SEQUENCE: Final = re.compile(
    r"\x1b(?:"
    r"\[(?P<csi>[0-?]*[ -/]*[@-~])"
    r"|\](?P<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    r"|[PX^_][^\x1b]*\x1b\\"
    r"|(?P<single>[78DEMHc])"
    r"|[ -/]+[0-~]"
    r"|[0-OQ-WYZ`-~\\])"
)
_BEGUN: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?")
_KEPT: Final = re.compile(
    r"[0-9]*[@ABCDEFGILMPSTXabcden`]|[su]|[0-9]*(;[0-9]*)?[Hfr]|[0-3]?[JK]|[03]?g|[0-9;]*[hl]|\?[0-9;]*[hl]"
)
_NOT_TEXT: Final = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_MOST_DIGITS: Final = 32


class Sieve:
    """One program's output, piece by piece."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._inside = False
        self.title = ""

    def feed(self, raw: bytes) -> str:
        """Take a piece; return what of all that is complete changes the screen."""
        text = self._held + self._decoder.decode(raw)
        self._held = ""
        if self._inside:
            text = self._behind_the_string(text)
        return "".join(self._kept(text))

    def _kept(self, text: str) -> Iterator[str]:
        place = 0
        while (start := text.find("\x1b", place)) >= 0:
            yield _NOT_TEXT.sub("", text[place:start])
            found = _SEQUENCE.match(text, start)
            if found is not None:
                yield self._sequence(found)
                place = found.end()
            elif (begun := _BEGUN.fullmatch(text, start)) is not None:
                self._hold(begun[0])
                return
            else:
                place = start + 1  # a broken one: what follows is read as if it were not there
        yield _NOT_TEXT.sub("", text[place:])

    def _sequence(self, found: re.Match[str]) -> str:
        if found["single"] is not None:
            return found[0]
        if (csi := found["csi"]) is not None:
            return f"\x1b[{csi}" if len(csi) <= _MOST_DIGITS and _KEPT.fullmatch(csi) else ""
        if (osc := found["osc"]) is not None:
            number, parted, title = osc.partition(";")
            if parted and number in ("0", "2"):
                self.title = "".join(one for one in title[:MAX_TITLE] if one.isprintable())
        return ""

    def _hold(self, begun: str) -> None:
        """Keep the beginning of a sequence; of a string that is too long only that it goes on."""
        if len(begun) <= MAX_HELD:
            self._held = begun
        else:
            self._inside = begun[1:2] in tuple("]PX^_")
            self._held = "\x1b" if self._inside and begun.endswith("\x1b") else ""

    def _behind_the_string(self, text: str) -> str:
        ends = [place for mark in ("\x07", "\x1b\\") if (place := text.find(mark)) >= 0]
        if not ends:
            self._held = "\x1b" if text.endswith("\x1b") else ""
            return ""
        self._inside = False
        end = min(ends)
        return text[end + (1 if text[end] == "\x07" else 2) :]
