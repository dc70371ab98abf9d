"""The watcher killed, stopped and starved while files grow: nothing is lost, nothing is doubled, nobody waits for the sick."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.contract import Beat, Status
from tests.contract.rollout_scene import Scene, append, scene
from tests.transcripts.made import meta, name, rollout, usage, uuid

pytestmark = [pytest.mark.e2e, pytest.mark.fault]
FILES = 30
KILLS = 8


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as given:
        yield given


class Writers:
    """Appends to many files as agents do, one write a line, until told to stop; keeps what was written."""

    def __init__(self, home: Scene) -> None:
        self._files = [rollout(home.codex, uuid(number), meta(uuid(number))) for number in range(FILES)]
        self._ended = threading.Event()
        self.written: list[str] = []

    def _write(self) -> None:
        number = 0
        while not self._ended.wait(0.001):
            number += 1
            response = f"resp_{number}"
            append(self._files[number % FILES], response)
            self.written.append(response)
            if number % 97 == 0:
                file = self._files[number % FILES]
                away = file.parents[4] / ("archived_sessions" if number % 2 else "sessions/2026/11/21") / file.name
                away.parent.mkdir(parents=True, exist_ok=True)
                if "archived" not in str(file) and file.parent.name == "20":
                    self._files[number % FILES] = file.rename(away)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        thread = threading.Thread(target=self._write)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


def test_killed_at_any_instant_under_load(home: Scene) -> None:
    writers = Writers(home)
    home.start()
    with writers.writing():
        for number in range(KILLS):
            home.until_responses(*writers.written[:1])
            for _ in range(number % 4):
                home.actor.until(Beat)
            home.kill()
            home.start()
    home.until_responses(*writers.written)
    told = home.responses()
    assert len(told) == len(writers.written)
    assert set(told) == set(writers.written)


def test_stopped_and_continued_under_load(home: Scene) -> None:
    writers = Writers(home)
    home.start()
    with writers.writing():
        home.until_responses("resp_1")
        os.kill(home.actor.pid, signal.SIGSTOP)
        stopped_at = len(writers.written)
        while len(writers.written) < stopped_at + 300:
            pass
        os.kill(home.actor.pid, signal.SIGCONT)
    home.until_responses(*writers.written)
    assert sorted(home.responses()) == sorted(writers.written)


def test_more_hints_than_any_queue_holds(home: Scene) -> None:
    """The kernel drops hints when 16,384 wait; what they would have said is found all the same."""
    home.start()
    os.kill(home.actor.pid, signal.SIGSTOP)
    expected = []
    for number in range(6_000):  # three events for each: created, written, and their folder changed
        response = f"r{number}"
        rollout(home.codex, uuid(number), meta(uuid(number)) + usage(response))
        expected.append(response)
    os.kill(home.actor.pid, signal.SIGCONT)
    home.until_responses(*expected)
    assert sorted(home.responses()) == sorted(expected)


def test_without_inotify_files_are_polled_and_it_says_so(home: Scene) -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    if not limit.exists() or int(limit.read_text()) > 4096:
        pytest.skip("needs a limit of inotify instances that can be reached")
    code = (
        "import ctypes, sys, time\n"
        "libc = ctypes.CDLL(None)\n"
        "while libc.inotify_init1(0) >= 0: pass\n"
        "print('full', flush=True)\n"
        "sys.stdin.read()\n"
    )
    hog = subprocess.Popen(["python3", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert hog.stdin is not None
    assert hog.stdout is not None
    with hog.stdin, hog.stdout:
        assert hog.stdout.readline() == b"full\n"
        file = rollout(home.codex, uuid(1), meta(uuid(1)) + usage("a"))
        home.start()
        status = home.actor.until(Status)
        assert (status.state, "polled" in status.note) == ("degraded", True)
        home.until_responses("a")
        append(file, "b")
        rollout(home.codex, uuid(2), meta(uuid(2)) + usage("c"))
        home.until_responses("b", "c")
        hog.stdin.close()
        assert hog.wait(10) == 0
    while (status := home.actor.until(Status)).state != "ready":
        pass
    append(file, "d")
    home.until_responses("d")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to make the disk fail")
def test_a_disk_that_cannot_be_read_is_said_and_tried_again(home: Scene) -> None:
    file = rollout(home.codex, uuid(1), meta(uuid(1)) + usage("a"))
    home.start()
    home.until_responses("a")
    command = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=pread64",
        "-e",
        "inject=pread64:error=EIO:when=1..3",
        "-p",
        str(home.actor.pid),
    ]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        status = None
        number = 0
        while status is None or status.state != "degraded":
            append(file, f"b{number}")
            number += 1
            with contextlib.suppress(Exception):
                status = home.actor.until(Status, 0.5)
        assert "cannot be read" in status.note
        assert name(uuid(1)) in status.note
        home.until_responses(*(f"b{each}" for each in range(number)))
    finally:
        tracer.terminate()
        tracer.wait()
    assert sorted(home.responses()) == sorted(["a", *(f"b{each}" for each in range(number))])
