"""What the adapter writes and knows, held against the protocol that the installed Codex itself describes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from actors.bridge.adapter import Ask, Change, Clear, Decide, Interrupt, Output, Prompt, Write
from actors.bridge.codex.told import _OF_ANY, _OF_THREAD, _OF_TURN, UNWANTED
from tests.bridge.codex_play import RECORDED, THREAD, TURN, Play, command, replay
from tests.e2e.codex import BINARY, needs_codex

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let Codex write down its protocol."""
    folder = tmp_path_factory.mktemp("protocol")
    home = folder / "home"
    home.mkdir()
    subprocess.run(
        [str(BINARY), "app-server", "generate-json-schema", "--experimental", "--out", str(folder)],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(home), "CODEX_HOME": str(home)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


def schema(protocol: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((protocol / f"{name}.json").read_text())
    return found


def methods(protocol: Path, name: str) -> set[str]:
    return {method for one in schema(protocol, name)["oneOf"] for method in one["properties"]["method"]["enum"]}


def frames(outputs: list[Output]) -> list[dict[str, Any]]:
    return [json.loads(one.line) for one in outputs if isinstance(one, Write)]


def wishes() -> list[dict[str, Any]]:
    """Return every kind of request and notification that the adapter makes."""
    found = frames(replay("codex-session.jsonl", mode="ask").said) + frames(replay("codex-resumed.jsonl", resume=THREAD).said)
    fork = replay("codex-resumed.jsonl", resume=THREAD, fork=True, model="gpt-5.5")
    play = Play.ready()
    play.give(Prompt(turn="turn-1", text="x"))
    play.give(Interrupt())
    play.give(Change(model="m", mode="default"))
    play.give(Clear())
    return [*found, *frames(fork.said), *frames(play.said)]


def test_every_request_of_ours_is_one_of_the_protocol(protocol: Path) -> None:
    asked = [frame for frame in wishes() if "method" in frame and "id" in frame]
    assert {frame["method"] for frame in asked} == {
        "initialize",
        "model/list",
        "thread/backgroundTerminals/list",
        "thread/backgroundTerminals/terminate",
        "thread/fork",
        "thread/resume",
        "thread/settings/update",
        "thread/start",
        "thread/unsubscribe",
        "turn/interrupt",
        "turn/start",
    }
    whole = schema(protocol, "ClientRequest")
    for frame in asked:
        (rule,) = [one for one in whole["oneOf"] if frame["method"] in one["properties"]["method"]["enum"]]
        errors = [error.message for error in Draft7Validator({**rule, "definitions": whole["definitions"]}).iter_errors(frame)]
        assert errors == [], frame
        known = whole["definitions"][rule["properties"]["params"]["$ref"].rpartition("/")[2]]["properties"]
        assert set(frame["params"]) <= set(known), frame  # a field that is not known is not refused, and does nothing


def test_every_notification_that_is_read_or_not_wanted_is_one_of_the_protocol(protocol: Path) -> None:
    known = methods(protocol, "ServerNotification")
    assert {*_OF_ANY, *_OF_THREAD, *_OF_TURN, *UNWANTED} - known == set()
    recorded = map(json.loads, (RECORDED / "codex-session.jsonl").read_text().splitlines())
    told = [row["line"] for row in recorded if "line" in row]
    assert {one["method"] for one in told if "method" in one and "id" not in one} <= known


@pytest.mark.parametrize(
    ("method", "params", "answer"),
    [
        ("item/commandExecution/requestApproval", command(), "CommandExecutionRequestApprovalResponse"),
        ("item/fileChange/requestApproval", {}, "FileChangeRequestApprovalResponse"),
        (
            "item/permissions/requestApproval",
            {"permissions": {"network": {"enabled": True}, "fileSystem": None}},
            "PermissionsRequestApprovalResponse",
        ),
        (
            "mcpServer/elicitation/request",
            {"mode": "form", "message": "m", "serverName": "s", "requestedSchema": {"type": "object", "properties": {}}},
            "McpServerElicitationRequestResponse",
        ),
        ("item/tool/requestUserInput", {"questions": []}, "ToolRequestUserInputResponse"),
    ],
)
def test_every_answer_of_ours_is_one_of_the_protocol(protocol: Path, method: str, params: dict[str, Any], answer: str) -> None:
    assert method in methods(protocol, "ServerRequest")
    params = {"threadId": THREAD, "turnId": TURN, "itemId": "i", **params}
    rule = Draft7Validator(schema(protocol, answer))
    said = Play.working().line(id=1, method=method, params=params)
    asked = next((one for one in said if isinstance(one, Ask)), None)
    results = [frame["result"] for frame in frames(said)]
    for option in (*asked.options, None) if asked is not None else ():
        play = Play.working()
        play.line(id=1, method=method, params=params)
        given = play.give(Decide(approval=asked.approval, option=option.id if option else None)) if asked else []
        results += [frame["result"] for frame in frames(given)]
    assert results
    for result in results:
        assert [error.message for error in rule.iter_errors(result)] == [], result
