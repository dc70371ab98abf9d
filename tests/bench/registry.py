"""What a living registry costs: ``python -m tests.bench.registry [--sessions 1000] [--rate 100] [--seconds 10]``.

A real broker and a real registry get to know many sessions from three sources (a process, what it holds, a request); then
changes keep coming at a fixed rate, each of which may change a status. Measured are the processor time that the registry
takes for them, and how long the whole table takes to ask for. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any

import anyio

from actors.runtime.contract import Ready
from bus.client import Client, connect
from bus.connection import read_connection
from bus.source import Source
from schemas import events as e
from schemas.commands import ListSessions
from schemas.envelope import Recorded, subject
from schemas.evidence import Evidence, Rank
from schemas.identity import RequestId
from tests.bench.fold import exchange, process_of, terminal_of
from tests.bench.machine import cpu_seconds, describe
from tests.contract.actor_process import Place, place

CPU_GOAL = 0.10
SNAPSHOT_GOAL_MS = 200.0
BATCH = 200
ASKED = 20


def known(number: int) -> Iterator[tuple[str, Any]]:
    """Tell of one session: its process, the rollout that it holds open, the file's first line, one request."""
    request = RequestId(f"01a1fb07-0000-7000-8000-{number:012x}")
    facts = list(exchange(request, number, 1000))
    about, attributed = facts[1]
    key = process_of(number)
    session, conversation = attributed.session, attributed.conversation  # type: ignore[attr-defined]
    yield subject("process", f"p{number}"), e.ProcessSeen(process=key, agent="codex", kind="tui", terminal=terminal_of(number))
    held = Evidence(rank=Rank.KERNEL, kind="lock file", proves="conversation", value=conversation)
    found = {"process": key, "agent": "codex", "session": session, "conversation": conversation}
    yield about, e.ProcessConversationFound(**found, evidence=(held,))
    yield about, transcript(number, session, conversation)
    yield from facts


def transcript(number: int, session: Any, conversation: Any) -> e.TranscriptSeen:
    return e.TranscriptSeen(
        session=session,
        conversation=conversation,
        agent="codex",
        thread=session.partition("-")[2],
        thread_kind="main",
        path=f"/home/u/.codex/sessions/{number}.jsonl",
        file=f"file-{number}",
        offset=1,
    )


def changes(sessions: int) -> Iterator[tuple[str, Any]]:
    """Tell for ever of requests that begin and end and of turns that begin and end, a different session each time."""
    number = 0
    while True:
        request = RequestId(f"01a1fb07-7000-7000-8000-{number:012x}")
        which = (number * 7) % sessions
        facts = list(exchange(request, which, 1000))
        session = facts[1][1].session  # type: ignore[attr-defined]
        turn: dict[str, Any] = {"session": session, "file": f"file-{which}", "offset": 1, "thread": "t", "turn": str(number)}
        yield facts[1][0], e.TranscriptTurnStarted(**turn)
        yield facts[1]
        yield facts[-1]
        yield facts[1][0], e.TranscriptTurnEnded(**turn, outcome="completed")
        number += 1


@contextlib.asynccontextmanager
async def client(home: Place, name: str) -> AsyncIterator[Client]:
    async with connect(read_connection(home.paths.connection_file).with_keys(*home.keys[name])) as connected:
        yield connected


async def measure(home: Place, pid: int, asked: argparse.Namespace) -> tuple[float, float, list[float], int]:
    """Return the registry's share of a core at rest and under load, the answers' times in ms, and the rows of the last one."""
    source = Source("/actor/gateway/0123456789ab")
    async with client(home, "gateway") as gateway, connect(read_connection(home.paths.connection_file)) as user:
        facts = [source.envelope(*fact) for number in range(asked.sessions) for fact in known(number)]
        for begin in range(0, len(facts), BATCH):
            await gateway.publish(facts[begin : begin + BATCH])
        await _announced(user, asked.sessions)
        rest = await _share(pid, anyio.sleep(asked.seconds / 2))
        load = await _share(pid, _publish(gateway, source, asked))
        times = []
        for _ in range(ASKED):
            begun = time.perf_counter()
            table = await user.request("registry", ListSessions())
            times.append((time.perf_counter() - begun) * 1e3)
        return rest, load, times, len(table.sessions)


async def _announced(user: Client, sessions: int) -> None:
    """Wait until every session was announced to be verified."""
    verified = 0
    async with user.feed(0) as feed:
        async for told in feed:
            if isinstance(told, Recorded) and told.envelope.type == "session.verified":
                verified += 1
            if verified == sessions:
                return


async def _share(pid: int, work: Awaitable[None]) -> float:
    before, begun = cpu_seconds([pid]), time.perf_counter()
    await work
    return (cpu_seconds([pid]) - before) / (time.perf_counter() - begun)


async def _publish(gateway: Client, source: Source, asked: argparse.Namespace) -> None:
    told = changes(asked.sessions)
    begun = time.perf_counter()
    for number in range(int(asked.rate * asked.seconds)):
        await anyio.sleep(max(0.0, begun + number / asked.rate - time.perf_counter()))
        await gateway.publish([source.envelope(*next(told))])


def main() -> int:
    """Measure and print; return 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0, help="changes a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    print(f"registry: {describe()}")
    with tempfile.TemporaryDirectory() as folder, place(Path(folder)) as home:
        home.start("broker").until(Ready)
        registry = home.start("registry")
        registry.until(Ready)
        rest, load, times, rows = anyio.run(measure, home, registry.pid, asked)
    print(f"  {asked.sessions} sessions, nothing happens:      {rest:6.2%} of a core")
    print(f"  {asked.sessions} sessions, {asked.rate:g} changes/s:        {load:6.2%} of a core   goal < {CPU_GOAL:.0%}")
    worst = max(times)
    print(
        f"  the table of {rows} rows, asked over the bus: p50 {statistics.median(times):.0f} ms, worst {worst:.0f} ms"
        f"   goal < {SNAPSHOT_GOAL_MS:.0f} ms"
    )
    missed = load >= CPU_GOAL or worst >= SNAPSHOT_GOAL_MS or rows != asked.sessions
    print("goals reached" if not missed else "MISSED")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
