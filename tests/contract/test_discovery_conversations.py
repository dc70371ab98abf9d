"""Discovery between real processes and a real bus: which conversations are held, by whom, and when no longer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

if sys.platform != "linux":
    pytest.skip("its stand-ins need Linux", allow_module_level=True)

from schemas.events import ProcessConversationFound, ProcessSeen
from tests.contract.actor_process import Place, place_with_bus
from tests.contract.agent import Cast
from tests.contract.discovery_scene import LATER_THREAD, OTHER_THREAD, ROOT_THREAD, begin, exited, facts, found, seen, types

pytestmark = pytest.mark.e2e


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Place]:
    with place_with_bus(tmp_path / "home") as given:
        yield given


@pytest.fixture
def cast(tmp_path: Path) -> Iterator[Cast]:
    with Cast(tmp_path / "cast") as given:
        yield given


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
