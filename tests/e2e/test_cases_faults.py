"""Discovery, the watcher and the registry killed while agents work: the same table live, restarted and replayed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cases import own_codex, rows_when
from tests.e2e.codex import needs_codex
from tests.e2e.system import DEADLINE, System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, pytest.mark.fault, needs_codex]

VICTIMS = ("discovery", "rollout", "registry")
AT_ONCE, ROUNDS = 4, 3


def pids(system: System) -> dict[str, tuple[int | None, str]]:
    return {row["actor"]: (row["pid"], row["state"]) for row in system.json("status")["actors"]}


def kill(system: System, actor: str) -> None:
    """Kill an actor and wait until another one has taken its place."""
    before, _ = pids(system)[actor]
    assert before is not None
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        pid, state = pids(system)[actor]
        if pid not in (None, before) and state in ("ready", "degraded"):
            return
        time.sleep(0.1)
    raise AssertionError(f"{actor} did not come back")


def settled(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows in an order of their own."""
    return sorted(table["sessions"], key=lambda row: str(row["session"]))


def test_whoever_is_killed_under_load_the_table_is_the_same_live_restarted_and_replayed(tmp_path: Path) -> None:
    config = f'[rollout]\ncodex_homes = ["{tmp_path}/codex/codex-home"]\n'
    with running(tmp_path / "home", config) as system:
        codex = own_codex(tmp_path / "codex", system)
        tabs: dict[str, str] = {}
        for number in range(ROUNDS):
            words = {f"word-{number}-{at}": f"tab-{number}-{at}" for at in range(AT_ONCE)}
            started = [
                codex.start("exec", "--skip-git-repo-check", f"[echo wait=2s] {word}", terminal=tab)
                for word, tab in words.items()
            ]
            kill(system, VICTIMS[number % len(VICTIMS)])
            kill(system, VICTIMS[(number + 1) % len(VICTIMS)])
            for process in started:
                _, err = process.communicate(timeout=90)
                assert process.returncode == 0, err
            tabs |= words
        truth = {}
        for thread, rollout in codex.rollouts().items():
            (word,) = (word for word in tabs if word in "".join(map(str, rollout.lines)))
            truth[f"codex-{thread}"] = f"wt:{tabs[word]}"
        assert len(truth) == len(tabs)

        rows = rows_when(
            system,
            lambda rows: all(
                one in rows and rows[one].activity == "gone" and rows[one].verdict == "verified" and rows[one].transcript
                for one in truth
            ),
        )
        assert {one: rows[one].terminal for one in truth} == truth
        assert {(rows[one].requests, rows[one].conflicts, rows[one].in_flight) for one in truth} == {(1, 0, 0)}

        # Nothing was told twice: one end of each process and of each turn, one account of each file.
        feed = system.until(lambda so_far: sum(item.envelope.type == "transcript.turn_ended" for item in so_far) >= len(truth))
        told: Counter[str] = Counter()
        for item in feed:
            data = item.envelope.data
            if item.envelope.type in ("transcript.seen", "transcript.turn_ended") and data.session in truth:
                told[f"{item.envelope.type} {data.session}"] += 1
        assert set(told.values()) == {1}, told
        exited = Counter(item.envelope.data.process for item in feed if item.envelope.type == "process.exited")
        assert max(exited.values()) <= 2, exited  # discovery and the gateway may both say it, each once

        live = system.json("sessions", "--all")
        kill(system, "registry")
        again = system.json("sessions", "--all")
        mine = [row for row in settled(again) if row["session"] in truth]
        assert mine == [row for row in settled(live) if row["session"] in truth]
        as_of = again["as_of"]
        assert system.json("replay", "--until", str(as_of["position"]), "--at", as_of["time"], "--all") == again
