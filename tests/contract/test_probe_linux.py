"""The probe of Linux against real sockets and real processes: who holds what, who is gone, who may not be read."""

from __future__ import annotations

import ctypes
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

if sys.platform != "linux":
    pytest.skip("needs Linux", allow_module_level=True)

from actors.probe import (
    Peer,
    Probe,
    ProbeError,
    ProcessGoneError,
    ProcessHiddenError,
    SessionLeader,
    SocketMovedError,
    choose_probe,
    find_terminal,
)
from actors.probe.linux import LinuxProbe
from actors.probe.linux.pidfd import inodes_are_unique
from schemas.evidence import Rank

WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
CANARY = "sk-canary-5f1c"
PR_SET_DUMPABLE = 4
NOBODY = 65534
DEADLINE = 20
WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
CONNECT = """
import socket, sys
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
print(" ".join(str(s.getsockname()[1]) for s in held), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def probe() -> Iterator[LinuxProbe]:
    made = LinuxProbe()
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        listening.settimeout(DEADLINE)
        yield listening


@contextmanager
def child(code: str, *arguments: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run Python code until the block ends; give its process and the line that it says when it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def forked(work: Callable[[], str]) -> Iterator[tuple[int, str]]:
    """Run a function in a fork without exec, which lives on until the block ends; give its pid and its answer."""
    answers, answer = os.pipe()
    stays, stay = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(answers)
        os.close(stay)
        try:
            text = work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            text = f"{type(error).__name__}: {error}"
        os.write(answer, text.encode())
        os.close(answer)
        os.read(stays, 1)
        os._exit(0)
    os.close(answer)
    os.close(stays)
    try:
        chunks = list(iter(lambda: os.read(answers, 65536), b""))
        yield pid, b"".join(chunks).decode()
    finally:
        os.close(answers)
        os.close(stay)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def accepted(probe: Probe, server: socket.socket, client: socket.socket) -> Peer:
    """Accept the client's connection and return what the probe says about its other end."""
    connection, _ = server.accept()
    with connection:
        peer = probe.peer(connection.getsockname()[:2], connection.getpeername()[:2])
    assert peer is not None
    assert peer.inode == os.fstat(client.fileno()).st_ino
    return peer


# ------------------------------------------------------------------------------------------------ sockets


def test_this_system_can_answer_everything(probe: LinuxProbe) -> None:
    assert {"peer", "owner", "process", "exit_watch", "ancestry"} <= set(probe.capabilities)
    assert ("unrepeatable_key" in probe.capabilities) == inodes_are_unique() == (probe.this_process().pidfd is not None)


@pytest.mark.parametrize(
    ("listen", "connect"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1"),
        ("::", "127.0.0.1"),
        ("::", "::1"),
        ("::", "::ffff:127.0.0.1"),
    ],
)
def test_the_clients_end_is_found_over_ipv4_ipv6_and_mapped_addresses(probe: LinuxProbe, listen: str, connect: str) -> None:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    try:
        server = socket.create_server((listen, 0), family=family, dualstack_ipv6=family == socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server, socket.socket(socket.AF_INET6 if ":" in connect else socket.AF_INET) as client:
        client.connect((connect, server.getsockname()[1]))
        peer = accepted(probe, server, client)
        assert peer.uid == probe.this_user()
        assert probe.owner(peer, [1, os.getpid()]) == os.getpid()
        assert probe.search_owners(peer) == (os.getpid(),)


def test_a_closed_client_has_no_owner_and_a_listener_on_its_port_is_not_it(probe: LinuxProbe, server: socket.socket) -> None:
    client = socket.create_connection(server.getsockname())
    connection, remote = server.accept()
    with connection:
        local = connection.getsockname()
        peer = probe.peer(local, remote)
        client.close()
        assert peer is not None
        assert probe.peer(local, remote) is None
        assert probe.search_owners(peer) == ()
        assert not probe.still_owner(os.getpid(), peer)
    assert probe.peer(("127.0.0.1", 1), server.getsockname()) is None


def test_200_connections_of_20_processes_are_each_attributed_to_theirs(probe: LinuxProbe, server: socket.socket) -> None:
    port, each, many = server.getsockname()[1], 10, 20
    with ThreadPoolExecutor(many) as pool:
        children = [child(CONNECT, str(port), str(each)) for _ in range(many)]
        started = list(pool.map(lambda made: made.__enter__(), children))
    try:
        owners = {int(own): process.pid for process, ports in started for own in ports.split()}
        known = [process.pid for process, _ in started]
        connections = [server.accept() for _ in range(each * many)]
        for connection, remote in connections:
            with connection:
                peer = probe.peer(connection.getsockname(), remote)
                assert peer is not None
                assert probe.owner(peer, known) == owners[remote[1]]
                assert probe.process(owners[remote[1]], holding=peer).key.pid == owners[remote[1]]
    finally:
        for made in children:
            made.__exit__(None, None, None)


def test_questions_from_many_threads_get_their_own_answers(probe: LinuxProbe, server: socket.socket) -> None:
    clients = [socket.create_connection(server.getsockname()) for _ in range(16)]

    def ask(client: socket.socket) -> bool:
        wanted = os.fstat(client.fileno()).st_ino
        found = [probe.peer(server.getsockname(), client.getsockname()) for _ in range(200)]
        return all(peer is not None and peer.inode == wanted for peer in found)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, clients))
    for client in clients:
        client.close()


