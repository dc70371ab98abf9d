"""The probe of Linux asked about everybody: shallow looks, hints at new programs, files that are held open."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe import ChangeWatch, OpenFile, ProcessGoneError, choose_probe, worth_a_look
from actors.probe.linux.changes import LastPid, open_exec_events
from actors.probe.linux.surroundings import parse_release, sentences
from schemas.identity import ProcessKey

DEADLINE = 10.0


def wait_for(watch: ChangeWatch, pid: int) -> None:
    """Take hints until one names a process, or asks for a survey."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        hint = watch.take()
        if pid in hint.pids or hint.survey:
            return
        time.sleep(0.01)
    raise AssertionError(f"no hint at {pid} within {DEADLINE} s")


def test_a_survey_sees_every_living_process_once_and_no_zombie() -> None:
    probe = choose_probe()
    with subprocess.Popen(["/bin/sleep", "60"]) as child, subprocess.Popen(["/bin/true"]) as zombie:
        try:
            os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
            glimpses = {one.pid: one for one in probe.survey()}
            assert zombie.pid not in glimpses
            own = glimpses[child.pid]
            assert own == probe.glimpse(child.pid)
            assert (own.parent, own.program, own.ours) == (os.getpid(), str(Path("/bin/sleep").resolve()), True)
            assert own.started == probe.identify(child.pid).started
            assert own.image != 0
        finally:
            child.kill()
    assert probe.glimpse(child.pid) is None


def test_an_exec_changes_the_image_and_the_program_and_nothing_else() -> None:
    probe = choose_probe()
    with subprocess.Popen(["/bin/sh", "-c", "read x; exec sleep 60"], stdin=subprocess.PIPE) as child:
        try:
            before = probe.glimpse(child.pid)
            assert before is not None
            watch = probe.watch_changes()
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
            end = time.monotonic() + DEADLINE
            after = before
            while (after.program == before.program or after.image == before.image) and time.monotonic() < end:
                after = probe.glimpse(child.pid) or before  # one that is taken in the middle of the exec is of both
            assert (after.started, after.parent) == (before.started, before.parent)
            assert after.image != before.image
            if "start_events" in probe.capabilities:
                wait_for(watch, child.pid)
            watch.close()
            watch.close()
        finally:
            child.kill()


@pytest.mark.parametrize("ladder", ["events", "last pid"])
def test_a_program_that_starts_is_hinted_at_and_quiet_costs_nothing(ladder: str) -> None:
    watch: ChangeWatch | None = open_exec_events() if ladder == "events" else LastPid()
    if watch is None:
        pytest.skip("the process connector is not to be had here")
    assert (watch.fileno() is None) == (ladder == "last pid")
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            wait_for(watch, child.pid)
        finally:
            child.kill()
    watch.close()


def test_files_are_told_with_what_is_known_of_them(tmp_path: Path) -> None:
    probe, own = choose_probe(), os.getpid()
    folder, other = tmp_path / "locks", tmp_path / "locks-of-another"
    folder.mkdir()
    other.mkdir()
    names = [folder / name for name in ("exclusive", "plain", "read", "removed", "shared")]
    for name in (*names, other / "x"):
        name.touch()
    kept = [name.open("r" if name.name in ("read", "shared") else "a") for name in (*names, other / "x")]
    os.mkfifo(folder / "fifo")
    kept.append(os.fdopen(os.open(folder / "fifo", os.O_RDWR)))
    fcntl.flock(kept[0], fcntl.LOCK_EX)
    fcntl.flock(kept[4], fcntl.LOCK_SH)
    (folder / "removed").unlink()
    try:
        assert probe.open_files(own, (str(folder),)) == (
            OpenFile(str(folder / "exclusive"), locked=True, written=True),
            OpenFile(str(folder / "plain"), locked=False, written=True),
            OpenFile(str(folder / "read"), locked=False, written=False),
            OpenFile(str(folder / "shared"), locked=False, written=False),
        )
        assert probe.open_files(own, (str(tmp_path / "missing"),)) == ()
    finally:
        for file in kept:
            file.close()


def test_whoever_is_gone_has_no_files_and_no_name() -> None:
    probe = choose_probe()
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
    for ask in (probe.identify, lambda pid: probe.open_files(pid, ("/",))):
        with pytest.raises(ProcessGoneError):
            ask(child.pid)


def test_a_start_time_is_wall_time() -> None:
    probe = choose_probe()
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        try:
            key: ProcessKey = probe.identify(child.pid)
            told = datetime.fromisoformat(probe.started_at(key))
            assert abs((datetime.now(UTC) - told).total_seconds()) < DEADLINE
            assert probe.started_at(key).endswith("Z")
        finally:
            child.kill()


def test_what_is_worth_a_look_is_decided_by_the_program_and_by_its_name_only_when_it_is_hidden() -> None:
    assert worth_a_look("/x/bin/codex", "whatever")
    assert worth_a_look("/usr/bin/node", "codex")
    assert worth_a_look("/home/ada/.local/share/claude/versions/2.1.329", "2.1.329")
    assert worth_a_look("C:\\Users\\ada\\codex.exe", "codex.exe")
    assert worth_a_look("", "codex")
    assert not worth_a_look("/usr/bin/bash", "codex")
    assert not worth_a_look("/usr/bin/codexer", "codex")
    assert not worth_a_look("", "kworker/0:1")


def test_the_linux_of_windows_is_told_by_its_release() -> None:
    assert parse_release("5.15.153.1-microsoft-standard-WSL2\n") == "wsl2"
    assert parse_release("4.4.0-19041-Microsoft\n") == "wsl1"
    assert parse_release("6.18.44-fc-v657\n") == ""
    assert "Windows processes are not visible" in sentences("wsl2")[0]
    assert sentences("") == ()


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root and unshare")
def test_without_process_events_the_last_pid_is_what_is_left() -> None:
    code = "from actors.probe import choose_probe; p = choose_probe(); print(type(p.watch_changes()).__name__, *p.capabilities)"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(done.stderr.strip()[-200:])
    assert done.stdout.split()[0] == "LastPid", done.stderr
    assert "start_events" not in done.stdout
