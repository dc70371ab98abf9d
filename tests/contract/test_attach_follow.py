"""The follower as a process: a transcript that grows, a message that cannot be given, an agent that ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from actors.attach import contract
from actors.attach.contract import CaughtUp, Follow, Give, Given, Left, NotGiven, NotStopped, Skipped, Stop, Up, Wrote
from actors.probe import choose_probe
from schemas.attachment import Attachment

DEADLINE = 20.0
THREAD = "01a1fe9e-6b3b-7a80-b234-8668c57af7d6"
_U = TypeVar("_U", bound=Up)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no terminal is followed on Windows")


class Scene:
    """An agent that only lives, its transcript, and who follows it."""

    def __init__(self, home: Path, agent: subprocess.Popen[bytes], process: subprocess.Popen[bytes], transcript: Path) -> None:
        self.agent, self.process, self.transcript = agent, process, transcript
        self.place = home

    def write(self, raw: str) -> None:
        with self.transcript.open("a") as file:
            file.write(raw)

    def tell(self, line: Give | Stop) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(contract.encode_line(line))

    def hear(self, kind: type[_U]) -> _U:
        assert self.process.stdout is not None
        said = contract.decode_up(self.process.stdout.readline())
        assert isinstance(said, kind), said
        return said


@contextmanager
def following(home: Path, past: str = "", program: str = "") -> Iterator[Scene]:
    transcript = home / "sessions/2026/11/21" / f"rollout-2026-11-21T10-00-00-{THREAD}.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_text(past)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as agent:
        key = choose_probe().identify(agent.pid)
        attach = Attachment(channel="queue", process=key, home=str(home), transcript=str(transcript), program=program)
        whom = contract.encode_follow(Follow(agent="codex", conversation=THREAD, attach=attach))
        argv = [sys.executable, "-I", "-m", "actors.attach", "follow", whom]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            watch = threading.Timer(DEADLINE, process.kill)
            watch.start()
            try:
                yield Scene(home, agent, process, transcript)
            finally:
                watch.cancel()
                process.kill()
                agent.kill()


def test_what_is_written_is_told_line_by_line_and_a_torn_one_waits(tmp_path: Path) -> None:
    with following(tmp_path, '{"a":1}\n{"b":') as scene:
        assert scene.hear(Wrote) == Wrote(at=0, text='{"a":1}')
        assert scene.hear(CaughtUp).transcript == str(scene.transcript)
        scene.write("2}\n\N{SNOWMAN}\n")
        assert scene.hear(Wrote) == Wrote(at=8, text='{"b":2}')
        assert scene.hear(Wrote) == Wrote(at=16, text="\N{SNOWMAN}")
        scene.write("x" * (contract.MAX_LINE + 10) + "\nbehind\n")
        assert scene.hear(Skipped).length > contract.MAX_LINE
        assert scene.hear(Wrote).text == "behind"
        assert scene.process.stdin is not None
        scene.process.stdin.close()  # to leave is all that it does
        assert scene.process.wait(DEADLINE) == 0
        assert scene.agent.poll() is None


def test_of_a_long_past_only_the_end_is_told(tmp_path: Path) -> None:
    with following(tmp_path, "".join(f"{number:0100d}\n" for number in range(30_000))) as scene:
        first = scene.hear(Wrote)
        assert first.at > 0
        assert first.at % 101 == 0
        assert int(first.text) == first.at // 101


def test_what_cannot_be_given_is_said(tmp_path: Path) -> None:
    codex = tmp_path / "codex"
    codex.write_text(
        '#!/bin/sh\necho "$@" > "$CODEX_HOME/asked"\ntest "$4" != --message=no || { echo Error: no >&2; exit 1; }\n'
    )
    codex.chmod(0o700)
    with following(tmp_path / "home", program=str(codex)) as scene:
        scene.hear(CaughtUp)
        scene.tell(Give(turn="t1", text="-x $(id)"))
        assert scene.hear(Given).turn == "t1"
        assert (scene.place / "asked").read_text() == f"queue --thread {THREAD} --message=-x $(id)\n"
        scene.tell(Give(turn="t2", text="no"))
        assert scene.hear(NotGiven) == NotGiven(turn="t2", reason="codex queue: Error: no")
        scene.tell(Give(turn="t3", text="x" * 200_000))
        assert "120000 bytes" in scene.hear(NotGiven).reason
        scene.tell(Stop())
        assert "Escape" in scene.hear(NotStopped).reason


def test_an_agent_or_a_transcript_that_is_gone_is_the_end(tmp_path: Path) -> None:
    with following(tmp_path / "one", "{}\n") as scene:
        scene.hear(Wrote)
        scene.hear(CaughtUp)
        scene.write("last\n")
        scene.agent.kill()
        assert scene.hear(Wrote).text == "last"
        assert scene.hear(Left).reason == "codex has ended in its terminal"
        assert scene.process.wait(DEADLINE) == 1
    with following(tmp_path / "two", "{}\n") as scene:
        scene.hear(Wrote)
        scene.hear(CaughtUp)
        scene.transcript.write_text("")
        assert "begun anew" in scene.hear(Left).reason
