"""The gateway beside nginx, LiteLLM and no gateway at all, in one run: ``python -m tests.bench.gateway [--quick]``.

A 20 KB POST with a 1.2 KB JSON answer, and streams of 200 events of about 165 B, at 1, 16 and 128 connections; streams
paced at 5 ms an event, 16 at a time; a new connection for every request, as Codex makes them. Rounds are interleaved (every
peer meets every case in every round), figures are medians over rounds, processor time is that of the peer's own processes.
With two cores or more, peers have the first to themselves and callers and upstream share the last.

Prints absolute figures, ratios, and whether the goals of the design are reached; exits with 1 when one is missed.
``--litellm PATH`` takes a LiteLLM proxy's executable along (never a dependency of ours); ``--alone`` starts the gateway
without broker and registry.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from os import sched_getaffinity
from pathlib import Path
from statistics import median

from tests.bench import peers
from tests.bench.machine import cpu_seconds, describe, resident_mib
from tests.bench.peers import Peer

STALLED = 16


@dataclass(frozen=True)
class Case:
    """A load: what is asked, over how many connections, how often in one round."""

    name: str
    mode: str
    connections: int
    requests: int
    fresh: bool = False


CASES = (
    Case("POST c1", "json", 1, 1500),
    Case("POST c16", "json", 16, 4000),
    Case("POST c128", "json", 128, 16_000),  # of which less than a hundredth open their connections
    Case("POST c1 fresh", "json", 1, 400, fresh=True),
    Case("SSE c1", "sse", 1, 120),
    Case("SSE c16", "sse", 16, 400),
    Case("SSE c128", "sse", 128, 512),
    Case("paced c16", "paced", 16, 32),
)
SLOWER = 20  # a peer of this class gets so many times fewer requests
STANDING = 8  # but so many a connection: with fewer, all of them wait in a queue that is still growing, or already shrinking


@dataclass(frozen=True)
class Figures:
    """What one case cost one peer; microseconds unless the name says otherwise."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    delay_p50: float = 0.0
    delay_p99: float = 0.0
    opening_p99: float = 0.0


