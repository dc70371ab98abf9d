"""What driven sessions cost, and how soon their words are heard: ``python -m tests.bench.bridges``.

A whole Tabwire on this machine; the agents are ``tests/bench/talker.py``, which speak ACP and use no model. Measured are

- how long ``bridges.start_session`` takes to be answered, one after the other and all at once, and until the agent is ready;
- the memory of our own that each bridge holds while nothing happens (PSS, its agent's not counted), and what all of them and
  the hub cost of a core then;
- the time from an agent's ``write`` to a subscriber that has the text, through bridge, hub and broker, for one agent at 50
  words a second, and for ten at once; beside it a pipe from an agent to a reader, which has nothing between them.

A start above 100 ms (p99), a bridge above 30 MiB, or a delay above 30 ms (p99) fails (exit 1).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

import anyio

from bus.client import Client, connect
from bus.connection import read_connection
from schemas.bridge_rows import BridgeRow
from schemas.codec import decode
from schemas.commands.bridges import CloseSession, ListBridges, SendMessage, ShowPending, StartSession
from schemas.content import Frame, TextAdded, TurnEnded
from tests.bench import talker
from tests.bench.bus import percentile
from tests.bench.machine import cpu_seconds, describe
from tests.e2e.system import System, running

TARGET_START_MS = 100.0
TARGET_MIB = 30.0
TARGET_DELAY_MS = 30.0
RATE = 50
CROWD = 10
NOW_AND_THEN = 10
APART_SECONDS = 0.3
IDLE_SECONDS = 5.0
DEADLINE = 60.0
_ACTORS = {"hub": "bridges", "broker": "broker", "registry": "registry"}


class Bench:
    """One Tabwire and its sessions."""

    def __init__(self, system: System, client: Client, folder: Path) -> None:
        self.system = system
        self.client = client
        self.program = folder / "opencode"
        self.program.write_text(f"#!{sys.executable} -IS\n{Path(talker.__file__).read_text()}")
        self.program.chmod(0o700)
        self.wishes: dict[str, Any] = {"agent": "opencode", "cwd": str(folder), "program": str(self.program)}
        self.numbers = count()
        self.missed = False

    def check(self, *, missed: bool) -> str:
        self.missed |= missed
        return "MISSED" if missed else "reached"

    def pid(self, actor: str) -> int:
        """Return the process of an actor."""
        return next(int(one["pid"]) for one in self.system.json("status")["actors"] if one["actor"] == actor)

    async def start(self) -> tuple[BridgeRow, float]:
        """Start a session; return its row and how long the answer took, in ms."""
        begun = time.perf_counter()
        row = await self.client.request("bridges", StartSession(**self.wishes), deadline=DEADLINE)
        return row, (time.perf_counter() - begun) * 1000

    async def rows(self) -> tuple[BridgeRow, ...]:
        table = await self.client.request("bridges", ListBridges(), deadline=DEADLINE)
        return tuple(table.bridges)

    async def ready(self, number: int) -> tuple[BridgeRow, ...]:
        """Wait until so many sessions wait for a message."""
        with anyio.fail_after(DEADLINE):
            while True:
                rows = await self.rows()
                if sum(row.initialised and row.status == "idle" for row in rows) >= number:
                    return rows
                await anyio.sleep(0.05)

    # ------------------------------------------------------------------------------------------------ what is measured

    async def starts(self, number: int) -> tuple[BridgeRow, ...]:
        """Take how soon a start is answered, and when all are ready.

        Some are asked for one after the other, some now and then while the agents of those are starting, the rest at once.
        """
        begun = time.perf_counter()
        apart = [(await self.start())[1] for _ in range(number - number // 2 - NOW_AND_THEN)]
        among: list[float] = []
        for _ in range(NOW_AND_THEN):
            await anyio.sleep(APART_SECONDS)
            among.append((await self.start())[1])
        together: list[float] = []

        async def one() -> None:
            together.append((await self.start())[1])

        async with anyio.create_task_group() as group:
            for _ in range(number // 2):
                group.start_soon(one)
        rows = await self.ready(number)
        elapsed = time.perf_counter() - begun
        for name, took in (
            (f"{len(apart)} one after the other", apart),
            (f"{len(among)} while those start", among),
            (f"{len(together)} at once", together),
        ):
            late = percentile(took, 0.99)
            verdict = self.check(missed=late > TARGET_START_MS)
            print(f"  start answered, {name}: p50 {statistics.median(took):.1f} ms, p99 {late:.1f} ms; {verdict}")
        print(f"  {number} sessions ready after {elapsed:.1f} s, {elapsed / number * 1000:.0f} ms each")
        return rows

    async def idle(self, rows: tuple[BridgeRow, ...]) -> None:
        """Take what sessions cost in which nothing happens."""
        bridges, hub = pids_of(rows), self.pid("bridges")
        await anyio.sleep(2)  # what a start leaves behind
        before = cpu_seconds(bridges), cpu_seconds([hub])
        await anyio.sleep(IDLE_SECONDS)
        after = cpu_seconds(bridges), cpu_seconds([hub])
        sizes = [pss_mib(pid) for pid in bridges]
        verdict = self.check(missed=max(sizes) > TARGET_MIB)
        print(
            f"  {len(sizes)} idle bridges: PSS p50 {statistics.median(sizes):.1f}, largest {max(sizes):.1f} MiB each; {verdict}"
        )
        print(
            f"  idle: all bridges {(after[0] - before[0]) / IDLE_SECONDS:.2%} of a core, "
            f"the hub {(after[1] - before[1]) / IDLE_SECONDS:.2%} and {pss_mib(hub):.0f} MiB"
        )

    async def delays(self, rows: tuple[BridgeRow, ...], words: int) -> None:
        """Take how long words are on their way from some agents at once."""
        delays: list[float] = []
        lost = 0

        async def one(row: BridgeRow) -> None:
            nonlocal lost
            lost += await self.listen(row, words, delays)

        ours = {"bridges": pids_of(rows), **{f"the {name}": [self.pid(actor)] for name, actor in _ACTORS.items()}}
        before = {name: cpu_seconds(pids) for name, pids in ours.items()}
        begun = time.perf_counter()
        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(one, row)
        elapsed = time.perf_counter() - begun
        late = percentile(delays, 0.99)
        verdict = self.check(missed=late > TARGET_DELAY_MS or lost > 0 or len(delays) != words * len(rows))
        print(
            f"  {len(rows)} at {RATE} words/s: agent's pipe → subscriber p50 {statistics.median(delays):.2f} ms, "
            f"p99 {late:.2f} ms, worst {max(delays):.1f} ms; {len(delays)} words, {lost} frames lost; {verdict}"
        )
        spent = (f"{name} {(cpu_seconds(pids) - before[name]) / elapsed:.1%}" for name, pids in ours.items())
        print(f"    of a core meanwhile: {', '.join(spent)}")

    async def listen(self, row: BridgeRow, words: int, delays: list[float]) -> int:
        """Let one agent talk; note when each word came. Returns how many frames were lost."""
        async with self.client.stream(row.launch) as stream:
            await self.client.request("bridges", ShowPending(session=row.launch), deadline=DEADLINE)
            message = SendMessage(session=row.launch, text=f"{words} {RATE}", message=f"message-{next(self.numbers)}")
            await self.client.request("bridges", message, deadline=DEADLINE)
            with anyio.fail_after(words / RATE + DEADLINE):
                async for told in stream:
                    now = time.monotonic_ns()
                    if not isinstance(told, bytes):
                        continue
                    piece = decode(told, Frame).piece
                    if isinstance(piece, TextAdded) and piece.channel == "reply":
                        delays.extend((now - int(word)) / 1e6 for word in piece.text.split())
                    elif isinstance(piece, TurnEnded):
                        return stream.lost
        return stream.lost


def bare_pipe(words: int) -> list[float]:
    """Take the same from an agent's pipe alone."""
    prompt = {"jsonrpc": "2.0", "id": 1, "method": "session/prompt"}
    prompt |= {"params": {"sessionId": "s", "prompt": [{"type": "text", "text": f"{words} {RATE}"}]}}
    command = [sys.executable, "-IS", str(Path(talker.__file__))]
    delays = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(json.dumps(prompt).encode() + b"\n")
        agent.stdin.close()
        for line in agent.stdout:
            now = time.monotonic_ns()
            params = json.loads(line).get("params")
            if params is not None:
                delays.append((now - int(params["update"]["content"]["text"])) / 1e6)
    return delays


