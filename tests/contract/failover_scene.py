"""A gateway between callers and two providers of one group, and the parts that these play."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.contract.gateway_scene import COMPLETED, CREATED, DELTA, SSE, Line, Play, Provider, Scene, chunk, says, scene

BODY = b'{"model":"asked", "unknown": [1,  2], "text": "\\u00e4", "filler": "' + b"x" * 300_000 + b'"}'


@dataclass
class Pair:
    """A scene whose provider ``own`` has a second one, ``two``, in its group."""

    stage: Scene
    two: Provider

    @property
    def one(self) -> Provider:
        return self.stage.provider

    def configure(self, more: str = "", *, base_url: str = "", **provider: Any) -> None:
        second = f'[providers.two]\nbase_url = "http://127.0.0.1:{self.two.port}/other"\nauth = "none"\ngroup = "g"\n'
        given = {"base_url": base_url} if base_url else {}
        self.stage.configure(second + 'dialects = ["openai.responses", "openai.chat", "anthropic.messages"]\n' + more, **given)
        file = self.stage.place.paths.config_file
        own = {"group": "g", "dialects": ["openai.responses", "openai.chat", "anthropic.messages"], **provider}
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in own.items())
        file.write_text(file.read_text().replace("[providers.own]\n", f"[providers.own]\n{lines}"))


@contextlib.contextmanager
def two_providers(home: Path) -> Iterator[Pair]:
    """Give a pair for the length of a block."""
    with scene(home) as stage:
        two = Provider()
        subject = Pair(stage, two)
        subject.configure()
        try:
            yield subject
        finally:
            for line in stage.lines:
                line.close()
            two.close()


def answers(status: str, body: bytes = b"{}", *fields: str) -> Play:
    """Return the part that answers with a document."""
    head = "".join(f"{field}\r\n" for field in ("content-type: application/json", *fields))
    return says(f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)


def streams(*events: bytes) -> Play:
    """Return the part that answers with a whole stream of these events."""
    return says(SSE + b"".join(chunk(one) for one in events) + b"0\r\n\r\n")


def well(line: Line) -> None:
    """Play the part that answers as it should."""
    streams(CREATED, DELTA, COMPLETED)(line)


def hangs_up(line: Line) -> None:
    """Play the part that closes its connection instead of answering."""
    line.request()