class Load:
    """The process that calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **job: object) -> dict[str, object]:
        """Have a job done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline() or '{"problem": "the callers died"}')
        return answer

    def measure(self, peer: Peer, case: Case) -> Figures:
        """Run one case against one peer."""
        least = case.connections * (STANDING if case.mode == "json" else 2)
        requests = max(least, case.requests // (SLOWER if peer.name == "litellm" else 1))
        before = cpu_seconds(list(peer.pids))
        answer = self.ask(port=peer.port, mode=case.mode, connections=case.connections, requests=requests, fresh=case.fresh)
        if answer.get("problem"):
            raise RuntimeError(f"{peer.name}, {case.name}: {answer['problem']}")
        spent = cpu_seconds(list(peer.pids)) - before
        took, delay, opening = answer["took"], answer["delay"], answer["opening"]
        assert isinstance(took, dict)
        assert isinstance(delay, dict)
        assert isinstance(opening, dict)
        seconds = float(str(answer["seconds"]))
        cpu = spent * 1e6 / requests
        delays = delay.get("p50", 0.0), delay.get("p99", 0.0)
        return Figures(requests / seconds, took["p50"], took["p99"], cpu, *delays, opening.get("p99", 0.0))


@contextmanager
def callers(folder: Path) -> Iterator[tuple[Load, int]]:
    """Run the load generator."""
    with peers.process([sys.executable, "-m", "tests.bench.load"], folder / "load.log", stdout=subprocess.PIPE) as started:
        yield Load(started), started.pid


Table = dict[tuple[str, str], Figures]


def measure(load: Load, taking_part: list[Peer], rounds: int) -> Table:
    """Run all rounds and return the medians."""
    seen: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for number in range(rounds + 1):
        for case in CASES:
            for peer in taking_part:
                if number == 0:
                    load.ask(port=peer.port, mode=case.mode, connections=case.connections, requests=case.connections)
                elif peer.name != "litellm" or number <= 2:
                    seen[peer.name, case.name].append(load.measure(peer, case))
    return {key: _median(figures) for key, figures in seen.items()}


def _median(figures: list[Figures]) -> Figures:
    names = ("per_second", "p50", "p99", "cpu", "delay_p50", "delay_p99", "opening_p99")
    return Figures(**{name: median(getattr(each, name) for each in figures) for name in names})


@dataclass(frozen=True)
class Memory:
    """What the gateway holds, in MiB."""

    idle: float
    after: float
    per_stalled: float


def measure_memory(load: Load, peer: Peer, idle: float) -> Memory:
    """Hold streams that nobody reads and see what they cost."""
    after = resident_mib(list(peer.pids))
    load.ask(port=peer.port, mode="stall", connections=STALLED)
    subprocess.run(["sleep", "2"], check=True)  # what is still on its way arrives
    stalled = resident_mib(list(peer.pids))
    load.ask()
    return Memory(idle, after, max(0.0, stalled - after) / STALLED)


_HEADS = ("case", "peer", "per s", "p50 us", "p99 us", "added p50", "CPU us", "per s x nginx", "added x nginx", "CPU x nginx")


def show(table: Table, names: list[str]) -> None:
    """Print the figures, and each peer's beside nginx's."""
    print(f"| {' | '.join(_HEADS)} |\n|---|---|{'--:|' * (len(_HEADS) - 2)}")
    for case in CASES:
        for name in names:
            if (name, case.name) in table:
                print(f"| {case.name} | {name} | {' | '.join(_row(table, case, name))} |")
    print("(CPU: of the peer for one request; paced: p50 and p99 are those of the delay of an event)")
    opened = [(name, table[name, "POST c128"].opening_p99) for name in names if (name, "POST c128") in table]
    opening = ", ".join(f"{name} {took:,.0f} us" for name, took in opened)
    print(f"(among these the first request of each of 128 connections, p99: {opening})")


def _row(table: Table, case: Case, name: str) -> list[str]:
    each, floor, base = (table[peer, case.name] for peer in (name, "direct", "nginx"))
    field = "delay_p50" if case.mode == "paced" else "p50"
    added, base_added = (getattr(figures, field) - getattr(floor, field) for figures in (each, base))
    worst = each.delay_p99 if case.mode == "paced" else each.p99
    shown = [f"{value:,.0f}" for value in (each.per_second, getattr(each, field), worst)]
    if name == "direct":
        return [*shown, *"-----"]
    ratio = f"{_ratio(added, base_added):.2f}" if case.connections == 1 else "-"  # beyond one, queueing is what is added
    cpu = f"{_ratio(each.cpu, base.cpu):.2f}"
    return [*shown, f"{added:,.0f}", f"{each.cpu:,.0f}", f"{each.per_second / base.per_second:.2f}", ratio, cpu]


def _ratio(one: float, other: float) -> float:
    return one / other if other > 0 else float("nan")


@dataclass(frozen=True)
class Goal:
    """A row of the design's table."""

    what: str
    figure: float | None
    bound: float
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        """Tell whether the goal is reached; None when it was not measured."""
        if self.figure is None:
            return None
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def goals(table: Table, memory: Memory) -> list[Goal]:
    """Compare with DESIGN.md §8."""

    def ratio(name: str, case: str, other: str = "nginx") -> float | None:
        if ("gateway", case) not in table or (other, case) not in table:
            return None
        return _ratio(getattr(table["gateway", case], name), getattr(table[other, case], name))

    floor = table["direct", "POST c1"].p50
    added = _ratio(table["gateway", "POST c1"].p50 - floor, table["nginx", "POST c1"].p50 - floor)
    return [
        Goal("POST, 1 connection: added p50 x nginx's", added, 3.0),
        Goal("POST, 16 connections: requests/s x LiteLLM's", ratio("per_second", "POST c16", "litellm"), 40.0, at_least=True),
        Goal("POST, 128 connections: requests/s x LiteLLM's", ratio("per_second", "POST c128", "litellm"), 40.0, at_least=True),
        Goal("POST, 128 connections: p99 x LiteLLM's", ratio("p99", "POST c128", "litellm"), 1 / 50),
        Goal("SSE, 16 connections: CPU per stream x nginx's", ratio("cpu", "SSE c16"), 1.25),
        Goal("SSE, 16 connections: streams/s x nginx's", ratio("per_second", "SSE c16"), 0.9, at_least=True),
        Goal("SSE, 128 connections: CPU per stream x nginx's", ratio("cpu", "SSE c128"), 1.25),
        Goal("SSE, 128 connections: streams/s x nginx's", ratio("per_second", "SSE c128"), 0.9, at_least=True),
        Goal("SSE, 16 connections: streams/s x LiteLLM's", ratio("per_second", "SSE c16", "litellm"), 25.0, at_least=True),
        Goal("paced, 16 streams: delay of an event p50 x nginx's", ratio("delay_p50", "paced c16"), 1.3),
        Goal("paced, 16 streams: CPU x nginx's", ratio("cpu", "paced c16"), 4.0),
        Goal("memory, idle (MiB)", memory.idle, 64.0),
        Goal("memory, each stalled stream (MiB)", memory.per_stalled, 4.0),
    ]


def show_goals(reached: list[Goal]) -> None:
    """Print which goals are reached."""
    print("\n| goal | measured | bound | reached |\n|---|--:|--:|---|")
    for goal in reached:
        measured = "-" if goal.figure is None else f"{goal.figure:.3g}"
        verdict = {True: "yes", False: "NO", None: "not measured"}[goal.reached]
        print(f"| {goal.what} | {measured} | {'≥' if goal.at_least else '≤'} {goal.bound:.3g} | {verdict} |")


def _spread(taking_part: list[Peer], ours: tuple[int, ...]) -> str:
    """Give the peers a core of their own, where there are two."""
    cores = sorted(sched_getaffinity(0))
    if len(cores) < 2:
        return "all on one core"
    for peer in taking_part:
        peers.pin(peer.pids, {cores[0]})
    peers.pin(ours, {cores[-1]})
    return f"peers on core {cores[0]}, callers and upstream on core {cores[-1]}, broker and registry wherever there is room"


def run(options: argparse.Namespace) -> int:
    """Run the benchmark and return the exit code."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tabwire-bench-")))
        upstream, stub_pid = stack.enter_context(peers.stub(folder))
        load, load_pid = stack.enter_context(callers(folder))
        start = peers.gateway_alone if options.alone else peers.gateway
        taking_part = [
            Peer("direct", upstream),
            stack.enter_context(peers.nginx(folder, upstream)),
            stack.enter_context(start(folder, upstream)),
        ]
        versions = [f"nginx {peers.version([str(peers.NGINX), '-v'])}"]
        if options.litellm is not None:
            taking_part.append(stack.enter_context(peers.litellm(folder, upstream, options.litellm)))
            versions.append(f"LiteLLM {peers.version([str(options.litellm), '--version'])}")
        ours = next(peer for peer in taking_part if peer.name == "gateway")
        idle = resident_mib(list(ours.pids))
        where = _spread(taking_part, (stub_pid, load_pid))
        rounds = options.rounds or (2 if options.quick else 5)
        table = measure(load, taking_part, rounds)
        memory = measure_memory(load, ours, idle)
    print(describe(*versions))
    print(f"{'gateway alone' if options.alone else 'whole system on'}; {rounds} rounds, medians; {where}\n")
    show(table, [peer.name for peer in taking_part])
    print(f"\ngateway's memory: {memory.idle:.0f} MiB idle, {memory.after:.0f} MiB after the load")
    reached = goals(table, memory)
    show_goals(reached)
    return 1 if any(goal.reached is False for goal in reached) else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gateway", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds instead of five")
    parser.add_argument("--rounds", type=int, help="so many rounds")
    parser.add_argument("--alone", action="store_true", help="start the gateway without broker and registry")
    parser.add_argument("--litellm", type=Path, metavar="PATH", help="a LiteLLM proxy's executable to compare with")
    options = parser.parse_args()
    if not peers.NGINX.exists():
        parser.exit(2, f"{peers.NGINX} is not there: install nginx to compare with\n")
    return run(options)


if __name__ == "__main__":
    sys.exit(main())
