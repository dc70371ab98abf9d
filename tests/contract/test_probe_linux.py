"""The probe of Linux against real processes: what they are, what they declare, whom they descend from, when they are gone."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe import (
    ProcessGoneError,
    ProcessStartingError,
    SessionLeader,
    choose_probe,
    find_terminal,
)
from actors.probe.linux import LinuxProbe
from schemas.evidence import Rank
from tests.contract.linux_processes import DEADLINE, WAIT, child

WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
CANARY = "sk-canary-5f1c"


@pytest.fixture
def probe() -> Iterator[LinuxProbe]:
    made = LinuxProbe()
    yield made
    made.close()


def test_a_process_shows_its_program_folder_and_terminal_variables_and_nothing_else_of_its_environment(
    probe: LinuxProbe,
) -> None:
    env = {"WT_SESSION": WT, "TERM_PROGRAM": "WezTerm", "OPENAI_API_KEY": CANARY, "PATH": os.environ["PATH"]}
    with child(WAIT, "an argument", env=env) as (process, _):
        facts = probe.process(process.pid)
    assert facts.exe == os.path.realpath(sys.executable)
    assert facts.argv == (sys.executable, "-c", WAIT, "an argument")
    assert facts.parent == os.getpid()
    assert facts.cwd == os.path.realpath(os.getcwd())  # noqa: PTH109 - the comparison is of the text
    assert facts.variables == {"WT_SESSION": WT, "TERM_PROGRAM": "WezTerm"}
    assert CANARY not in repr(facts)
    assert find_terminal(facts.variables, facts.tty, facts.leader).key == f"wt:{WT}"


def test_the_tty_and_the_session_leader_name_a_terminal_that_names_nothing(probe: LinuxProbe) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", WAIT], {"PATH": os.environ["PATH"]})  # noqa: S606 - a fork of our own
    try:
        assert b"ready" in os.read(terminal, 64)
        facts = probe.process(pid)
        assert facts.tty is not None
        assert facts.tty.startswith("pts/")
        assert facts.leader == SessionLeader(pid, facts.key.started)
        finding = find_terminal(facts.variables, facts.tty, facts.leader)
        assert finding.key == f"tty:{facts.tty}:{pid}:{facts.key.started}"
        assert finding.used is not None
        assert finding.used.rank == Rank.KERNEL
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def test_an_interpreters_script_is_resolved(probe: LinuxProbe, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("npm").resolve()
    real = folder / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
    real.parent.mkdir(parents=True)
    real.write_text("process.stdout.write('ready\\n'); process.stdin.resume()")
    (folder / "codex").symlink_to(real)
    try:
        node = subprocess.Popen(["node", "./codex"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("node is not installed")
    with node:
        assert node.stdout is not None
        node.stdout.readline()
        facts = probe.process(node.pid)
        node.kill()
    assert facts.script == str(real)
    assert facts.argv == ("node", "./codex")


def test_an_exec_keeps_the_key_and_changes_the_facts(probe: LinuxProbe) -> None:
    code = f"""
import os, sys
print("ready", flush=True)
sys.stdin.readline()
os.execve(sys.executable, ["second", "-c", {WAIT!r}], {{"WT_SESSION": "b"}})
"""
    with child(code, env={"WT_SESSION": "a"}) as (process, _):
        before = probe.process(process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        after = probe.process(process.pid)
    assert (before.key, before.variables) == (after.key, {"WT_SESSION": "a"})
    assert (after.argv[0], after.variables) == ("second", {"WT_SESSION": "b"})


def test_no_program_is_read_before_its_arguments_and_environment_are_there(probe: LinuxProbe) -> None:
    code = """
import os, sys
if left := int(sys.argv[1]):
    again = [sys.executable, "-S", "-c", sys.argv[2], str(left - 1), sys.argv[2]]
    os.execve(sys.executable, again, {"WT_SESSION": "a"})
print("ready", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-S", "-c", code, "40", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"WT_SESSION": "a"}) as process:
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], 0)[0]:
            with suppress(ProcessStartingError):
                facts = probe.process(process.pid)
                assert (facts.argv[1:4], facts.variables) == (("-S", "-c", code), {"WT_SESSION": "a"})
        assert probe.process(process.pid).argv[4] == "0"


def test_a_process_can_overwrite_what_it_declares_which_is_why_it_is_only_declared(probe: LinuxProbe) -> None:
    code = """
import sys
field = open("/proc/self/stat").read().rpartition(")")[2].split()
start, end = int(field[47]), int(field[48])
with open("/proc/self/mem", "r+b", buffering=0) as memory:
    memory.seek(start)
    block = memory.read(end - start)
    memory.seek(start + block.index(b"WT_SESSION=") + 11)
    memory.write(b"forged")
print("ready", flush=True); sys.stdin.read()
"""
    with child(code, env={"WT_SESSION": "honest"}) as (process, said):
        assert said == "ready"
        facts = probe.process(process.pid)
    finding = find_terminal(facts.variables, facts.tty, facts.leader)
    assert finding.key == "wt:forged"
    assert finding.used is not None
    assert finding.used.rank == Rank.PROCESS_DECLARED


