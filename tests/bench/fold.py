"""How fast the registry folds a journal: ``python -m tests.bench.fold [--events 100000] [--sessions 200]``.

A realistic journal (launches, then requests of five events each, spread over all sessions) is written to SQLite and read
back three ways in the same run: parsed with bare orjson, decoded into typed events, and folded as ``tabwire replay`` does.
Exits with 1 when folding is slower than the goal.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from actors.registry.fold import State
from actors.registry.replay import replay_state
from actors.registry.rows import as_of, table
from bus.journal import Journal
from bus.protocol import Row
from bus.source import Source, rfc3339
from schemas import events as e
from schemas.codec import encode_envelope, encode_stamp
from schemas.envelope import Envelope, Stamp, subject, topic
from schemas.evidence import Evidence, Rank
from schemas.identity import (
    LaunchId,
    ProcessKey,
    RequestId,
    SessionId,
    TerminalKey,
    conversation_key,
    process_id,
    session_of,
)

GOAL = 100_000
ROUNDS = 5
EPOCH = "0191f5a2-0000-7000-8000-000000000000"


def journal_of(events: int, sessions: int) -> Iterator[Envelope]:
    """Tell of sessions that were launched and then send requests in a random, repeatable order."""
    drawn = random.Random(8128)  # noqa: S311 - repeatable on purpose
    gateway, client = Source("/actor/gateway/bench"), Source("/client/run/1")
    for number in range(sessions):
        yield client.envelope(subject("launch", launch_of(number)), launch(number))
    for number in range((events - sessions) // 5):
        request = RequestId(f"01a1fb07-7000-7000-8000-{number:012x}")
        for about, data in exchange(request, drawn.randrange(sessions), drawn.randint(100, 9000)):
            yield gateway.envelope(about, data, correlationid=request)


def launch_of(number: int) -> LaunchId:
    return LaunchId(f"launch-{number:012x}")


def process_of(number: int) -> ProcessKey:
    return ProcessKey("4b4d1a2f9c3e", "7f4c2c51-7f8e-4f5c-9a59-3a1d58b2a001", 4000 + number, 880_000 + number, 77_000 + number)


def terminal_of(number: int) -> TerminalKey:
    return TerminalKey(f"wt:1f2e3d4c-0a1b-2c3d-4e5f-{number:012x}")


def launch(number: int) -> e.LaunchStarted:
    return e.LaunchStarted(
        launch=launch_of(number), agent="codex", process=process_of(number), terminal=terminal_of(number), cwd="/home/u/project"
    )


def exchange(request: RequestId, number: int, tokens: int) -> Iterator[tuple[str, object]]:
    """Tell the five facts of one request."""
    conversation = conversation_key("codex", f"01a1fb07-aaaa-7bbb-8ccc-{number:012x}")
    session = session_of(conversation)
    about = subject("session", session)
    yield (
        subject("request", request),
        e.RequestReceived(
            request=request, method="POST", path="/s/…/v1/responses", dialect="openai.responses", peer="127.0.0.1:50212"
        ),
    )
    yield about, attribution(request, session, number)
    yield (
        about,
        e.RequestRouted(
            request=request,
            session=session,
            provider="openai",
            reason="the global default",
            candidates=(e.Candidate(provider="openai"), e.Candidate(provider="local", skipped="not the default")),
            requested_model="gpt-5.2-codex",
            sent_model="gpt-5.2-codex",
        ),
    )
    yield about, e.RequestFirstByte(request=request, session=session, provider="openai", status=200, first_byte_ms=412.7)
    yield (
        about,
        e.RequestCompleted(
            request=request,
            session=session,
            provider="openai",
            status=200,
            timing=e.Timing(total_ms=2811.4, attribution_ms=0.2, upstream_head_ms=390.1, first_byte_ms=412.7),
            bytes_in=48_213,
            bytes_out=19_770,
            usage=e.Usage(input=tokens, cached_input=tokens // 2, output=300, reasoning=120, total=tokens + 300),
            response=f"resp_{request}",
            requested_model="gpt-5.2-codex",
            served_model="gpt-5.2-codex-2026-09-01",
        ),
    )


def attribution(request: RequestId, session: SessionId, number: int) -> e.RequestAttributed:
    """Tell who sent a request, with the five statements that the gateway makes about a launched agent."""
    process, terminal = process_of(number), terminal_of(number)
    conversation = conversation_key("codex", session.removeprefix("codex-"))
    return e.RequestAttributed(
        request=request,
        session=session,
        agent="codex",
        conversation=conversation,
        thread=session.removeprefix("codex-"),
        thread_kind="main",
        process=process,
        process_kind="tui",
        terminal=terminal,
        launch=launch_of(number),
        cwd="/home/u/project",
        evidence=(
            Evidence(rank=Rank.TOLD_BY_US, kind="launch token", proves="launch", value=launch_of(number), note="same process"),
            Evidence(rank=Rank.KERNEL, kind="socket owner", proves="process", value=process_id(process), note="the one owner"),
            Evidence(rank=Rank.KERNEL, kind="executable", proves="agent", value="codex", note="runs as tui"),
            Evidence(rank=Rank.TOLD_BY_US, kind="launch record", proves="terminal", value=terminal),
            Evidence(rank=Rank.REQUEST_DECLARED, kind="header session-id", proves="conversation", value=conversation),
        ),
        elapsed_ms=0.21,
    )


def write(journal: Journal, envelopes: Iterator[Envelope]) -> int:
    """Record envelopes in batches; return their bytes."""
    size = 0
    batch: list[tuple[Row, str]] = []

    def flush() -> None:
        if batch:
            journal.append([row for row, _ in batch], [id_ for _, id_ in batch], rfc3339(time.time_ns()))
            batch.clear()

    for position, envelope in enumerate(envelopes, 1):
        raw = encode_envelope(envelope)
        size += len(raw)
        stamp = encode_stamp(Stamp(EPOCH, position, envelope.time))
        batch.append((Row(position, topic(envelope.subject, envelope.type), stamp, raw), envelope.id))
        if len(batch) == 1024:
            flush()
    flush()
    return size


def rows(folder: Path) -> Iterator[Row]:
    """Read a journal as a replay does."""
    journal = Journal.open_readonly(folder)
    try:
        after, more = 0, True
        while more:
            page = journal.read(after)
            after, more = page.through, page.more
            yield from page.rows
    finally:
        journal.close()


def parsed(folder: Path) -> None:
    for row in rows(folder):
        orjson.loads(row.stamp)
        orjson.loads(row.envelope)


def read(folder: Path) -> None:
    for _ in rows(folder):
        pass


def decoded(folder: Path) -> None:
    for row in rows(folder):
        row.recorded()


def folded(folder: Path) -> State:
    return replay_state(row.recorded() for row in rows(folder))


def seconds(work: Callable[[Path], object], folder: Path) -> float:
    """Return the shortest of some rounds: what the work itself costs on a machine that does other things too."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work(folder)
        taken.append(time.perf_counter() - begun)
    return min(taken)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=100_000)
    arguments.add_argument("--sessions", type=int, default=200)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "journal"
        journal = Journal.open(folder, EPOCH)
        size = write(journal, journal_of(asked.events, asked.sessions))
        count = journal.head
        journal.close()
        print(f"{count} events of {size // count} bytes on average, {asked.sessions} sessions, best of {ROUNDS} rounds")
        taken = {name: seconds(work, folder) for name, work in WORKS.items()}
        state = folded(folder)
    base = taken[BARE]
    for name, spent in taken.items():
        print(f"  {name:34} {count / spent:10,.0f} events/s   {spent / count * 1e6:6.2f} µs   {spent / base:5.2f}x bare parse")
    begun = time.perf_counter()
    told = table(state, state.time, as_of(state, state.time))
    print(f"  the table of {len(told.sessions)} sessions: {(time.perf_counter() - begun) * 1e3:.1f} ms")
    speed = count / taken[FOLD]
    print(f"goal {GOAL:,} events/s: {'reached' if speed >= GOAL else 'MISSED'}")
    return 0 if speed >= GOAL else 1


BARE = "read SQLite, bare orjson parse"
FOLD = "read SQLite, decode, fold"
WORKS: dict[str, Callable[[Path], object]] = {
    "read SQLite": read,
    BARE: parsed,
    "read SQLite, decode": decoded,
    FOLD: folded,
}

if __name__ == "__main__":
    raise SystemExit(main())
