"""The probe against real processes and connections of Windows (Wine 10 where these tests are run)."""

# ruff: noqa: E402 - the assertion comes first: it tells mypy, too, that the rest is for Windows
from __future__ import annotations

import sys

assert sys.platform == "win32"

import ctypes
import os
import select
import socket
import subprocess
from ctypes import wintypes
from pathlib import Path

import anyio
import msgspec
import pytest

from actors.probe import (
    ProcessGoneError,
    ProcessHiddenError,
    SocketMovedError,
    choose_probe,
    classify,
    find_terminal,
    worth_a_look,
)
from actors.probe.windows import command_line
from actors.probe.windows.probe import WindowsProbe
from tests.windows.on_windows.child import running

CODEX = Path(r"Z:\w\codex\vendor\x86_64-pc-windows-msvc\bin\codex.exe")
CONNECT = "import socket,sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])))"
PROTECT = "from actors.runtime.hardening import forbid_inspection; assert forbid_inspection() == '', forbid_inspection()"
STILL_ACTIVE = 259


@pytest.fixture(scope="module")
def probe() -> WindowsProbe:
    chosen = choose_probe()
    assert isinstance(chosen, WindowsProbe)
    return chosen


def accept(server: socket.socket) -> tuple[socket.socket, tuple[str, int], tuple[str, int]]:
    server.settimeout(20)
    accepted, remote = server.accept()
    return accepted, accepted.getsockname()[:2], remote[:2]


