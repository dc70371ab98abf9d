"""The small parts of the hub: names, messages in parts, records, what a reviewer is told; and the past in transcripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import zstandard

from actors.bridges import records, review
from actors.bridges.parts import MAX_LENGTH, MAX_UNFINISHED, SECONDS, Parts
from actors.bridges.rows import AmbiguousBridgeError, UnknownBridgeError, resolve, row_of, table_of
from actors.bridges.terms import Message, Moment, Running, Session, Wish
from actors.runtime.paths import Paths
from actors.transcripts import history
from actors.transcripts.pieces import bounded, named, prompt_of, reply_of, size_of, text_pieces
from actors.transcripts.tree import Agent, Found, Mark, Name, Root
from bus.errors import RefusedError
from schemas.bridge_rows import Turn
from schemas.commands import SendMessage
from schemas.content import MAX_TEXT, Piece, TextAdded, TextEnded, ToolEnded, ToolStarted, TurnEnded, TurnStarted
from schemas.identity import LaunchId, SessionId

SAMPLES = Path(__file__).parents[1] / "transcripts/samples"
UUID = "01a1fb08-d4f6-7661-bddc-60ee34c285fa"


def session(launch: str, **changes: Any) -> Session:
    given: dict[str, Any] = {
        "wish": Wish(agent="codex", cwd="/w"),
        "run": "r",
        "created": "2026-11-21T10:00:00Z",
        "last_used": "2026-11-21T10:00:00Z",
        "used": 0.0,
        "session": SessionId(launch),
        **changes,
    }
    return Session(launch=LaunchId(launch), **given)


def turn(name: str, prompt: str, reply: str) -> Turn:
    pieces: list[Piece] = [
        TurnStarted(turn=name),
        *text_pieces(name, "p", "prompt", prompt),
        *text_pieces(name, "r", "reply", reply),
    ]
    return Turn(turn=name, started="t", pieces=tuple(pieces))


# ---------------------------------------------------------------------------------------------------- names


def test_a_session_is_found_by_a_whole_name_first_and_a_living_one_before_one_that_ended() -> None:
    one = session("launch-a", session=SessionId("codex-x"), aliases=(SessionId("codex-old"),), phase="running")
    longer = session("launch-ab", session=SessionId("codex-xy"), phase="running")
    over = session("launch-b", session=SessionId("codex-o"), phase="ended")
    every = (one, longer, over)
    assert resolve(every, "launch-a") is one
    assert resolve(every, "codex-x") is one
    assert resolve(every, "codex-ol") is one
    assert resolve(every, "codex-xy") is longer
    assert resolve(every, "launch-b") is over
    assert resolve(every, "codex-o") is over or resolve(every, "codex-o") is one
    for wrong in ("", "nobody", "odex-x"):
        with pytest.raises(UnknownBridgeError):
            resolve(every, wrong)
    with pytest.raises(AmbiguousBridgeError, match="codex-x, codex-xy"):
        resolve(every, "codex-")


def test_the_table_has_the_last_used_first() -> None:
    early, late = session("launch-a"), session("launch-b", last_used="2026-11-21T11:00:00Z")
    assert [row.launch for row in table_of((early, late)).bridges] == ["launch-b", "launch-a"]
    assert row_of(early).queued == 0


# ---------------------------------------------------------------------------------------------------- messages in parts


def part(text: str, number: int, of: int, message: str = "m") -> SendMessage:
    return SendMessage(session="s", text=text, message=message, part=number, of=of)


def test_parts_come_in_order_and_the_last_one_may_be_said_twice() -> None:
    parts = Parts()
    assert parts.take("l", part("whole", 1, 1), 0.0) == "whole"
    assert parts.take("l", part("a", 1, 3), 0.0) is None
    assert parts.take("l", part("b", 2, 3), 0.0) is None
    assert parts.take("l", part("b", 2, 3), 0.0) is None
    with pytest.raises(RefusedError, match="2 came so far"):
        parts.take("l", part("d", 3, 4), 0.0)
    assert parts.take("l", part("c", 3, 3), 0.0) == "abc"
    with pytest.raises(RefusedError, match="0 came so far"):
        parts.take("l", part("c", 3, 3), 0.0)


def test_unfinished_messages_are_few_short_and_forgotten() -> None:
    parts = Parts()
    for number in range(MAX_UNFINISHED):
        assert parts.take("l", part("a", 1, 2, f"m{number}"), 0.0) is None
    with pytest.raises(RefusedError) as error:
        parts.take("l", part("a", 1, 2, "more"), 0.0)
    assert error.value.code == "busy"
    assert parts.take("l", part("a", 1, 2, "more"), SECONDS + 1) is None
    with pytest.raises(RefusedError) as error:
        parts.take("l", part("x" * (MAX_LENGTH + 1), 1, 1), 0.0)
    assert error.value.code == "too_large"


# ---------------------------------------------------------------------------------------------------- records


def test_a_record_gives_the_session_back_and_holds_nothing_that_was_said(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "config.toml", tmp_path / "state")
    paths.create()
    wish = Wish(agent="codex", cwd="/w", model="large", environ={"A": "b"}, arguments=("-x",), resume="old", fork=True)
    before = session(
        "launch-0a",
        wish=wish,
        session=SessionId("codex-c"),
        conversation="c",
        turns=2,
        known=("a", "b"),
        messages=(Message(ask=1, turn="b", text="a secret", by="me"),),
        running=Running(
            turn="a", since=0.0, started="t", pieces=(TextAdded(turn="a", item="i", channel="reply", text="a secret"),)
        ),
    )
    records.write(paths, records.record_of(before))
    (paths.bridges / "launch-0b.json").write_text("{}")
    (paths.bridges / "other.json").write_text("{}")
    assert "secret" not in (paths.bridges / "launch-0a.json").read_text()
    found, bad = records.read(paths)
    assert [one.launch for one in found] == ["launch-0a"]
    assert len(bad) == 2
    after = records.session_of(found[0], run="new", now=Moment(100.0, "now"), unused=40.0, patience=5.0)
    assert (after.wish.resume, after.wish.fork, after.wish.environ) == ("c", False, {"A": "b"})
    assert (after.turns, after.known, after.restarts, after.used, after.run) == (2, ("a", "b"), 1, 60.0, "new")
    assert after.note == "when Tabwire ended, the turn that ran was cut off and 1 message that waited were not sent"
    records.remove(paths, before.launch)
    records.remove(paths, before.launch)
    assert records.read(paths)[0] == []
    with pytest.raises(ValueError, match="hexadecimal"):
        records.remove(paths, LaunchId("launch-../x"))


# ---------------------------------------------------------------------------------------------------- reviews


def test_a_reviewer_is_told_the_work_bounded_and_between_marks() -> None:
    work = review.Work(
        session="codex-c",
        agent="codex",
        cwd="/w",
        diff="+" * (review.MAX_DIFF + 7),
        turns=tuple(turn(f"t{number}", f"ask {number}", "did </answered> it") for number in range(9)),
        instructions="Mind the gap.",
        untracked="new.py\n",
    )
    told = review.prompt(work)
    assert "Mind the gap." in told
    assert "ask 8" in told
    assert "ask 4" in told
    assert "ask 3" not in told
    assert "did </answered> it\n</answered1>" in told
    assert "7 characters left out" in told
    assert "new.py" in told
    assert "There is no diff: no git" in review.prompt(review.Work(session="s", agent="a", cwd="/w", no_diff="no git"))
    assert "Nothing that git tracks" in review.prompt(review.Work(session="s", agent="a", cwd="/w"))
    assert "<findings1>\na </findings> b\n</findings1>" in review.findings("claude", "claude-s", "a </findings> b")


def test_what_git_could_take_for_an_option_or_a_range_is_no_revision() -> None:
    assert all(review.is_revision(one) for one in ("HEAD~2", "main", "origin/main@{1}", "v1.0^{commit}", "a1b2c3"))
    assert not any(review.is_revision(one) for one in ("", "-p", "--output=x", "a..b", "a b", "a\n", "$(x)"))


# ---------------------------------------------------------------------------------------------------- the past


def found(file: Path, agent: Agent = "codex") -> Found:
    return Found(Root(agent, str(file.parent)), str(file), Name(agent, UUID, "", compressed=file.suffix == ".zst"), Mark())


def test_a_codex_rollout_tells_prompts_tools_and_replies() -> None:
    page = history.page(found(SAMPLES / "codex-exec-tool-turn.jsonl"), limit=10)
    (only,) = page.turns
    assert [type(piece).__name__ for piece in only.pieces] == [
        "TurnStarted",
        "TextAdded",
        "TextEnded",
        "ToolStarted",
        "ToolEnded",
        "TextAdded",
        "TextEnded",
        "UsageTold",
        "TurnEnded",
    ]
    assert prompt_of(only).startswith("STUB:tool:echo tool-ran")
    tool = next(piece for piece in only.pieces if isinstance(piece, ToolStarted))
    assert (tool.name, tool.title) == ("exec_command", "echo tool-ran; pwd; env | grep -E 'CODEX|WT_'")
    output = next(piece for piece in only.pieces if isinstance(piece, ToolEnded))
    assert output.ok
    assert output.output.startswith("tool-ran\n")
    assert reply_of(only).startswith("stub: I see 1 user message")


def test_a_turn_that_was_killed_is_told_as_cut_off_and_a_failed_one_as_failed() -> None:
    killed = history.page(found(SAMPLES / "codex-kill9-then-resumed.jsonl"), limit=10).turns
    ends = [(piece.outcome, piece.reason) for one in killed for piece in one.pieces if isinstance(piece, TurnEnded)]
    assert ends[0] == ("interrupted", "it was cut off")
    assert ends[1][0] == "completed"
    (limited,) = history.page(found(SAMPLES / "codex-usage-limit-429.jsonl"), limit=10).turns
    last = limited.pieces[-1]
    assert isinstance(last, TurnEnded)
    assert last.outcome == "failed"
    assert "limit" in last.reason


def test_a_claude_transcript_tells_prompts_tools_and_interruptions(tmp_path: Path) -> None:
    (plain,) = history.page(found(SAMPLES / "claude-say-hi.jsonl", "claude"), limit=10).turns
    assert (prompt_of(plain), reply_of(plain)) == ("say hi", "STUB reply #2 (users=1) to: say hi ")

    def line(kind: str, content: Any, **more: Any) -> str:
        stop = more.pop("stop", None)
        return json.dumps(
            {"type": kind, "uuid": f"u{len(lines)}", "message": {"content": content, "stop_reason": stop}, **more}
        )

    lines: list[str] = []
    lines.append(line("user", "list it", promptId="p1"))
    lines.append(line("user", "a hint of its own", isMeta=True))
    lines.append(line("assistant", [{"type": "thinking", "thinking": "hm"}]))
    lines.append(
        line("assistant", [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}], stop="tool_use")
    )
    lines.append(line("user", [{"type": "tool_result", "tool_use_id": "t1", "content": "no", "is_error": True}]))
    lines.append(line("assistant", "said by a sub-agent", isSidechain=True))
    lines.append(line("user", "[Request interrupted by user]"))
    lines.append(line("user", "<command-name>/model</command-name>", promptId="p2"))
    lines.append(line("user", "go on", promptId="p3"))
    file = tmp_path / f"{UUID}.jsonl"
    file.write_text("\n".join(lines) + "\n")
    turns = history.page(found(file, "claude"), limit=10, running=True).turns
    assert [one.turn for one in turns] == ["p1"]
    assert [type(piece).__name__ for piece in turns[0].pieces] == [
        "TurnStarted",
        "TextAdded",
        "TextEnded",
        "TextAdded",
        "TextEnded",
        "ToolStarted",
        "ToolEnded",
        "TurnEnded",
    ]
    assert [piece.outcome for piece in turns[0].pieces if isinstance(piece, TurnEnded)] == ["interrupted"]
    assert [piece.ok for piece in turns[0].pieces if isinstance(piece, ToolEnded)] == [False]
    assert [one.turn for one in history.page(found(file, "claude"), limit=10).turns] == ["p1", "p3"]


def test_a_page_of_a_long_file_reads_backwards_and_a_packed_one_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "FIRST_WINDOW", 4_096)
    folder = tmp_path / "sessions"
    folder.mkdir()
    file = folder / f"rollout-2026-11-20T22-17-02-{UUID}.jsonl"
    lines = []
    for number in range(300):
        for kind, more in (("task_started", {}), ("item_completed", {"item": item(number)}), ("task_complete", {})):
            payload = {"type": kind, "turn_id": f"turn-{number}", **more}
            lines.append(json.dumps({"type": "event_msg", "timestamp": "2026-11-20T22:17:02Z", "payload": payload}))
    file.write_text("\n".join(lines) + "\n")
    last = history.page(found(file), limit=3)
    assert [one.turn for one in last.turns] == ["turn-297", "turn-298", "turn-299"]
    before = history.page(found(file), limit=100, before=last.before)
    assert [one.turn for one in before.turns] == [f"turn-{number}" for number in range(197, 297)]
    packed = file.with_suffix(".jsonl.zst")
    packed.write_bytes(zstandard.compress(file.read_bytes()))
    assert history.page(found(packed), limit=3) == last
    located = history.locate("codex", UUID, str(tmp_path))
    assert located is not None
    assert located.path in (str(file), str(packed))
    by_path = history.locate("codex", UUID, "/nowhere", str(file))
    assert by_path is not None
    assert by_path.path == str(file)
    shutil.rmtree(folder)
    assert history.locate("codex", UUID, str(tmp_path)) is None


def item(number: int) -> dict[str, Any]:
    return {"type": "AgentMessage", "id": f"m{number}", "content": [{"type": "Text", "text": f"answer {number} " * 10}]}


def test_turns_that_the_stream_told_keep_their_names_however_often_the_same_was_said() -> None:
    turns = (turn("x1", "same", "r"), turn("x2", "same", "r"), turn("x3", "same", "r"), turn("x4", "", ""))
    here = named(turns, ("of another client", "m2", "m3", ""), {name: name for name in ("m1", "m2", "m3", "m4")})
    assert [one.turn for one in here] == ["x1", "m2", "m3", "x4"]
    renamed = here[2].pieces[1]
    assert isinstance(renamed, TextAdded)
    assert renamed.turn == "m3"
    assert named(turns, ("m1", "m2", "m3", "m4"), {}) == turns


def test_a_transcript_says_under_which_ids_messages_were_given(tmp_path: Path) -> None:
    def message(turn: str, client: str | None, text: str) -> list[str]:
        item = {"type": "UserMessage", "id": f"u-{turn}", "client_id": client, "content": [{"type": "text", "text": text}]}
        payloads: list[dict[str, Any]] = [
            {"type": "task_started"},
            {"type": "item_completed", "item": item},
            {"type": "item_completed", "item": {**item, "client_id": "steered"}},
            {"type": "task_complete"},
        ]
        return [json.dumps({"type": "event_msg", "timestamp": "t", "payload": {**one, "turn_id": turn}}) for one in payloads]

    file = tmp_path / f"rollout-2026-11-20T22-17-02-{UUID}.jsonl"
    lines = [*message("t1", "m1", "same"), *message("t2", None, "same"), *message("t3", "m3", "same")]
    file.write_text("\n".join(lines) + "\n")
    page = history.page(found(file), limit=10)
    assert ([one.turn for one in page.turns], page.messages) == (["t1", "t2", "t3"], ("m1", "", "m3"))
    last = history.page(found(file), limit=1)
    assert ([one.turn for one in last.turns], last.messages) == (["t3"], ("m3",))
    assert history.page(found(file), limit=10, before=last.before).messages == ("m1", "")
    plain = history.page(found(SAMPLES / "claude-say-hi.jsonl", "claude"), limit=1)
    assert plain.messages == tuple(piece.item for piece in plain.turns[0].pieces[1:2] if isinstance(piece, TextAdded))


def test_texts_are_cut_into_pieces_and_the_oldest_pieces_go_first() -> None:
    pieces = text_pieces("t", "i", "reply", "x" * (2 * MAX_TEXT + 1) + "\ud800")
    assert [len(piece.text) for piece in pieces if isinstance(piece, TextAdded)] == [MAX_TEXT, MAX_TEXT, 2]
    assert isinstance(pieces[-1], TextEnded)
    start = TurnStarted(turn="t")
    kept, size, went = bounded((start, *pieces), size_of((start, *pieces)), MAX_TEXT + 500, 100)
    assert kept == (start, *pieces[1:])
    assert (size, went) == (size_of(kept), True)
    assert bounded((start,), 10**9, 1, 1)[0] == (start,)
