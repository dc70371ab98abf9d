"""The demo's cast and what its agents say and hear."""

from __future__ import annotations

import json
from itertools import count

import pytest

from actors.demo.cast import AGENT, BASE_URL_VARIABLE, Member, cast
from actors.demo.dialogue import Answer, body, headers, hear, refusal
from actors.echo.mode import Mode
from actors.echo.plan import Moment, plan_reply, plan_script
from actors.echo.responses import Responses, read_responses
from actors.gateway.attribution import Caller, Standing, attribute
from actors.gateway.claims import Claims
from actors.probe.terminal import find_terminal
from schemas.identity import ConversationKey, LaunchId, ProcessKey
from schemas.launch import LaunchRecord

numbers = count(1)
CAST = cast(lambda: f"00000000-0000-4000-8000-{next(numbers):012d}")
PROCESS = ProcessKey("host", "boot", 7, 1)
LAUNCH = LaunchRecord(launch=LaunchId("launch-000000000001"), agent=AGENT, token_sha256="", process=PROCESS, created="")


def test_the_cast_shows_a_verified_a_provisional_and_a_kernel_proven_row() -> None:
    assert [(member.launched, member.conversation is not None, member.turns) for member in CAST] == [
        (True, True, None),
        (True, False, 0),
        (False, False, None),
    ]
    assert len({member.wt_session for member in CAST}) == len(CAST)


@pytest.mark.parametrize("member", CAST, ids=lambda member: member.name)
def test_a_member_is_in_its_own_tab_wherever_the_demo_is_started(member: Member) -> None:
    parent = {"TMUX": "/tmp/tmux,1,0", "TMUX_PANE": "%0", "WT_SESSION": "else", "TERM_PROGRAM": "vscode", "PATH": "/bin"}
    environ = member.environ(parent, "http://127.0.0.1:8129/s/secret/v1")
    assert environ["PATH"] == "/bin"
    assert find_terminal(environ, "/dev/pts/1", None).key == member.terminal_key
    assert "secret" not in " ".join(member.argv("python"))
    assert environ[BASE_URL_VARIABLE].endswith("/s/secret/v1")


def test_a_launched_program_names_its_conversation_by_its_launch() -> None:
    claims = Claims("codex", ConversationKey("codex:c1"), "c1", "main", None, "session-id")
    caller = Caller(process=PROCESS)
    own = attribute(caller, Standing("living", LAUNCH, "same"), claims)
    assert (own.session, own.agent, own.conversation) == ("demo-c1", "demo", "demo:c1")
    child = attribute(caller, Standing("living", LAUNCH, "descendant"), claims)
    assert str(child.session) == LAUNCH.launch
    assert child.conversation is None
    assert any(each.conflict for each in child.evidence)
    codex = attribute(Caller(process=PROCESS, agent="codex"), Standing("living", LAUNCH, "same"), claims)
    assert codex.session == "codex-c1"


def test_an_answer_is_heard_to_its_end() -> None:
    asked, _ = read_responses(body((("user", "a"), ("assistant", "b")), "c", "key"), headers("c1"))
    assert (asked.text, asked.session, asked.thread, asked.cache_key) == ("c", "c1", "c1", "key")
    reply = plan_reply(asked, Mode(say="one two"), Moment("0" * 32, 1, cached=2))
    answer, shown = Answer(), ""
    for chunk in plan_script(Responses(), asked, Mode(), reply).chunks:
        for line in chunk.content.decode().splitlines():
            answer, text = hear(answer, line)
            shown += text
    assert shown == "one two" == answer.text
    assert (answer.end, answer.input_tokens, answer.cached_tokens, answer.output_tokens) == ("completed", 3, 2, 2)


@pytest.mark.parametrize("line", ["", ": comment", "data: [DONE]", "data: {", "data: []", 'data: {"type": 3}', "event: x"])
def test_a_line_that_says_nothing_is_passed_over(line: str) -> None:
    answer, text = hear(Answer(), line)
    assert (answer.text, answer.end, text) == ("", "", "")


def test_a_failure_has_its_reason() -> None:
    event = {"type": "response.failed", "response": {"error": {"code": "x", "message": "out of words"}}}
    answer, _ = hear(Answer(), f"data: {json.dumps(event)}")
    assert (answer.end, answer.problem) == ("failed", "out of words")
    assert refusal(503, b'{"error": {"message": "no provider"}}') == "status 503: no provider"
    assert refusal(502, b"bad\ngateway") == "status 502: bad"
    assert refusal(500, b"") == "status 500: no body"
