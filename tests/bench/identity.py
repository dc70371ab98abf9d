"""How long it takes to name the sender of a connection: ``python -m tests.bench.identity``.

Beside 2,000 idle processes, an agent (with a tty, a session leader above it, as many descriptors as the real Codex shows, and
70 environment variables) opens one connection after the other; each is taken from accepted socket to process to terminal.
psutil answers the same question in the same run. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import quantiles

import psutil

from actors.probe import Probe, choose_probe, classify, find_terminal

GOAL_MICROSECONDS = 150
GOAL_RATIO = 500
PR_SET_PDEATHSIG = 1
AGENT = """
import fcntl, os, pty, socket, sys, termios
os.setsid()
_, terminal = pty.openpty()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
if (pid := os.fork()) != 0:  # the leader of the session, as a shell is
    print(pid, flush=True)
    os._exit(os.waitpid(pid, 0)[1] and 1)
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
for line in sys.stdin:
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
"""
WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
ENVIRONMENT = {**{f"VARIABLE_{number}": "some value of usual length" for number in range(70)}, "WT_SESSION": WT}


@contextmanager
def idle_processes(count: int) -> Iterator[list[int]]:
    """Keep processes that only wait, with 12 files and a socket each; they die with us."""
    prctl = ctypes.CDLL(None).prctl
    pids = []
    try:
        for _ in range(count):
            if (pid := os.fork()) == 0:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                kept = ([os.open("/dev/null", os.O_RDONLY) for _ in range(12)], socket.socket())
                while kept:
                    signal.pause()
            pids.append(pid)
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


@contextmanager
def agent(port: int) -> Iterator[tuple[int, Callable[[], object]]]:
    """Run an agent; give its pid and a function that makes it connect anew."""
    command = [sys.executable, "-c", AGENT, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=ENVIRONMENT) as leader:
        stdin, stdout = leader.stdin, leader.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            yield int(stdout.readline()), lambda: stdin.write(b"\n")
        finally:
            stdin.close()


def name_sender(probe: Probe, connection: socket.socket, known: list[int]) -> None:
    """Do what the gateway does at accept()."""
    peer = probe.peer(connection.getsockname(), connection.getpeername())
    assert peer is not None
    assert peer.uid == probe.this_user()
    facts = probe.recognise(peer, known)
    assert facts is not None
    classify(facts.exe, facts.argv, facts.script)
    assert find_terminal(facts.variables, facts.tty, facts.leader).key == f"wt:{WT}"


def measure(work: Callable[[], object], rounds: int, before: Callable[[], object] = lambda: None) -> list[float]:
    """Time rounds of work in microseconds; ``before`` each one is not counted."""
    times = []
    for _ in range(rounds):
        before()
        start = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - start) / 1000)
    return times


def measure_exits(probe: Probe, rounds: int) -> list[float]:
    """Time from a kill to its notice on the process's descriptor."""
    times = []
    for _ in range(rounds):
        with subprocess.Popen(["sleep", "60"]) as process, probe.exit_watch(probe.identify(process.pid)) as watch:
            start = time.perf_counter_ns()
            process.kill()
            assert select.select([watch], [], [], 5)[0]
            times.append((time.perf_counter_ns() - start) / 1000)
    return times


def report(label: str, times: list[float]) -> float:
    """Print one row and return the median."""
    cuts = quantiles(times, n=100, method="inclusive")
    print(f"{label:<62} p50 {cuts[49]:>10,.1f} µs   p99 {cuts[98]:>10,.1f} µs   n {len(times)}")
    return cuts[49]


def main() -> int:
    """Run it all."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--processes", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=2000)
    given = arguments.parse_args()
    probe = choose_probe()
    with ExitStack() as stack:
        idle = stack.enter_context(idle_processes(given.processes))
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        pid, connect = stack.enter_context(agent(server.getsockname()[1]))
        accepted: list[socket.socket] = []

        def renew() -> None:
            connect()
            while accepted:
                accepted.pop().close()
            accepted.append(server.accept()[0])

        renew()
        others = idle[:9]
        for other in others:  # known is who was read before
            probe.process(other)
        print(
            f"{given.processes} idle processes, {os.uname().release}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"
        )
        known = measure(lambda: name_sender(probe, accepted[0], [pid, *others]), given.rounds, renew)
        ours = report("connection → process → terminal, known agent (first of 10)", known)
        report(
            "  the same, last of 10 known",
            measure(lambda: name_sender(probe, accepted[0], [*others, pid]), given.rounds // 4, renew),
        )
        remote = accepted[0].getpeername()
        local = accepted[0].getsockname()
        peer = probe.peer(local, remote)
        assert peer is not None
        report("  only the socket (inet_diag, exact tuple)", measure(lambda: probe.peer(local, remote), given.rounds))
        assert probe.search_owners(peer) == (pid,)
        report("  unknown process: full search, off the loop", measure(lambda: probe.search_owners(peer), 10))
        theirs = report("psutil.net_connections('tcp4')", measure(lambda: psutil.net_connections("tcp4"), 10))
        report("exit of a small process noticed after kill()", measure_exits(probe, 100))
        accepted.pop().close()
    ratio = theirs / ours
    reached = ours <= GOAL_MICROSECONDS and ratio >= GOAL_RATIO
    verdict = "reached" if reached else "MISSED"
    print(f"goal: p50 ≤ {GOAL_MICROSECONDS} µs and ≤ 1/{GOAL_RATIO} of psutil; here 1/{ratio:,.0f}: {verdict}")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
