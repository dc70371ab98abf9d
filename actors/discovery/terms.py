"""What is read of agent processes, and what follows from it: the values between the reading and the deciding. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from actors.probe.contract import ProcessFacts
from schemas.events import ProcessSeen
from schemas.evidence import Evidence
from schemas.identity import ConversationKey, LaunchId, ProcessKey, SessionId


class Config(Struct, frozen=True):
    """A file that says where an agent sends its requests. ``text`` is None when there is none, or when it is not readable.

    ``newer``: it was changed after the process started, so that the process may have read something else.
    """

    path: str
    text: str | None = None
    newer: bool = False


class Head(Struct, frozen=True):
    """What the first line of a rollout says of itself: the thread, its root conversation, and its provider."""

    thread: str
    session: str
    provider: str = ""


class HeldFile(Struct, frozen=True):
    """A file that a process holds open; ``head`` of a rollout whose first line could be read."""

    path: str
    locked: bool | None = None
    written: bool | None = None
    head: Head | None = None


class Declared(Struct, frozen=True):
    """What Claude Code writes about its own process into ``sessions/<pid>.json``."""

    path: str
    pid: int
    started: str
    session: str


class Holding(Struct, frozen=True, kw_only=True):
    """A conversation that a process has, and everything that says so."""

    conversation: ConversationKey
    session: SessionId
    thread: str | None = None
    transcript: str | None = None
    evidence: tuple[Evidence, ...] = ()


class Holdings(Struct, frozen=True):
    """All conversations of a process; ``rejected`` are statements about it that are not believed."""

    found: tuple[Holding, ...] = ()
    rejected: tuple[Evidence, ...] = ()


class Reading(Struct, frozen=True, kw_only=True):
    """All that one look at a process found.

    ``above`` is the nearest agent above it. ``launch`` is the launch whose process it, or the wrapper around it, is.
    """

    facts: ProcessFacts
    started: str
    above: ProcessKey | None = None
    launch: LaunchId | None = None
    configs: tuple[Config, ...] = ()


class Files(Struct, frozen=True):
    """What of its agent's files a process holds or has written about itself.

    ``stored`` are the first lines of rollouts that lie in the folder, by thread, of threads that only a lock names.
    """

    held: tuple[HeldFile, ...] = ()
    stored: Mapping[str, Head] = {}
    declared: Declared | None = None


class Portrait(Struct, frozen=True):
    """What is known of one agent process now; ``holdings`` is None where they could not be looked at."""

    seen: ProcessSeen
    holdings: Holdings | None = None

    @property
    def process(self) -> ProcessKey:
        """The process."""
        return self.seen.process
