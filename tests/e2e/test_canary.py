"""Keys and prompts of a running system are searched for in everything that it keeps, says and shows: none may turn up.

Two providers with keys of two kinds answer well and badly, quote the key in their refusals, break off and fall silent; callers
are let in, refused and throttled; the gateway crashes. Then every file, every process and every answer is looked through.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import canary
from tests.contract.gateway_scene import Line
from tests.e2e.system import DEADLINE, System

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked through by /proc"),
]
ALPHA = f"{canary.KEY}alpha-3f9a1c77d2e84b06"
BETA = f"{canary.KEY}beta-8c21e5b04d9f6a13"
PROMPT = "prompt-canary-71b3c9d5"
SAID = "answer-canary-5e02af18"
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
COMPLETED = {"type": "response.completed", "response": {"id": "resp_1", "model": "m", "usage": USAGE}}

# What a provider does, by a header of the request, as (status, body); the key that it was sent stands for {key}.
REFUSALS: dict[str, tuple[int, str]] = {
    "400": (400, '{"error":{"message":"bad request with {key}","code":"bad"}}'),
    "401": (401, '{"error":{"message":"Incorrect API key provided: {key}.","code":"invalid_api_key"}}'),
    "403": (403, '{"error":{"message":"{key} may not","code":"denied"}}'),
    "404": (404, '{"error":{"message":"no such model for {key}","code":"model_not_found"}}'),
    "429": (429, '{"error":{"message":"{key} asks too often","code":"rate_limit_exceeded"}}'),
    "500": (500, "<html>{key}</html>"),
    "529": (529, '{"error":{"message":"overloaded, {key}"}}'),
    "302": (302, "{key}"),
}
PLAYS = (*REFUSALS, "ok", "stream", "cut", "cut stream", "failed stream", "silence", "nonsense")


class Provider(BaseHTTPRequestHandler):
    """Does what a request asks of it."""

    protocol_version = "HTTP/1.1"
    timeout = DEADLINE
    keys: set[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        self.keys.add(key)
        play = self.headers.get("x-play", "ok")
        if play in REFUSALS:
            status, text = REFUSALS[play]
            self.answer(status, text.replace("{key}", key).encode(), location="http://127.0.0.1:1/" if status == 302 else "")
        elif play == "ok":
            output = [{"type": "message", "content": [{"type": "output_text", "text": SAID}]}]
            self.answer(200, json.dumps({"id": "resp_1", "usage": USAGE, "output": output}).encode())
        elif play == "nonsense":
            self.wfile.write(b"nonsense " + key.encode() + b"\r\n\r\n")
            self.close_connection = True
        elif play == "silence":
            self.connection.settimeout(DEADLINE)
            self.connection.recv(1)  # until the gateway leaves
            self.close_connection = True
        else:
            self.stream(play, key)

    def answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if location:
            self.send_header("location", location)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, play: str, key: str) -> None:
        self.close_connection = True
        if play == "cut":
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        failed = {"type": "response.failed", "response": {"error": {"code": "server_error", "message": f"no, {key}"}}}
        first = failed if play == "failed stream" else {"type": "response.output_text.delta", "delta": SAID}
        self.wfile.write(b"data: " + json.dumps(first).encode() + b"\n\n")
        if play == "stream":
            self.wfile.write(b"data: " + json.dumps(COMPLETED).encode() + b"\n\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def providers() -> Iterator[tuple[int, set[str]]]:
    """Serve both providers; gives their port and the keys that they were sent."""
    keys: set[str] = set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Play", (Provider,), {"keys": keys}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], keys
    finally:
        server.shutdown()
        thread.join(DEADLINE)
        server.server_close()


@pytest.fixture
def system(tmp_path: Path, providers: tuple[int, set[str]]) -> Iterator[System]:
    port, _ = providers
    tmp_path.chmod(0o700)
    (tmp_path / "beta.key").write_text(BETA + "\n")
    (tmp_path / "beta.key").chmod(0o600)
    common = f'base_url = "http://127.0.0.1:{port}/v1"\ngroup = "both"\nfirst_byte_timeout = 0.5\nidle_timeout = 0.5\n'
    config = (
        f'default_provider = "alpha"\n[providers.alpha]\nkey = "env:CANARY_ALPHA"\n{common}'
        f'[providers.beta]\nkey = "file:{tmp_path / "beta.key"}"\n{common}[breaker]\nfailures = 1000\n'
    )
    subject = System(tmp_path / "home", config, "session_requests = 200\nsession_window = 3600\n")
    subject.tabwire("up", environ={"CANARY_ALPHA": ALPHA})
    try:
        yield subject
    finally:
        subject.tabwire("down")


def ask(system: System, play: str, path: str = "/v1/responses", **fields: str) -> bytes:
    """Send one request and return everything that comes back."""
    line = Line(socket.create_connection(("127.0.0.1", system.gateway_port), DEADLINE))
    body = json.dumps({"model": "m", "input": PROMPT, "stream": True}).encode()
    given = {"host": f"127.0.0.1:{system.gateway_port}", "x-play": play, "content-type": "application/json"}
    given |= {"connection": "close", "content-length": str(len(body)), **fields}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    line.send(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    answer = line.rest()
    line.close()
    return answer


def pid_of(system: System, actor: str) -> int:
    found: int = next(row["pid"] for row in system.json("status")["actors"] if row["actor"] == actor)
    return found


def drive(system: System) -> dict[str, bytes]:
    """Make everything happen that a request can come to; return what callers saw."""
    seen = {play: ask(system, play) for play in PLAYS}
    seen["no host"] = ask(system, "ok", host="evil.example")
    seen["a web page"] = ask(system, "ok", origin="https://evil.example")
    seen["no such launch"] = ask(system, "ok", path="/s/" + "t" * 43 + "/v1/responses")
    seen["no such place"] = ask(system, "ok", path="/elsewhere")
    seen["not served"] = ask(system, "ok", path="/v1/messages")
    seen["a path"] = ask(system, "ok", path="/v1/../responses")
    seen["large"] = ask(system, "ok", **{f"x-{n}": "a" * 8000 for n in range(6)})
    seen["own login"] = ask(system, "ok", authorization="Bearer mine")
    line = Line(socket.create_connection(("127.0.0.1", system.gateway_port), DEADLINE))
    line.send(b"nonsense\r\n\r\n")
    seen["nonsense"] += line.rest()
    line.close()
    return seen


def launched(system: System, tmp_path: Path) -> str:
    """Launch an agent that sends one request; return the token that it was given."""
    folder = tmp_path / "agents"
    folder.mkdir()
    agent, told = folder / "codex", tmp_path / "told.json"
    agent.write_text(
        f"#!{sys.executable}\nimport json, os, re, sys, urllib.request\n"
        "found = re.search(r'http://[^\"\\s]*/s/([^/]+)/v1', ' '.join(sys.argv) + ' ' + ' '.join(os.environ.values()))\n"
        "body = json.dumps({'model': 'm', 'input': '" + PROMPT + "'}).encode()\n"
        "request = urllib.request.Request(found[0] + '/responses', body, {'content-type': 'application/json'})\n"
        "status = urllib.request.urlopen(request, timeout=20).status\n"
        f"json.dump([found[1], status], open({str(told)!r}, 'w'))\n"
    )
    agent.chmod(0o700)
    system.tabwire("run", "codex", code=None, environ={"PATH": f"{folder}:{os.environ['PATH']}", "CANARY_ALPHA": ALPHA})
    token, status = json.loads(told.read_text())
    assert status == 200
    told.unlink()
    return str(token)


def processes(system: System) -> dict[str, bytes]:
    """Return what each process of ours was started with and has in its environment; of those that hold keys only the first."""
    supervisor = psutil.Process(system.json("status")["pid"])
    gateway = pid_of(system, "gateway")
    found = {}
    for process in (supervisor, *supervisor.children(recursive=True)):
        text = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        if process.pid not in (supervisor.pid, gateway):
            text += Path(f"/proc/{process.pid}/environ").read_bytes()
        found[f"{process.pid} {process.cmdline()[-1:]}"] = text
    return found


SHOWN = (
    ("status",),
    ("sessions", "--all"),
    ("providers", "list"),
    ("pins", "list"),
    ("usage",),
    ("quota",),
    ("doctor",),
    ("route", "explain"),
)


def shown(system: System) -> dict[str, bytes]:
    """Return what the command line prints of everything, whether or not it can."""
    found = {}
    for command in SHOWN:
        done = system.tabwire(*command, "--json", code=None)
        found[" ".join(command)] = (done.stdout + done.stderr).encode()
    sessions = json.loads(found["sessions --all"])["sessions"]
    assert sessions
    for row in sessions:
        done = system.tabwire("explain", row["session"], "--json", code=None)
        found[f"explain {row['session']}"] = (done.stdout + done.stderr).encode()
    found["events export"] = system.tabwire("events", "export").stdout.encode()
    assert b"request.failed" in found["events export"]
    return found


@pytest.mark.timeout(300)
def test_keys_prompts_and_launch_tokens_turn_up_nowhere(
    system: System, providers: tuple[int, set[str]], tmp_path: Path
) -> None:
    seen = drive(system)
    token = launched(system, tmp_path)
    _, keys = providers
    assert keys == {ALPHA, BETA}  # both were sent to where they belong, so there was something to lose
    assert b" 200 " in seen["ok"]
    assert SAID.encode() in seen["ok"]
    streams = ("stream", "cut stream", "failed stream")  # pass as they come: a provider that tells a secret there tells it
    told = {name: answer for name, answer in seen.items() if name not in streams}
    for _ in range(200):
        last = ask(system, "ok")
    assert b'"throttled"' in last
    system.until_count("request.throttled")

    before = {**processes(system), **shown(system)}
    for number, kill in enumerate((signal.SIGABRT, signal.SIGSEGV), 1):
        gateway = pid_of(system, "gateway")
        assert dumpable(gateway) is False
        os.kill(gateway, kill)
        system.until_count("actor.ready", number + 1, actor="gateway")
    assert b" 200 " in ask(system, "ok")
    after = {**processes(system), **shown(system)}
    secrets = [ALPHA, BETA, ALPHA[len(canary.KEY) :], BETA[len(canary.KEY) :], token]
    for name, text in (*told.items(), *before.items(), *after.items()):
        for secret in secrets:
            assert secret.encode() not in text, f"{secret} in {name}: {text[:2000]!r}"
        if name in told and name not in ("ok", "own login"):
            assert SAID.encode() not in text, name
        assert PROMPT.encode() not in text, name

    home = system.home
    marks = tuple(one.encode() for one in (*secrets, PROMPT, SAID))
    assert list(canary.hits(home, marks)) == []
    assert not [path for path in Path.cwd().glob("core*") if path.is_file() and canary.holds(path, marks)]
    for path in (home / "state").rglob("*"):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o077, f"{path} is open to others"


def dumpable(pid: int) -> bool:
    """Tell whether a process may leave a core file: by the owner of its files in /proc, and its own limit."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    found = re.search(r"^Max core file size\s+(\S+)", limits, re.MULTILINE)
    assert found is not None
    if os.getuid():
        return Path(f"/proc/{pid}/environ").stat().st_uid == os.getuid()
    return found[1] != "0"


def test_another_process_of_the_user_cannot_look_into_the_gateway(system: System) -> None:
    if os.getuid() == 0:
        pytest.skip("root may look into everything")
    gateway = pid_of(system, "gateway")
    with pytest.raises(PermissionError):
        Path(f"/proc/{gateway}/environ").read_bytes()
    with pytest.raises(PermissionError):
        Path(f"/proc/{gateway}/mem").open("rb").close()
    assert subprocess.run(["/bin/true"], check=True).returncode == 0
