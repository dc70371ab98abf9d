"""What can go wrong between an actor and the bus, as exceptions; ``bus.client`` gives them to the rest of the product.

Must not know sockets or storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BusError(Exception):
    """Anything that the bus did not do; the message says what, where and what to do."""


class BusUnavailableError(BusError):
    """There is no broker to talk to: never was, stopped answering, or went silent. An actor ends with exit code 75."""


class RefusedError(BusError):
    """The broker, or the actor a command was for, refused; ``code`` is for programs and ``message`` for people.

    Of a publication that was refused in part, ``refused`` tells which events, and all others are recorded.
    """

    def __init__(self, code: str, message: str, refused: Sequence[Refusal] = ()) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.refused = tuple(refused)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one event of a publication was not recorded; ``index`` is its place in the publication, from 0."""

    index: int
    code: str
    message: str
