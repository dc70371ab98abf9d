"""The Codex adapter and the real app-server behind the gateway, echo as the model: what each of its abilities really does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil
import pytest

from actors.bridge.adapter import Ask, Change, Changed, Clear, Decide, Fail, Interrupt, Output, Say
from schemas.content import FailureTold, Identified, Option, TextAdded, ToolEnded, ToolStarted, UsageTold
from tests.e2e.codex import needs_codex
from tests.e2e.codex_driver import Driven, driven
from tests.e2e.system import System, running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Iterator[Driven]:
    with driven(tmp_path, system, mode="ask") as codex:
        yield codex


def option(asked: Ask, kind: str) -> Option:
    return next(option for option in asked.options if option.kind == kind)


def requests(system: System, thread: str) -> list[dict[str, Any]]:
    """Return the requests of a conversation that were answered, oldest first."""
    found = httpx.get(f"{system.echo_url}/control/requests", params={"after": 0}, timeout=30).json()["requests"]
    return [request for request in found if request["session"] == thread and request["status"] == 200]


def changed(codex: Driven) -> Changed:
    said = codex.until(lambda output: isinstance(output, Changed))
    assert isinstance(said, Changed)
    return said


def identified(codex: Driven) -> Identified:
    found = [one.piece for one in codex.said if isinstance(one, Say) and isinstance(one.piece, Identified)]
    return found[-1]


def test_two_turns_keep_their_context_and_are_the_launchs_own(codex: Driven, system: System) -> None:
    greeted = codex.ready()
    assert greeted.version.startswith("0.")
    assert greeted.mode == "ask"
    assert greeted.model == "gpt-5.1-codex"
    assert "gpt-5.5" in greeted.models
    thread = identified(codex).conversation

    codex.prompt("turn-one", "remember the kumquat")
    first = codex.ended()
    codex.prompt("turn-two", "and what was it")
    second = codex.ended()

    assert (first.turn, first.outcome, second.turn, second.outcome) == ("turn-one", "completed", "turn-two", "completed")
    assert codex.reply("turn-one") == "You said: remember the kumquat"
    assert Path(greeted.transcript).read_text().count("remember the kumquat") >= 1
    one, two = requests(system, thread)
    assert two["usage"]["input"] > one["usage"]["input"]
    usage = [piece.usage for piece in codex.pieces("turn-two") if isinstance(piece, UsageTold)]
    assert usage[-1].input == two["usage"]["input"]

    completed = system.until_count("request.completed", 2, session=f"codex-{thread}")
    assert {item.envelope.data.provider for item in completed} == {"echo"}
    row = system.sessions()[f"codex-{thread}"]
    assert row["verdict"] == "verified"
    assert row["launch"] == codex.launch


def test_a_command_is_allowed_and_another_one_denied(codex: Driven) -> None:
    codex.ready()
    codex.prompt("turn-yes", '[echo tool="touch allowed; echo here"] [echo say=done]')
    asked = codex.asked()
    assert asked.tool == "shell"
    assert "touch allowed" in asked.title
    codex.give(Decide(approval=asked.approval, option=option(asked, "allow_once").id))
    assert codex.ended().outcome == "completed"
    ended = [piece for piece in codex.pieces("turn-yes") if isinstance(piece, ToolEnded)]
    assert [(piece.ok, piece.output) for piece in ended] == [(True, "here\n")]

    codex.prompt("turn-no", '[echo tool="touch denied"] [echo say="as you wish"]')
    asked = codex.asked()
    codex.give(Decide(approval=asked.approval, option=option(asked, "deny_once").id))
    assert codex.ended().outcome == "completed"
    assert codex.reply("turn-no") == "as you wish"
    assert [piece.ok for piece in codex.pieces("turn-no") if isinstance(piece, ToolEnded)] == [False]

    codex.prompt("turn-nobody", '[echo tool="touch nobody"] [echo say="go on"]')
    codex.give(Decide(approval=codex.asked().approval, option=None))
    assert codex.ended().outcome == "completed"
    assert sorted(file.name for file in codex.work.iterdir()) == ["allowed"]


def test_an_option_can_stop_the_turn(codex: Driven) -> None:
    codex.ready()
    codex.prompt("turn-stop", '[echo tool="touch stopped"] [echo say=done]')
    codex.give(Decide(approval=codex.asked().approval, option="cancel"))
    assert codex.ended().outcome == "interrupted"
    assert list(codex.work.iterdir()) == []


def test_a_change_of_files_is_shown_before_it_is_allowed(codex: Driven) -> None:
    codex.ready()
    patch = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: new.txt\n+hello\n*** End Patch\nEOF"
    codex.give(Change(mode="read-only"))
    assert changed(codex).refused == ""
    codex.prompt("turn-patch", f"[echo tool={json.dumps(patch)}] [echo say=done]")
    asked = codex.asked()
    assert asked.tool == "apply_patch"
    assert "add " in asked.title
    assert "hello" in asked.detail
    assert not (codex.work / "new.txt").exists()
    codex.give(Decide(approval=asked.approval, option=option(asked, "allow_once").id))
    assert codex.ended().outcome == "completed"
    assert (codex.work / "new.txt").read_text() == "hello\n"


def test_an_interrupt_stops_the_answer_and_the_next_turn_goes_on(codex: Driven) -> None:
    codex.ready()
    codex.prompt("turn-long", "[echo words=2000 pace=20ms]")
    codex.until(
        lambda output: isinstance(output, Say) and isinstance(output.piece, TextAdded) and output.piece.channel == "reply"
    )
    codex.give(Interrupt())
    assert codex.ended().outcome == "interrupted"
    codex.prompt("turn-next", "still there")
    assert codex.ended().outcome == "completed"
    assert codex.reply("turn-next") == "You said: still there"


def test_an_interrupt_right_behind_the_message_stops_it_too(codex: Driven) -> None:
    codex.ready()
    codex.prompt("turn-short", "[echo words=2000 pace=20ms]")
    codex.give(Interrupt())
    assert codex.ended().outcome == "interrupted"


def test_an_interrupt_ends_the_command_that_runs(codex: Driven) -> None:
    codex.ready()
    codex.give(Change(mode="full-access"))
    assert changed(codex).refused == ""
    codex.prompt("turn-tool", '[echo tool="echo begun > begun; sleep 3210"] [echo say=done]')
    codex.says(ToolStarted)
    codex.give(Interrupt())
    assert codex.ended().outcome == "interrupted"
    codex.prompt("turn-next", "still there")  # answers come in order: its end is behind what was asked before it
    assert codex.ended().outcome == "completed"
    group = psutil.Process(codex.process.pid).children(recursive=True)
    assert [process for process in group if "3210" in " ".join(process.cmdline())] == []


def test_clear_begins_a_conversation_without_the_old_one_in_the_same_mode(codex: Driven, system: System) -> None:
    codex.ready()
    before = identified(codex)
    codex.prompt("turn-old", "remember the kumquat")
    codex.ended()
    codex.give(Clear())
    assert changed(codex).refused == ""
    after = identified(codex)
    assert after.cleared
    assert after.conversation != before.conversation
    codex.prompt("turn-new", '[echo tool="touch asked"] [echo say=done]')
    codex.give(Decide(approval=codex.asked().approval, option=None))
    assert codex.ended().outcome == "completed"
    old, new = requests(system, before.conversation), requests(system, after.conversation)
    assert len(old) == 1
    assert len(new) == 2
    rollouts = {file.name: file.read_text() for file in codex.home.glob("sessions/**/*.jsonl")}
    assert ["kumquat" in text for name, text in rollouts.items() if after.conversation in name] == [False]


def test_the_model_changes_and_a_mode_goes_back_to_what_is_configured(codex: Driven, system: System) -> None:
    codex.ready()
    codex.give(Change(model="gpt-5.5"))
    assert changed(codex).refused == ""
    codex.prompt("turn-model", "hello")
    codex.ended()
    assert requests(system, identified(codex).conversation)[-1]["model"] == "gpt-5.5"

    codex.give(Change(mode="default"))
    assert changed(codex).refused == ""
    codex.prompt("turn-default", '[echo tool="echo unasked"] [echo say=done]')
    ended = codex.until(lambda output: isinstance(output, Ask) or _ends(output))
    assert not isinstance(ended, Ask)
    assert "unasked\n" in [piece.output for piece in codex.pieces("turn-default") if isinstance(piece, ToolEnded)]
    codex.give(Change(mode="sudo"))
    assert "modes: default" in next(one.refused for one in reversed(codex.said) if isinstance(one, Changed))


def _ends(output: Output) -> bool:
    return isinstance(output, Say) and type(output.piece).__name__ == "TurnEnded"


def test_killed_in_mid_turn_it_is_resumed_with_its_context(tmp_path: Path, system: System) -> None:
    with driven(tmp_path, system) as first:
        first.ready()
        thread = identified(first).conversation
        first.prompt("turn-one", "remember the kumquat")
        first.ended()
        first.prompt("turn-two", "[echo words=2000 pace=20ms]")
        first.says(TextAdded)
        first.kill()
    with driven(tmp_path, system, resume=thread) as again:
        again.ready()
        assert identified(again).conversation == thread
        assert not identified(again).cleared
        again.prompt("turn-three", "what was it")
        assert again.ended().outcome == "completed"
        assert again.reply("turn-three") == "You said: what was it"
        usage = [piece.usage for piece in again.pieces("turn-three") if isinstance(piece, UsageTold)]
        last = requests(system, thread)[-1]["usage"]
        assert (usage[-1].input, usage[-1].output) == (last["input"], last["output"])
        assert again.close() == 0


def test_a_fork_has_an_id_of_its_own_and_the_same_past(tmp_path: Path, system: System) -> None:
    with driven(tmp_path, system) as parent:
        parent.ready()
        thread = identified(parent).conversation
        parent.prompt("turn-one", "remember the kumquat")
        parent.ended()
        before = requests(system, thread)[-1]["usage"]["input"]
        with driven(tmp_path, system, resume=thread, fork=True) as fork:
            fork.ready()
            own = identified(fork).conversation
            assert own != thread
            fork.prompt("turn-fork", "and now")
            assert fork.ended().outcome == "completed"
            assert requests(system, own)[-1]["usage"]["input"] > before
        parent.prompt("turn-two", "still mine")
        assert parent.ended().outcome == "completed"


def failed(codex: Driven) -> Fail:
    said = codex.until(lambda output: isinstance(output, Fail))
    assert isinstance(said, Fail)
    return said


def test_a_conversation_that_is_not_there_is_no_reason_to_begin_another_one(tmp_path: Path, system: System) -> None:
    with driven(tmp_path, system, resume="01a1fde3-2805-7c70-88e5-43daab79de00") as codex:
        said = failed(codex)
        assert (said.code, said.resumable) == ("conversation_not_found", False)


def test_a_failed_turn_says_why_and_the_next_one_goes_on(codex: Driven) -> None:
    codex.ready()
    codex.prompt("turn-bad", "[echo status=400 message=nonsense]")
    ended = codex.ended()
    assert ended.outcome == "failed"
    (failure,) = [piece for piece in codex.pieces("turn-bad") if isinstance(piece, FailureTold)]
    assert "nonsense" in failure.message
    assert "nonsense" not in ended.reason
    codex.prompt("turn-good", "hello")
    assert codex.ended().outcome == "completed"


def test_any_text_arrives_as_it_is_and_too_long_a_one_is_refused(codex: Driven, tmp_path: Path) -> None:
    codex.ready()
    odd = f"nul \0 escape \x1b[31m $(touch {tmp_path}/pwned) `id` \N{SNOWMAN} end"
    codex.prompt("turn-odd", odd)
    codex.ended()
    assert codex.reply("turn-odd") == f"You said: {odd}"
    assert not (tmp_path / "pwned").exists()

    codex.prompt("turn-huge", "x" * 1_100_000)
    assert codex.ended().outcome == "failed"
    (failure,) = [piece for piece in codex.pieces("turn-huge") if isinstance(piece, FailureTold)]
    assert failure.code == "message_refused"
    assert "1048576" in failure.message


def test_a_sub_agents_end_is_not_the_turns(codex: Driven) -> None:
    codex.ready()
    arguments = json.dumps(json.dumps({"message": "child speaks", "agent_type": "default"}))
    codex.prompt("turn-parent", f"[echo call=spawn_agent namespace=multi_agent_v1 arguments={arguments}] [echo say=parent]")
    assert codex.ended().outcome == "completed"
    assert codex.reply("turn-parent") == "parent"
    assert "spawnAgent" in [piece.name for piece in codex.pieces("turn-parent") if isinstance(piece, ToolStarted)]
    codex.prompt("turn-next", "hello")
    assert codex.ended().outcome == "completed"
    assert "child speaks" not in codex.reply("turn-next")  # what it brought back may be a second answer of the turn


def test_a_sub_agents_command_is_asked_for_within_the_turn(codex: Driven) -> None:
    codex.ready()
    child = '[echo tool="touch by-child"] [echo say=x]'
    arguments = json.dumps(json.dumps({"message": child, "agent_type": "default"}))
    call = f"[echo call=spawn_agent namespace=multi_agent_v1 arguments={arguments}]"
    codex.prompt("turn-parent", f"{call} [echo words=400 pace=50ms]")
    asked = codex.asked()
    assert "touch by-child" in asked.title
    codex.give(Decide(approval=asked.approval, option=option(asked, "allow_once").id))
    codex.until(lambda _: (codex.work / "by-child").exists())
    codex.give(Interrupt())
    assert codex.ended().outcome == "interrupted"


LAB = """
model = "gpt-5.1-codex"
model_provider = "{provider}"
[model_providers.lab]
name = "lab"
base_url = "http://127.0.0.1:1/v1"
"""


def test_a_thread_keeps_the_provider_of_the_users_configuration_and_comes_through_the_gateway(
    tmp_path: Path, system: System
) -> None:
    with driven(tmp_path, system, config=LAB.format(provider="lab")) as first:
        first.ready()
        thread = identified(first).conversation
        first.prompt("turn-one", "remember the kumquat")
        assert first.ended().outcome == "completed"
        assert first.close() == 0
    with driven(tmp_path, system, config=LAB.format(provider="openai"), resume=thread) as again:
        again.ready()
        again.prompt("turn-two", "what was it")
        assert again.ended().outcome == "completed"
    one, two = requests(system, thread)
    assert two["usage"]["input"] > one["usage"]["input"]
    (rollout,) = first.home.glob("sessions/**/*.jsonl")
    assert json.loads(rollout.read_text().split("\n")[0])["payload"]["model_provider"] == "lab"


class Model(BaseHTTPRequestHandler):
    """A model that keeps what it is asked, and says hi."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.send_error(426)

    def do_POST(self) -> None:
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.rfile.read(int(self.headers["content-length"]))
        message = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
        events = (
            {"type": "response.output_item.done", "item": message},
            {"type": "response.completed", "response": {"id": "r1"}},
        )
        body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_each_request_of_a_turn_carries_the_launch_and_the_turn(tmp_path: Path, system: System) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            with driven(tmp_path, system, origin=f"http://127.0.0.1:{server.server_port}") as codex:
                codex.ready()
                codex.prompt("turn-seen", "hello")
                assert codex.ended().outcome == "completed"
                assert codex.reply("turn-seen") == "hi"
                (path, headers), *_ = Model.asked
                assert path == f"/s/{codex.token}/v1/responses"
                told = json.loads(headers["x-codex-turn-metadata"])
                assert (told["tabwire_turn"], told["tabwire_launch"]) == ("turn-seen", codex.launch)
                assert told["thread_source"] == "tabwire"
                assert headers["originator"] == "tabwire"
        finally:
            server.shutdown()
            serving.join()
