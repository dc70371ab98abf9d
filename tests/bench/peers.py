"""What the gateway's benchmark measures: nothing at all, nginx, the gateway (in its whole system or alone), and LiteLLM.

Each peer is started in a folder of its own, on ports of loopback that were free, and ended by pid.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.bench.machine import tree
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
NGINX = Path("/usr/sbin/nginx")
START_SECONDS = 90.0
STOP_SECONDS = 15.0

_NGINX = """
daemon off; worker_processes 1; pid {prefix}/pid; error_log {prefix}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; tcp_nodelay on;
  client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy; fastcgi_temp_path {prefix}/f;
  uwsgi_temp_path {prefix}/u; scgi_temp_path {prefix}/s;
  client_body_buffer_size 64k; keepalive_requests 10000000;
  upstream stub {{ server 127.0.0.1:{stub}; keepalive 256; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
# All callers are one process and no agent's session: with the usual bounds, 32 connections of a process and 300 requests of a
# session in 10 s, most of the load would measure refusals. They are counted all the same, so the figures hold what they cost.
_TABWIRE = """
default_provider = "stub"
[gateway]
port = {port}
connections = 1024
connections_per_process = 1024
session_requests = 1000000
session_window = 1
[providers.stub]
base_url = "http://127.0.0.1:{stub}/v1"
auth = "none"
"""
_LITELLM = """
  - model_name: bench-{mode}
    litellm_params:
      {{model: openai/bench, api_base: "http://127.0.0.1:{stub}/v1", api_key: none, extra_headers: {{x-bench: {mode}}}}}
"""


@dataclass(frozen=True)
class Peer:
    """Something that takes requests; ``pids`` are the processes whose processor time counts for it."""

    name: str
    port: int
    pids: tuple[int, ...] = ()
    others: tuple[int, ...] = ()


def pin(pids: tuple[int, ...] | list[int], cores: set[int]) -> None:
    """Keep processes, with all their threads, on some cores."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def process(command: list[str], log: Path, **more: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the length of a block."""
    with log.open("ab") as errors:
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, **more)  # type: ignore[call-overload]
        with started:
            try:
                yield started
            finally:
                started.terminate()
                try:
                    started.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    started.kill()


def wait_for_port(port: int, started: subprocess.Popen[str], log: Path) -> None:
    """Wait until a port answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing came up on port {port}: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def stub(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the upstream; gives its port and pid."""
    with process([sys.executable, "-m", "tests.bench.stub"], folder / "stub.log", stdout=subprocess.PIPE) as started:
        yield int(_line(started.stdout)), started.pid


def _line(stream: IO[str] | None) -> str:
    return "" if stream is None else stream.readline()


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[Peer]:
    """Run an nginx of our own."""
    prefix, port = folder / "nginx", free_port()
    prefix.mkdir()
    (prefix / "conf").write_text(_NGINX.format(prefix=prefix, port=port, stub=upstream))
    command = [str(NGINX), "-p", str(prefix), "-c", str(prefix / "conf"), "-e", str(prefix / "error.log")]
    with process(command, folder / "nginx.log") as started:
        wait_for_port(port, started, folder / "nginx.log")
        yield Peer("nginx", port, tuple(tree(started.pid)))


@contextmanager
def gateway(folder: Path, upstream: int) -> Iterator[Peer]:
    """Run the gateway with everything on: supervisor, broker, registry."""
    home, port = _home(folder, upstream)
    line = {"config_file": str(home / "config.toml"), "state": str(home / "state"), "demo": False, "foreground": True}
    log = folder / "supervisor.log"
    with process([sys.executable, "-m", "actors.supervisor"], log, stdout=subprocess.DEVNULL) as started:
        _say(started, line)
        wait_for_port(port, started, log)
        actors = _wait_for_actors(home / "state/run/status.json", started, log)
        pids = (actors.pop("gateway"),)
        yield Peer("gateway", port, pids, tuple(actors.values()))


@contextmanager
def gateway_alone(folder: Path, upstream: int) -> Iterator[Peer]:
    """Run the gateway without broker and registry."""
    home, port = _home(folder, upstream)
    line: dict[str, object] = {
        "actor": "gateway",
        "incarnation": "bench",
        "config_file": str(home / "config.toml"),
        "state": str(home / "state"),
        "public_key": "",
        "secret_key": "",
        "settings": {},
    }
    log = folder / "gateway.log"
    with process([sys.executable, "-m", "actors.gateway"], log, stdout=subprocess.DEVNULL) as started:
        _say(started, line)
        wait_for_port(port, started, log)
        yield Peer("gateway", port, (started.pid,))


def _home(folder: Path, upstream: int) -> tuple[Path, int]:
    home, port = folder / "tabwire", free_port()
    (home / "state").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "config.toml").write_text(_TABWIRE.format(port=port, stub=upstream))
    (home / "config.toml").chmod(0o600)
    return home, port


def _say(started: subprocess.Popen[str], line: dict[str, object]) -> None:
    if started.stdin is not None:
        started.stdin.write(json.dumps(line) + "\n")
        started.stdin.flush()


def _wait_for_actors(status: Path, started: subprocess.Popen[str], log: Path) -> dict[str, int]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        if status.exists():
            actors = json.loads(status.read_text())["actors"]
            if all(each["state"] == "ready" for each in actors) and {"broker", "registry", "gateway"} <= {
                a["actor"] for a in actors
            }:
                return {each["actor"]: each["pid"] for each in actors}
        time.sleep(0.05)
    raise RuntimeError(f"the system did not get ready: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def litellm(folder: Path, upstream: int, executable: Path) -> Iterator[Peer]:
    """Run a LiteLLM proxy from an environment of its own."""
    config, port = folder / "litellm.yaml", free_port()
    models = (_LITELLM.strip("\n").format(stub=upstream, mode=mode) for mode in ("json", "sse", "paced"))
    config.write_text("model_list:\n" + "\n".join(models) + "\n")
    command = [str(executable), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    environ = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environ["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # no key to check makes it faster, and it is alone
    with process(command, folder / "litellm.log", stdout=subprocess.DEVNULL, env=environ) as started:
        wait_for_port(port, started, folder / "litellm.log")
        yield Peer("litellm", port, tuple(tree(started.pid)))


def version(command: list[str]) -> str:
    """Return the version that a program says it has."""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)*", said.stdout + said.stderr)
    return found[0] if found else "?"