# ---------------------------------------------------------------------------------------------------- connections


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_connection_is_traced_to_the_process_that_opened_it(probe: WindowsProbe, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = str(server.getsockname()[1])
        with running(CONNECT, address, port) as first, running(CONNECT, address, port) as second:
            one, two = accept(server), accept(server)
            peers = [probe.peer(local, remote) for _, local, remote in (one, two)]
            assert None not in peers
            owners = [probe.search_owners(peer) for peer in peers if peer]
            assert sorted(owners) == sorted([(first.pid,), (second.pid,)])
            assert probe.search_all([peer for peer in peers if peer]) == tuple(owners)
            assert {peer.uid for peer in peers if peer} == {probe.this_user()}
            assert peers[0] is not None
            mine, other = owners[0][0], owners[1][0]
            assert probe.owner(peers[0], (other, mine)) == mine
            assert probe.owner(peers[0], (other,)) is None
            facts = probe.recognise(peers[0], (other, mine))
            assert facts is not None
            assert facts.key.pid == mine
            assert probe.recognise(peers[0], (other,)) is None
            assert probe.still_owner(mine, peers[0])
            assert not probe.still_owner(other, peers[0])
            assert probe.process(mine, holding=peers[0]).key.pid == mine
            with pytest.raises(SocketMovedError):
                probe.process(other, holding=peers[0])
            for accepted, _, _ in (one, two):
                accepted.close()


def test_a_connection_that_is_closed_has_no_peer_and_a_listener_is_none(probe: WindowsProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, local, remote = accept(server)
        found = probe.peer(local, remote)
        assert found is not None
        assert probe.search_owners(found) == (os.getpid(),)
        client.close()
        assert probe.peer(local, remote) is None
        assert not probe.still_owner(os.getpid(), found)
        assert probe.peer(("127.0.0.1", 9), server.getsockname()) is None
        accepted.close()


# ---------------------------------------------------------------------------------------------------- processes


def test_a_process_is_read_whole_and_its_variables_in_any_case(probe: WindowsProbe, tmp_path: Path) -> None:
    with running("", "say hi", 'a "b" \\', cwd=str(tmp_path), wt_session="tab-é", Codex_Home=r"C:\codex", SECRET="x") as child:
        facts = probe.process(child.pid)
    assert facts.parent == os.getpid()
    assert facts.exe.endswith("/python.exe")
    assert facts.argv[-2:] == ("say hi", 'a "b" \\')
    assert facts.cwd is not None
    assert Path(facts.cwd) == tmp_path
    assert facts.variables["WT_SESSION"] == "tab-é"
    assert facts.variables["CODEX_HOME"] == r"C:\codex"
    assert "SECRET" not in facts.variables
    assert find_terminal(facts.variables, facts.tty, facts.leader).key == "wt:tab-é"
    assert facts.key == facts.key
    assert facts.key.started > probe.this_process().started
    assert probe.started_at(facts.key).startswith("20")


def test_a_process_that_changes_its_environment_declares_the_change(probe: WindowsProbe) -> None:
    grow = "import os\nfor n in range(500): os.environ[f'FILLER_{n}'] = 'x' * 200\nos.environ['WT_SESSION'] = 'forged'"
    with running(grow, WT_SESSION="real") as child:
        assert probe.process(child.pid).variables["WT_SESSION"] == "forged"


def test_a_process_that_keeps_itself_to_itself_is_reported_in_words_and_still_known(probe: WindowsProbe) -> None:
    with running(PROTECT) as child:
        with pytest.raises(ProcessHiddenError, match="does not let its own user read it"):
            probe.process(child.pid)
        key = probe.identify(child.pid)
        with probe.exit_watch(key) as watch:
            assert not watch.exited()
            child.kill()
            assert select.select([watch.fileno()], [], [], 20)[0]
            assert watch.exited()


def test_numbers_of_no_process_are_gone(probe: WindowsProbe) -> None:
    for pid in (os.getpid() + 1, 0, 0x7FFF_FFF0):
        with pytest.raises(ProcessGoneError):
            probe.process(pid)


def test_a_key_is_not_the_process_that_has_its_pid_by_now(probe: WindowsProbe) -> None:
    with running() as child:
        key = probe.process(child.pid).key
        other = msgspec.structs.replace(key, started=key.started - 1)
        with pytest.raises(ProcessGoneError, match="another process"):
            probe.exit_watch(other)
        elsewhere = msgspec.structs.replace(key, boot="elsewhere")
        with pytest.raises(ProcessGoneError, match="restart"):
            probe.exit_watch(elsewhere)


def test_everybody_is_surveyed_and_a_glimpse_agrees_with_a_closer_look(probe: WindowsProbe) -> None:
    with running() as child:
        found = {glimpse.pid: glimpse for glimpse in probe.survey()}
        facts = probe.process(child.pid)
        assert {os.getpid(), child.pid} <= set(found)
        seen = found[child.pid]
        assert (seen.parent, seen.started, seen.ours, seen.program) == (os.getpid(), facts.key.started, True, "python.exe")
        assert probe.glimpse(child.pid) == seen
    assert probe.glimpse(child.pid) is None
    assert probe.watch_changes().take().survey


def test_what_cannot_be_seen_is_said(probe: WindowsProbe) -> None:
    assert probe.surroundings == "wine"
    assert any("Wine" in sentence for sentence in probe.limits())
    assert "open_files" not in probe.capabilities
    assert probe.open_files(os.getpid(), ["C:\\"]) == ()


# ---------------------------------------------------------------------------------------------------- exits and descent


def test_an_exit_is_noticed_whatever_code_it_has(probe: WindowsProbe) -> None:
    with running("import os, threading\nthreading.Timer(0, lambda: None)") as child:
        watch = probe.exit_watch(probe.process(child.pid).key)
        assert not watch.exited()
        assert select.select([watch.fileno()], [], [], 0) == ([], [], [])
        ctypes.windll.kernel32.TerminateProcess(wintypes.HANDLE(int(child._handle)), STILL_ACTIVE)  # type: ignore[attr-defined]
        assert select.select([watch.fileno()], [], [], 20)[0]
        assert watch.exited()
        assert child.wait() == STILL_ACTIVE
        with pytest.raises(ProcessGoneError):
            probe.process(child.pid)
        watch.close()
        watch.close()


@pytest.mark.anyio
async def test_the_event_loop_waits_for_an_exit(probe: WindowsProbe) -> None:
    with running() as child, probe.exit_watch(probe.process(child.pid).key) as watch:
        child.kill()
        with anyio.fail_after(20):
            while not watch.exited():
                await anyio.wait_readable(watch.fileno())


def test_many_watches_are_made_and_given_back(probe: WindowsProbe) -> None:
    with running() as child:
        key = probe.process(child.pid).key
        watches = [probe.exit_watch(key) for _ in range(100)]
        for watch in watches[:50]:
            watch.close()
        child.kill()
        assert all(select.select([watch.fileno()], [], [], 20)[0] for watch in watches[50:])
        for watch in watches[50:]:
            watch.close()


def test_descent_is_proven_through_living_parents_only(probe: WindowsProbe) -> None:
    with running() as stranger, running_nested() as (parent, grandchild):
        keys = {pid: probe.process(pid).key for pid in (stranger.pid, parent.pid, grandchild)}
        me = probe.this_process()
        assert probe.is_descendant(keys[grandchild], me)
        assert probe.is_descendant(keys[grandchild], keys[parent.pid])
        assert probe.is_descendant(me, me)
        assert not probe.is_descendant(keys[parent.pid], keys[grandchild])
        assert not probe.is_descendant(keys[grandchild], keys[stranger.pid])
        with probe.exit_watch(keys[grandchild]) as watch:
            parent.kill()
            parent.wait()
            assert not probe.is_descendant(keys[grandchild], me)
            assert select.select([watch.fileno()], [], [], 20)[0]  # its stdin has ended


NEST = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.readline()
"""


class running_nested:  # noqa: N801 - a context like ``running``
    """A child with a child of its own, whose pid it tells."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", NEST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        assert self._process.stdout is not None
        return self._process, int(self._process.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


# ---------------------------------------------------------------------------------------------------- agents


def test_the_real_codex_is_recognised_by_its_file(probe: WindowsProbe) -> None:
    with subprocess.Popen(
        [CODEX, "app-server"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as codex:
        glimpse = next(glimpse for glimpse in probe.survey() if glimpse.pid == codex.pid)
        facts = probe.process(codex.pid)
        codex.kill()
    assert worth_a_look(glimpse.program, glimpse.name)
    finding = classify(facts.exe, facts.argv, facts.script)
    assert (finding.agent, finding.kind) == ("codex", "app_server")


@pytest.mark.parametrize("line", [r'"C:\a b\x.exe" "y \"z\" \\" w\\ "" \\"q"', "x  y\tz ", r'x "a b"c d\e'])
def test_command_lines_are_split_as_windows_splits_them(line: str) -> None:
    split = ctypes.windll.shell32.CommandLineToArgvW
    split.restype = ctypes.POINTER(wintypes.LPWSTR)
    split.argtypes = (wintypes.LPCWSTR, ctypes.POINTER(ctypes.c_int))
    count = ctypes.c_int()
    words = split(line, ctypes.byref(count))
    assert command_line.split(line) == tuple(words[at] for at in range(count.value))
