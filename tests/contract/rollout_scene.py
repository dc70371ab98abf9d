"""The rollout watcher between real files and a real bus, and how tests wait for what it says."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio

from actors.runtime.contract import Ready
from bus.client import connect
from bus.connection import read_connection
from bus.journal import Journal
from schemas.envelope import Envelope, Recorded
from tests.contract.actor_process import ActorProcess, Place, place_with_bus
from tests.transcripts.made import usage

DEADLINE = 30.0


class Scene:
    """A home of agents, a broker and a watcher; ``told`` is what the journal holds of the watcher."""

    def __init__(self, given: Place) -> None:
        self.place = given
        self.codex = given.home / "codex"
        self.claude = given.home / "claude"
        self.actor: ActorProcess

    def start(self) -> ActorProcess:
        """Start the watcher and wait until it is ready."""
        self.actor = self.place.start("rollout")
        self.actor.until(Ready)
        return self.actor

    def kill(self) -> None:
        """End the watcher as the kernel would."""
        self.actor.process.kill()
        assert self.actor.exit_code() == -9

    def until(self, seen: Callable[[list[Envelope]], Any], deadline: float = DEADLINE) -> list[Envelope]:
        """Read the feed from its beginning until ``seen`` is content with what the watcher said so far."""

        async def watch() -> list[Envelope]:
            so_far: list[Envelope] = []
            with anyio.move_on_after(deadline):
                async with connect(read_connection(self.place.paths.connection_file)) as client, client.feed(0) as feed:
                    async for item in feed:
                        if isinstance(item, Recorded) and item.envelope.source.startswith("/actor/rollout/"):
                            so_far.append(item.envelope)
                        if seen(so_far):
                            return so_far
            log = "".join(actor.log_text()[-3000:] for actor in self.place.started)
            raise AssertionError(f"not seen: {Counter(one.type for one in so_far)}, {[one.data for one in so_far[-3:]]}\n{log}")

        return anyio.run(watch)

    def until_responses(self, *responses: str) -> list[Envelope]:
        """Wait for the usage of these responses."""
        return self.until(lambda said: set(responses) <= {one.data.response for one in said if hasattr(one.data, "response")})

    def until_type(self, type_: str, count: int = 1, **fields: Any) -> list[Any]:
        """Wait for so many facts of a type with these values; return them."""

        def matching(said: list[Envelope]) -> list[Any]:
            facts = [one.data for one in said if one.type == f"transcript.{type_}"]
            return [fact for fact in facts if all(getattr(fact, name) == value for name, value in fields.items())]

        return matching(self.until(lambda said: len(matching(said)) >= count))

    def told(self) -> list[Envelope]:
        """Read the journal: what the watcher said so far, in order."""
        opened = Journal.open_readonly(self.place.paths.journal)
        try:
            found: list[Envelope] = []
            after, more = 0, True
            while more:
                page = opened.read(after)
                found += [one.envelope for one in page.events() if one.envelope.source.startswith("/actor/rollout/")]
                after, more = page.through, page.more
            return found
        finally:
            opened.close()

    def responses(self) -> list[str]:
        """Return the responses whose usage was told, in the journal's order."""
        return [one.data.response for one in self.told() if one.type == "transcript.usage_recorded"]

    def places(self, thread: str) -> list[Path | None]:
        """Return where a thread's file was told to be, in order."""
        seen = {one.data.file for one in self.told() if one.type == "transcript.seen" and one.data.thread == thread}
        told = [one.data for one in self.told() if one.type in ("transcript.seen", "transcript.moved")]
        return [Path(one.path) if one.path else None for one in told if one.file in seen]


@contextlib.contextmanager
def scene(home: Path, config: str = "") -> Iterator[Scene]:
    """Give a scene with a broker for the length of a block."""
    with place_with_bus(home, config) as given:
        yield Scene(given)


def append(file: Path, *responses: str) -> None:
    """Write the usage of responses at a rollout's end."""
    with file.open("ab") as handle:
        handle.write(b"".join(usage(one, total=len(one) + 9) for one in responses))