# ------------------------------------------------------------------------------------------------ owners


def test_a_socket_shared_by_a_fork_has_two_owners_and_is_nobodys_for_sure(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        with forked(str) as (twin, _):
            assert probe.search_owners(peer) == tuple(sorted((os.getpid(), twin)))
            assert probe.owner(peer, [os.getpid(), twin]) is None
            assert probe.owner(peer, [twin, os.getpid()]) is None
        assert probe.owner(peer, [os.getpid()]) == os.getpid()


def test_many_are_searched_for_in_one_walk_each_with_its_own_owners(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as shared:
        first = accepted(probe, server, shared)
        with forked(str) as (twin, _), socket.create_connection(server.getsockname()) as own:
            second = accepted(probe, server, own)
            gone = Peer(inode=1, uid=first.uid)
            assert probe.search_all((second, gone, first)) == ((os.getpid(),), (), tuple(sorted((os.getpid(), twin))))
    assert probe.search_all(()) == ()


def test_a_socket_that_survives_an_exec_is_left_to_the_full_search(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        client.set_inheritable(True)
        assert probe.owner(peer, [os.getpid()]) is None
        assert probe.search_owners(peer) == (os.getpid(),)


def test_a_process_that_closed_its_socket_is_not_read_as_its_owner(probe: LinuxProbe, server: socket.socket) -> None:
    with socket.create_connection(server.getsockname()) as client:
        peer = accepted(probe, server, client)
        assert probe.process(os.getpid(), holding=peer).key == probe.this_process()
    with pytest.raises(SocketMovedError):
        probe.process(os.getpid(), holding=peer)


# ------------------------------------------------------------------------------------------------ processes


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


# ------------------------------------------------------------------------------------------------ what may not be read


def as_nobody(work: Callable[[LinuxProbe], str]) -> str:
    """Run a function as an unprivileged user: in a fork, since the interpreter may not be readable to others."""

    def unprivileged() -> str:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work(LinuxProbe())

    with forked(unprivileged) as (_, answer):
        return answer


def hidden(probe: LinuxProbe, pid: int) -> str:
    try:
        return f"not hidden: {probe.process(pid).exe}"
    except ProcessHiddenError as error:
        return error.reason


def test_a_process_of_another_user_is_hidden_and_says_whose_it_is() -> None:
    assert as_nobody(lambda probe: hidden(probe, 1)) == "belongs to another user (uid 0)"


def test_a_process_that_protects_itself_is_hidden_and_holds_nothing_for_sure() -> None:
    def work(probe: LinuxProbe) -> str:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def protect() -> str:
                ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
                client = socket.create_connection(server.getsockname())
                kept.append(client)
                return ""

            kept: list[socket.socket] = []
            with forked(protect) as (pid, _):
                connection, remote = server.accept()
                peer = probe.peer(connection.getsockname(), remote)
                assert peer is not None
                assert peer.uid == probe.this_user()
                assert probe.owner(peer, [pid]) is None
                assert probe.search_owners(peer) == ()
                return hidden(probe, pid)

    assert as_nobody(work).startswith("protects its memory")


def test_without_descriptors_the_probe_says_so_instead_of_finding_nobody() -> None:
    def work() -> str:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            probe = LinuxProbe()
            peer = accepted(probe, server, client)
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
            errors = []
            for question in (
                lambda: probe.owner(peer, [os.getpid()]),
                lambda: probe.search_owners(peer),
                lambda: probe.process(os.getpid()),
            ):
                try:
                    errors.append(f"answered {question()}")
                except ProbeError as error:
                    errors.append(str(error))
            return "\n".join(errors)

    with forked(work) as (_, answer):
        assert answer.count("Too many open files") == 3, answer


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
    key = probe.process(first, holding=peer).key
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
