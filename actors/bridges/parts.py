"""Messages that come in parts, until they are whole: bounded, in order, forgotten when the rest does not come. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bus.errors import RefusedError
from schemas.commands import SendMessage

MAX_LENGTH: Final = 2_097_152
MAX_UNFINISHED: Final = 64
SECONDS: Final = 60.0


@dataclass(slots=True)
class _Unfinished:
    of: int
    last: float
    texts: list[str] = field(default_factory=list)


class Parts:
    """What has come so far of the messages of all sessions."""

    def __init__(self) -> None:
        self._unfinished: dict[tuple[str, str], _Unfinished] = {}

    def take(self, launch: str, command: SendMessage, now: float) -> str | None:
        """Take a part; return the whole text with its last one, None before. The part before may come once more.

        Raises:
            RefusedError: it is not the next part, the whole is too long, or too many messages are unfinished.

        """
        if not 1 <= command.part <= command.of:
            raise RefusedError("invalid", f"part {command.part} of {command.of}: parts are numbered from 1")
        if command.of == 1:
            return _bounded(command.text)
        for key, one in tuple(self._unfinished.items()):
            if now - one.last > SECONDS:
                del self._unfinished[key]
        key = (launch, command.message)
        if command.part == 1:
            if key not in self._unfinished and len(self._unfinished) >= MAX_UNFINISHED:
                raise RefusedError("busy", f"{MAX_UNFINISHED} messages are waiting for their other parts")
            self._unfinished[key] = _Unfinished(command.of, now)
        found = self._unfinished.get(key)
        if found is None or found.of != command.of or command.part not in (len(found.texts), len(found.texts) + 1):
            came = 0 if found is None else len(found.texts)
            raise RefusedError("invalid", f"part {command.part} of {command.of} of {command.message!r}: {came} came so far")
        found.last = now
        found.texts[command.part - 1 :] = [command.text]
        try:
            whole = _bounded("".join(found.texts))
        except RefusedError:
            del self._unfinished[key]
            raise
        if command.part < command.of:
            return None
        del self._unfinished[key]
        return whole


def _bounded(text: str) -> str:
    if not text:
        raise RefusedError("invalid", "a message without text")
    if len(text) > MAX_LENGTH:
        raise RefusedError("too_large", f"a message of {len(text)} characters: one holds {MAX_LENGTH}")
    return text
