"""Our ACP against the models of ``agent-client-protocol``, both ways: what we write is valid, what is valid is understood.

The package costs 33 MiB of memory, more than a bridge may have, so that it is no part of one: it only looks over our lines.
"""

from __future__ import annotations

from typing import Any

import pytest
from acp import schema

from actors.bridge.adapter import Ask, Decide, Greeted, Interrupt, Prompt, Spawned
from schemas.content import PlanUpdated, TextAdded, ToolEnded, ToolStarted, TurnEnded
from tests.bridge.acp_tape import Played, play

TAPES = [
    ("auggie", "auggie", {"mode": "approve"}),
    ("gemini", "gemini", {}),
    ("opencode", "opencode", {"mode": "approve"}),
    ("opencode", "opencode_resumed", {"resume": "ses_e021c92d8ffe3n74KiEdKN3V0q"}),
    ("qwen", "qwen", {"mode": "default"}),
    ("gemini", "gemini_resumed", {"resume": "cb47e238-dfa8-4caa-8fa2-72c6a5d2cd78"}),
]
REQUESTS: dict[str, Any] = {
    "initialize": schema.InitializeRequest,
    "session/new": schema.NewSessionRequest,
    "session/load": schema.LoadSessionRequest,
    "session/resume": schema.ResumeSessionRequest,
    "session/fork": schema.ForkSessionRequest,
    "session/close": schema.CloseSessionRequest,
    "session/set_mode": schema.SetSessionModeRequest,
    "session/prompt": schema.PromptRequest,
    "session/cancel": schema.CancelNotification,
}
LEFT = {"session/set_model"}  # of the protocol's earlier schema; all four agents take it
SESSIONS = schema.SessionCapabilities(
    fork=schema.SessionForkCapabilities(), resume=schema.SessionResumeCapabilities(), close=schema.SessionCloseCapabilities()
)


def wire(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def check(message: dict[str, Any]) -> None:
    """Check what we wrote, letter by letter: a field that the model does not know would be missing from what it makes of it."""
    if message.get("method") in LEFT or "error" in message:
        return
    given = message["params"] if "method" in message else message["result"]
    model = REQUESTS[message["method"]] if "method" in message else schema.RequestPermissionResponse
    made = model.model_validate(given).model_dump(mode="json", by_alias=True)
    assert contained(given, made)


def contained(given: Any, made: Any) -> bool:
    if isinstance(given, dict):
        return all(name in made and contained(value, made[name]) for name, value in given.items())
    if isinstance(given, list):
        return len(given) == len(made) and all(contained(one, other) for one, other in zip(given, made, strict=True))
    return bool(given == made)


@pytest.mark.parametrize(("agent", "name", "wishes"), TAPES, ids=[name for _, name, _ in TAPES])
def test_what_we_write_is_valid(agent: str, name: str, wishes: dict[str, Any]) -> None:
    played, _ = play(agent, name, **wishes)
    assert played.written
    for message in played.written:
        check(message)


@pytest.mark.parametrize("wishes", [{}, {"resume": "s0"}, {"resume": "s0", "fork": True}])
def test_what_is_valid_is_understood(wishes: dict[str, Any]) -> None:
    played = Played("opencode", **wishes)
    played.take(Spawned())
    able = schema.AgentCapabilities(session_capabilities=SESSIONS)
    about = schema.Implementation(name="agent", version="9.1")
    played.answer(wire(schema.InitializeResponse(protocol_version=1, agent_capabilities=able, agent_info=about)))
    modes = schema.SessionModeState(
        current_mode_id="build",
        available_modes=[schema.SessionMode(id="build", name="Build"), schema.SessionMode(id="p", name="P")],
    )
    played.answer(wire(schema.NewSessionResponse(session_id="s1", modes=modes)))
    (greeted,) = played.of(Greeted)
    assert (greeted.version, greeted.modes, greeted.mode) == ("9.1", ("build", "p", "approve"), "build")
    assert "fork" in greeted.can
    played.take(Prompt(turn="t", text="hi"))
    text = schema.TextContentBlock(type="text", text="said")
    shown = schema.ContentToolCallContent(type="content", content=text)
    for update in (
        schema.AgentThoughtChunk(session_update="agent_thought_chunk", content=text),
        schema.AgentMessageChunk(session_update="agent_message_chunk", content=text),
        schema.AgentPlanUpdate(
            session_update="plan", entries=[schema.PlanEntry(content="do", priority="high", status="in_progress")]
        ),
        schema.ToolCallStart(
            session_update="tool_call",
            tool_call_id="c",
            title="ls",
            kind="execute",
            status="in_progress",
            raw_input={"command": "ls"},
        ),
        schema.ToolCallProgress(session_update="tool_call_update", tool_call_id="c", status="completed", content=[shown]),
    ):
        told = schema.SessionNotification(session_id=played.state.session, update=update)
        played.hear(method="session/update", params=wire(told))
    asked = schema.RequestPermissionRequest(
        session_id=played.state.session,
        tool_call=schema.ToolCallUpdate(tool_call_id="d", title="rm", kind="delete"),
        options=[schema.PermissionOption(option_id="n", name="No", kind="reject_once")],
    )
    played.hear(id=5, method="session/request_permission", params=wire(asked))
    played.take(Decide(approval=played.of(Ask)[0].approval, option=None))
    played.take(Interrupt())
    number = next(one["id"] for one in played.written if one.get("method") == "session/prompt")
    played.hear(id=number, result=wire(schema.PromptResponse(stop_reason="cancelled")))
    assert [(one.channel, one.text) for one in played.of(TextAdded)] == [("thought", "said"), ("reply", "said")]
    assert [one.state for one in played.of(PlanUpdated)[0].steps] == ["in_progress"]
    assert [(one.name, one.arguments) for one in played.of(ToolStarted)] == [("execute", "ls"), ("delete", "")]
    assert played.of(ToolEnded)[0].output == "said"
    assert [one.outcome for one in played.of(TurnEnded)] == ["interrupted"]
    for message in played.written:
        check(message)
