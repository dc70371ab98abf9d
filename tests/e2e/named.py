"""Providers that answer with their own name, and agents in tabs of their own that ask when they are told to.

Owns both ends of a request in the tests of pins and providers: what was asked of whom, and who answered.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from tests.e2e.system import DEADLINE, System

AGENT = """
import json, os, sys, urllib.request
base = os.environ["OPENAI_BASE_URL"]
print(os.getpid(), flush=True)
for line in sys.stdin:
    body = json.dumps({"model": "m", "input": line.strip(), "stream": True}).encode()
    request = urllib.request.Request(base + "/responses", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            for part in answer:
                if part.startswith(b"data: "):
                    event = json.loads(part[6:])
                    print(event.get("delta") or event["type"], flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, json.load(error)["error"]["message"], flush=True)
        print("refused", flush=True)
"""


class Named(ThreadingHTTPServer):
    """A provider called ``name`` with one model; a key if ``key`` is set. A prompt that holds ``hold`` waits for ``go_on``."""

    daemon_threads = True

    def __init__(self, name: str, *, key: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.name = name
        self.key = key
        self.models = [f"{name}-model"]
        self.seen: list[dict[str, Any]] = []
        self.go_on = threading.Event()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Named

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self._may():
            found = self.path == "/v1/models"
            listed = {"object": "list", "data": [{"id": name} for name in self.server.models]}
            self._say(200 if found else 404, listed if found else {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not self._may():
            return
        self.server.seen.append(body)
        if not self.path.startswith("/v1/responses"):
            self._say(404, {"error": {"message": "no such path"}})
        elif body["model"] == "nobody":
            self._say(400, {"error": {"message": "The model `nobody` does not exist", "code": "model_not_found"}})
        elif body.get("stream"):
            self._stream(body)
        else:
            self._say(200, {"id": "resp_1", "model": body["model"], "output": []})

    def _may(self) -> bool:
        if not self.server.key or self.headers.get("authorization") == f"Bearer {self.server.key}":
            return True
        self._say(401, {"error": {"message": f"Incorrect key: {self.headers.get('authorization', '')}"}})
        return False

    def _stream(self, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self._event({"type": "response.output_text.delta", "delta": self.server.name})
        if "hold" in body["input"]:
            assert self.server.go_on.wait(DEADLINE)
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        self._event({"type": "response.completed", "response": {"id": "resp_1", "model": body["model"], "usage": usage}})
        self.close_connection = True

    def _event(self, event: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        self.wfile.flush()

    def _say(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextlib.contextmanager
def named(name: str, *, key: str = "") -> Iterator[Named]:
    """Let a provider answer for the length of a block."""
    server = Named(name, key=key)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.go_on.set()
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


class Tab:
    """An agent that was started with ``tabwire run`` in a tab, and asks what it is told."""

    def __init__(self, system: System, process: subprocess.Popen[str], tab: str) -> None:
        self._system = system
        self._process = process
        self.terminal = f"wt:{tab}"
        self.pid = int(self.hear())

    def ask(self, prompt: str = "say hi") -> str:
        """Ask, wait for the end of the answer and return who answered; a refusal is returned as it is."""
        self.begin(prompt)
        said = self.hear()
        while self.hear() not in ("response.completed", "refused"):
            pass
        return said

    def begin(self, prompt: str) -> None:
        stdin: IO[str] | None = self._process.stdin
        assert stdin is not None
        stdin.write(f"{prompt}\n")
        stdin.flush()

    def hear(self) -> str:
        """Return the next thing that came of it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the agent has ended"
        return line

    @property
    def session(self) -> str:
        """Return the session that the agent is; it has asked something."""
        rows = [row for row in self._system.sessions().values() if row["process"] and row["process"]["pid"] == self.pid]
        assert len(rows) == 1, rows
        return str(rows[0]["session"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(DEADLINE)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextlib.contextmanager
def tab(system: System, name: str, *, cwd: Path | None = None, options: tuple[str, ...] = ()) -> Iterator[Tab]:
    """Start an agent in a tab of this name, end it with the block."""
    command = system.command("run", "--name", "sample", *options, "--", sys.executable, "-c", AGENT)
    process = subprocess.Popen(
        command,
        env=system.environ({"WT_SESSION": name}),
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    agent = Tab(system, process, name)
    try:
        yield agent
    finally:
        agent.close()
