"""The command lines that ``tabwire run`` makes, given to the real Codex: where requests go, under which provider id."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from actors.cli.threads import settle_thread
from actors.launch.choose import plan_launch
from actors.launch.codex_home import read_codex_home
from actors.launch.plan import Door
from actors.probe import choose_probe

BINARY = os.environ.get("TABWIRE_CODEX") or shutil.which("codex")
pytestmark = [
    pytest.mark.codex,
    pytest.mark.skipif(BINARY is None, reason="the real Codex CLI is not installed (npm install -g @openai/codex@0.169.0)"),
]
TOKEN = "0123456789-0123456789-0123456789-0123456789"
ANSWER = "".join(
    f"data: {json.dumps(event)}\n\n"
    for event in (
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "hi", "annotations": []}],
            },
        },
        {"type": "response.completed", "response": {"id": "resp_1"}},
    )
).encode()


class Stub(ThreadingHTTPServer):
    """Answers every turn and remembers path and model of each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.seen: list[tuple[str, str]] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer(426 if self.headers.get("upgrade") else 404, b"", "text/plain")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, body["model"]))
        self._answer(200, ANSWER, "text/event-stream")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Bench:
    """A Codex home with several providers, all of them somewhere else than the gateway."""

    def __init__(self, home: Path, stub: Stub) -> None:
        self.home = home / "codex-home"
        self.work = home / "project"
        self.home.mkdir()
        self.work.mkdir()
        self.stub = stub
        self.door = Door(stub.origin, TOKEN)
        (self.home / "config.toml").write_text(
            f'model = "m"\ncheck_for_update_on_startup = false\nopenai_base_url = "{stub.origin}/user/v1"\n'
            f'[analytics]\nenabled = false\n[projects."{self.work}"]\ntrust_level = "trusted"\n'
            f'[model_providers.stub]\nname = "stub"\nbase_url = "{stub.origin}/user/v1"\n'
            f'[model_providers."do.tted"]\nname = "dotted"\nbase_url = "{stub.origin}/user/v1"\n'
        )
        (self.home / "alt.config.toml").write_text('model_provider = "stub"\nmodel = "of-the-profile"\n')

    def run(self, *arguments: str, model: str | None = None, proxy: str | None = None) -> str:
        """Run a planned command; return the id of its session as Codex prints it."""
        assert BINARY is not None
        plain = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        environ = {**plain, "CODEX_HOME": str(self.home), "HOME": str(self.home), "TERM": "xterm"}
        if proxy is not None:
            environ["HTTP_PROXY"] = proxy
        target = settle_thread((BINARY, *arguments), environ, lambda _: None, choose_probe)
        read = partial(read_codex_home, target.argv, environ, self.home / "none", thread_provider=target.provider)
        plan = plan_launch(target.argv, self.door, environ, read, model=model)
        done = subprocess.run(
            plan.argv,
            env={**environ, **plan.environ},
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return next(line.split()[-1] for line in done.stderr.splitlines() if line.startswith("session id:"))

    def pinned(self, thread: str) -> str:
        """Return the provider that a thread is pinned to."""
        (file,) = self.home.glob(f"sessions/*/*/*/rollout-*-{thread}.jsonl")
        return str(json.loads(file.read_text().splitlines()[0])["payload"]["model_provider"])


@pytest.fixture
def bench(tmp_path: Path, stub: Stub) -> Bench:
    return Bench(tmp_path, stub)


EXEC = ("exec", "--skip-git-repo-check")
GATEWAY = f"/s/{TOKEN}/v1/responses"


@pytest.mark.parametrize(
    ("arguments", "provider"),
    [
        ((*EXEC, "hi"), "openai"),
        (("hello", *EXEC, "hi"), "openai"),
        ((*EXEC, "--", "-c"), "openai"),
        (("-c", "model_provider=stub", *EXEC, "hi"), "stub"),
        ((*EXEC, "hi", '-c=model_provider="do.tted"'), "do.tted"),
        ((*EXEC, "--ignore-user-config", "-p", "alt", "hi"), "openai"),
    ],
)
def test_requests_go_to_the_gateway_under_the_users_provider(bench: Bench, arguments: tuple[str, ...], provider: str) -> None:
    thread = bench.run(*arguments)
    assert {path for path, _ in bench.stub.seen} == {GATEWAY}
    assert bench.pinned(thread) == provider


def test_a_profile_and_a_provider_defined_on_the_command_line(bench: Bench) -> None:
    assert bench.pinned(bench.run(*EXEC, "-p", "alt", "hi")) == "stub"
    table = f'model_providers.own={{name="own",base_url="{bench.stub.origin}/user/v1"}}'
    assert bench.pinned(bench.run(*EXEC, "-c", table, "-c", "model_provider=own", "hi", model="asked-for")) == "own"
    assert bench.stub.seen == [(GATEWAY, "of-the-profile"), (GATEWAY, "asked-for")]


def test_resumed_it_keeps_its_provider_and_forked_it_moves(bench: Bench) -> None:
    thread = bench.run("-c", "model_provider=stub", *EXEC, "first")
    assert bench.run("exec", "resume", "--skip-git-repo-check", thread[:15], "again", model="asked-for") == thread
    fork = bench.run("exec", "fork", "--skip-git-repo-check", thread, "elsewhere")
    assert (bench.pinned(thread), bench.pinned(fork)) == ("stub", "openai")
    assert bench.stub.seen == [(GATEWAY, "m"), (GATEWAY, "asked-for"), (GATEWAY, "m")]


def test_a_proxy_does_not_stand_between(bench: Bench) -> None:
    bench.run(*EXEC, "hi", proxy="http://127.0.0.1:9")
    assert bench.stub.seen == [(GATEWAY, "m")]