def pids_of(rows: tuple[BridgeRow, ...]) -> list[int]:
    """Return the processes of sessions' bridges."""
    return [row.process.pid for row in rows if row.process is not None]


def pss_mib(pid: int) -> float:
    """Return the memory of a process, what it shares with others parted among them."""
    found = re.search(r"^Pss:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


async def measure(system: System, folder: Path, sessions: int, words: int) -> bool:
    """Do all of it on one system; return whether a target was missed."""
    async with connect(read_connection(system.home / "state/run/bus.json")) as client:
        bench = Bench(system, client, folder)
        try:
            rows = await bench.starts(sessions)
            await bench.idle(rows)
            await bench.delays(rows[:1], words)
            await bench.delays(rows[:CROWD], words)
        finally:
            with contextlib.suppress(Exception):
                for row in await bench.rows():
                    await client.request("bridges", CloseSession(session=row.launch), deadline=DEADLINE)
        return bench.missed


def main() -> int:
    """Measure and print; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bridges", type=int, default=50, help="how many sessions there are")
    parser.add_argument("--words", type=int, default=500, help="how many words each agent says")
    arguments = parser.parse_args()
    print(f"bridges: {describe()}")
    bare = bare_pipe(min(arguments.words, 200))
    print(f"  a bare pipe: p50 {statistics.median(bare):.2f} ms, p99 {percentile(bare, 0.99):.2f} ms")
    with tempfile.TemporaryDirectory() as place, running(Path(place) / "home") as system:
        return int(anyio.run(measure, system, Path(place), arguments.bridges, arguments.words))


if __name__ == "__main__":
    sys.exit(main())
