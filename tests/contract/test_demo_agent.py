"""The demo's agent as a process, against the echo server: how it works and every way in which it ends."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from actors.demo.cast import MODULE, cast

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 20.0


@contextmanager
def echo() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "actors.echo", "--port", "0"], stdout=subprocess.PIPE, cwd=ROOT)
    with process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().split()[-1]
        finally:
            process.terminate()


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", MODULE, *arguments]
    environ = {**os.environ, **more}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environ, timeout=DEADLINE, stdin=subprocess.DEVNULL
    )


def test_it_holds_a_conversation() -> None:
    with echo() as base:
        prompts = ("--prompt", "[echo words=3] first", "--prompt", "second")
        done = run("--base-url", base, "--conversation", "c1", "--turns", "2", "--pace", "0", *prompts)
        seen = httpx.get(base.replace("/v1", "/control/requests")).json()["requests"]
    assert (done.returncode, done.stderr) == (0, "")
    assert "the echo actor" in done.stdout
    assert "You said: second" in done.stdout
    assert [(each["session"], each["thread"], each["model"], each["stream"]) for each in seen] == [
        ("c1", "c1", "echo", True)
    ] * 2
    assert seen[1]["usage"]["cached_input"] == seen[0]["usage"]["input"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("status=503 message=closed", "status 503: closed"),
        ("cut=4", "the stream broke off"),
        ("end=4", "the stream ended without an end"),
        ("failed=server_error message=sorry", "sorry"),
    ],
)
def test_it_says_what_went_wrong(mode: str, said: str) -> None:
    with echo() as base:
        done = run("--base-url", base, "--turns", "1", "--prompt", f"[echo {mode}]")
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_its_lifetime_ends_a_turn_that_does_not() -> None:
    with echo() as base:
        done = run("--base-url", base, "--lifetime", "0.8", "--prompt", "[echo silence=2]")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "says", "sends"), [("ada", b"> Why", 1), ("bo", b"  ready", 0), ("cy", b"> What", 1)])
def test_a_launched_member_sends_nothing_before_it_is_told_to(name: str, says: bytes, sends: int) -> None:
    member = next(each for each in cast(lambda: str(UUID(int=1))) if each.name == name)
    with echo() as base:
        requests = base.replace("/v1", "/control/requests")
        environ = member.environ(os.environ, base)
        with subprocess.Popen(
            member.argv(sys.executable), env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"demo agent " + name.encode())
            if member.launched:
                assert httpx.get(requests).json()["last"] == 0
                process.stdin.write(b"go\n")
                process.stdin.flush()
            assert process.stdout.readline().startswith(says)
            answer = httpx.get(requests, params={"count": sends, "wait": 15}, timeout=DEADLINE).json()
            assert answer["last"] == sends
            process.kill()


def test_it_does_not_wait_for_ever_to_be_told() -> None:
    done = run("--base-url", "http://127.0.0.1:9/v1", "--await-go")
    assert done.returncode == 1
    assert "nobody said go" in done.stdout


def test_it_ends_with_its_terminal() -> None:
    with echo() as base:
        pid, terminal = pty.fork()
        if pid == 0:  # the child leads a session on a terminal of its own; SIGHUP is ignored, as in a background job
            command = "trap '' HUP; exec \"$@\""
            os.chdir(ROOT)
            arguments = ["--base-url", base, "--pace", "60", "--lifetime", "60"]
            os.execv("/bin/sh", ["sh", "-c", command, "sh", sys.executable, "-m", MODULE, *arguments])  # noqa: S606
        heard = b""
        while b"tokens in" not in heard:
            heard += os.read(terminal, 4096)
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize(
    "arguments", [("--turns", "-1"), ("--pace", "-1"), ("--lifetime", "9999"), ("--unknown",), ("--pace", "x")]
)
def test_wrong_usage_is_said_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = run("--base-url", "http://127.0.0.1:9/v1", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_it_needs_to_know_where_to_send() -> None:
    done = run()
    assert done.returncode == 2
    assert "--base-url" in done.stderr
