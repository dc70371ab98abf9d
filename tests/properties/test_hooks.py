"""Hooks, whatever stands in them: content stays out, nothing breaks, and only agents' own conversations are believed."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.cli.hook import FIELDS, metadata
from actors.gateway.admission import Refusal
from actors.gateway.attribution import NO_LAUNCH, Caller, above, caller_of, lost
from actors.gateway.hook_report import Report, _Body, fact, read_report
from schemas.codec import decode, encode
from schemas.events import HookReceived
from schemas.identity import ProcessKey, TerminalKey, process_id

CANARY = "canary 4711"
PROCESS = ProcessKey("h", "b", 7, 1)
HOOK = ProcessKey("h", "b", 9, 1)
ID = "01a1fb1e-3bad-7000-8000-000000000001"
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(CANARY),
    lambda inner: st.lists(inner) | st.just({"x": CANARY}),
)


def agent(kind: Any = "tui") -> Caller:
    return caller_of(PROCESS, "codex", kind, terminal=TerminalKey("wt:tab"), cwd="/x")


@given(
    st.binary()
    | st.dictionaries(st.sampled_from((*FIELDS, "prompt")) | st.text(), VALUES).map(lambda d: json.dumps(d).encode())
)
def test_anything_is_read_or_refused_without_its_content(body: bytes) -> None:
    report = read_report("codex", body)
    if isinstance(report, Refusal):
        assert report.status == 400
        assert CANARY not in report.message
        return
    _, told = fact(report, agent(), NO_LAUNCH)
    assert decode(encode(told), HookReceived) == told


@given(st.dictionaries(st.text(), VALUES), st.dictionaries(st.sampled_from(FIELDS[2:]), VALUES))
def test_what_is_told_never_holds_content(others: dict[str, Any], named: dict[str, Any]) -> None:
    wanted = {"hook_event_name": "Stop", "session_id": ID}
    report = read_report("codex", json.dumps({**others, "prompt": CANARY, **named, **wanted}).encode())
    assert isinstance(report, Report)
    subject, told = fact(report, agent(), NO_LAUNCH)
    assert subject == f"session/codex-{ID}"
    shown = {name: getattr(told, name) for name in told.__struct_fields__ if name not in ("cwd", "transcript")}
    assert CANARY not in repr(shown)  # a path may be any printable text


@given(st.binary() | st.dictionaries(st.text() | st.sampled_from(FIELDS), VALUES).map(lambda d: json.dumps(d).encode()))
def test_only_named_fields_leave_the_command(raw: bytes) -> None:
    kept = metadata(raw)
    if kept is not None:
        assert set(json.loads(kept)) <= set(FIELDS)


def test_command_and_endpoint_name_the_same_fields() -> None:
    assert {field.name for field in msgspec.structs.fields(_Body)} == set(FIELDS)


def test_a_conversation_is_believed_of_an_agent_alone() -> None:
    report = read_report("codex", json.dumps({"hook_event_name": "Stop", "session_id": ID, "status": "completed"}).encode())
    assert isinstance(report, Report)
    assert report.detail == "completed"
    subject, told = fact(report, above(agent(), HOOK), NO_LAUNCH)
    assert (subject, told.process, told.terminal) == (f"session/codex-{ID}", PROCESS, "wt:tab")
    assert [one.kind for one in told.evidence if one.proves == "process"] == ["ancestry"]
    assert fact(report, agent("daemon"), NO_LAUNCH)[1].terminal is None
    stranger = lost(caller_of(HOOK, "other", "other", terminal=TerminalKey("wt:tab")), "no codex is above the caller")
    subject, told = fact(report, stranger, NO_LAUNCH)
    assert subject == f"process/{process_id(HOOK)}"
    assert (told.session, told.conversation, told.terminal) == (None, None, None)
