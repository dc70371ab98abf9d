"""A terminal host with real programs: good ones, hostile ones, and windows of a real tmux."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.terminal.contract import Closed, Drawn, Exited, Opened, Press, Resize, Type
from tests.contract.actor_process import ended
from tests.contract.terminal_scene import Host
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")

STUBBORN = """
import signal, subprocess, sys, time
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("here", flush=True)
while True:
    time.sleep(600)
"""
PAINTER = r"""
import os, signal, sys, time
def size(*_):
    columns, rows = os.get_terminal_size()
    sys.stdout.write(f"\x1b[2J\x1b[H{columns}x{rows}")
    sys.stdout.flush()
signal.signal(signal.SIGWINCH, size)
sys.stdout.write("usual\n\x1b[?1049h\x1b[2J\x1b[Hother\x1b[?2004h\x1b]0;painted\x07\x07")
sys.stdout.flush()
line = input()
size()
input()
sys.stdout.write("\x1b[?1049l")
"""


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Run a tmux server as the user's."""
    with Tmux(tmp_path / "socket") as server:
        server.open("sleep 600", dict(os.environ), tmp_path)
        yield server


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def sessions(socket: Path) -> list[str]:
    listed = ["tmux", "-S", str(socket), "list-sessions", "-F", "#{session_name}"]
    return subprocess.run(listed, capture_output=True, text=True, timeout=10, check=True).stdout.split()


def test_an_interpreter_is_typed_to_and_ends_with_its_own_code() -> None:
    with Host(sys.executable, "-i", "-q") as host:
        host.shows(">>>")
        host.say(Type(text="6 * 7"))
        host.shows("6 * 7")
        host.say(Press(keys="Enter"))
        host.until(lambda page: page.rows[1:3] == ("42", ">>>"))
        host.say(Type(text="raise SystemExit(3)"))
        host.say(Press(keys="Enter"))
        assert host.line(Exited).code == 3
        assert host.process.wait(10) == 3


def test_a_shell_is_interrupted_and_signals_are_told() -> None:
    # A shell that is interrupted between fork and exec of a command goes on, in any terminal; so this one says what to do.
    with Host("sh", "-c", "trap 'trap - INT; kill -INT $$' INT; echo begun; while :; do sleep 0.05; done") as host:
        host.shows("begun")
        host.say(Press(keys="C-c"))
        assert host.line(Exited).code == -signal.SIGINT
        assert host.process.wait(10) == 128 + signal.SIGINT


def test_the_other_screen_titles_pastes_and_sizes() -> None:
    with Host(*python(PAINTER)) as host:
        page = host.shows("other")
        assert (page.alternate, page.paste) == (True, True)
        assert host.line(Drawn).title == "painted"
        host.say(Type(text="x"))
        host.say(Press(keys="Enter"))
        host.shows("60x10")
        host.say(Resize(columns=70, rows=20))
        page = host.shows("70x20")
        assert len(page.rows) == 20
        host.say(Press(keys="Enter"))
        assert host.line(Exited).code == 0
        assert host.page.rows[0] == "usual"


def test_a_flood_costs_screens_now_and_then_and_can_be_interrupted() -> None:
    with Host("yes", "a line of the flood") as host:
        host.until(lambda page: page.top > 20_000)
        host.say(Press(keys="C-c"))
        assert host.line(Exited).code == -signal.SIGINT
        screens = [line for line in host.heard if isinstance(line, Drawn)]
        assert len(screens) < host.page.top / 20


def test_who_ignores_everything_ends_with_the_terminal() -> None:
    with Host(*python(STUBBORN)) as host:
        host.shows("here")
        program = host.program
        assert host.hang_up() == 0
        assert ended(program.pid, 1.0)


def test_a_program_may_let_go_of_its_terminal_and_take_it_again() -> None:
    steps = (
        "name = os.ttyname(0)",
        "[os.close(n) for n in range(3)]",
        "time.sleep(1)",
        "os.write(os.open(name, os.O_RDWR), b'back')",
    )
    with Host(*python(f"import os, time; print('here', flush=True); {'; '.join(steps)}; time.sleep(600)")) as host:
        host.shows("here")
        host.shows("back")
        assert host.hang_up() == 0


def test_a_farewell_lets_a_program_end_by_itself(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    wait = f"import sys; print('here', flush=True); sys.stdin.read(); open({str(kept)!r}, 'w').write('saved')"
    with Host(*python(wait), farewell="C-d") as host:
        host.shows("here")
        host.hang_up()
    assert kept.read_text() == "saved"


def test_a_killed_host_leaves_no_program() -> None:
    with Host(*python(STUBBORN)) as host:
        host.shows("here")
        program = host.program
        host.process.kill()
        assert ended(program.pid, 5.0)


def test_a_program_that_is_not_there_is_said() -> None:
    with Host("/no/such/program") as host:
        assert host.process.wait(10) == 127
        assert "/no/such/program cannot be started" in host.errors()


def test_what_is_no_line_of_the_contract_ends_the_host() -> None:
    with Host(*python(STUBBORN)) as host:
        host.shows("here")
        program = host.program
        host.write(b"nonsense\n")
        host.process.wait(10)
        assert "not a line for a terminal" in host.errors()
        assert ended(program.pid, 1.0)


@needs_tmux
def test_a_window_shows_the_program_and_a_person_types_into_it(tmp_path: Path, tmux: Tmux) -> None:
    with Host(sys.executable, "-i", "-q", window="tmux", socket=str(tmp_path / "socket"), name="tabwire-x") as host:
        host.shows(">>>")
        assert host.line(Opened).attach == f"tmux -S {tmp_path / 'socket'} attach -t tabwire-x"
        tmux.type("tabwire-x", "6 * 7")
        tmux.press("tabwire-x", "Enter")
        host.shows("42")
        assert "42" in tmux.wait_for("tabwire-x", "42")
        family = [host.program.pid, *(one.pid for one in psutil.Process(host.process.pid).children(recursive=True))]
        host.hang_up()
        assert [ended(pid, 1.0) for pid in family] == [True] * len(family)
    assert sessions(tmp_path / "socket") == ["0"]


@needs_tmux
@pytest.mark.parametrize("way", ["window", "kill"])
def test_a_closed_window_ends_the_program_and_a_killed_host_its_window(tmp_path: Path, tmux: Tmux, way: str) -> None:
    with Host(*python(STUBBORN), window="tmux", socket=str(tmp_path / "socket"), name="tabwire-x") as host:
        host.shows("here")
        program = host.program
        view = tmux.pid("tabwire-x")
        if way == "window":
            tmux.close("tabwire-x")
            host.line(Closed)
        else:
            host.process.kill()
        assert ended(program.pid, 5.0)
        assert ended(view, 5.0)


@needs_tmux
def test_tmux_is_not_started_for_a_window(tmp_path: Path) -> None:
    with Host(sys.executable, window="tmux", socket=str(tmp_path / "none"), name="tabwire-x") as host:
        assert host.process.wait(10) == 78
        assert 'start one ("tmux"), or set window = "pty"' in host.errors()
