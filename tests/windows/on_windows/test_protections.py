"""What keeps secrets in and children from outliving their owner, on Windows."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32"

import os
import select
import subprocess
from pathlib import Path

import pytest

from actors.probe import ProcessHiddenError, choose_probe
from actors.probe.windows.native import READ_MEMORY, open_process
from actors.probe.windows.reading import LOOK
from actors.runtime import hardening
from actors.runtime.atomic import write_atomic
from actors.runtime.paths import Paths
from actors.runtime.pipe import LinePipe
from actors.runtime.stop import ask_to_stop, take_stop
from bus.into_place import BINARY
from tests.windows.on_windows.child import first_line, running

# Its own child, and a grandchild whose parent has ended: neither is reached by its pipes.
OWNER = """
import subprocess, sys
from actors.runtime.hardening import adopt_orphans
assert adopt_orphans() == ''
start = (
    "import subprocess, sys; silent = subprocess.DEVNULL; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], stdout=silent, stderr=silent).pid)"
)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
orphan = int(subprocess.run([sys.executable, '-c', start], stdout=subprocess.PIPE).stdout)
print(child.pid, orphan, flush=True)
"""


def test_a_job_ends_all_that_descends_from_its_holder_however_that_ends() -> None:
    probe = choose_probe()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER + "sys.stdin.readline()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        watches = [probe.exit_watch(probe.identify(int(pid))) for pid in first_line(owner.stdout).split()]
        assert not any(watch.exited() for watch in watches)
        owner.kill()
        owner.wait()
    for watch in watches:
        assert select.select([watch.fileno()], [], [], 20)[0]
        assert watch.exited()
        watch.close()


def test_memory_is_kept_from_others_and_the_process_can_still_be_watched_and_ended() -> None:
    protect = "from actors.runtime.hardening import forbid_inspection; assert forbid_inspection() == ''"
    with running(protect) as child:
        with pytest.raises(ProcessHiddenError, match="may not be read"):
            open_process(child.pid, READ_MEMORY)
        with open_process(child.pid, LOOK) as handle:
            assert not handle.exited()


def test_a_child_of_no_job_says_so() -> None:
    assert "no Job Object" in hardening.die_with_parent()


def test_a_file_is_replaced_as_soon_as_its_reader_lets_go(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_atomic(file, b"one\n")
    held = file.open("rb")
    with running(
        "import sys, threading, pathlib\nf = open(sys.argv[1], 'rb')\nthreading.Timer(0.1, f.close).start()", str(file)
    ):
        held.close()
        write_atomic(file, b"two\n")
    assert file.read_bytes() == b"two\n"  # and no line end was changed
    assert BINARY


def test_a_stop_is_asked_for_by_a_file(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config.toml", tmp_path / "state")
    paths.create()
    assert not take_stop(paths)
    ask_to_stop(paths)
    assert take_stop(paths)
    assert not take_stop(paths)


def test_a_full_pipe_makes_nobody_wait_and_nothing_that_was_taken_is_lost() -> None:
    reading, writing = os.pipe()
    pipe = LinePipe(writing, capacity=1000)
    line = b"x" * 99 + b"\n"
    taken = 0
    while pipe.write(line):
        taken += 1
    received = b""
    while len(received) < taken * len(line):
        received += os.read(reading, 65536)
    pipe.drain(10)
    assert received == line * taken
    assert pipe.idle
    os.close(reading)
    os.close(writing)
