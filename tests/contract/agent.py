"""Stand-ins for agents: a real process whose program is a copy of Python under an agent's name, doing what it is told.

Only for what a real agent cannot be brought to do at will; the real Codex is used beside it wherever it is installed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_SCRIPT = """
import ctypes, fcntl, json, os, subprocess, sys
held, children = {}, []
print("ready", flush=True)
for line in sys.stdin:
    order, *given = json.loads(line)
    if order == "lock":
        held[given[0]] = open(given[0], "w")
        fcntl.flock(held[given[0]], fcntl.LOCK_EX)
    elif order == "open":
        held[given[0]] = open(given[0], "a")
    elif order == "close":
        held.pop(given[0]).close()
    elif order == "spawn":
        children.append(subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        children[-1].stdout.readline()
        print(children[-1].pid, flush=True)
        continue
    elif order == "exec":
        os.execv(given[0], given)
    print("done", flush=True)
"""


@dataclass
class StandIn:
    """One running stand-in."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, *order: str, answers: bool = True) -> str:
        """Give an order and wait until it is done."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip() if answers else ""

    def kill(self) -> None:
        """End it at once, and take its exit status."""
        self.process.kill()
        self.process.communicate()


@dataclass
class Cast:
    """Programs of stand-ins in one folder, and everything that was started of them."""

    folder: Path
    started: list[StandIn] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "prompt").write_text(_SCRIPT)
        self.home = self.folder / "codex-home"

    def program(self, name: str) -> str:
        """Return a program of this name."""
        path = self.folder / name
        if not path.exists():
            shutil.copy(Path(sys.executable).resolve(), path)
        return str(path)

    def start(
        self,
        name: str = "codex",
        *arguments: str,
        env: Mapping[str, str] | None = None,
        script: Path | None = None,
        **more: Any,
    ) -> StandIn:
        """Start a stand-in that takes orders."""
        environ = self.environ(env)
        process = subprocess.Popen(
            [self.program(name), str(script or self.folder / "prompt"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
            cwd=self.folder,
            **more,
        )
        agent = StandIn(process)
        self.started.append(agent)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return agent

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment with nothing of this terminal in it."""
        plain = {"PATH": os.environ["PATH"], "PYTHONHOME": sys.base_prefix, "HOME": str(self.folder)}
        return {**plain, "CODEX_HOME": str(self.home), **(more or {})}

    def lock(self, thread: str) -> str:
        """Return the path of a thread's lock; the folder is made."""
        folder = self.home / "thread-writer-locks"
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / f"{thread}.lock")

    def rollout(self, thread: str, *, session: str | None = None, says: str | None = None, day: str = "2026/11/21") -> str:
        """Write the rollout of a thread and return its path."""
        folder = self.home / "sessions" / day
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"rollout-{day.replace('/', '-')}T04-05-06-{thread}.jsonl"
        meta = {"id": says or thread, "session_id": session or says or thread, "model_provider": "openai", "cwd": "/"}
        path.write_text(json.dumps({"timestamp": "x", "type": "session_meta", "payload": meta}) + "\n")
        return str(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for agent in self.started:
            agent.kill()
