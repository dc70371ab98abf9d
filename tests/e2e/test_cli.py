"""The command line with everything running: up, agents, what can be asked of them, replay, down, and when something is away."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from actors.demo.cast import MODULE
from schemas.envelope import Recorded
from schemas.identity import process_session
from tests.e2e.system import DEADLINE, System, running

pytestmark = pytest.mark.e2e

TAB = "wt:cccccccc-3333-4333-8333-333333333333"
AGENT = """
import json, os, sys, urllib.request
base = os.environ["OPENAI_BASE_URL"]
print(os.getpid())
for prompt in sys.argv[1:]:
    body = json.dumps({"model": "echo", "input": prompt, "stream": False}).encode()
    request = urllib.request.Request(base + "/responses", body, {"content-type": "application/json"})
    answer = json.load(urllib.request.urlopen(request))
    print(answer["output"][0]["content"][0]["text"])
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


def launch(system: System, *prompts: str, options: tuple[str, ...] = ("--name", "sample")) -> str:
    """Run the sample agent to its end; return the id of its launch."""
    environ = {"WT_SESSION": TAB.removeprefix("wt:")}
    done = system.tabwire("run", *options, "--", sys.executable, "-c", AGENT, *prompts, environ=environ)
    assert all(prompt in done.stdout for prompt in prompts)
    pid = int(done.stdout.split()[0])
    session = launched(system.until(lambda so_far: bool(launched(so_far, pid))), pid)
    system.until_count("request.completed", len(prompts), session=session)
    system.until_count("session.gone", session=session)
    return session


def launched(so_far: list[Recorded], pid: int) -> str:
    """Return the launch of the last process with this pid, or nothing."""
    started = [event.envelope.data for event in so_far if event.envelope.type == "launch.started"]
    return next((str(data.launch) for data in reversed(started) if data.process.pid == pid), "")


def test_up_says_what_runs_and_up_again_that_it_does(system: System) -> None:
    again = system.tabwire("up")
    assert "already running" in again.stderr
    assert f"http://127.0.0.1:{system.gateway_port}" in again.stdout
    assert "tabwire run -- codex" in again.stdout
    status = system.json("status")
    assert [row["actor"] for row in status["actors"]] == [
        "broker",
        "registry",
        "rollout",
        "discovery",
        "gateway",
        "bridges",
        "echo",
    ]
    assert {row["state"] for row in status["actors"]} == {"ready"}
    shown = system.tabwire("status").stdout
    for row in status["actors"]:
        assert f"{row['pid']}" in shown
    capable = {row["actor"]: row["capabilities"] for row in status["actors"]}
    assert "peer" in capable["gateway"]
    assert capable["registry"] == []
    assert re.search(r"probe \(.*gateway\) can tell: .*peer", shown)


def test_a_launched_agent_is_a_verified_session_with_its_tab(system: System) -> None:
    session = launch(system, "say one", "say two", options=("--name", "sample", "--provider", "echo"))
    row = system.sessions()[session]
    assert (row["verdict"], row["agent"], row["terminal"]) == ("verified", "sample", TAB)
    assert (row["requests"], row["preferred_provider"], row["routing_provider"]) == (2, "echo", "echo")
    shown = system.tabwire("sessions", "--all").stdout
    assert session in shown
    assert TAB in shown
    summary = system.tabwire("sessions").stdout
    assert "gone" in summary

    explained = system.json("explain", session[:15])
    assert explained["row"] == {**row, "activity": "gone"}
    assert explained["evidence"][0]["evidence"]["rank"] == 1
    text = system.tabwire("explain", session).stdout
    assert "1 told by us" in text
    assert "asked for by" in text
    assert system.tabwire("explain", "nothing-like-it", code=1).stdout == ""
    launch(system, "say three")
    assert "names" in system.tabwire("explain", "launch-", code=2).stderr


def test_an_agent_without_a_request_is_behind_one_line_until_it_is_asked_for(system: System, tmp_path: Path) -> None:
    program = tmp_path / "codex"
    shutil.copy(Path(sys.executable).resolve(), program)
    environ = system.environ({"PYTHONHOME": sys.base_prefix, "WT_SESSION": "eeeeeeee-1111-4111-8111-111111111111"})
    with subprocess.Popen([str(program), "-c", "input()"], env=environ, stdin=subprocess.PIPE, cwd=tmp_path) as agent:
        seen = system.until(lambda so_far: agent.pid in {pid_of(event) for event in so_far})
        process = next(event.envelope.data.process for event in seen if pid_of(event) == agent.pid)
        name = process_session(process)
        system.until_count("session.seen", session=name)
        assert system.sessions()[name]["verdict"] == "unverified"
        summary = system.tabwire("sessions").stdout
        assert name not in summary
        assert re.search(r"^[0-9]+ unverified sessions? \(.*codex [0-9]+.*\): --all shows (it|them)", summary, re.MULTILINE)
        line = next(line for line in system.tabwire("sessions", "--all").stdout.splitlines() if line.startswith(name))
        assert "unverified" in line
        assert str(tmp_path) in line
        agent.communicate(b"end\n")


