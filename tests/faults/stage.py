"""A stage for supervision: the real supervisor, with a cast of small actors that behave well or badly on request.

``python -m tests.faults.stage`` is the supervisor of these; ``python -m tests.faults.stage <name>`` is one of them. What an
actor does is told by a file in its state folder, ``act.<name>``, in words; so it can be changed between starts.
"""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from actors.runtime.actor import Actor, run_actor
from actors.supervisor.forks import begin_forks
from actors.supervisor.run import Orders, run_supervisor
from actors.supervisor.terms import ChildSpec
from bus.errors import BusUnavailableError
from schemas.config import Config, ConfigError

CAST = ("broker", "registry", "gateway")
_SLEEP = "import time; time.sleep(3600)"


async def play(actor: Actor) -> None:
    """Do what the file says, then be ready until told to stop."""
    script = Path(actor.bootstrap.state) / f"act.{actor.bootstrap.actor}"
    words = script.read_text().split() if script.exists() else []
    for word in words:
        if act := ACTS.get(word):
            act(actor)
    actor.ready(url=f"test://{actor.bootstrap.actor}")
    if "degraded" in words:
        actor.status("degraded", "half of it")
    await actor.stopping.wait()
    if "stubborn" in words:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(3600)


def _crash(actor: Actor) -> None:
    raise RuntimeError(f"asked to crash, with {actor.bootstrap.secret_key}")


def _refuse_config(_actor: Actor) -> None:
    raise ConfigError("config.toml", 7, "gateway.prot", "unknown key", "did you mean 'port'?")


def _lose_broker(_actor: Actor) -> None:
    raise BusUnavailableError("no broker")


def _babble(_actor: Actor) -> None:
    os.write(2, b"not json\n")
    print("printed")


def _hang(_actor: Actor) -> None:
    time.sleep(3600)


def _report(actor: Actor) -> None:
    """Write down everything that one process can find to be different from another."""
    own = Path("/proc/self")
    found = {
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "flags": list(sys.flags),
        "path": sys.path,
        "main": [__name__, sys.modules["__main__"].__name__, __file__],
        "environ": dict(os.environ),
        "folder": str(Path.cwd()),
        "descriptors": {
            entry.name: str(entry.readlink()).split(":")[0] for entry in (own / "fd").iterdir() if entry.is_symlink()
        },
        "status": [
            line
            for line in (own / "status").read_text().splitlines()
            if line.startswith(("SigBlk", "SigIgn", "SigCgt", "Umask", "Name"))
        ],
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGXFSZ)],
        "limits": [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "parent": os.getppid(),
        "collects": gc.isenabled(),
        "drawn": random.random(),  # noqa: S311 - the very generator that a fork copies
    }
    (Path(actor.bootstrap.state) / f"report.{actor.bootstrap.actor}").write_text(json.dumps(found))


def _raise_family(actor: Actor) -> None:
    """Start a child, a grandchild and one that left session and process group; write their pids down."""
    record = Path(actor.bootstrap.state) / "family"
    code = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-I", "-c", {_SLEEP!r}])
record = open({str(record)!r}, "a")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        record.write(f"{{os.getpid()}}\\n")
        record.flush()
        os.execv(sys.executable, [sys.executable, "-I", "-c", {_SLEEP!r}])
    os._exit(0)
record.write(f"{{os.getpid()}}\\n{{child.pid}}\\n")
record.flush()
child.wait()
"""
    record.unlink(missing_ok=True)
    subprocess.Popen([sys.executable, "-I", "-c", code])
    while not record.exists() or len(record.read_text().split()) < 3:
        time.sleep(0.01)


ACTS: dict[str, Callable[[Actor], None]] = {
    "crash": _crash,
    "config": _refuse_config,
    "broker": _lose_broker,
    "babble": _babble,
    "hang": _hang,
    "family": _raise_family,
    "report": _report,
}


def _children(_config: Config, orders: Orders) -> tuple[ChildSpec, ...]:
    return tuple(
        ChildSpec(actor=name, needs="" if name == CAST[0] else CAST[0], intensity=orders.intensity, order_deadline=3)
        for name in CAST
    )


def _command(actor: str) -> list[str]:
    return [sys.executable, "-m", "tests.faults.stage", actor]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_actor(sys.argv[1], play)
    os.environ["PYTHONPATH"] = str(Path.cwd())
    sys.exit(run_supervisor(_children, _command, begin_forks()))
