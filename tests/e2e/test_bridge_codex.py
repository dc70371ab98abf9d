"""Codex driven by a bridge, the real one: through the hub, the gateway and echo, as any client of the bus drives it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil
import pytest

from bus.errors import RefusedError
from schemas.commands.bridges import AnswerApproval, ForkSession, StartSession
from schemas.content import FailureTold, Identified, SettingsTold, StatusTold, TextAdded, ToolStarted, UsageTold
from tests.e2e.bridged import Told, commands, descendants, end, listening, on_bus, running_of, session
from tests.e2e.codex import needs_codex, wishes
from tests.e2e.providers import echo_server
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@asynccontextmanager
async def codex(system: System, folder: Path, **more: Any) -> AsyncIterator[Told]:
    """Drive a Codex in a project and a home of its own."""
    async with session(system, **{**wishes(folder), **more}) as told:
        yield told


def play(test: Callable[[], Awaitable[None]]) -> None:
    anyio.run(test)


def requests(system: System, thread: str) -> list[dict[str, Any]]:
    """Return the model requests of a conversation that were answered, oldest first."""
    found = httpx.get(f"{system.echo_url}/control/requests", params={"after": 0}, timeout=30).json()["requests"]
    return [request for request in found if request["session"] == thread and request["status"] == 200]


def test_two_turns_with_kept_context_of_a_session_that_the_registry_knows(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path) as told:
            identified = await told.identified()
            first = await told.say("remember the kumquat")
            second = await told.say("and what was it")
            assert (first.outcome, second.outcome) == ("completed", "completed")
            assert told.reply(first.turn) == "You said: remember the kumquat"
            one, two = requests(system, identified.conversation)
            assert two["usage"]["input"] > one["usage"]["input"]
            usage = [piece.usage for piece in told.pieces if isinstance(piece, UsageTold) and piece.turn == second.turn]
            assert usage[-1].input == two["usage"]["input"]
            row = await told.row()
            assert (row.session, row.version, row.turns) == (identified.session, "0.169.0", 2)
            assert set(row.can) >= {"interrupt", "approve", "set_model", "set_mode", "clear", "fork", "resume"}

    play(test)
    (ready,) = system.until_count("bridge.ready")
    launch = ready.envelope.data.launch
    (identified,) = system.until_count("bridge.identified", launch=launch)
    known = identified.envelope.data.session
    completed = system.until_count("request.completed", 2, session=known)
    assert {item.envelope.data.provider for item in completed} == {"echo"}
    ended = system.until_count("bridge.turn_ended", 2, launch=launch)
    assert [item.envelope.data.outcome for item in ended] == ["completed", "completed"]
    assert system.sessions()[known]["verdict"] == "verified"
    assert system.sessions()[known]["launch"] == launch


def test_a_command_is_allowed_and_another_denied_and_only_the_first_answer_counts(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path, mode="ask") as told:
            turn = await told.send('[echo tool="touch allowed; echo here"] [echo say=done]')
            asked = await told.asked()
            assert (await told.row()).status == "waiting_permission"
            assert (await told.answer(asked, "allow_once")).allowed
            with pytest.raises(RefusedError) as late:
                await told.ask(AnswerApproval(session=told.launch, approval=asked.approval, option="decline", by="second"))
            assert late.value.code == "already_answered"
            assert "test" in late.value.message
            assert (await told.ended(turn)).outcome == "completed"
            assert told.tools(turn) == [("shell", True)]

            turn = await told.send('[echo tool="touch denied"] [echo say="as you wish"]')
            assert not (await told.answer(await told.asked(), "deny_once")).allowed
            assert (await told.ended(turn)).outcome == "completed"
            assert told.reply(turn) == "as you wish"
            assert told.tools(turn) == [("shell", False)]

    play(test)
    assert sorted(file.name for file in (tmp_path / "project").iterdir()) == ["allowed"]


def test_an_interrupt_in_mid_turn_ends_text_and_command_and_the_next_turn_goes_on(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path, mode="full-access") as told:
            turn = await told.send("[echo words=2000 pace=20ms]")
            await told.until(TextAdded, lambda piece: piece.channel == "reply")
            await told.interrupt()
            assert (await told.ended(turn)).outcome == "interrupted"

            turn = await told.send('[echo tool="sleep 3210"] [echo say=done]')
            await told.until(ToolStarted)
            await told.interrupt()
            assert (await told.ended(turn)).outcome == "interrupted"
            assert (await told.say("still there")).outcome == "completed"
            process = (await told.row()).process
            assert process is not None
            assert [words for words in commands(process.pid) if "3210" in words] == []

    play(test)


def test_clear_begins_another_conversation_in_its_place(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path) as told:
            old = await told.identified()
            await told.say("remember the kumquat")
            await told.clear()
            new = await told.until(Identified)
            assert new.cleared
            assert new.session != old.session
            await told.say("what was it")
            assert (await told.row()).session == new.session
            (one,), (other,) = requests(system, old.conversation), requests(system, new.conversation)
            assert one["usage"]["input"] + 8 > other["usage"]["input"]

    play(test)


def test_the_model_is_switched_between_turns(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path, model="gpt-5.1-codex") as told:
            thread = (await told.identified()).conversation
            await told.say("one")
            await told.change(model="gpt-5.5")
            await told.until(SettingsTold, lambda piece: piece.model == "gpt-5.5")
            await told.say("two")
            assert [request["model"] for request in requests(system, thread)] == ["gpt-5.1-codex", "gpt-5.5"]

    play(test)


def test_killed_in_mid_turn_the_agent_is_started_again_with_its_conversation(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path) as told:
            thread = (await told.identified()).conversation
            await told.say("remember the kumquat")
            turn = await told.send("[echo words=2000 pace=20ms]")
            await told.until(TextAdded, lambda piece: piece.turn == turn and piece.channel == "reply")
            process = (await told.row()).process
            assert process is not None
            end(descendants(process.pid))  # npm's wrapper and the program itself
            assert (await told.ended(turn)).outcome == "failed"
            ended = await told.say("what was it")
            assert ended.outcome == "completed"
            assert told.reply(ended.turn) == "You said: what was it"
            row = await told.row()
            assert (row.restarts, row.session) == (1, f"codex-{thread}")
            first, *_, last = requests(system, thread)
            assert last["usage"]["input"] > first["usage"]["input"]

    play(test)


def test_a_fork_goes_on_from_the_same_past_under_an_id_of_its_own(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path) as told:
            parent = await told.identified()
            await told.say("remember the kumquat")
            row = await told.ask(ForkSession(session=told.launch))
            assert (row.parent, row.relation) == (parent.session, "forks")
            async with listening(told.client, row.launch) as child:
                ended = await child.say("and now")
                assert ended.outcome == "completed"
                own = (await child.row()).session
                assert own not in (parent.session, row.launch)
                (request,) = requests(system, own.removeprefix("codex-"))
                assert request["usage"]["input"] > requests(system, parent.conversation)[0]["usage"]["input"]
                await child.close()

    play(test)


def test_closed_in_mid_turn_nothing_of_it_is_left(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path, mode="full-access") as told:
            script = "setsid sleep 4321 & disown; sleep 4321"
            await told.send(f'[echo tool="{script}"] [echo say=done]')
            await told.until(ToolStarted)
            process = (await told.row()).process
            assert process is not None
            family = [psutil.Process(process.pid), *descendants(process.pid)]
            await told.close()
            assert running_of(family) == []
            left = [one for one in psutil.process_iter(["cmdline", "uids"]) if (one.info["cmdline"] or [])[-1:] == ["4321"]]
            assert left == []

    play(test)


def test_what_cannot_be_started_says_so(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path, resume="01a1fde3-2805-7c70-88e5-43daab79de00") as told:
            failure = await told.until(FailureTold)
            assert failure.code == "conversation_not_found"
            status = await told.until(StatusTold, lambda piece: piece.status in ("error", "gone"))
            assert status.status in ("error", "gone")

    play(test)


def test_no_words_of_it_are_in_the_journal(system: System, tmp_path: Path) -> None:
    word = "xylocarp"

    async def test() -> None:
        async with codex(system, tmp_path, mode="ask") as told:
            await told.say(f"remember the {word}")
            turn = await told.send(f'[echo tool="touch {word}"] [echo say={word}]')
            await told.answer(await told.asked(), "allow_once")
            await told.ended(turn)
            await told.say(f"[echo status=400 message={word}]")

    play(test)
    for file in (system.home / "state").rglob("*"):
        if file.is_file() and not file.name.endswith(".lock"):
            assert word.encode() not in file.read_bytes(), file
    assert os.path.exists(tmp_path / "project" / word)  # noqa: PTH110 - so that the test has teeth


def test_its_bridge_killed_the_conversation_goes_on_in_another_one(system: System, tmp_path: Path) -> None:
    async def test() -> None:
        async with codex(system, tmp_path) as told:
            thread = (await told.identified()).conversation
            await told.say("remember the kumquat")
            process = (await told.row()).process
            assert process is not None
            family = descendants(process.pid)
            os.kill(process.pid, signal.SIGKILL)
            ended = await told.say("what was it")
            assert told.reply(ended.turn) == "You said: what was it"
            row = await told.row()
            assert (row.restarts, row.session) == (1, f"codex-{thread}")
            first, last = requests(system, thread)
            assert last["usage"]["input"] > first["usage"]["input"]
            assert [one for one in family if one.is_running()] == []

    play(test)


def test_tabwire_restarted_the_conversation_is_there_again(tmp_path: Path) -> None:
    launch, thread = "", ""

    async def before() -> None:
        nonlocal launch, thread
        async with on_bus(own) as client:
            row = await client.request("bridges", StartSession(**wishes(tmp_path)), deadline=30.0)
            async with listening(client, row.launch) as told:
                await told.say("remember the kumquat")
                launch, thread = row.launch, (await told.identified()).conversation

    async def after() -> None:
        async with on_bus(own) as client, listening(client, launch) as told:
            ended = await told.say("what was it")
            assert told.reply(ended.turn) == "You said: what was it"
            (last,) = requests(own, thread)  # echo was restarted too
            assert last["usage"]["input"] > first["usage"]["input"]
            assert (await told.row()).session == f"codex-{thread}"
            await told.close()

    with running(tmp_path / "home") as own:
        play(before)
        (first,) = requests(own, thread)
        own.tabwire("down")
        own.tabwire("up")
        play(after)


def test_another_provider_takes_over_at_the_next_turn_and_the_conversation_is_kept(tmp_path: Path) -> None:
    with echo_server() as second, ExitStack() as stack:
        table = f'[providers.second]\nbase_url = "{second}"\nauth = "none"\ndialects = ["openai.responses"]\n'
        own = stack.enter_context(running(tmp_path / "home", f'default_provider = "echo"\n{table}'))

        known = ""

        async def test() -> None:
            nonlocal known
            async with codex(own, tmp_path) as told:
                await told.say("remember the kumquat")
                await told.change(provider="second")
                ended = await told.say("what was it")
                assert ended.outcome == "completed"
                known = (await told.identified()).session

        play(test)
        completed = [item.envelope.data for item in own.until_count("request.completed", 2, session=known)]
        assert [one.provider for one in completed] == ["echo", "second"]
        assert completed[1].usage.input > completed[0].usage.input
