"""What is read out of transcripts, line by line: recorded ones, old ones, wrong ones; and what never leaves them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.transcripts.facts import Fact, Place, Thread
from actors.transcripts.lines import MAX_LINE, Discarded, Line
from actors.transcripts.story import MAX_REJECTED, take
from actors.transcripts.tree import Agent
from actors.transcripts.whole import all_facts
from schemas.codec import decode_envelope, encode_envelope
from schemas.envelope import Envelope
from schemas.events import (
    TranscriptLineRejected,
    TranscriptSeen,
    TranscriptSettingsChanged,
    TranscriptTurnEnded,
    TranscriptTurnStarted,
    TranscriptUsageRecorded,
)
from tests.transcripts.made import SAMPLES, event, found, line, meta, name, sample, types, usage, uuid

THREAD = uuid(1)
CONTENT = {"text", "content", "base_instructions", "last_agent_message", "message", "arguments", "output", "input", "prompt"}


CONTENT |= {"lastPrompt", "systemPrompt", "rendered", "shape", "replacement_history", "developer_instructions", "description"}


def facts_of(content: bytes, agent: Agent = "codex", thread: str = THREAD, **fields: Any) -> list[Fact]:
    place = Place(path=f"/r/{name(thread)}", file="f", thread=thread, **fields)
    end, lines = 0, []
    for raw in content.split(b"\n")[:-1]:
        end += len(raw) + 1
        lines.append(Line(end, raw))
    return take(agent, Thread(), place, lines)[1]


def sampled(tmp_path: Path, recorded: str) -> list[Fact]:
    sample(tmp_path, recorded)
    agent: Agent = "claude" if recorded.startswith("claude") else "codex"
    return [fact for one in found(tmp_path, agent) for fact in all_facts(one)]


# ------------------------------------------------------------------------------------------------ recorded files


@pytest.mark.parametrize("recorded", sorted(file.stem for file in SAMPLES.iterdir()))
def test_every_recorded_line_is_read_and_its_events_can_be_read(tmp_path: Path, recorded: str) -> None:
    facts = sampled(tmp_path, recorded)
    assert types(facts)[0] == "seen"
    assert "line_rejected" not in types(facts)
    for fact in facts:  # the bounds of every field hold on the other side too
        told = Envelope(id="i", source="/actor/rollout/x", type=fact.TYPE, subject="session/s", time="t", data=fact)
        assert decode_envelope(encode_envelope(told)).data == fact


@pytest.mark.parametrize("recorded", sorted(file.stem for file in SAMPLES.glob("codex-*.jsonl")))
def test_usage_is_told_once_for_each_response_as_the_file_says(tmp_path: Path, recorded: str) -> None:
    facts = sampled(tmp_path, recorded)
    lines = [json.loads(raw) for raw in (SAMPLES / f"{recorded}.jsonl").read_text().splitlines()]
    said = {one["payload"]["response_id"]: one["payload"]["usage"] for one in lines if one["type"] == "token_usage_record"}
    told = {fact.response: fact.usage.total for fact in facts if isinstance(fact, TranscriptUsageRecorded)}
    assert told == {response: counts["total_tokens"] for response, counts in said.items()}
    turns = Counter(one["payload"]["type"] for one in lines if one["type"] == "event_msg")
    assert types(facts).count("turn_started") == turns["task_started"]
    assert types(facts).count("turn_ended") == turns["task_complete"]


def test_a_failed_turn_has_codex_s_own_code(tmp_path: Path) -> None:
    (ended,) = [fact for fact in sampled(tmp_path, "codex-usage-limit-429") if isinstance(fact, TranscriptTurnEnded)]
    assert (ended.outcome, ended.code, ended.duration_ms) == ("failed", "usage_limit_exceeded", 156)


def test_reviews_and_sub_agents_belong_to_their_root(tmp_path: Path) -> None:
    (review,) = [fact for fact in sampled(tmp_path, "codex-review-child") if isinstance(fact, TranscriptSeen)]
    assert (review.thread_kind, review.origin) == ("review", "subagent:review")
    assert review.session == f"codex-{review.parent_thread}" != f"codex-{review.thread}"
    (spawned,) = [fact for fact in sampled(tmp_path / "2", "codex-subagent-child") if isinstance(fact, TranscriptSeen)]
    assert (spawned.thread_kind, spawned.origin) == ("subagent", "subagent:thread_spawn")
    assert spawned.session == f"codex-{spawned.parent_thread}"


def test_a_fork_names_what_it_was_forked_from(tmp_path: Path) -> None:
    (fork,) = [fact for fact in sampled(tmp_path, "codex-exec-forked-child") if isinstance(fact, TranscriptSeen)]
    assert fork.forked_from == "codex:01a1fb1c-57cf-7df2-ba18-6cb6d2369714"
    assert fork.session == f"codex-{fork.thread}"
    assert (fork.thread_kind, fork.git_branch, fork.agent_provider) == ("main", "master", "stub")


def test_a_claude_session(tmp_path: Path) -> None:
    facts = sampled(tmp_path, "claude-say-hi")
    assert types(facts) == ["seen", "turn_started", "settings_changed", "usage_recorded", "turn_ended"]
    seen, started, settings, used, ended = facts
    assert isinstance(seen, TranscriptSeen)
    assert (seen.conversation, seen.agent_version) == ("claude:cab0abbf-64ab-496e-98ac-153a5ba0dbc0", "2.1.329")
    assert (seen.created, seen.cwd) == ("2026-11-20T22:10:13.941Z", "/home/dev/cc_work")
    assert isinstance(settings, TranscriptSettingsChanged)
    assert (settings.model, settings.approval_policy) == ("claude-opus-5-5", "default")
    assert isinstance(used, TranscriptUsageRecorded)
    assert (used.response, used.usage.input, used.usage.cached_input, used.usage.output) == ("msg_stubdbe3da5f2253", 23, 7, 9)
    assert isinstance(started, TranscriptTurnStarted)
    assert isinstance(ended, TranscriptTurnEnded)
    assert started.turn == used.turn == ended.turn


def strings_of(value: Any, *, content: bool = False) -> set[str]:
    """Collect the strings that are content: those below a key of ``CONTENT``."""
    if isinstance(value, str):
        return {value} if content and len(value) > 3 else set()
    if isinstance(value, dict):
        return set().union(*(strings_of(one, content=content or key in CONTENT) for key, one in value.items()))
    if isinstance(value, list):
        return set().union(*(strings_of(one, content=content) for one in value))
    return set()


def with_canary(value: Any, *, content: bool = False) -> Any:
    """Put a canary into every string that is content."""
    if isinstance(value, str):
        return f"CANARY {value}" if content else value
    if isinstance(value, dict):
        keep = ("type", "id", "model", "stop_reason", "role", "name")
        return {key: with_canary(one, content=(content or key in CONTENT) and key not in keep) for key, one in value.items()}
    return [with_canary(one, content=content) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("recorded", sorted(file.stem for file in SAMPLES.iterdir()))
def test_no_prompt_reply_or_instruction_leaves_a_file(tmp_path: Path, recorded: str) -> None:
    plain = sampled(tmp_path, recorded)
    file = sample(tmp_path, recorded)
    lines = [json.loads(raw) for raw in file.read_text().splitlines()]
    assert set().union(*(strings_of(one) for one in lines))
    file.write_bytes(b"".join(json.dumps(with_canary(one)).encode() + b"\n" for one in lines))
    facts = [fact for one in found(tmp_path, "claude" if recorded.startswith("claude") else "codex") for fact in all_facts(one)]
    assert types(facts) == types(plain)
    assert b"CANARY" not in msgspec.json.encode(facts)


# ------------------------------------------------------------------------------------------------ other formats


def test_an_old_rollout_without_ids() -> None:
    tokens = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    count = {"total_token_usage": tokens, "last_token_usage": tokens}
    told = facts_of(
        meta(THREAD, session_id=None)
        + line("response_item", {"type": "message", "role": "user"})
        + event("user_message", message="secret")
        + event("agent_reasoning", text="secret")
        + event("agent_message", message="secret")
        + event("token_count", info=count)
        + event("token_count", info=count)
        + event("token_count", info=None)
        + event("user_message", message="secret")
        + event("turn_aborted", reason="interrupted")
    )
    assert types(told) == ["seen", "turn_started", "turn_ended", "usage_recorded", "turn_started", "turn_ended"]
    assert isinstance(told[1], TranscriptTurnStarted)
    assert isinstance(told[2], TranscriptTurnEnded)
    assert isinstance(told[5], TranscriptTurnEnded)
    assert (told[2].outcome, told[5].outcome, told[5].code) == ("completed", "aborted", "interrupted")
    assert told[1].turn == told[2].turn != told[5].turn
    assert isinstance(told[3], TranscriptUsageRecorded)
    assert (told[3].response, told[3].usage.total) == ("", 10)


def test_running_totals_say_nothing_where_each_response_is_recorded() -> None:
    tokens = {"total_token_usage": {"total_tokens": 99}, "last_token_usage": {"total_tokens": 99}}
    told = facts_of(meta(THREAD) + usage("resp_1") + event("token_count", info=tokens))
    assert types(told) == ["seen", "usage_recorded"]


def test_settings_are_told_when_they_change() -> None:
    def context(**more: Any) -> bytes:
        return line("turn_context", {"model": "m", "cwd": "/p", "approval_policy": "never", **more})

    told = facts_of(
        meta(THREAD)
        + context(sandbox_policy={"type": "read-only"})
        + context(sandbox_policy={"mode": "read-only"})
        + event("thread_settings_applied", thread_settings={"model": "m", "model_provider_id": "stub", "cwd": "/p"})
        + context(sandbox_policy={"danger": {"x": 1}}, approval_policy={"granular": {}})
        + event("thread_settings_applied", thread_settings={"model": "m2", "model_provider_id": "other", "cwd": "/q"})
    )
    changes = [fact for fact in told if isinstance(fact, TranscriptSettingsChanged)]
    assert [(one.model, one.agent_provider, one.sandbox, one.approval_policy, one.cwd) for one in changes] == [
        ("m", "stub", "read-only", "never", "/p"),
        ("m", "stub", "danger", "granular", "/p"),
        ("m2", "other", "danger", "granular", "/q"),
    ]


def test_unknown_lines_are_passed_over_and_counted() -> None:
    place = Place(path="/r", file="f", thread=THREAD)
    found_ = [Line(1, meta(THREAD)), Line(2, line("of_2027", {"x": [1]})), Line(3, event("new")), Line(4, b"  ")]
    thread, told = take("codex", Thread(), place, found_)
    assert types(told) == ["seen"]
    assert (thread.ignored, thread.rejected) == (3, 0)


def claude(type_: str, session: str = THREAD, **fields: Any) -> bytes:
    told = {"type": type_, "sessionId": session, "timestamp": "2026-11-20T22:10:14.021Z", "cwd": "/p", "version": "2.1"}
    return json.dumps(told | fields).encode() + b"\n"


def answer(request: str, stop: str | None, output: int, *, block: str = "text") -> bytes:
    message = {"id": f"msg_{request}", "model": "m", "stop_reason": stop, "content": [{"type": block}]}
    return claude("assistant", requestId=request, message=message | {"usage": {"input_tokens": 1, "output_tokens": output}})


def test_an_answer_of_claude_in_several_lines_is_one_usage() -> None:
    told = facts_of(
        claude("user", promptId="p1", message={"content": "secret"})
        + answer("r1", None, 1)
        + answer("r1", "tool_use", 5, block="tool_use")
        + answer("r1", "tool_use", 5, block="tool_use")
        + claude("user", promptId="p1", message={"content": [{"type": "tool_result", "content": "secret"}]})
        + answer("r2", None, 2)
        + answer("r3", "end_turn", 3)
        + claude("system", subtype="turn_duration"),
        "claude",
        session=THREAD,
    )
    used = [(fact.response, fact.usage.output) for fact in told if isinstance(fact, TranscriptUsageRecorded)]
    assert used == [("msg_r1", 5), ("msg_r2", 2), ("msg_r3", 3)]
    assert types(told)[:2] == ["seen", "turn_started"]
    assert types(told).count("turn_ended") == 1


def test_turns_of_claude_that_end_badly_or_never_began() -> None:
    told = facts_of(
        claude("user", promptId="p0", message={"content": "<command-name>/model</command-name>"})
        + claude("user", promptId="p1", message={"content": "secret"})
        + claude("user", promptId="p1", message={"content": [{"type": "text", "text": "[Request interrupted by user]"}]})
        + claude("user", promptId="p2", message={"content": "secret"})
        + claude("assistant", isApiErrorMessage=True, error="rate_limit", message={"content": "secret"})
        + claude("user", promptId="p3", isMeta=True, message={"content": "secret"}),
        "claude",
        session=THREAD,
    )
    ended = [(fact.turn, fact.outcome, fact.code) for fact in told if isinstance(fact, TranscriptTurnEnded)]
    assert ended == [("p1", "aborted", "interrupted"), ("p2", "failed", "rate_limit")]
    assert [fact.turn for fact in told if isinstance(fact, TranscriptTurnStarted)] == ["p1", "p2"]


def test_a_sub_agent_in_the_file_of_its_session_counts_and_is_no_turn() -> None:
    told = facts_of(
        claude("user", promptId="p1", message={"content": "secret"})
        + claude("user", promptId="p2", isSidechain=True, message={"content": "secret"})
        + answer("r1", "end_turn", 5).replace(b'"type": "assistant"', b'"type": "assistant", "isSidechain": true')
        + answer("r2", "end_turn", 3),
        "claude",
        session=THREAD,
    )
    assert [fact.usage.output for fact in told if isinstance(fact, TranscriptUsageRecorded)] == [5, 3]
    assert [fact.turn for fact in told if isinstance(fact, TranscriptTurnStarted | TranscriptTurnEnded)] == ["p1", "p1"]


def test_a_sub_agent_of_claude_belongs_to_its_session_and_copied_lines_to_nobody() -> None:
    told = facts_of(
        claude("user", session=uuid(9), promptId="old", message={"content": "secret"})
        + claude("user", agentId="a1", isSidechain=True, promptId="p", message={"content": "secret"}),
        "claude",
        thread="a1",
        session=THREAD,
        subagent=True,
    )
    assert types(told) == ["seen", "turn_started"]
    seen = told[0]
    assert isinstance(seen, TranscriptSeen)
    assert (seen.session, seen.thread, seen.thread_kind, seen.parent_thread) == (f"claude-{THREAD}", "a1", "subagent", THREAD)


# ------------------------------------------------------------------------------------------------ what is refused

DEEP = b'{"timestamp":"x","type":"turn_context","payload":' + b"[" * 100_000 + b"\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"not json\n",
        b'{"a":1{"a":1}\n',
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"7\n",
        DEEP,
        b'{"type":7,"payload":{}}\n',
        line("token_usage_record", {"response_id": "r", "usage": {"total_tokens": -1}}),
        line("token_usage_record", {"response_id": "r", "usage": {"total_tokens": 1 << 64}}),
        line("token_usage_record", {"response_id": "r" * 201, "usage": {}}),
        line("token_usage_record", {"response_id": "\u202e", "usage": {}}),
        line("turn_context", {"model": "x" * 301}),
        line("turn_context", {"cwd": "/a\nb"}),
        line("turn_context", {"approval_policy": 7}),
        line("turn_context", {"approval_policy": "x" * 65}),
        event("task_started", turn_id=["x"]),
        line("event_msg", {"type": "task_started", "turn_id": "t"}, timestamp="yesterday"),
        line("event_msg", {"type": "task_started", "turn_id": "t"}, timestamp="1970-01-01T00:00:00Z"),
        line("event_msg", {"type": "task_started", "turn_id": "t"}, timestamp="9999-01-01T00:00:00Z"),
        event("task_complete", turn_id="t", duration_ms=-1),
        event("task_complete", turn_id="t", duration_ms=1e300),
    ],
)
def test_a_bad_line_costs_itself(bad: bytes) -> None:
    good = meta(THREAD)
    told = facts_of(good + bad + usage("resp_1"))
    assert types(told) == ["seen", "line_rejected", "usage_recorded"]
    rejected = told[1]
    assert isinstance(rejected, TranscriptLineRejected)
    assert (rejected.offset, rejected.length) == (len(good) + len(bad), len(bad))
    assert rejected.reason
    assert rejected.session == f"codex-{THREAD}"


@pytest.mark.parametrize(
    "first",
    [
        event("task_started", turn_id="t"),
        b"garbage\n",
        meta("../../etc/passwd"),
        meta(uuid(2)),  # another's id
        meta(THREAD, session_id="x" * 50),
        meta(THREAD, forked_from_id="me"),
        meta(THREAD, timestamp="0001-01-01T00:00:00Z"),
        meta(THREAD, cwd="/x\x1b[31m"),
        meta(THREAD, source={"subagent": {"thread_spawn": {"parent_thread_id": "../x"}}}),
    ],
)
def test_a_file_that_does_not_say_whose_it_is_says_nothing_else(first: bytes) -> None:
    told = facts_of(first + usage("resp_1") + b"garbage\n" + meta(THREAD))
    assert types(told) == ["line_rejected"]
    assert isinstance(told[0], TranscriptLineRejected)
    assert told[0].session is None


def test_no_reason_quotes_a_line() -> None:
    secret = "SECRET"
    told = facts_of(
        meta(THREAD)
        + line("turn_context", {"model": [secret]})
        + b'{"type": "SECRET\n'
        + line("turn_context", {"approval_policy": secret * 20})
        + line("event_msg", {"type": "task_started"}, timestamp=secret)
    )
    assert types(told) == ["seen", *["line_rejected"] * 4]
    assert secret.encode() not in msgspec.json.encode(told)


def test_a_file_of_garbage_is_told_of_and_then_counted() -> None:
    told = facts_of(meta(THREAD) + b"garbage\n" * 100 + usage("r"))
    assert types(told) == ["seen", *["line_rejected"] * MAX_REJECTED, "usage_recorded"]
    assert isinstance(told[MAX_REJECTED], TranscriptLineRejected)
    assert "only counted" in told[MAX_REJECTED].reason


def test_a_discarded_first_line_leaves_the_file_nameless() -> None:
    place = Place(path="/r", file="f", thread=THREAD)
    thread, told = take("codex", Thread(), place, [Discarded(MAX_LINE + 9, MAX_LINE + 9, "too long"), Line(1, usage("r"))])
    assert types(told) == ["line_rejected"]
    assert thread.refused
