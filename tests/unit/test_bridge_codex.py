"""The Codex adapter, playbook by playbook; two sessions of the real app-server 0.169.0 played again (``recorded``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.bridge.adapter import (
    Ask,
    Beginning,
    Change,
    Changed,
    Clear,
    Decide,
    Fail,
    Greeted,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Wait,
    Withdrawn,
    Woke,
    Write,
)
from actors.bridge.adapters import codex
from actors.bridge.codex.state import Session
from actors.launch.plan import Door, LaunchRefusedError
from schemas.content import (
    FailureTold,
    Identified,
    Piece,
    PlanUpdated,
    SettingsTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)

RECORDED = Path(__file__).parent / "recorded"
DOOR = Door("http://127.0.0.1:8129", "token-0123456789")
THREAD = "01a1fde3-24c3-7d50-8745-5d960f49347d"
TURN = "01a1fde3-24e4-7ca0-ae79-3acbf9e679ad"


def beginning(**wishes: Any) -> Beginning:
    return Beginning(**{"cwd": Path("/home/ada/shop"), "door": DOOR, "program": "/opt/codex", "launch": "launch-1", **wishes})


class Play:
    """An adapter and what it said to each input."""

    def __init__(self, **wishes: Any) -> None:
        self.state: Session = codex.begin(beginning(**wishes))
        self.said: list[Output] = []

    def give(self, input_: Input) -> list[Output]:
        self.state, outputs = codex.step(self.state, input_)
        self.said.extend(outputs)
        return list(outputs)

    def line(self, **frame: Any) -> list[Output]:
        return self.give(LineCame(json.dumps(frame).encode()))

    def tell(self, method: str, **params: Any) -> list[Output]:
        return self.line(method=method, params={"threadId": THREAD, "turnId": TURN, **params})

    def asked_for(self, method: str) -> dict[str, Any]:
        """Return the last request of ours with this method."""
        return next(frame for frame in reversed(written(self.said)) if frame.get("method") == method)

    def answer(self, method: str, result: dict[str, Any]) -> list[Output]:
        return self.line(id=self.asked_for(method)["id"], result=result)

    def refuse(self, method: str, message: str) -> list[Output]:
        return self.line(id=self.asked_for(method)["id"], error={"code": -32600, "message": message})

    @classmethod
    def ready(cls, **wishes: Any) -> Play:
        play = cls(**wishes)
        play.give(Spawned())
        play.answer("initialize", {"userAgent": "tabwire/0.169.0 (Debian 12.0.0; x86_64) unknown (tabwire; 1)"})
        play.answer("model/list", {"data": [{"model": "gpt-5.5"}]})
        play.answer("thread/start", thread())
        return play

    @classmethod
    def working(cls) -> Play:
        play = cls.ready()
        play.give(Prompt(turn="turn-1", text="hello"))
        play.answer("turn/start", {"turn": {"id": TURN}})
        play.tell("turn/started", turn={"id": TURN})
        return play


def thread(name: str = THREAD, **more: Any) -> dict[str, Any]:
    return {
        "thread": {"id": name, "path": f"/home/ada/.codex/{name}.jsonl"},
        "model": "gpt-5.1-codex",
        "approvalPolicy": "on-request",
        "sandbox": {"type": "readOnly", "networkAccess": False},
        **more,
    }


def written(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(output.line) for output in outputs if isinstance(output, Write)]


def pieces(outputs: list[Output]) -> list[Piece]:
    return [output.piece for output in outputs if isinstance(output, Say)]


def only(outputs: list[Output], kind: type[Any]) -> Any:
    (found,) = [one for one in (*outputs, *pieces(outputs)) if isinstance(one, kind)]
    return found


# ------------------------------------------------------------------------------------------------ recorded


def replay(name: str, **wishes: Any) -> Play:
    play = Play(**wishes)
    for row in map(json.loads, (RECORDED / name).read_text().splitlines()):
        match row:
            case {"line": frame}:
                play.line(**frame)
            case {"prompt": turn, "text": text}:
                play.give(Prompt(turn=turn, text=text))
            case {"decide": approval, "option": option}:
                play.give(Decide(approval=approval, option=option))
            case {"model": model, "mode": mode}:
                play.give(Change(model=model, mode=mode))
            case {"passed": passed}:
                play.give(Passed(name=passed))
            case {"do": what}:
                play.give({"Spawned": Spawned, "Interrupt": Interrupt, "Clear": Clear}[what]())
    return play


def replies(play: Play) -> dict[str, str]:
    found: dict[str, str] = {}
    for piece in pieces(play.said):
        if isinstance(piece, TextAdded) and piece.channel == "reply":
            found[piece.turn] = found.get(piece.turn, "") + piece.text
    return found


def test_a_recorded_session_is_told_as_it_was() -> None:
    play = replay("codex-session.jsonl", mode="ask")
    ended = {piece.turn: piece.outcome for piece in pieces(play.said) if isinstance(piece, TurnEnded)}
    assert ended == {
        "turn-text": "completed",
        "turn-allowed": "completed",
        "turn-denied": "completed",
        "turn-patch": "completed",
        "turn-stopped": "interrupted",
        "turn-failed": "failed",
        "turn-cut": "interrupted",
        "turn-cleared": "completed",
    }
    told = replies(play)
    assert told["turn-text"] == "You said: remember the kumquat"
    assert told["turn-denied"] == "as you wish"
    assert told["turn-cut"].startswith("the ")
    tools = [(piece.turn, piece.name, piece.title) for piece in pieces(play.said) if isinstance(piece, ToolStarted)]
    assert tools == [
        ("turn-allowed", "shell", "touch allowed; echo here"),
        ("turn-denied", "shell", "touch denied"),
        ("turn-patch", "apply_patch", "add /home/ada/project/new.txt"),
        ("turn-stopped", "shell", "sleep 3210"),
    ]
    done = [(piece.turn, piece.ok, piece.output) for piece in pieces(play.said) if isinstance(piece, ToolEnded)]
    assert done == [("turn-allowed", True, "here\n"), ("turn-denied", False, "declined"), ("turn-patch", True, "")]
    assert [one.tool for one in play.said if isinstance(one, Ask)] == ["shell", "shell", "apply_patch"]
    assert [one for one in play.said if isinstance(one, Fail | Withdrawn | Woke | Note)] == []
    assert [(piece.code, "nonsense" in piece.message) for piece in pieces(play.said) if isinstance(piece, FailureTold)] == [
        ("turn_failed", True)
    ]
    first, second = [piece for piece in pieces(play.said) if isinstance(piece, Identified)]
    assert (first.cleared, second.cleared) == (False, True)
    assert first.session == f"codex-{first.conversation}"
    greeted = only(play.said, Greeted)
    assert (greeted.version, greeted.mode, greeted.model) == ("0.169.0", "ask", "gpt-5.1-codex")
    assert greeted.modes == codex.FACTS.modes


def test_every_text_of_a_recorded_session_ends_with_its_length() -> None:
    play = replay("codex-session.jsonl", mode="ask")
    lengths: dict[tuple[str, str], int] = {}
    for piece in pieces(play.said):
        if isinstance(piece, TextAdded):
            lengths[piece.turn, piece.item] = lengths.get((piece.turn, piece.item), 0) + len(piece.text)
        elif isinstance(piece, TextEnded):
            assert lengths.pop((piece.turn, piece.item)) == piece.length
    assert [turn for turn, _ in lengths] == ["turn-cut"]  # what an interrupt cuts, the conversation ends


def test_the_commands_of_a_recorded_interrupt_are_ended() -> None:
    asked = [frame["method"] for frame in written(replay("codex-session.jsonl", mode="ask").said) if "method" in frame]
    assert asked.count("thread/backgroundTerminals/list") == 1
    assert asked.count("thread/backgroundTerminals/terminate") == 1


def test_a_recorded_resumption_counts_only_its_own_tokens() -> None:
    play = replay("codex-resumed.jsonl", resume="codex:01a1")
    assert replies(play) == {"turn-resumed": "You said: what was it"}
    usage = [piece.usage for piece in pieces(play.said) if isinstance(piece, UsageTold)][-1]
    assert 0 < usage.output < 100
    assert usage.total == usage.input + usage.output
    assert play.asked_for("thread/resume")["params"]["threadId"] == "01a1"


# ------------------------------------------------------------------------------------------------ the start


def test_plan_keeps_the_users_provider_and_points_all_of_them_at_the_gateway() -> None:
    files = {
        Path(
            "/home/ada/.codex/config.toml"
        ): 'model_provider = "lab"\n[model_providers.lab]\nname = "lab"\nbase_url = "http://x/v1"'
    }
    command = codex.plan(beginning(environ={"HOME": "/home/ada"}, read=files.get, arguments=("-c", "a.b=1")))
    url = '"http://127.0.0.1:8129/s/token-0123456789/v1"'
    assert command.argv == (
        "/opt/codex",
        "app-server",
        "-c",
        "a.b=1",
        "-c",
        f"model_providers.lab.base_url={url}",
        "-c",
        f"openai_base_url={url}",
    )
    assert command.environ == {}


def test_plan_reads_the_home_that_codex_will_read() -> None:
    read: list[Path] = []

    def nothing(file: Path) -> None:
        read.append(file)

    codex.plan(beginning(environ={"HOME": "/home/ada", "CODEX_HOME": "/srv/codex"}, read=nothing))
    assert read == [Path("/etc/codex/config.toml"), Path("/srv/codex/config.toml")]


def test_plan_goes_round_a_proxy_and_leaves_an_outer_codex_behind() -> None:
    outer = {"HOME": "/h", "HTTP_PROXY": "http://proxy:1", "CODEX_THREAD_ID": "outer"}
    command = codex.plan(beginning(environ=outer))
    assert command.environ == {
        "CODEX_THREAD_ID": None,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    assert "HTTP_PROXY" in command.notes[0]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"mode": "yolo"}, "modes: default, read-only, ask, auto, full-access"),
        ({"arguments": ("--listen", "ws://127.0.0.1:1")}, "no app-server on stdin and stdout"),
        ({"arguments": ("daemon",)}, "no app-server on stdin and stdout"),
        ({"arguments": ("-c", "openai_base_url='http://x'")}, "requests can only go to one place"),
        ({"read": lambda _: "model_provider = 'amazon-bedrock'"}, "AWS"),
        ({"read": lambda _: "not toml"}, "is not TOML"),
    ],
)
def test_plan_refuses_what_would_not_come_through_the_gateway(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(LaunchRefusedError, match=words):
        codex.plan(beginning(**{"environ": {"HOME": "/h"}, **wishes}))


def test_it_greets_when_the_thread_is_open_and_the_models_are_known() -> None:
    play = Play(model="gpt-5.5")
    play.give(Spawned())
    said = play.answer("initialize", {"userAgent": "tabwire/0.170.0-alpha.1 (x)"})
    assert [frame["method"] for frame in written(said)] == ["initialized", "model/list", "thread/start"]
    assert play.asked_for("thread/start")["params"] == {"cwd": "/home/ada/shop", "threadSource": "tabwire", "model": "gpt-5.5"}
    opened = play.answer("thread/start", thread())
    assert only(opened, Identified) == Identified(session=f"codex-{THREAD}", conversation=THREAD)  # type: ignore[arg-type]
    assert only(opened, Wait) == Wait(name="models", seconds=3.0)
    greeted = only(play.answer("model/list", {"data": [{"model": "a"}, {"model": ""}, 3]}), Greeted)
    assert (greeted.version, greeted.models) == ("0.170.0-alpha.1", ("a",))


def test_it_greets_without_models_that_take_too_long() -> None:
    play = Play()
    play.give(Spawned())
    play.answer("initialize", {})
    play.answer("thread/start", thread())
    assert only(play.give(Passed(name="models")), Greeted).models == ()
    assert [one for one in play.answer("model/list", {"data": [{"model": "late"}]}) if isinstance(one, Greeted)] == []


def test_a_mode_is_set_before_it_greets_or_it_fails() -> None:
    play = Play(mode="full-access")
    play.give(Spawned())
    play.answer("initialize", {})
    play.answer("model/list", {})
    assert [one for one in play.answer("thread/start", thread()) if isinstance(one, Greeted)] == []
    params = play.asked_for("thread/settings/update")["params"]
    assert params == {"threadId": THREAD, "approvalPolicy": "never", "sandboxPolicy": {"type": "dangerFullAccess"}}
    other = Play(mode="full-access")
    other.state = play.state
    other.said = list(play.said)
    assert only(play.answer("thread/settings/update", {}), Greeted).mode == "full-access"
    assert only(other.refuse("thread/settings/update", "forbidden by requirements"), Fail).code == "mode_refused"


def test_a_fork_and_a_resumption_name_the_conversation() -> None:
    for fork, method in ((False, "thread/resume"), (True, "thread/fork")):
        play = Play(resume=THREAD, fork=fork)
        play.give(Spawned())
        play.answer("initialize", {})
        params = play.asked_for(method)["params"]
        assert (params["threadId"], params["excludeTurns"]) == (THREAD, True)


def test_a_thread_whose_writer_is_just_dying_is_tried_again_and_then_given_up() -> None:
    play = Play(resume=THREAD)
    play.give(Spawned())
    play.answer("initialize", {})
    for _ in range(20):
        said = play.refuse("thread/resume", f"thread {THREAD} already has an active writer")
        assert only(said, Wait) == Wait(name="writer", seconds=0.5)
        play.give(Passed(name="writer"))
    failed = only(play.refuse("thread/resume", f"thread {THREAD} already has an active writer"), Fail)
    assert (failed.code, failed.resumable) == ("conversation_in_use", False)


@pytest.mark.parametrize(
    ("message", "code"),
    [("no rollout found for thread id x", "conversation_not_found"), ("something else", "thread_refused")],
)
def test_a_thread_that_cannot_be_opened_ends_it(message: str, code: str) -> None:
    play = Play(resume=THREAD)
    play.give(Spawned())
    play.answer("initialize", {})
    assert only(play.refuse("thread/resume", message), Fail).code == code


def test_a_thread_without_an_id_that_can_be_one_breaks_the_protocol() -> None:
    for name in ("", "../etc", 7):
        play = Play()
        play.give(Spawned())
        play.answer("initialize", {})
        assert only(play.answer("thread/start", {"thread": {"id": name}}), Fail).code == "protocol"


def test_a_refused_greeting_ends_it() -> None:
    play = Play()
    play.give(Spawned())
    failed = only(play.refuse("initialize", "too old"), Fail)
    assert (failed.code, "tried with 0.169.0" in failed.message) == ("greeting_refused", True)


# ------------------------------------------------------------------------------------------------ turns


def test_a_message_carries_our_ids_and_nothing_of_it_is_changed() -> None:
    play = Play.ready()
    text = "a\0b \x1b[31m $(id) \N{SNOWMAN}"
    play.give(Prompt(turn="turn-1", text=text))
    params = play.asked_for("turn/start")["params"]
    assert params["input"] == [{"type": "text", "text": text, "text_elements": []}]
    assert params["responsesapiClientMetadata"] == {"tabwire_turn": "turn-1", "tabwire_launch": "launch-1"}


def test_a_message_that_is_refused_ends_its_turn_in_our_words() -> None:
    play = Play.ready()
    play.give(Prompt(turn="turn-1", text="x"))
    said = play.refuse("turn/start", "Input exceeds the maximum length")
    assert only(said, FailureTold).code == "message_refused"
    ended = only(said, TurnEnded)
    assert (ended.outcome, "exceeds" in ended.reason) == ("failed", False)


def test_thoughts_replies_and_plans_are_told_in_their_channels() -> None:
    play = Play.working()
    play.tell("item/reasoning/summaryPartAdded", itemId="r", summaryIndex=0)
    play.tell("item/reasoning/summaryTextDelta", itemId="r", delta="first", summaryIndex=0)
    play.tell("item/reasoning/summaryPartAdded", itemId="r", summaryIndex=1)
    play.tell("item/reasoning/summaryTextDelta", itemId="r", delta="second", summaryIndex=1)
    said = play.tell("item/completed", item={"type": "reasoning", "id": "r", "summary": ["first", "second"], "content": []})
    assert only(said, TextEnded) == TextEnded(turn="turn-1", item="r", channel="thought", length=13)
    whole = play.tell("item/completed", item={"type": "plan", "id": "p", "text": "the plan"})
    assert [type(piece).__name__ for piece in pieces(whole)] == ["TextAdded", "TextEnded"]
    steps = only(play.tell("turn/plan/updated", plan=[{"step": "one", "status": "inProgress"}, 7]), PlanUpdated).steps
    assert [(step.text, step.state) for step in steps] == [("one", "in_progress")]


def test_the_rest_of_a_text_that_was_not_told_in_deltas_comes_with_its_end() -> None:
    play = Play.working()
    play.tell("item/agentMessage/delta", itemId="m", delta="You ")
    said = play.tell("item/completed", item={"type": "agentMessage", "id": "m", "text": "You said"})
    assert [getattr(piece, "text", "") for piece in pieces(said)] == ["said", ""]
    play.tell("item/agentMessage/delta", itemId="n", delta="whole")
    said = play.tell("item/completed", item={"type": "agentMessage", "id": "n", "text": "whole"})
    assert pieces(said) == [TextEnded(turn="turn-1", item="n", channel="reply", length=5)]


@pytest.mark.parametrize(
    ("item", "name", "title", "ok", "output"),
    [
        (
            {"type": "commandExecution", "command": "sh -lc ls", "status": "failed", "exitCode": 2},
            "shell",
            "sh -lc ls",
            False,
            "",
        ),
        (
            {
                "type": "mcpToolCall",
                "server": "s",
                "tool": "t",
                "arguments": {"a": 1},
                "error": {"message": "no"},
                "status": "failed",
            },
            "s.t",
            "s.t",
            False,
            "no",
        ),
        (
            {"type": "mcpToolCall", "server": "s", "tool": "t", "result": {"content": [{"text": "yes"}]}},
            "s.t",
            "s.t",
            True,
            "yes",
        ),
        ({"type": "webSearch", "query": "kumquats"}, "web_search", "kumquats", True, ""),
        ({"type": "collabAgentToolCall", "tool": "spawnAgent", "prompt": "do"}, "spawnAgent", "do", True, ""),
        ({"type": "dynamicToolCall", "tool": "x", "success": False}, "x", "x", False, ""),
    ],
)
def test_each_tool_is_told_by_name_even_when_only_its_end_is(
    item: dict[str, Any], name: str, title: str, *, ok: bool, output: str
) -> None:
    said = Play.working().tell("item/completed", item={"id": "i", **item})
    assert (only(said, ToolStarted).name, only(said, ToolStarted).title) == (name, title)
    assert (only(said, ToolEnded).ok, only(said, ToolEnded).output) == (ok, output)


def test_what_sub_agents_and_turns_of_the_past_tell_stays_there() -> None:
    play = Play.working()
    assert (
        play.line(method="item/agentMessage/delta", params={"threadId": "child", "turnId": TURN, "itemId": "m", "delta": "x"})
        == []
    )
    assert play.tell("item/agentMessage/delta", turnId="an-old-one", itemId="m", delta="x") == []
    assert play.line(method="turn/completed", params={"threadId": "child", "turn": {"id": "c", "status": "completed"}}) == []
    assert play.tell("turn/completed", turn={"id": "an-old-one", "status": "completed"}) == []
    assert only(play.tell("turn/completed", turn={"id": TURN, "status": "completed"}), TurnEnded).outcome == "completed"
    assert play.tell("turn/completed", turn={"id": TURN, "status": "completed"}) == []


def test_a_turn_of_its_own_is_begun_and_ended_like_any() -> None:
    play = Play.ready()
    assert only(play.tell("turn/started", turn={"id": TURN}), Woke) == Woke(turn=TURN)
    assert only(play.tell("turn/completed", turn={"id": TURN, "status": "completed"}), TurnEnded).turn == TURN


def test_a_failure_is_told_by_a_code_of_ours_and_the_sentence_in_it() -> None:
    for kind, code in (
        ("usageLimitExceeded", "limit_reached"),
        ({"httpConnectionFailed": {"httpStatusCode": 502}}, "provider_unreachable"),
        ("unheardOf", "turn_failed"),
        (None, "turn_failed"),
    ):
        error = {"message": '{"error":{"message":"the budget is spent"}}', "codexErrorInfo": kind}
        said = Play.working().tell("turn/completed", turn={"id": TURN, "status": "failed", "error": error})
        assert (only(said, FailureTold).code, only(said, FailureTold).message) == (code, "the budget is spent")
        assert only(said, TurnEnded).reason == code.replace("_", " ")


def test_retries_and_warnings_are_notices_and_a_warning_is_told_once() -> None:
    play = Play.ready()
    assert play.tell("warning", message="no metadata") == []
    said = play.give(Prompt(turn="turn-1", text="x"))
    assert [(piece.channel, piece.text) for piece in pieces(said) if isinstance(piece, TextAdded)] == [
        ("notice", "no metadata")
    ]
    assert play.tell("warning", message="no metadata") == []
    play.answer("turn/start", {"turn": {"id": TURN}})
    said = play.tell("error", error={"message": "Reconnecting... 1/5"}, willRetry=True)
    assert only(said, TextAdded).text == "Reconnecting... 1/5"
    assert play.tell("error", error={"message": "the end"}, willRetry=False) == []


def test_tokens_are_the_turns_own_and_told_when_they_change() -> None:
    def tokens(total: int, last: int) -> dict[str, Any]:
        count = lambda n: {"inputTokens": n, "outputTokens": 1, "totalTokens": n + 1}  # noqa: E731
        return {"total": count(total), "last": count(last)}

    play = Play.working()
    assert only(play.tell("thread/tokenUsage/updated", tokenUsage=tokens(900, 100)), UsageTold).usage.input == 100
    assert only(play.tell("thread/tokenUsage/updated", tokenUsage=tokens(1100, 200)), UsageTold).usage.input == 300
    assert play.tell("thread/tokenUsage/updated", tokenUsage=tokens(1100, 200)) == []
    play.tell("turn/completed", turn={"id": TURN, "status": "completed"})
    play.give(Prompt(turn="turn-2", text="x"))
    play.answer("turn/start", {"turn": {"id": "second"}})
    said = play.tell("thread/tokenUsage/updated", turnId="second", tokenUsage=tokens(1500, 400))
    assert only(said, UsageTold).usage.input == 400


# ------------------------------------------------------------------------------------------------ interrupts


def test_an_interrupt_names_the_turn_or_whatever_begins() -> None:
    play = Play.ready()
    assert play.give(Interrupt()) == []
    play.give(Prompt(turn="turn-1", text="x"))
    play.give(Interrupt())
    assert play.asked_for("turn/interrupt")["params"] == {"threadId": THREAD, "turnId": ""}
    play.answer("turn/start", {"turn": {"id": TURN}})
    play.give(Interrupt())
    assert play.asked_for("turn/interrupt")["params"]["turnId"] == TURN


def test_an_interrupt_of_what_codex_does_not_run_ends_the_turn() -> None:
    play = Play.working()
    play.give(Interrupt())
    assert only(play.refuse("turn/interrupt", "no active turn to interrupt"), TurnEnded).outcome == "interrupted"


def test_an_interrupt_that_came_too_late_does_not_end_the_next_turn() -> None:
    play = Play.working()
    play.give(Interrupt())
    play.tell("turn/completed", turn={"id": TURN, "status": "completed"})
    play.give(Prompt(turn="turn-2", text="x"))
    assert play.refuse("turn/interrupt", "no active turn to interrupt") == []


def test_what_a_completed_turn_left_running_is_left_alone() -> None:
    play = Play.working()
    play.tell("item/started", item={"type": "commandExecution", "id": "server", "command": "serve"})
    assert written(play.tell("turn/completed", turn={"id": TURN, "status": "completed"})) == []


def test_the_end_of_an_interrupted_turn_ends_its_commands_and_no_others() -> None:
    play = Play.working()
    play.tell("item/started", item={"type": "commandExecution", "id": "mine", "command": "sleep 9"})
    said = play.tell("turn/completed", turn={"id": TURN, "status": "interrupted"})
    assert only(said, TurnEnded).outcome == "interrupted"
    said = play.answer(
        "thread/backgroundTerminals/list",
        {"data": [{"itemId": "mine", "processId": "1"}, {"itemId": "a server of before", "processId": "2"}, 3]},
    )
    assert [frame["params"]["processId"] for frame in written(said)] == ["1"]


# ------------------------------------------------------------------------------------------------ questions


def command(**more: Any) -> dict[str, Any]:
    return {
        "threadId": THREAD,
        "turnId": TURN,
        "itemId": "call",
        "command": "touch x",
        "cwd": "/home/ada/shop",
        "reason": "please",
        "availableDecisions": ["accept", {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}, "cancel"],
        **more,
    }


def test_a_command_can_be_answered_as_codex_offers_and_always_be_declined() -> None:
    play = Play.working()
    ask = only(play.line(id=0, method="item/commandExecution/requestApproval", params=command()), Ask)
    assert (ask.approval, ask.tool, ask.title) == ("0-3acbf9e679ad", "shell", "touch x")
    assert ask.detail == "please\nin /home/ada/shop"
    assert [(option.id, option.kind) for option in ask.options] == [
        ("accept", "allow_once"),
        ("acceptPrefix1", "allow_always"),
        ("decline", "deny_once"),
        ("cancel", "deny_once"),
    ]
    assert "in all sessions" in ask.options[1].label
    (answer,) = written(play.give(Decide(approval=ask.approval, option="acceptPrefix1")))
    assert answer == {
        "id": 0,
        "result": {"decision": {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["touch"]}}},
    }
    assert written(play.give(Decide(approval=ask.approval, option="accept"))) == []


def test_an_answer_that_nobody_gave_or_offered_is_a_refusal() -> None:
    for option in (None, "acceptForSession"):
        play = Play.working()
        ask = only(play.line(id="q", method="item/commandExecution/requestApproval", params=command()), Ask)
        assert written(play.give(Decide(approval=ask.approval, option=option))) == [
            {"id": "q", "result": {"decision": "decline"}}
        ]


def test_network_rules_say_that_they_stay() -> None:
    rule = {"applyNetworkPolicyAmendment": {"network_policy_amendment": {"host": "x.org", "action": "deny"}}}
    params = command(command=None, networkApprovalContext={"host": "x.org"}, availableDecisions=["accept", rule, {"new": 1}])
    ask = only(Play.working().line(id=1, method="item/commandExecution/requestApproval", params=params), Ask)
    assert (ask.tool, ask.title) == ("network", "reach x.org")
    assert [(option.id, option.kind) for option in ask.options] == [
        ("accept", "allow_once"),
        ("network1", "deny_always"),
        ("decline", "deny_once"),
    ]


def test_more_permissions_are_granted_as_asked_or_not_at_all() -> None:
    params = {"threadId": THREAD, "turnId": TURN, "permissions": {"network": {"enabled": True}, "fileSystem": None}}
    for option, granted in (("accept", {"network": {"enabled": True}}), ("decline", {}), (None, {})):
        play = Play.working()
        ask = only(play.line(id=1, method="item/permissions/requestApproval", params=params), Ask)
        (answer,) = written(play.give(Decide(approval=ask.approval, option=option)))
        assert answer["result"] == {"permissions": granted, "scope": "turn"}


def test_an_mcp_server_gets_a_yes_or_a_no_but_no_filled_form() -> None:
    params = {"threadId": THREAD, "turnId": TURN, "serverName": "s", "mode": "form", "message": "may I?"}
    play = Play.working()
    ask = only(play.line(id=1, method="mcpServer/elicitation/request", params={**params, "requestedSchema": {}}), Ask)
    assert (ask.tool, ask.title) == ("mcp.s", "may I?")
    (answer,) = written(play.give(Decide(approval=ask.approval, option="accept")))
    assert answer["result"] == {"action": "accept", "content": {}, "_meta": None}
    schema = {"properties": {"name": {"type": "string"}}}
    said = play.line(id=2, method="mcpServer/elicitation/request", params={**params, "requestedSchema": schema})
    assert written(said)[0]["result"]["action"] == "decline"
    assert only(said, TextAdded).channel == "notice"


def test_what_is_not_served_is_refused_at_once() -> None:
    for method in ("item/tool/call", "account/chatgptAuthTokens/refresh", "currentTime/read", "what/is/this"):
        said = Play.working().line(id=3, method=method, params={})
        assert written(said)[0]["error"]["code"] == -32601


def test_a_question_outside_of_any_turn_is_declined() -> None:
    said = Play.ready().line(id=1, method="item/commandExecution/requestApproval", params=command())
    assert written(said) == [{"id": 1, "result": {"decision": "decline"}}]
    assert [one for one in said if isinstance(one, Ask)] == []


def test_a_question_that_is_open_is_not_asked_again() -> None:
    play = Play.working()
    play.line(id=1, method="item/commandExecution/requestApproval", params=command())
    said = play.line(id=1, method="item/commandExecution/requestApproval", params=command(command="rm -r /"))
    assert written(said) == [{"id": 1, "result": {"decision": "decline"}}]
    assert [one for one in said if isinstance(one, Ask)] == []


def test_a_question_that_codex_takes_back_is_withdrawn() -> None:
    play = Play.working()
    ask = only(play.line(id=0, method="item/commandExecution/requestApproval", params=command()), Ask)
    assert only(play.tell("serverRequest/resolved", requestId=0), Withdrawn).approval == ask.approval
    assert play.tell("serverRequest/resolved", requestId=0) == []


# ------------------------------------------------------------------------------------------------ settings


def test_going_back_to_the_default_restores_what_the_thread_began_with() -> None:
    play = Play.ready()
    play.give(Change(mode="full-access", model="gpt-5.5"))
    assert play.asked_for("thread/settings/update")["params"] == {
        "threadId": THREAD,
        "model": "gpt-5.5",
        "approvalPolicy": "never",
        "sandboxPolicy": {"type": "dangerFullAccess"},
    }
    assert only(play.answer("thread/settings/update", {}), Changed) == Changed()
    assert play.tell("thread/settings/updated", threadSettings={"model": "gpt-5.5"}) == []
    play.give(Change(mode="default"))
    params = play.asked_for("thread/settings/update")["params"]
    assert params["approvalPolicy"] == "on-request"
    assert params["sandboxPolicy"] == {"type": "readOnly", "networkAccess": False}


def test_a_permission_profile_is_gone_back_to_by_its_name() -> None:
    play = Play()
    play.give(Spawned())
    play.answer("initialize", {})
    play.answer("thread/start", thread(activePermissionProfile={"id": ":workspace"}))
    play.give(Change(mode="default"))
    params = play.asked_for("thread/settings/update")["params"]
    assert params == {"threadId": THREAD, "approvalPolicy": "on-request", "permissions": ":workspace"}


def test_a_change_that_is_refused_says_why() -> None:
    play = Play.ready()
    assert "modes: default" in only(play.give(Change(mode="sudo")), Changed).refused
    assert only(play.give(Change(model="")), Changed).refused
    play.give(Change(model="x"))
    assert "not today" in only(play.refuse("thread/settings/update", "not today"), Changed).refused


def test_a_model_that_codex_changes_by_itself_is_told() -> None:
    said = Play.ready().tell("thread/settings/updated", threadSettings={"model": "gpt-6-sol"})
    assert only(said, SettingsTold).model == "gpt-6-sol"


def test_clear_begins_a_thread_with_the_settings_of_the_old_one_and_leaves_that() -> None:
    play = Play.ready()
    play.give(Change(mode="ask", model="gpt-5.5"))
    play.answer("thread/settings/update", {})
    play.give(Clear())
    assert play.asked_for("thread/start")["params"]["model"] == "gpt-5.5"
    said = play.answer("thread/start", thread("another-one"))
    assert only(said, Identified) == Identified(session="codex-another-one", conversation="another-one", cleared=True)  # type: ignore[arg-type]
    assert play.asked_for("thread/unsubscribe")["params"] == {"threadId": THREAD}
    assert play.asked_for("thread/settings/update")["params"]["approvalPolicy"] == "untrusted"
    assert only(play.answer("thread/settings/update", {}), Changed) == Changed()
    assert play.tell("thread/closed") == []  # the old one's


def test_a_new_conversation_that_is_refused_leaves_the_old_one() -> None:
    play = Play.ready()
    play.give(Clear())
    assert "no more" in only(play.refuse("thread/start", "no more"), Changed).refused
    play.give(Prompt(turn="turn-1", text="x"))
    assert play.asked_for("turn/start")["params"]["threadId"] == THREAD


# ------------------------------------------------------------------------------------------------ bad lines


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b"{}",
        b'"x"',
        b"\xff\xfe",
        b'{"id":null}',
        b'{"id":true,"result":{}}',
        b'{"method":7}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_not_of_the_protocol_is_noted(line: bytes) -> None:
    assert [type(one) for one in Play.working().give(LineCame(line))] == [Note]


def test_what_is_not_known_is_noted_by_name() -> None:
    play = Play.ready()
    assert "future/thing" in only(play.tell("future/thing"), Note).text
    assert only(play.line(id=999, result={}), Note)
    assert play.tell("thread/status/changed") == []


def test_a_line_too_long_keeps_nobody_waiting() -> None:
    play = Play.working()
    head = f'{{"method":"item/commandExecution/requestApproval","id":4,"params":{{"threadId":"{THREAD}",'
    (refusal,) = written(play.give(LineSkipped(20_000_000, head.encode())))
    assert (refusal["id"], "20000000 bytes" in refusal["error"]["message"]) == (4, True)
    head = f'{{"method":"turn/completed","params":{{"threadId":"{THREAD}","turn":{{"id":'
    said = play.give(LineSkipped(20_000_000, head.encode()))
    assert only(said, TextAdded).channel == "notice"
    assert only(said, TurnEnded).outcome == "completed"
    play.give(Change(model="x"))
    said = play.give(LineSkipped(20_000_000, b'{"id":%d,"result":{' % play.asked_for("thread/settings/update")["id"]))
    assert "too long" in only(said, Changed).refused


def test_a_closed_thread_ends_it_so_that_it_can_be_resumed() -> None:
    failed = only(Play.ready().tell("thread/closed"), Fail)
    assert (failed.code, failed.resumable) == ("conversation_closed", True)
