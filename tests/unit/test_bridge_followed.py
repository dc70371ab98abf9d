"""The adapter of agents that are followed from their transcripts: lines in, turns out, and what is never typed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.attach import contract
from actors.attach.contract import CaughtUp, Give, Given, Left, NotGiven, NotStopped, Skipped, Stop, Up, Works, Wrote
from actors.bridge.adapter import (
    Change,
    Changed,
    Clear,
    Fail,
    Greeted,
    Interrupt,
    LineCame,
    Note,
    Output,
    Passed,
    Prompt,
    Say,
    Spawned,
    Wait,
    Woke,
    Write,
)
from actors.bridge.followed.adapter import State, followed, refusal, same
from schemas.attachment import Attachment
from schemas.content import Piece, TextAdded, ToolEnded, ToolStarted, TurnEnded, UsageTold
from schemas.identity import ProcessKey
from tests.bridge.codex_play import beginning

PANE = Attachment(channel="tmux", process=ProcessKey("host", "boot", 77, 1), socket="/s", server=9, pane="%3", home="/c")
QUEUE = Attachment(channel="queue", process=ProcessKey("host", "boot", 77, 1), home="/c", program="/codex")


def user(text: str, prompt: str = "p1") -> dict[str, Any]:
    return {"type": "user", "promptId": prompt, "uuid": f"u-{prompt}", "message": {"role": "user", "content": text}}


def assistant(*blocks: dict[str, Any], stop: str | None = "end_turn") -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2}
    return {"type": "assistant", "uuid": "a1", "message": {"content": list(blocks), "stop_reason": stop, "usage": usage}}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


class Play:
    """One followed conversation, line by line."""

    def __init__(self, attach: Attachment = PANE, agent: str = "claude") -> None:
        self.adapter = followed(agent, attach.channel)
        self.state: State = self.adapter.begin(beginning(attach=attach, resume="c"))
        self.told: list[Output] = []

    def give(self, input_: Any) -> list[Output]:
        self.state, outputs = self.adapter.step(self.state, input_)
        self.told += outputs
        return list(outputs)

    def line(self, line: Up) -> list[Output]:
        return self.give(LineCame(contract.encode_line(line).rstrip(b"\n")))

    def wrote(self, *entries: dict[str, Any]) -> list[Output]:
        return [one for entry in entries for one in self.line(Wrote(at=0, text=json.dumps(entry)))]

    def ready(self, *past: dict[str, Any], idle: bool | None = None) -> list[Output]:
        self.give(Spawned())
        self.wrote(*past)
        return self.line(CaughtUp(transcript="/t.jsonl", idle=idle))


def kinds(outputs: list[Output]) -> list[str]:
    return [type(one.piece if isinstance(one, Say) else one).__name__ for one in outputs]


def pieces(outputs: list[Output]) -> list[Piece]:
    return [one.piece for one in outputs if isinstance(one, Say)]


def written(outputs: list[Output]) -> list[Any]:
    return [contract.decode_down(one.line) for one in outputs if isinstance(one, Write)]


def test_it_is_followed_by_a_process_that_is_told_whom() -> None:
    play = Play()
    command = play.adapter.plan(beginning(attach=PANE, resume="c", program="/py"))
    assert command.argv[:5] == ("/py", "-I", "-m", "actors.attach", "follow")
    whom = contract.decode_follow(command.argv[5])
    assert (whom.agent, whom.conversation, whom.attach) == ("claude", "c", PANE)
    (greeted,) = play.ready(user("old"), assistant(said("done")))
    assert isinstance(greeted, Greeted)
    assert (greeted.can, greeted.transcript) == (frozenset(("interrupt", "history", "review")), "/t.jsonl")


def test_a_message_of_ours_is_our_turn_and_its_prompt_is_not_told_twice() -> None:
    play = Play()
    play.ready()
    assert written(play.give(Prompt(turn="t1", text="hello "))) == [Give(turn="t1", text="hello ")]
    assert kinds(play.line(Given(turn="t1"))) == ["Wait"]
    assert kinds(play.wrote(user("hello"))) == ["Wait"]
    tool = {"type": "tool_use", "id": "x", "name": "Bash", "input": {"command": "ls"}}
    result = {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "x", "content": "out"}]}}
    shown = pieces(play.wrote(assistant(tool, stop="tool_use"), result, assistant(said("hi"))))
    assert [type(one) for one in shown if not isinstance(one, UsageTold)][:2] == [ToolStarted, ToolEnded]
    assert {getattr(one, "turn", "t1") for one in shown} == {"t1"}
    assert shown[-1] == TurnEnded(turn="t1", outcome="completed")
    assert any(isinstance(one, UsageTold) for one in shown[:-1])


def test_what_the_user_types_is_a_turn_of_its_own_with_its_prompt() -> None:
    play = Play()
    play.ready()
    outputs = play.wrote(user("typed there", "p7"), assistant(said("hi")))
    assert kinds(outputs)[:3] == ["Woke", "TextAdded", "TextEnded"]
    assert pieces(outputs)[0] == TextAdded(turn="p7", item="u-p7", channel="prompt", text="typed there")
    assert pieces(outputs)[-1] == TurnEnded(turn="p7", outcome="completed")


def test_what_the_user_typed_at_the_same_time_is_shown_and_ours_goes_on_waiting() -> None:
    play = Play()
    play.ready()
    play.give(Prompt(turn="t1", text="ours"))
    outputs = play.wrote(user("theirs", "p1"), assistant(said("to them")))
    assert [one.text for one in pieces(outputs) if isinstance(one, TextAdded)] == ["theirs", "to them"]
    assert not any(isinstance(one, TurnEnded | Woke) for one in (*pieces(outputs), *outputs))
    outputs = play.wrote(user("ours", "p2"), assistant(said("to us")))
    assert pieces(outputs)[-1] == TurnEnded(turn="t1", outcome="completed")


def test_a_turn_that_runs_already_is_taken_up_with_what_it_has_shown() -> None:
    play = Play()
    outputs = play.ready(user("old", "p0"), assistant(said("x")), user("slow", "p1"), assistant(said("part"), stop="tool_use"))
    assert kinds(outputs)[:2] == ["Greeted", "Woke"]
    assert [one.text for one in pieces(outputs) if isinstance(one, TextAdded)] == ["slow", "part"]
    assert pieces(play.wrote(assistant(said("end"))))[-1] == TurnEnded(turn="p1", outcome="completed")
    play = Play()
    assert kinds(play.ready(user("cut off", "p1"), idle=True)) == ["Greeted"]  # it says itself that nothing runs
    assert play.wrote(assistant(said("late"))) == []


def test_a_message_that_is_not_given_or_not_taken_has_failed() -> None:
    play = Play()
    play.ready()
    play.give(Prompt(turn="t1", text="hello"))
    outputs = play.line(NotGiven(turn="t1", reason="its pane is gone"))
    assert kinds(outputs) == ["Wait", "FailureTold", "TurnEnded"]
    assert "its pane is gone" in pieces(outputs)[1].reason  # type: ignore[union-attr]
    play.give(Prompt(turn="t2", text="hello"))
    outputs = play.give(Passed(name="taken"))
    assert pieces(outputs)[1].outcome == "failed"  # type: ignore[union-attr]
    assert kinds(play.wrote(user("hello", "p9")))[0] == "Woke"  # late, but shown


def test_a_turn_that_is_stopped_without_a_word_ends_when_the_agent_is_idle() -> None:
    play = Play()
    play.ready()
    play.give(Prompt(turn="t1", text="hello"))
    play.wrote(user("hello"))
    assert written(play.give(Interrupt())) == [Stop()]
    assert play.line(Works(idle=False)) == [Wait(name="idle", seconds=None)]
    assert kinds(play.line(Works(idle=True))) == ["Wait"]
    assert pieces(play.give(Passed(name="idle")))[0].outcome == "interrupted"  # type: ignore[union-attr]
    assert play.give(Passed(name="idle")) == []
    play.give(Prompt(turn="t2", text="never taken"))
    play.give(Interrupt())
    assert pieces(play.give(Passed(name="idle")))[0].turn == "t2"  # type: ignore[union-attr]
    assert kinds(play.line(NotStopped(reason="r"))) == ["Note"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!rm -rf .", "is a command"),
        ("  /clear", "is a command"),
        ("# note", "is a command"),
        ("a\tb", "tabs"),
        ("a\x1b[31m", "control"),
        ("a\x7f", "control"),
        ("a\r", "control"),
        ("a\0", "NUL"),
        (" \n ", "blanks"),
        ("goes on \\", "backslash"),
        ("x" * 200_001, "200000"),
    ],
)
def test_what_cannot_be_typed_as_it_is_is_refused_and_nothing_is_given(text: str, words: str) -> None:
    assert words in refusal("tmux", text)
    play = Play()
    play.ready()
    outputs = play.give(Prompt(turn="t1", text=text))
    assert written(outputs) == []
    assert pieces(outputs)[-1] == TurnEnded(turn="t1", outcome="failed", reason=refusal("tmux", text))
    assert bool(refusal("queue", text)) == ("\0" in text)


def test_a_long_text_may_stand_in_a_frame() -> None:
    assert same("a\nb", "\n\n<pasted_content id=1>\na\nb\n</pasted_content>")
    assert same(" a\r\nb ", "a\nb")
    assert not same("a", "ab")


def test_settings_and_conversations_are_the_terminals_own() -> None:
    play = Play(QUEUE, "codex")
    play.ready()
    assert all(isinstance(one, Changed) and one.refused for one in (*play.give(Change(model="m")), *play.give(Clear())))


def test_the_end_of_the_agent_is_the_end_and_odd_lines_are_noted() -> None:
    play = Play()
    play.ready()
    assert kinds(play.give(LineCame(b"nonsense"))) == ["Note"]
    assert kinds(play.line(Skipped(length=9))) == ["Note"]
    (failed,) = play.line(Left(reason="claude has ended in its terminal"))
    assert isinstance(failed, Fail)
    assert (failed.code, failed.resumable) == ("agent_gone", False)


_TEXTS = st.sampled_from(["ours", "theirs", "", "x"])
_ENTRIES = st.one_of(
    st.builds(user, _TEXTS, st.sampled_from(["p1", "p2", "p3"])),
    st.builds(lambda text, stop: assistant(said(text), stop=stop), _TEXTS, st.sampled_from([None, "tool_use", "end_turn"])),
    st.just({"type": "user", "message": {"content": [{"type": "text", "text": "[Request interrupted by user]"}]}}),
    st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none())),
)
_STEPS = st.one_of(
    _ENTRIES,
    st.sampled_from(["prompt", "interrupt", "idle", "busy", "taken", "quiet", "given", "not_given", "not_stopped"]),
)


@given(st.lists(_STEPS, max_size=30))
def test_whatever_comes_each_turn_ends_exactly_once_and_no_two_run_at_once(steps: list[Any]) -> None:
    play, running, count = Play(), "", 0
    play.ready()
    for one in steps:
        outputs: list[Output] = []
        if one == "prompt":
            if running:
                continue
            count += 1
            running = f"t{count}"
            outputs = play.give(Prompt(turn=running, text="ours"))
        elif one == "interrupt":
            outputs = play.give(Interrupt()) if running else []
        elif isinstance(one, dict):
            outputs = play.wrote(one)
        else:
            lines: dict[str, Any] = {
                "idle": Works(idle=True),
                "busy": Works(idle=False),
                "given": Given(turn=running),
                "not_given": NotGiven(turn=running, reason="r"),
                "not_stopped": NotStopped(reason="r"),
            }
            passed = {"taken": "taken", "quiet": "idle"}
            outputs = play.give(Passed(name=passed[one])) if one in passed else play.line(lines[one])
        for output in outputs:
            if isinstance(output, Woke):
                assert not running
                running = output.turn
            elif isinstance(output, Say) and isinstance(output.piece, TurnEnded):
                assert output.piece.turn == running
                running = ""
            elif isinstance(output, Say):
                assert getattr(output.piece, "turn", running) == running or isinstance(output.piece, UsageTold)
            assert not isinstance(output, Note) or output.text