def pid_of(event: Recorded) -> int | None:
    """Return the process that was seen, if that is what an event tells."""
    return int(event.envelope.data.process.pid) if event.envelope.type == "process.seen" else None


def test_the_token_is_nowhere_but_where_it_must_be(system: System) -> None:
    script = 'printf %s "$OPENAI_BASE_URL" >&2'
    done = system.tabwire("run", "--name", "sample", "--", "sh", "-c", script)
    token = done.stderr.rpartition("/s/")[2].removesuffix("/v1")
    assert len(token) == 43
    for file in (path for path in system.home.rglob("*") if path.is_file()):
        assert token.encode() not in file.read_bytes(), file


def wait_for(stream: IO[str], type_: str, launch: str) -> None:
    """Read events until the one of this type and launch."""
    while (event := json.loads(stream.readline()))["type"] != type_ or event["data"]["launch"] != launch:
        assert event["type"].startswith("launch.")


def start(system: System, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        system.command(*arguments),
        env=system.environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def following(system: System, *arguments: str) -> Iterator[IO[str]]:
    """Run a command that goes on until Ctrl-C, which is its regular end; give what it prints."""
    with start(system, *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield process.stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
        assert process.stderr.read() == ""


def test_tail_shows_what_was_and_what_comes(system: System) -> None:
    session = launch(system, "before")
    with following(system, "tail", "--since", "0", "--type", "launch.*", "--json") as out:
        wait_for(out, "launch.started", session)
        wait_for(out, "launch.started", launch(system, "after"))


def test_tail_of_one_session_knows_its_prefix(system: System) -> None:
    session = launch(system, "mine")
    launch(system, "not mine")
    with following(system, "tail", "--session", session[:16], "--since", "1h", "--type", "session.gone") as out:
        assert session in out.readline()
    assert "no session begins with it" in system.tabwire("tail", "--session", "zzz", code=1).stderr


def test_watch_prints_a_table_a_change(system: System) -> None:
    with following(system, "sessions", "--watch", "--json") as out:
        before = json.loads(out.readline())
        session = launch(system, "seen by a watcher")
        while session not in {row["session"] for row in json.loads(out.readline())["sessions"]}:
            pass
    assert session not in {row["session"] for row in before["sessions"]}


def test_a_reader_that_leaves_is_no_error(system: System) -> None:
    launch(system, "something to export")
    with start(system, "events", "export") as export:
        assert export.stdout is not None
        assert export.stderr is not None
        assert json.loads(export.stdout.readline())["position"] == 1
        export.stdout.close()
        assert export.stderr.read() == ""
        assert export.wait(DEADLINE) == 141


def test_on_a_terminal_there_is_a_table_with_short_ids(system: System) -> None:
    session = launch(system, "on a terminal")
    master, slave = pty.openpty()
    with subprocess.Popen(
        system.command("sessions", "--all"),
        env=system.environ({"NO_COLOR": "1", "COLUMNS": "120"}),
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 65536):
                shown += chunk
        except OSError:  # the other end was closed
            pass
        os.close(master)
    assert process.returncode == 0
    assert session[:14].encode() in shown
    assert b"\x1b[3" not in shown


def test_replay_and_export_say_what_the_live_system_said_and_need_none(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        launch(system, "to be replayed")
        live = system.json("sessions")
        replay = ("replay", "--until", str(live["as_of"]["position"]), "--at", live["as_of"]["time"])
        assert system.json(*replay) == live
        ended = system.tabwire("down").stdout
        assert "supervisor" in ended
    assert system.json(*replay) == live
    assert (
        system.tabwire(*replay, "--all").stdout
        == system.tabwire("replay", "--until", replay[2], "--at", replay[4], "--all").stdout
    )
    exported = [json.loads(line) for line in system.tabwire("events", "export").stdout.splitlines()]
    assert [event["position"] for event in exported] == list(range(1, len(exported) + 1))
    middle = exported[len(exported) // 2]
    after = system.tabwire("events", "export", "--since", middle["recordedtime"]).stdout.splitlines()
    assert json.loads(after[0])["recordedtime"] == middle["recordedtime"]
    until = system.tabwire("events", "export", "--until", str(middle["position"])).stdout.splitlines()
    assert json.loads(until[-1]) == middle
    assert "the journal ends at" in system.tabwire("replay", "--until", "999999", code=2).stderr
    for command in ("sessions", "status", "tail"):
        assert "tabwire up" in system.tabwire(command, code=3).stderr


def stopped_actor(system: System, name: str) -> Any:
    return next(row for row in system.json("status")["actors"] if row["actor"] == name)


def test_while_an_actor_is_down_each_command_says_which(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        session = launch(system, "before the fall")
        registry = stopped_actor(system, "registry")["pid"]
        os.kill(registry, signal.SIGSTOP)
        asked = system.tabwire("sessions", code=None)
        assert asked.returncode in (1, 3)
        assert "tabwire status" in asked.stderr
        assert "launch-" in system.tabwire("events", "export").stdout
        with contextlib.suppress(ProcessLookupError):  # on a slow machine it was taken for hung and replaced meanwhile
            os.kill(registry, signal.SIGCONT)
        end = time.monotonic() + DEADLINE
        while system.tabwire("sessions", code=None).returncode != 0 and time.monotonic() < end:
            pass
        assert session in system.sessions()


def test_in_the_foreground_it_stays_until_it_is_told(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    with start(system, "up", "--foreground") as process:
        assert process.stderr is not None
        while "stops it" not in process.stderr.readline():
            assert process.poll() is None
        assert system.json("status")["actors"]
        process.terminate()
        process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    system.tabwire("status", code=3)


def test_a_damaged_status_file_stops_nobody_from_stopping(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        supervisor = system.json("status")["pid"]
        os.kill(supervisor, signal.SIGSTOP)  # or it writes a new one
        (system.home / "state/run/status.json").write_text("{")
        assert "not understood" in system.tabwire("status", code=3).stderr
        os.kill(supervisor, signal.SIGCONT)
        assert "supervisor" in system.tabwire("down").stdout
        (system.home / "state/run/status.json").write_text("{")
        assert len(system.tabwire("up").stderr.splitlines()) == 1


def test_started_twice_at_once_there_is_one(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    both = [start(system, "up") for _ in range(2)]
    told = [process.communicate(timeout=DEADLINE * 2) for process in both]
    system.tabwire("down")
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0].splitlines()[0] == told[1][0].splitlines()[0]


def test_a_provider_without_its_key_is_named_by_up(tmp_path: Path) -> None:
    provider = '[providers.mine]\nbase_url = "https://example.invalid/v1"\nkey = "env:NO_SUCH_VARIABLE_HERE"'
    system = System(tmp_path / "home", provider)
    done = system.tabwire("up", code=None)
    system.tabwire("down")
    assert done.returncode == 78, done.stderr
    assert "NO_SUCH_VARIABLE_HERE" in done.stderr


def is_sample(pid: int) -> bool:
    """Tell whether a process is one of the demo's agents that this test's command started a moment ago."""
    try:
        process = psutil.Process(pid)
        return MODULE in process.cmdline() and time.time() - process.create_time() < DEADLINE * 2
    except psutil.Error:
        return False


def test_the_demo_shows_rows_and_events_and_ends_by_itself(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    shown = system.tabwire("up", "--demo").stdout
    # Only the demo's own: real agents of this machine are in the table as well, and are nobody's to end.
    rows = [row for row in system.sessions().values() if row["process"] is not None and is_sample(row["process"]["pid"])]
    system.tabwire("down")
    for pid in {row["process"]["pid"] for row in rows}:  # they would go on for five minutes
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    assert sum(row["verdict"] == "verified" for row in rows) >= 2
    assert any(row["provisional"] and row["launch"] for row in rows)
    assert "request.completed" in shown or "request.attributed" in shown
    assert "tabwire explain" in shown


def test_doctor_finds_nothing_wrong_with_a_system_that_is_up_and_says_when_it_is_not(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    down = json.loads(system.tabwire("doctor", "--json", code=1).stdout)
    assert [check["subject"] for check in down["checks"] if check["state"] == "problem"] == ["system"]
    with running(tmp_path / "up") as up:
        checks = up.json("doctor")["checks"]
        actors = {check["subject"]: check["state"] for check in checks}
        assert {actors[name] for name in ("broker", "registry", "gateway", "gateway's door")} == {"ok"}
