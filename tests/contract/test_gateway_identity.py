"""Who called, as the gateway finds out: real processes that are launched, descend, forge, share a socket, and exit."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.probe import choose_probe
from actors.runtime.launches import write_launch
from schemas.identity import LaunchId, ProcessKey, process_id, process_session, terminal_key
from schemas.launch import LaunchRecord, token_digest
from tests.contract.gateway_scene import COMPLETED, DEADLINE, SSE, Line, Scene, chunk, scene

pytestmark = pytest.mark.e2e
CONVERSATION = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
TAB = "11111111-2222-3333-4444-555555555555"
CALLER = textwrap.dedent(
    """
    import json, os, socket, sys
    for line in sys.stdin:
        asked = json.loads(line)
        if "exit" in asked:
            break
        if "child" in asked:
            if os.fork():
                os.wait()
                continue
        connection = socket.socket()
        held, released = os.pipe()
        if "share" in asked and os.fork() == 0:
            os.close(released)
            os.read(held, 1)
            os._exit(0)
        connection.connect(("127.0.0.1", asked["port"]))
        fields = "".join(f"{name}: {value}\\r\\n" for name, value in asked["fields"].items())
        connection.sendall(
            f"POST {asked['path']} HTTP/1.1\\r\\nhost: 127.0.0.1:{asked['port']}\\r\\nconnection: close\\r\\n"
            f"content-type: application/json\\r\\ncontent-length: 2\\r\\n{fields}\\r\\n{{}}".encode()
        )
        answer = b""
        while more := connection.recv(65536):
            answer += more
        os.close(released)
        os.close(held)
        print(json.dumps(answer.decode()), flush=True)
        if "child" in asked:
            os._exit(0)
    """
)


class CallerProcess:
    """A process that sends requests when told."""

    def __init__(self, port: int, **environ: str) -> None:
        self.port = port
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", CALLER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**keep, **environ},
            start_new_session=True,
        )
        self.key: ProcessKey = choose_probe().identify(self.process.pid)

    def call(self, path: str = "/v1/responses", **asked: Any) -> tuple[int, str]:
        fields = asked.pop("fields", {})
        self._tell({"port": self.port, "path": path, "fields": fields, **asked})
        assert self.process.stdout is not None
        answer: str = json.loads(self.process.stdout.readline())
        return int(answer.split(" ")[1]), answer

    def exit(self) -> None:
        self._tell({"exit": True})
        self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _tell(self, asked: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        subject.start()
        yield subject


@pytest.fixture
def callers(stage: Scene) -> Iterator[Any]:
    started: list[CallerProcess] = []

    def start(**environ: str) -> CallerProcess:
        started.append(CallerProcess(stage.port, **environ))
        return started[-1]

    yield start
    for caller in started:
        caller.close()


def serve(stage: Scene, count: int = 1) -> None:
    def part(line: Line) -> None:
        try:
            while True:
                line.request()
                line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")
        except AssertionError:
            return  # the gateway closed a connection that it does not need

    for _ in range(count):
        stage.provider.plays(part)


def launch(stage: Scene, process: ProcessKey, agent: str = "codex") -> str:
    token = secrets.token_urlsafe(32)
    record = LaunchRecord(
        launch=LaunchId(f"launch-{secrets.token_hex(6)}"),
        agent=agent,
        token_sha256=token_digest(token),
        process=process,
        created="2026-11-21T00:00:00Z",
    )
    write_launch(stage.place.paths, record)
    return token


def attributed(stage: Scene, count: int = 1) -> list[Any]:
    return [one.data for one in stage.facts("request.attributed", count) if one.type == "request.attributed"]


CODEX = {"session-id": CONVERSATION, "thread-id": CONVERSATION}


def test_a_process_is_named_with_its_terminal_and_told_once_and_its_exit_too(stage: Scene, callers: Any) -> None:
    serve(stage, 2)
    caller = callers(WT_SESSION=TAB)
    assert caller.call()[0] == 200
    assert caller.call()[0] == 200
    caller.exit()
    facts = stage.facts("process.exited")
    seen = [one.data for one in facts if one.type == "process.seen"]
    assert [one.process for one in seen] == [caller.key]
    assert seen[0].terminal == terminal_key("wt", TAB)
    first, second = (one.data for one in facts if one.type == "request.attributed")
    assert first.session == second.session == process_session(caller.key)
    assert (first.process, first.terminal, first.agent) == (caller.key, terminal_key("wt", TAB), "other")
    assert facts[-1].data.process == caller.key


def test_two_processes_at_once_are_told_apart(stage: Scene, callers: Any) -> None:
    serve(stage, 12)
    pair = [callers(WT_SESSION=TAB), callers(WT_SESSION=TAB.replace("1", "9"))]
    for caller in pair * 5:
        for _ in range(1):
            assert caller.call()[0] == 200
    found = attributed(stage, 10)
    for caller in pair:
        assert {one.terminal for one in found if one.process == caller.key} == {
            terminal_key("wt", TAB if caller is pair[0] else TAB.replace("1", "9"))
        }
    assert len({one.session for one in found}) == 2


def test_a_forged_conversation_is_a_conflict_and_moves_nothing(stage: Scene, callers: Any) -> None:
    serve(stage)
    caller = callers()
    assert caller.call(fields=CODEX)[0] == 200
    (found,) = attributed(stage)
    assert (found.session, found.conversation) == (process_session(caller.key), None)
    assert [one.value for one in found.evidence if one.conflict] == [f"codex:{CONVERSATION}"]


def test_a_launched_process_and_its_child_are_their_launch(stage: Scene, callers: Any) -> None:
    serve(stage, 3)
    caller = callers()
    token = launch(stage, caller.key)
    for asked in ({}, {"child": True}, {"fields": CODEX}):
        status, answer = caller.call(f"/s/{token}/v1/responses", **asked)
        assert status == 200
        assert token not in answer
    same, child, conversation = attributed(stage, 3)
    assert same.session == child.session == same.launch
    assert child.process != caller.key
    assert conversation.session == f"codex-{CONVERSATION}"
    assert conversation.launch == same.launch
    assert [one.rank for one in child.evidence if one.proves == "launch"] == [1]


def test_a_token_in_strange_hands_is_a_conflict(stage: Scene, callers: Any) -> None:
    serve(stage)
    launched, thief = callers(), callers()
    token = launch(stage, launched.key)
    assert thief.call(f"/s/{token}/v1/responses", fields=CODEX)[0] == 200
    (found,) = attributed(stage)
    assert (found.session, found.launch) == (process_session(thief.key), None)
    assert {one.proves for one in found.evidence if one.conflict} == {"launch", "conversation"}


def test_a_token_dies_with_its_process(stage: Scene, callers: Any) -> None:
    launched, other = callers(), callers()
    token = launch(stage, launched.key)
    serve(stage)
    assert launched.call(f"/s/{token}/v1/responses")[0] == 200
    launched.exit()
    stage.facts("launch.ended")
    status, answer = other.call(f"/s/{token}/v1/responses")
    assert status == 400
    assert "launch_ended" in answer
    assert token not in answer
    assert list(stage.place.paths.launches.iterdir()) == []


def test_a_launch_that_never_called_ends_too(stage: Scene, callers: Any) -> None:
    launched = callers()
    launch(stage, launched.key)
    launched.exit()
    ended = stage.facts("launch.ended")[-1]
    assert ended.subject.startswith("launch/launch-")


def test_a_socket_that_two_processes_hold_is_nobody_s(stage: Scene, callers: Any) -> None:
    serve(stage)
    caller = callers(WT_SESSION=TAB)
    assert caller.call(fields=CODEX, share=True)[0] == 200
    (found,) = attributed(stage)
    assert (found.session, found.process, found.terminal) == (None, None, None)
    named = [one.value for one in found.evidence if one.proves == "process"]
    assert process_id(caller.key) in named
    assert len(named) == 2
    assert all("2 processes hold" in one.rejected for one in found.evidence if one.proves == "process")


def test_bad_files_among_launches_are_told_and_cost_nothing(stage: Scene, callers: Any) -> None:
    serve(stage)
    caller = callers()
    (stage.place.paths.launches / "launch-bad.json").write_text("{")
    token = launch(stage, caller.key)
    assert caller.call(f"/s/{token}/v1/responses")[0] == 200
    assert stage.gateway is not None
    assert attributed(stage)[0].launch is not None
    assert "launch record ignored" in stage.gateway.log_text()
