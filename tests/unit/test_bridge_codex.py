"""The Codex adapter, playbook by playbook; two sessions of the real app-server 0.169.0 played again (``recorded``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.bridge.adapter import (
    Ask,
    Change,
    Changed,
    Clear,
    Fail,
    Greeted,
    LineCame,
    LineSkipped,
    Note,
    Passed,
    Prompt,
    Spawned,
    Wait,
    Withdrawn,
    Woke,
)
from actors.bridge.adapters import codex
from actors.launch.plan import LaunchRefusedError
from schemas.content import (
    FailureTold,
    Identified,
    SettingsTold,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)
from schemas.identity import SessionId
from tests.bridge.codex_play import THREAD, Play, beginning, only, pieces, replay, thread, written

# ------------------------------------------------------------------------------------------------ recorded


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
    assert only(opened, Identified) == Identified(session=SessionId(f"codex-{THREAD}"), conversation=THREAD)
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
    other = SessionId("codex-another-one")
    assert only(said, Identified) == Identified(session=other, conversation="another-one", cleared=True)
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
