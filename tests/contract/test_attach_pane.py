"""A pane of a real tmux with a program that draws an input line as Claude Code does: when it is typed into, and when not."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.attach.contract import NotGivenError
from actors.attach.pane import Pane
from actors.probe import choose_probe
from schemas.attachment import Attachment
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
AGENT = r"""
import os, sys, termios, tty
rule, sign = "\u2500" * 40, "\u276f\xa0"
typed, sent, mode = "", open(sys.argv[1], "a"), sys.argv[2]
tty.setraw(0)
os.write(1, b"\x1b[?2004h")
def draw():
    row = "\x1b[2J\x1b[H" + rule + "\r\n" + sign + typed.replace("\n", "\r\n  ") + "\x1b[7m \x1b[0m\r\n" + rule + "\r\nfoot"
    os.write(1, ("asks you something" if mode == "asks" else row).encode())
draw()
while True:
    raw = os.read(0, 65536).decode()
    if raw == "\x15":
        typed = typed[: typed.rfind("\n") + 1].removesuffix("\n") if "\n" in typed else ""
    elif raw == "\x1b":
        sent.write("STOP\n"); sent.flush()
    elif raw == "\r":
        sent.write(repr(typed) + "\n"); sent.flush(); typed = ""
    elif mode != "deaf":
        typed += raw.replace("\x1b[200~", "").replace("\x1b[201~", "")
    draw()
"""


class Scene:
    """A pane with the program in it, what it says of itself, and what it was sent."""

    def __init__(self, place: Path, tmux: Tmux, mode: str = "") -> None:
        self.place, self.tmux = place, tmux
        (place / "sessions").mkdir(parents=True)
        (place / "agent.py").write_text(AGENT)
        words = [sys.executable, str(place / "agent.py"), str(place / "sent"), mode]
        self.name = tmux.open(shlex.join(words), {"PATH": "/usr/bin:/bin", "TERM": "xterm", "LANG": "C.UTF-8"}, place)
        tmux.wait_for(self.name, "asks" if mode == "asks" else "foot")
        self.probe = choose_probe()
        key = self.probe.identify(tmux.pid(self.name))
        server = psutil.Process(key.pid).ppid()
        socket = str(place.parent / "tmux.sock")
        self.attach = Attachment(channel="tmux", process=key, socket=socket, server=server, pane=self.name, home=str(place))
        self.says("idle")

    def says(self, status: str, conversation: str = "c", **more: str) -> None:
        file = self.place / "sessions" / f"{self.attach.process.pid}.json"
        file.write_text(json.dumps({"status": status, "sessionId": conversation, **more}))

    def pane(self, attach: Attachment | None = None) -> Pane:
        return Pane(attach or self.attach, "c", self.probe)

    def sent(self, count: int) -> list[str]:
        """Return what it was sent, once that is so much."""
        end, file = time.monotonic() + 20, self.place / "sent"
        while len(file.read_text().splitlines()) < count and time.monotonic() < end:
            time.sleep(0.02)  # a file can only be looked at
        return file.read_text().splitlines()

    def refuses(self, pane: Pane, words: str) -> None:
        with pytest.raises(NotGivenError, match=words):
            pane.give("never")
        assert (self.place / "sent").read_text() == ""
        assert "never" not in self.tmux.screen(self.name)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


def test_a_text_is_pasted_seen_and_sent_by_an_enter_of_its_own(tmp_path: Path, tmux: Tmux) -> None:
    scene = Scene(tmp_path / "home", tmux)
    text = "one $(id) `id` #{pane_id} ;\ntwo 'three' \"four\" \N{SNOWMAN}"
    scene.pane().give(text)
    assert scene.sent(1) == [repr(text)]
    scene.pane().give("-flag")
    assert scene.sent(2)[1] == repr("-flag")
    assert "tabwire" not in tmux._run("list-buffers")


def test_it_is_stopped_only_while_it_works(tmp_path: Path, tmux: Tmux) -> None:
    scene = Scene(tmp_path / "home", tmux)
    with pytest.raises(NotGivenError, match="idle now"):
        scene.pane().stop()
    scene.says("busy")
    scene.pane().stop()
    assert scene.sent(1) == ["STOP"]


def test_what_is_not_surely_right_is_left_alone(tmp_path: Path, tmux: Tmux) -> None:
    scene = Scene(tmp_path / "home", tmux)
    (tmp_path / "home" / "sent").touch()
    scene.says("busy")
    scene.refuses(scene.pane(), "at work")
    scene.says("waiting", waitingFor="permission prompt")
    scene.refuses(scene.pane(), r"own terminal \(permission prompt\)")
    scene.says("idle", "another")
    scene.refuses(scene.pane(), "another conversation")
    scene.says("idle")
    tmux.type(scene.name, "half")
    tmux.wait_for(scene.name, "half")
    scene.refuses(scene.pane(), "typed in its input line already")
    tmux.press(scene.name, "C-u")
    tmux._run("copy-mode", "-t", scene.name)
    scene.refuses(scene.pane(), "copy mode")


def test_another_server_program_or_pane_is_not_typed_into(tmp_path: Path, tmux: Tmux) -> None:
    scene = Scene(tmp_path / "home", tmux)
    (tmp_path / "home" / "sent").touch()
    own = {name: getattr(scene.attach, name) for name in scene.attach.__struct_fields__}
    scene.refuses(scene.pane(Attachment(**{**own, "server": 1})), "pane is gone")
    scene.refuses(scene.pane(Attachment(**{**own, "process": scene.probe.this_process()})), "another program")
    scene.refuses(scene.pane(Attachment(**{**own, "pane": "%99"})), "tmux says|pane is gone")
    scene.refuses(scene.pane(Attachment(**{**own, "socket": str(tmp_path / "none")})), "tmux says")


@pytest.mark.parametrize(("mode", "words"), [("asks", "no input line"), ("deaf", "does not show what was typed")])
def test_what_does_not_show_what_it_should_gets_no_enter(tmp_path: Path, tmux: Tmux, mode: str, words: str) -> None:
    scene = Scene(tmp_path / "home", tmux, mode)
    (tmp_path / "home" / "sent").touch()
    scene.refuses(scene.pane(), words)