def test_a_zombie_a_reaped_process_and_a_thread_are_no_process(probe: LinuxProbe) -> None:
    with child(WAIT) as (process, _):
        key = probe.process(process.pid).key
        watch = probe.exit_watch(key)
        process.kill()
        assert select.select([watch], [], [], DEADLINE)[0]
        with pytest.raises(ProcessGoneError, match="waits for its parent"):
            probe.process(process.pid)
        with pytest.raises(ProcessGoneError):
            probe.exit_watch(key)
        process.wait(DEADLINE)
    with watch:
        assert watch.exited()
    with pytest.raises(ProcessGoneError):
        probe.process(process.pid)
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    with pytest.raises(ProcessGoneError):
        probe.process(thread.native_id)
    done.set()
    thread.join()


def test_an_exit_is_noticed_on_a_descriptor(probe: LinuxProbe) -> None:
    with child(WAIT) as (process, _), probe.exit_watch(probe.process(process.pid).key) as watch:
        assert watch.process.pid == process.pid
        assert not watch.exited()
        process.kill()
        assert select.select([watch], [], [], DEADLINE)[0]
        assert watch.exited()
        watch.close()


def test_descent_is_proven_through_living_processes_only(probe: LinuxProbe) -> None:
    code = f"""
import subprocess, sys
under = subprocess.Popen([sys.executable, "-c", {WAIT!r}], stdin=subprocess.PIPE)
print(under.pid, flush=True)
sys.stdin.read()
"""
    with child(code) as (parent, said), child(WAIT) as (stranger, _):
        grandchild = int(said)
        keys = {pid: probe.process(pid).key for pid in (parent.pid, stranger.pid, grandchild)}
        me = probe.this_process()
        assert probe.is_descendant(me, me)
        assert probe.is_descendant(keys[grandchild], me)
        assert probe.is_descendant(keys[grandchild], keys[parent.pid])
        assert not probe.is_descendant(keys[parent.pid], keys[grandchild])
        assert not probe.is_descendant(keys[stranger.pid], keys[parent.pid])
        with probe.exit_watch(keys[grandchild]) as watch:
            parent.kill()
            parent.wait(DEADLINE)
            assert not probe.is_descendant(keys[grandchild], keys[parent.pid])
            assert not probe.is_descendant(keys[grandchild], me)
            with suppress(ProcessLookupError):
                os.kill(grandchild, signal.SIGKILL)
            assert select.select([watch], [], [], DEADLINE)[0]


def test_a_key_of_another_boot_is_not_this_process(probe: LinuxProbe) -> None:
    me = probe.this_process()
    other = type(me)(me.host, "another boot", me.pid, me.started, me.pidfd)
    with pytest.raises(ProcessGoneError, match="another host"):
        probe.exit_watch(other)
    assert not probe.is_descendant(me, other)


def test_a_recycled_pid_is_another_process() -> None:
    """In a pid namespace of its own, where the next pid can be chosen."""
    code = """
import os, socket, sys
from actors.probe import ProcessGoneError, SocketMovedError, choose_probe

def start(work):
    pid = os.fork()
    if pid == 0:
        work()
        os.read(stays[0], 1)
        os._exit(0)
    return pid

def refused(kind, question):
    try:
        question()
    except kind:
        return True
    return False

stays = os.pipe()
probe = choose_probe()
server = socket.create_server(("127.0.0.1", 0))
wrong = rounds = 0
for _ in range(100):
    kept = []
    first = start(lambda: kept.append(socket.create_connection(server.getsockname())))
    connection, remote = server.accept()
    peer = probe.peer(connection.getsockname(), remote)
    assert probe.owner(peer, [first]) == first
    key = probe.recognise(peer, [first]).key
    watch = probe.exit_watch(key)
    os.kill(first, 9)
    os.waitpid(first, 0)
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(first - 1))
    second = start(lambda: None)
    rounds += second == first
    right = (
        probe.process(second).key != key
        and watch.exited()
        and refused(ProcessGoneError, lambda: probe.exit_watch(key))
        and refused(SocketMovedError, lambda: probe.process(second, holding=peer))
        and not probe.still_owner(second, peer)
        and probe.recognise(peer, [second]) is None
        and not probe.is_descendant(key, probe.this_process())
    )
    wrong += not right
    watch.close()
    connection.close()
    os.kill(second, 9)
    os.waitpid(second, 0)
print(rounds, wrong)
"""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE * 3, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if ran.returncode != 0 and ("unshare failed" in ran.stderr or "ns_last_pid" in ran.stderr):
        pytest.skip(f"no private pid namespace here: {ran.stderr.strip().splitlines()[-1]}")
    if "unrepeatable_key" not in choose_probe().capabilities:
        pytest.skip("this kernel cannot tell recycled pids apart within one clock tick")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "100 0\n"
