"""The hooks' endpoint over raw HTTP: who may report, what is read of a report, whose it is, and that requests do not notice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.gateway import limits
from actors.probe import choose_probe
from actors.runtime.launches import write_launch
from schemas.envelope import Envelope
from schemas.events import HookReceived
from schemas.identity import LaunchId, ProcessKey, process_id, terminal_key
from schemas.launch import LaunchRecord, token_digest
from tests.contract.gateway_scene import DEADLINE, Scene, scene

pytestmark = pytest.mark.e2e
CANARY = "never-to-be-seen-4711"
CONVERSATION = "01a1fb1e-3bad-7000-8000-000000000001"
TAB = "11111111-2222-3333-4444-555555555555"
START = {
    "session_id": CONVERSATION,
    "transcript_path": f"/home/ann/.codex/sessions/rollout-{CONVERSATION}.jsonl",
    "cwd": "/home/ann/shop",
    "hook_event_name": "SessionStart",
    "source": "startup",
    "model": "gpt-5.1-codex",
    "prompt": CANARY,
    "tool_input": {"command": CANARY},
    "message": CANARY,
}
SENDER = textwrap.dedent(
    """
    import json, socket
    def send(asked):
        connection = socket.create_connection(("127.0.0.1", asked["port"]))
        body = asked["body"].encode()
        connection.sendall(
            f"POST {asked['path']} HTTP/1.1\\r\\nhost: 127.0.0.1:{asked['port']}\\r\\nconnection: close\\r\\n"
            f"content-type: application/json\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n".encode() + body
        )
        answer = b""
        while more := connection.recv(65536):
            answer += more
        print(json.dumps(answer.decode()), flush=True)
    """
)
ONCE = "import sys; send(json.loads(sys.argv[1]))"
REPORTER = SENDER + textwrap.dedent(
    """
    import os, subprocess, sys
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["child"]:
            subprocess.run([os.environ["PLAIN"], "-c", os.environ["SENDER"], line])
        else:
            send(asked)
    """
)


class Reporter:
    """A process that reports hooks when told, by itself or by a child; its program can be called like an agent."""

    def __init__(self, port: int, folder: Path, name: str, *words: str, **environ: str) -> None:
        self.port = port
        program = folder / name
        if not program.exists():
            shutil.copy(Path(sys.executable).resolve(), program)
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [str(program), *(words or ("-c", REPORTER))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**keep, **environ, "PYTHONHOME": sys.base_prefix, "PLAIN": sys.executable, "SENDER": SENDER + ONCE},
            cwd=folder,
            start_new_session=True,
        )
        self.key: ProcessKey = choose_probe().identify(self.process.pid)

    def report(self, agent: str = "codex", *, child: bool = False, **body: Any) -> tuple[int, str]:
        """Report a hook; return the status and the whole answer."""
        asked = {"port": self.port, "path": f"/hooks/{agent}", "child": child, "body": json.dumps({**START, **body})}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer: str = json.loads(self.process.stdout.readline())
        return int(answer.split(" ")[1]), answer

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        subject.start()
        yield subject


@pytest.fixture
def reporters(stage: Scene, tmp_path: Path) -> Iterator[Any]:
    started: list[Reporter] = []

    def start(name: str, *words: str, **environ: str) -> Reporter:
        started.append(Reporter(stage.port, tmp_path, name, *words, **environ))
        return started[-1]

    yield start
    for reporter in started:
        reporter.close()


def told(stage: Scene) -> Envelope:
    """Return the first report as it was told, after a look for what must never be."""
    facts = stage.facts("hook.received")
    assert CANARY not in repr(facts)
    return facts[-1]


def post(stage: Scene, path: str = "/hooks/codex", body: bytes | None = None, **fields: str) -> tuple[int, Any]:
    """Report as this very process, which is no agent."""
    line = stage.post(path, json.dumps(START).encode() if body is None else body, connection="close", **fields)
    status, _, answer = line.answer()
    return status, json.loads(answer)


def test_an_agent_s_own_report_is_told_with_its_process_and_tab(stage: Scene, reporters: Any) -> None:
    agent = reporters("codex", WT_SESSION=TAB)
    status, answer = agent.report()
    assert (status, answer.rpartition("\r\n\r\n")[2]) == (200, "{}")
    envelope = told(stage)
    hook: HookReceived = envelope.data
    assert envelope.subject == f"session/codex-{CONVERSATION}"
    assert (hook.agent, hook.hook, hook.detail, hook.turn) == ("codex", "SessionStart", "startup", None)
    assert (hook.session, hook.conversation) == (f"codex-{CONVERSATION}", f"codex:{CONVERSATION}")
    assert (hook.process, hook.terminal, hook.launch) == (agent.key, f"wt:{TAB}", None)
    assert (hook.cwd, hook.transcript) == (START["cwd"], START["transcript_path"])
    ranks = {(one.proves, int(one.rank)) for one in hook.evidence if not one.rejected}
    assert ranks == {("process", 2), ("agent", 2), ("terminal", 3), ("conversation", 4)}


def test_a_command_s_report_counts_for_the_agent_above_it(stage: Scene, reporters: Any) -> None:
    agent = reporters("codex", WT_SESSION=TAB)
    assert agent.report(child=True, hook_event_name="PermissionRequest", turn_id="01a1-turn")[0] == 200
    hook: HookReceived = told(stage).data
    assert (hook.process, hook.terminal, hook.turn) == (agent.key, f"wt:{TAB}", "01a1-turn")
    ancestry = hook.evidence[0]
    assert (ancestry.kind, ancestry.value, int(ancestry.rank)) == ("ancestry", process_id(agent.key), 2)
    said = next(one for one in hook.evidence if one.proves == "conversation")
    assert (said.kind, int(said.rank), said.rejected) == ("hook session_id", 4, "")
    assert "proves" in said.note


def test_a_report_from_a_launch_of_ours_names_it(stage: Scene, reporters: Any) -> None:
    agent = reporters("claude", WT_SESSION=TAB)
    record = LaunchRecord(
        launch=LaunchId("launch-0000aaaa0001"),
        agent="claude",
        token_sha256=token_digest("t" * 43),
        process=agent.key,
        created="2026-11-21T01:00:00.000000Z",
        terminal=terminal_key("wt", "another"),
    )
    write_launch(stage.place.paths, record)
    body = {"hook_event_name": "Notification", "notification_type": "permission_prompt", "source": None}
    assert agent.report("claude", child=True, **body)[0] == 200
    hook: HookReceived = told(stage).data
    assert (hook.launch, hook.terminal, hook.detail) == (record.launch, "wt:another", "permission_prompt")
    kinds = {one.kind: int(one.rank) for one in hook.evidence if not one.rejected}
    assert kinds["launch record"] == 1
    assert [one.value for one in hook.evidence if one.conflict] == [f"wt:{TAB}"]


def test_who_is_no_agent_reports_for_nobody(stage: Scene, reporters: Any) -> None:
    stranger = reporters("somebody")
    assert stranger.report()[0] == 200
    envelope = told(stage)
    hook: HookReceived = envelope.data
    assert envelope.subject == f"process/{process_id(stranger.key)}"
    assert (hook.session, hook.conversation, hook.terminal, hook.process) == (None, None, None, stranger.key)
    rejected = {one.proves: one for one in hook.evidence if one.rejected}
    assert "no codex" in rejected["conversation"].rejected
    assert rejected["conversation"].conflict
    assert stranger.report("claude")[0] == 200
    assert "process.seen" not in {one.type for one in stage.facts("hook.received", 2)}


def test_an_agent_of_another_kind_ends_the_search(stage: Scene, reporters: Any) -> None:
    assert reporters("claude").report("codex", child=True)[0] == 200
    hook: HookReceived = told(stage).data
    assert hook.session is None
    assert any("belongs to claude" in one.rejected for one in hook.evidence)


def test_a_shared_daemon_s_report_claims_no_terminal(stage: Scene, reporters: Any, tmp_path: Path) -> None:
    (tmp_path / "app-server").write_text(REPORTER)
    daemon = reporters("codex", "app-server", "--listen", "unix://", "--managed-daemon", WT_SESSION=TAB)
    assert daemon.report(child=True)[0] == 200
    hook: HookReceived = told(stage).data
    assert (hook.process, hook.process_kind, hook.terminal) == (daemon.key, "daemon", None)
    assert hook.session == f"codex-{CONVERSATION}"
    assert "shared daemon" in next(one.rejected for one in hook.evidence if one.proves == "terminal")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"host": "evil.example:80"}, "host_refused"),
        ({"origin": "http://127.0.0.1"}, "origin_refused"),
        ({"sec-fetch-site": "same-origin"}, "browser_refused"),
    ],
)
def test_no_web_page_reports(stage: Scene, fields: dict[str, str], code: str) -> None:
    status, answer = post(stage, "/hooks/codex", None, **fields)
    assert (status, answer["error"]["code"]) == (403, code)


@pytest.mark.parametrize(
    ("path", "body", "fields", "refused"),
    [
        ("/hooks/gemini", None, {}, (404, "not_found")),
        ("/hooks/codex/x", None, {}, (404, "not_found")),
        ("/hooks/codex", None, {"content-type": "text/plain"}, (415, "not_json")),
        ("/hooks/codex", None, {"content-encoding": "gzip"}, (415, "encoding_refused")),
        ("/hooks/codex", b"{", {}, (400, "not_a_hook")),
        ("/hooks/codex", b"[]", {}, (400, "not_a_hook")),
        ("/hooks/codex", b'{"hook_event_name":"Stop"}', {}, (400, "not_a_hook")),
        ("/hooks/codex", b'{"hook_event_name":"Stop","session_id":7}', {}, (400, "not_a_hook")),
        ("/hooks/codex", b'{"hook_event_name":"Stop","session_id":"../../etc"}', {}, (400, "not_a_hook")),
        ("/hooks/codex", b'{"hook_event_name":"no word","session_id":"a"}', {}, (400, "not_a_hook")),
        ("/hooks/codex", b'{"hook_event_name":"\xff","session_id":"a"}', {}, (400, "not_a_hook")),
    ],
)
def test_what_is_no_report_is_refused_in_json(
    stage: Scene, path: str, body: bytes | None, fields: dict[str, str], refused: tuple[int, str]
) -> None:
    status, answer = post(stage, path, body, **fields)
    assert (status, answer["error"]["code"]) == refused
    assert answer["error"]["message"]


def test_reports_are_bounded_and_posts(stage: Scene) -> None:
    line = stage.call()
    line.send(stage.head("/hooks/codex", b"", connection="close").replace(b"POST", b"GET", 1))
    assert line.answer()[0] == 405
    large = b'{"prompt":"' + b"x" * limits.HOOK_BODY + b'"}'
    status, answer = post(stage, body=large)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_a_report_that_does_not_come_is_not_waited_for(stage: Scene) -> None:
    line = stage.call()
    line.send(stage.head("/hooks/codex", b"x" * 10) + b"{")
    status, _, answer = line.answer()
    assert (status, json.loads(answer)["error"]["code"]) == (503, "too_slow")
    assert post(stage)[0] == 200
