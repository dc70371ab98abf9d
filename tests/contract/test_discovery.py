"""Discovery as a process: real broker, real processes under agents' names, facts out; and the real Codex before any prompt."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

if sys.platform != "linux":
    pytest.skip("its stand-ins need Linux", allow_module_level=True)

from actors.discovery.scout import Scout
from actors.probe import choose_probe
from actors.runtime.launches import write_launch
from actors.runtime.paths import Paths
from schemas.events import ProcessConversationFound, ProcessSeen
from schemas.identity import LaunchId, ProcessKey
from schemas.launch import LaunchRecord
from tests.contract.actor_process import Place, place_with_bus
from tests.contract.agent import Cast
from tests.contract.discovery_scene import ROOT_THREAD, begin, exited, facts, found, seen, types
from tests.contract.linux_processes import NOBODY, PR_SET_DUMPABLE, forked
from tests.e2e.codex import BINARY, needs_codex
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.e2e
WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
PR_SET_NAME = 15


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Place]:
    with place_with_bus(tmp_path / "home") as given:
        yield given


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    with Cast(tmp_path / "cast") as given:
        yield given


# ---------------------------------------------------------------------------------------------------- processes


def test_an_agent_is_seen_whole_and_its_exit_is_told(home: Place, cast: Cast) -> None:
    begin(home)
    gateway = f"http://127.0.0.1:{home.ports['gateway']}/s/secret-token/v1"
    agent = cast.start("codex", "-c", f'openai_base_url="{gateway}"', env={"WT_SESSION": WT.upper()})
    one = seen(home, agent.pid)
    assert (one.agent, one.kind, one.terminal, one.cwd) == ("codex", "tui", f"wt:{WT}", str(cast.folder))
    assert one.endpoint is not None
    assert (one.endpoint.verdict, one.endpoint.origin) == ("gateway", f"http://127.0.0.1:{home.ports['gateway']}")
    assert one.process == choose_probe().process(agent.pid).key
    assert one.started.endswith("Z")
    assert b"secret-token" not in orjson.dumps(str(one))
    agent.kill()
    assert types(facts(home, exited, agent.pid)) == ["process.seen", "process.exited"]


def test_an_agent_older_than_tabwire_is_listed_and_a_word_in_a_command_line_is_no_agent(home: Place, cast: Cast) -> None:
    older = cast.start()
    shutil.copy("/bin/sleep", cast.folder / "notcodex")
    word = subprocess.Popen([str(cast.folder / "notcodex"), "30"], cwd=cast.folder, env=cast.environ({"X": "codex"}))
    shell = subprocess.Popen(["/bin/sh", "-c", "sleep 30; : codex exec"], start_new_session=True)
    try:
        begin(home)
        later = cast.start()
        everybody = facts(home, lambda told: told[-1].process.pid == later.pid)
        pids = {one.process.pid for one in everybody}
        assert older.pid in pids
        assert not pids & {word.pid, shell.pid}
    finally:
        word.kill()
        word.wait()
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


def test_an_agent_that_is_started_by_an_agent_names_it_and_tools_are_nobody(home: Place, cast: Cast) -> None:
    begin(home)
    outer = cast.start("claude")
    command = shlex.join([cast.program("codex"), str(cast.folder / "prompt")])
    shell = int(outer.tell("spawn", "/bin/sh", "-c", f"{command}; true"))
    above = seen(home, outer.pid)
    told = facts(home, lambda told: told[-1].TYPE == "process.seen" and told[-1].parent == above.process)
    inner = told[-1]
    assert (inner.agent, inner.kind) == ("codex", "tui")
    assert shell not in {one.process.pid for one in told}


def test_an_exec_in_an_old_process_is_noticed_and_keeps_its_key(home: Place, cast: Cast) -> None:
    old = cast.start("python-of-nobody")
    begin(home)
    old.tell("exec", cast.program("codex"), str(cast.folder / "prompt"), "resume", answers=False)
    one = seen(home, old.pid)
    assert (one.agent, one.kind) == ("codex", "tui")
    old.tell("exec", cast.program("python-of-nobody"), str(cast.folder / "prompt"), answers=False)
    other = facts(home, lambda told: len(told) == 2, old.pid)[-1]
    assert (other.agent, other.process) == ("other", one.process)


def test_a_stopped_agent_is_there_and_a_zombie_is_not(home: Place, cast: Cast) -> None:
    begin(home)
    stopped, zombie = cast.start(), cast.start()
    seen(home, stopped.pid)
    seen(home, zombie.pid)
    os.kill(stopped.pid, signal.SIGSTOP)
    os.kill(zombie.pid, signal.SIGKILL)  # nobody waits for it yet
    facts(home, exited, zombie.pid)
    later = cast.start()
    seen(home, later.pid)
    everything = facts(home, lambda told: told[-1].process.pid == later.pid)
    assert not any(one.process.pid == stopped.pid and one.TYPE == "process.exited" for one in everything)


def test_a_launch_names_its_process_and_what_it_was_pointed_at(home: Place, cast: Cast) -> None:
    begin(home)
    agent = cast.start("python-of-nobody")
    launch = LaunchId("launch-24e609ded560")
    process: ProcessKey = choose_probe().identify(agent.pid)
    record = LaunchRecord(launch=launch, agent="codex", token_sha256="0" * 64, process=process, created="2026-11-21T05:00:00Z")
    write_launch(home.paths, record)
    agent.tell("exec", cast.program("codex"), str(cast.folder / "prompt"), answers=False)
    assert seen(home, agent.pid).launch == launch


def test_an_origin_is_judged_by_a_configuration_older_than_the_process(home: Place, cast: Cast) -> None:
    cast.home.mkdir()
    (cast.home / "config.toml").write_text(
        'model_provider = "mine"\n[model_providers.mine]\nbase_url = "https://u:pw@api.test/v1"\n'
    )
    begin(home)
    agent = cast.start()
    one = seen(home, agent.pid)
    assert one.endpoint is not None
    assert (one.endpoint.verdict, one.endpoint.origin) == ("other", "https://api.test")
    assert "config.toml" in one.endpoint.source
    assert "pw" not in one.endpoint.source


def test_an_agent_that_runs_itself_a_second_time_is_one_agent(home: Place, cast: Cast) -> None:
    begin(home)
    package = cast.folder / "node_modules" / "@google" / "gemini-cli"
    package.mkdir(parents=True)
    script = package / "gemini.js"
    script.write_text((cast.folder / "prompt").read_text())
    outer = cast.start("node", "--acp", script=script)
    first = seen(home, outer.pid)
    assert (first.agent, first.kind) == ("gemini", "app_server")
    inner = int(outer.tell("spawn", cast.program("node"), str(script), "--acp"))
    nested = int(outer.tell("spawn", cast.program("node"), str(script), "-p", "hello"))
    assert facts(home, lambda told: len(told) == 2, outer.pid)[-1].kind == "wrapper"
    assert (seen(home, inner).kind, seen(home, inner).parent) == ("app_server", None)
    assert seen(home, nested).kind == "exec"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_process_of_ours_that_hides_is_listed_by_name_with_the_reason_and_others_are_not(tmp_path: Path) -> None:
    def hide() -> str:
        os.setuid(NOBODY)
        ctypes.CDLL(None).prctl(PR_SET_NAME, b"codex", 0, 0, 0)
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        return "hidden"

    def look() -> str:
        os.setuid(NOBODY)
        scout = Scout(choose_probe(), Paths(tmp_path / "config.toml", tmp_path / "state"), 8129, structlog.get_logger())
        return "\n".join(f"{one.seen.process.pid} {one.seen.agent} {one.seen.unreadable}" for one in scout.look())

    with forked(hide) as (hidden, _), Cast(tmp_path / "cast") as cast:
        root_s = cast.start()
        with forked(look) as (_, told):
            listed = {int(line.split()[0]): line for line in told.splitlines()}
    assert listed[hidden] == f"{hidden} codex protects its memory (not dumpable, or has privileges that we do not have)"
    assert root_s.pid not in listed


# ---------------------------------------------------------------------------------------------------- restarts


@pytest.mark.parametrize("checkpoint", ["kept", "lost", "damaged"])
def test_a_restart_tells_missed_exits_and_nothing_twice(home: Place, cast: Cast, checkpoint: str) -> None:
    actor = begin(home)
    stays, goes = cast.start(), cast.start()
    stays.tell("lock", cast.lock(ROOT_THREAD))
    found(home, stays.pid, ROOT_THREAD)
    seen(home, goes.pid)
    if checkpoint == "kept":
        actor.end_stdin()
    else:
        actor.process.kill()
    actor.exit_code()
    file = home.paths.checkpoints / "discovery.json"
    if checkpoint == "damaged":
        file.write_text("{")
    elif checkpoint == "lost":
        file.unlink(missing_ok=True)
    goes.kill()
    begin(home)
    assert types(facts(home, exited, goes.pid)) == ["process.seen", "process.exited"]
    newcomer = cast.start()
    seen(home, newcomer.pid)
    everything = facts(home, lambda told: told[-1].process.pid == newcomer.pid)
    assert types([one for one in everything if one.process.pid == stays.pid]) == [
        "process.seen",
        "process.conversation_found",
    ]


# ---------------------------------------------------------------------------------------------------- the real Codex


@needs_codex
@pytest.mark.codex
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_tui_that_was_never_prompted_has_its_conversation(home: Place, cast: Cast, tmp_path: Path) -> None:
    assert BINARY is not None
    cast.home.mkdir()
    (cast.home / "config.toml").write_text(
        f'model = "gpt-5.1-codex"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n'
        f'[model_providers.mine]\nname = "mine"\nbase_url = "http://127.0.0.1:9/v1"\n'
        f'[projects."{cast.folder}"]\ntrust_level = "trusted"\n'
    )
    begin(home)
    base = f"http://127.0.0.1:{home.ports['gateway']}/v1"
    options = ["--no-daemon", "-c", 'model_provider="mine"', "-c", f'model_providers.mine.base_url="{base}"']
    with Tmux(tmp_path / "tmux.sock") as tmux:
        pane = tmux.open(
            shlex.join([BINARY, *options]), cast.environ({"WT_SESSION": WT, "TERM": "xterm-256color"}), cast.folder
        )
        (one,) = [
            one
            for one in facts(home, lambda told: any(is_main(one, cast) for one in told))
            if is_main(one, cast) and isinstance(one, ProcessConversationFound)
        ]
        assert [(line.rank, line.kind) for line in one.evidence] == [(2, "lock file")]
        assert one.transcript is None
        whole = facts(home, lambda told: isinstance(told[-1], ProcessSeen) and told[-1].kind == "tui", one.process.pid)[-1]
        assert whole.terminal.endswith(f":{pane}")
        assert (whole.endpoint.verdict, whole.endpoint.origin) == ("gateway", base.removesuffix("/v1"))
        assert whole.parent is None
        assert not list(cast.home.glob("sessions/**/*.jsonl"))
    facts(home, exited, one.process.pid)


def is_main(one: Any, cast: Cast) -> bool:
    return isinstance(one, ProcessConversationFound) and Path(cast.lock(str(one.thread))).exists()
