"""Discovery as a process: real broker, real processes under agents' names, facts out; and the real Codex before any prompt."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
import structlog

if sys.platform != "linux":
    pytest.skip("its stand-ins need Linux", allow_module_level=True)

from actors.discovery.scout import Scout
from actors.probe import choose_probe
from actors.runtime.contract import Ready
from actors.runtime.launches import write_launch
from actors.runtime.paths import Paths
from bus.client import connect
from bus.connection import read_connection
from schemas.envelope import Recorded
from schemas.events import ProcessConversationFound, ProcessSeen
from schemas.identity import LaunchId, ProcessKey
from schemas.launch import LaunchRecord
from tests.contract.actor_process import ActorProcess, Place, place
from tests.contract.agent import Cast
from tests.contract.test_probe_linux import NOBODY, PR_SET_DUMPABLE, forked
from tests.e2e.codex import BINARY, needs_codex
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.e2e
DEADLINE = 20.0
ROOT_THREAD = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
LATER_THREAD = "01a1fb09-0000-7cf3-a2b2-400eaf1e2b60"
OTHER_THREAD = "01a1fb0a-0000-7cf3-a2b2-400eaf1e2b60"
WT = "1f2e3d4c-0a1b-2c3d-4e5f-60718293a4b5"
PR_SET_NAME = 15


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path / "home") as given:
        given.start("broker").until(Ready)
        yield given


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    with Cast(tmp_path / "cast") as given:
        yield given


def begin(home: Place) -> ActorProcess:
    actor = home.start("discovery")
    actor.until(Ready)
    return actor


def facts(home: Place, until: Callable[[list[Any]], bool], pid: int | None = None) -> list[Any]:
    """Follow what discovery told, of one process or of all, until ``until`` is content."""

    async def follow() -> list[Any]:
        told: list[Any] = []
        with anyio.move_on_after(DEADLINE):
            async with connect(read_connection(home.paths.connection_file)) as client, client.feed(0) as feed:
                async for item in feed:
                    if not isinstance(item, Recorded) or not item.envelope.source.startswith("/actor/discovery/"):
                        continue
                    if pid is None or item.envelope.data.process.pid == pid:
                        told.append(item.envelope.data)
                        if until(told):
                            return told
        raise AssertionError(f"not told within {DEADLINE} s: {told}")

    return anyio.run(follow)


def types(told: list[Any]) -> list[str]:
    return [one.TYPE for one in told]


def seen(home: Place, pid: int) -> ProcessSeen:
    one = facts(home, lambda told: types(told)[-1] == "process.seen", pid)[-1]
    assert isinstance(one, ProcessSeen)
    return one


def found(home: Place, pid: int, thread: str, content: Callable[[Any], bool] = lambda _: True) -> ProcessConversationFound:
    def last(told: list[Any]) -> bool:
        return isinstance(told[-1], ProcessConversationFound) and told[-1].thread == thread and content(told[-1])

    one = facts(home, last, pid)[-1]
    assert isinstance(one, ProcessConversationFound)
    return one


def exited(told: list[Any]) -> bool:
    return types(told)[-1] == "process.exited"


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


# ---------------------------------------------------------------------------------------------------- conversations


def test_a_lock_names_the_conversation_before_any_prompt_and_the_rollout_confirms_it(home: Place, cast: Cast) -> None:
    begin(home)
    agent = cast.start()
    seen(home, agent.pid)  # its home does not exist yet
    agent.tell("lock", cast.lock(ROOT_THREAD))
    first = found(home, agent.pid, ROOT_THREAD)
    assert first.session == f"codex-{ROOT_THREAD}"
    assert [(one.rank, one.kind) for one in first.evidence] == [(2, "lock file")]
    path = cast.rollout(ROOT_THREAD)
    agent.tell("open", path)
    second = found(home, agent.pid, ROOT_THREAD, lambda one: one.transcript is not None)
    assert second.transcript == path
    assert [(one.rank, one.kind) for one in second.evidence] == [(2, "lock file"), (2, "rollout file")]


def test_a_second_thread_waits_for_its_rollout_and_a_sub_agent_makes_no_conversation(home: Place, cast: Cast) -> None:
    begin(home)
    agent = cast.start()
    agent.tell("lock", cast.lock(ROOT_THREAD))
    agent.tell("open", cast.rollout(ROOT_THREAD))
    agent.tell("lock", cast.lock(LATER_THREAD))
    agent.tell("open", cast.rollout(LATER_THREAD, session=ROOT_THREAD))
    agent.tell("lock", cast.lock(OTHER_THREAD))
    found(home, agent.pid, ROOT_THREAD, lambda one: one.transcript is not None)
    agent.tell("open", cast.rollout(OTHER_THREAD))  # as after /new and a prompt
    found(home, agent.pid, OTHER_THREAD)
    told = facts(home, lambda told: getattr(told[-1], "thread", None) == OTHER_THREAD, agent.pid)
    assert {one.session for one in told if isinstance(one, ProcessConversationFound)} == {
        f"codex-{ROOT_THREAD}",
        f"codex-{OTHER_THREAD}",
    }
    agent.tell("close", cast.lock(ROOT_THREAD))
    agent.tell("close", str(cast.home / "sessions/2026/11/21" / f"rollout-2026-11-21T04-05-06-{ROOT_THREAD}.jsonl"))
    Path(cast.lock(ROOT_THREAD)).unlink()
    lost = facts(home, lambda told: told[-1].TYPE == "process.conversation_lost", agent.pid)[-1]
    assert lost.session == f"codex-{ROOT_THREAD}"


def test_a_lock_that_was_left_behind_and_a_rollout_of_another_prove_nothing(home: Place, cast: Cast) -> None:
    begin(home)
    dead = cast.start()
    dead.tell("lock", cast.lock(ROOT_THREAD))
    found(home, dead.pid, ROOT_THREAD)
    dead.kill()
    facts(home, exited, dead.pid)
    assert Path(cast.lock(ROOT_THREAD)).exists()
    forger = cast.start()
    forger.tell("open", cast.lock(ROOT_THREAD))
    forger.tell("open", cast.rollout(LATER_THREAD, says=ROOT_THREAD))
    forger.tell("open", cast.rollout(OTHER_THREAD, session=ROOT_THREAD))

    def complained(told: list[Any]) -> bool:
        return (
            isinstance(told[-1], ProcessSeen) and len([one for one in told[-1].evidence if one.proves == "conversation"]) == 3
        )

    told = facts(home, complained, forger.pid)
    assert not [one for one in told if isinstance(one, ProcessConversationFound)]
    rejected = [one for one in told[-1].evidence if one.proves == "conversation"]
    assert all(one.rejected for one in rejected)
    assert [one.conflict for one in rejected].count(True) == 1


def test_resume_on_a_command_line_counts_for_a_main_thread_that_is_stored(home: Place, cast: Cast) -> None:
    cast.rollout(ROOT_THREAD)
    cast.rollout(LATER_THREAD, session=ROOT_THREAD)
    begin(home)
    agent, helper = cast.start("codex", "resume", ROOT_THREAD), cast.start("codex", "resume", LATER_THREAD)
    one = found(home, agent.pid, ROOT_THREAD)
    assert [(line.rank, line.kind) for line in one.evidence] == [(3, "argument")]
    agent.tell("lock", cast.lock(ROOT_THREAD))
    one = found(home, agent.pid, ROOT_THREAD, lambda told: len(told.evidence) == 2)
    assert [(line.rank, line.kind) for line in one.evidence] == [(2, "lock file"), (3, "argument")]
    told = facts(home, lambda told: told[-1].process.pid == helper.pid)
    assert not [one for one in told if isinstance(one, ProcessConversationFound) and one.process.pid == helper.pid]


@pytest.mark.parametrize("state", ["missing", "read-only"])
def test_a_codex_home_that_is_missing_or_read_only_harms_nobody(home: Place, cast: Cast, state: str) -> None:
    if state == "read-only":
        cast.lock(ROOT_THREAD)
        for folder in (cast.home / "thread-writer-locks", cast.home):
            folder.chmod(0o500)
    actor = begin(home)
    agent = cast.start()
    seen(home, agent.pid)
    agent.kill()
    facts(home, exited, agent.pid)
    actor.end_stdin()
    assert actor.exit_code() == 0
    if state == "read-only":
        cast.home.chmod(0o700)


def test_claude_s_own_file_counts_for_its_process_only_and_follows_a_clear(home: Place, cast: Cast) -> None:
    begin(home)
    agent = cast.start("claude", env={"CLAUDE_CONFIG_DIR": str(cast.folder / "claude-home")})
    one = seen(home, agent.pid)
    assert (one.agent, one.kind) == ("claude", "tui")
    folder = cast.folder / "claude-home" / "sessions"
    folder.mkdir(parents=True)
    file = folder / f"{agent.pid}.json"
    first, second = "a3d73cad-7e25-4b86-84a8-5160a5e029b3", "b3d73cad-7e25-4b86-84a8-5160a5e029b3"
    body = {"pid": agent.pid, "procStart": str(one.process.started - 1), "sessionId": second, "status": "idle"}
    file.write_bytes(orjson.dumps(body))
    facts(home, lambda told: isinstance(told[-1], ProcessSeen) and any(e.rejected for e in told[-1].evidence), agent.pid)
    file.write_bytes(orjson.dumps({**body, "procStart": str(one.process.started), "sessionId": first}))
    told = facts(home, lambda told: types(told)[-1] == "process.conversation_found", agent.pid)
    assert told[-1].session == f"claude-{first}"
    file.write_bytes(orjson.dumps({**body, "procStart": str(one.process.started)}))
    told = facts(home, lambda told: types(told)[-2:] == ["process.conversation_found", "process.conversation_lost"], agent.pid)
    assert [one.session for one in told[-2:]] == [f"claude-{second}", f"claude-{first}"]


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
