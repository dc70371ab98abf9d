"""Playbooks of the exchange: what happens to one request, and what must come of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors.gateway import moves
from actors.gateway.admission import Kernel
from actors.gateway.attribution import NO_LAUNCH, Standing, attribute, unknown_caller
from actors.gateway.peek import Seen
from actors.gateway.route_terms import Listing, Table
from actors.gateway.state import Exchange
from actors.gateway.usage import Reading
from schemas import events as e
from schemas.identity import LaunchId, TerminalKey
from schemas.launch import LaunchRecord
from tests.gateway.exchange_play import CODEX, CODEX_FIELDS, CONVERSATION, DIALECTS, GPT, PROCESS, USABLE, WELL, Playbook, head

NO_KEY = Listing("has no key: environment variable KEY is not set", DIALECTS)
DISABLED = Listing("is disabled (enabled = false)", DIALECTS)


def launch(provider: str | None = None) -> LaunchRecord:
    return LaunchRecord(
        launch=LaunchId("launch-0123456789ab"),
        agent="codex",
        token_sha256="0" * 64,
        process=PROCESS,
        created="2026-11-21T00:00:00Z",
        terminal=TerminalKey("wt:2"),
        provider=provider,
    )


def reason_of(error: dict[str, Any]) -> str:
    """Return why, where Codex's own code stands in its place and where it does not."""
    return str(error.get("reason", error["code"]))


def test_a_stream_from_head_to_end() -> None:
    play = Playbook(head(given=CODEX_FIELDS))
    assert play.outputs == [moves.Identify(None)]
    play.identified()
    assert play.outputs == [moves.ReadBody()]
    play.then(moves.BodyRead, 10, GPT, USABLE)
    assert play.outputs == [moves.Send("echo", "gpt")]
    play.then(moves.HeadCame, 200, "text/event-stream; charset=utf-8")
    session = f"codex-{CONVERSATION}"
    assert play.outputs == [
        moves.Relay((("x-tabwire-request", "r-1"), ("x-tabwire-session", session), ("x-tabwire-provider", "echo")))
    ]
    play.then(moves.FirstByte)
    usage = e.Usage(input=3, output=2, total=5)
    play.then(moves.Ended, 999, Reading(usage, "resp_1", "gpt-x", "completed"))
    assert play.outputs == [moves.Finish()]
    assert play.told == ["request.received", "request.attributed", "request.routed", "request.first_byte", "request.completed"]
    assert play.subjects == ["request/r-1", *[f"session/{session}"] * 4]
    completed = play.facts[-1]
    assert (completed.usage, completed.response, completed.served_model) == (usage, "resp_1", "gpt-x")
    assert (completed.bytes_in, completed.bytes_out, completed.requested_model) == (10, 999, "gpt")
    assert completed.timing == e.Timing(total_ms=50, attribution_ms=10, upstream_head_ms=30, first_byte_ms=40)


def test_nothing_happens_after_the_outcome() -> None:
    play = Playbook(head()).streaming().then(moves.Ended, 1, Reading(ending="completed"))
    before = list(play.told)
    play.then(moves.CallerLeft).then(moves.UpstreamFailed, "cut").then(moves.Broke)
    assert play.told == before
    assert play.outputs == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"host": "evil.example:8129"}, 403, "host_refused"),
        ({"host": ""}, 403, "host_refused"),
        ({"host": "127.0.0.1"}, 403, "host_refused"),
        ({"origin": "http://127.0.0.1:8129"}, 403, "origin_refused"),
        ({"origin": "null"}, 403, "origin_refused"),
        ({"sec_fetch_site": "same-origin"}, 403, "browser_refused"),
        ({"sec_fetch_dest": "document"}, 403, "browser_refused"),
        ({"expect": "200-ok"}, 417, "expectation_failed"),
        ({"x_big": "x" * 33_000}, 431, "headers_too_large"),
        ({"x_bytes": "a\udcff"}, 400, "header_refused"),
    ],
)
def test_a_refused_head(fields: dict[str, str], status: int, code: str) -> None:
    play = Playbook(head(given=fields))
    assert (play.answer.status, reason_of(play.error())) == (status, code)
    assert play.told == ["request.failed"]
    assert (play.facts[0].phase, play.facts[0].code, play.subjects[0]) == ("admission", code, "request/r-1")


def test_node_s_own_fetch_is_no_browser() -> None:
    assert Playbook(head(sec_fetch_mode="cors")).let_in


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND"])
def test_methods_of_proxies_are_refused(method: str) -> None:
    play = Playbook(head(method=method))
    assert (play.answer.status, play.answer.close) == (405, True)


@pytest.mark.parametrize("host", ["127.0.0.1:8129", "localhost:8129", "LocalHost:8129", "[::1]:8129"])
def test_every_name_of_this_gateway(host: str) -> None:
    assert Playbook(head(host=host)).let_in


@pytest.mark.parametrize(
    "raw",
    ["/", "/v2/responses", "/v1x", "http://127.0.0.1:8129/v1/responses", "*", "/s/tok/v2/x", "/s/v1/responses", "//v1/x"],
)
def test_an_unknown_path_is_404(raw: str) -> None:
    play = Playbook(head(raw))
    assert play.answer.status == 404
    assert play.told == ["request.failed"]


@pytest.mark.parametrize(
    "rest", ["/../x", "/a/../b", "/./x", "/%2e%2E/x", "//x", "/a\\b", "/%2Fx", "/..", "/a b", "/ä", "/a?x=\x01"]
)
def test_a_path_that_others_could_read_otherwise_is_refused(rest: str) -> None:
    play = Playbook(head(f"/v1{rest}"))
    assert (play.answer.status, reason_of(play.error())) == (400, "path_refused")


@pytest.mark.parametrize("rest", ["/models?limit=1000", "/responses?a=..%2F..", "/x/a.b/..c/.d", ""])
def test_plain_paths_pass(rest: str) -> None:
    assert Playbook(head(f"/v1{rest}")).let_in


def test_another_user_is_refused_in_the_callers_dialect() -> None:
    stranger = Kernel(same_user=False)
    assert Playbook(head(), stranger).answer.status == 400
    claude = Playbook(head("/v1/messages", anthropic_version="2023-06-01"), stranger)
    assert claude.answer.status == 424
    assert claude.error()["type"] == "invalid_request_error"


def test_a_caller_whom_the_kernel_does_not_know_needs_a_token() -> None:
    unknown = Kernel(None, "it is gone")
    assert reason_of(Playbook(head(), unknown).error()) == "caller_unproven"
    assert Playbook(head("/s/" + "t" * 43 + "/v1/responses"), unknown).let_in


def test_a_websocket_upgrade_is_426_and_no_fact() -> None:
    play = Playbook(head(method="GET", upgrade=True))
    assert (play.answer.status, play.answer.close) == (426, True)
    assert play.told == []


def test_a_body_announced_too_large_is_refused_before_it_is_read() -> None:
    play = Playbook(head(length=64 * 1024 * 1024 + 1))
    assert (play.answer.status, play.answer.close) == (413, True)


def test_a_token_never_shows() -> None:
    token = "s3cret" + "t" * 37
    play = Playbook(head(f"/s/{token}/v1/responses?key=abc")).identified()
    assert play.facts[0].path == "/s/…/v1/responses"
    assert token not in repr(play.facts)


@pytest.mark.parametrize(("worth", "code"), [("unknown", "unknown_launch"), ("ended", "launch_ended")])
def test_a_dead_or_unknown_token_is_refused_with_the_reason(worth: Any, code: str) -> None:
    play = Playbook(head("/s/" + "t" * 43 + "/v1/responses")).identified(standing=Standing(worth, launch()))
    assert (play.answer.status, play.error()["reason"]) == (400, code)
    assert "tabwire run" in play.error()["message"]
    assert play.told == ["request.received", "request.failed"]
    assert play.facts[-1].phase == "attribution"
    claude = Playbook(head("/s/" + "t" * 43 + "/v1/messages")).identified(standing=Standing(worth, launch()))
    assert claude.answer.status == 424


def test_a_launch_brings_its_provider() -> None:
    play = Playbook(head("/s/" + "t" * 43 + "/v1/responses"))
    play.identified(standing=Standing("living", launch("deep"), "same")).then(moves.BodyRead, 1, Seen(), USABLE)
    assert play.outputs == [moves.Send("deep")]
    assert play.facts[-1].reason == "asked for by launch-0123456789ab"
    assert play.facts[-2].session == "launch-0123456789ab"


def test_a_provider_that_cannot_is_passed_over_loudly() -> None:
    table = Table({"echo": WELL, "deep": DISABLED})
    play = Playbook(head("/s/" + "t" * 43 + "/v1/responses"))
    play.identified(standing=Standing("living", launch("deep"), "same")).then(moves.BodyRead, 1, Seen(), table)
    assert play.outputs == [moves.Send("echo")]
    routed = play.facts[-1]
    assert routed.reason == "the default provider; passed over deep: is disabled (enabled = false)"
    assert {one.provider: one.skipped for one in routed.candidates} == {"deep": "is disabled (enabled = false)", "echo": ""}


def test_no_provider_at_all_is_a_refusal_that_codex_shows() -> None:
    play = Playbook(head()).identified().then(moves.BodyRead, 1, Seen(), Table({"deep": NO_KEY}, default="deep"))
    assert (play.answer.status, play.error()["reason"]) == (400, "no_provider")
    assert "KEY is not set" in play.error()["message"]
    assert play.told[-2:] == ["request.routed", "request.failed"]


@pytest.mark.parametrize(
    ("problem", "codex", "claude"),
    [
        ("refused", 502, 502),
        ("unreachable", 502, 502),
        ("tls", 502, 502),
        ("connect_timeout", 424, 504),
        ("first_byte_timeout", 400, 504),
        ("cut", 424, 502),
        ("malformed", 424, 502),
    ],
)
def test_a_provider_that_does_not_answer(problem: Any, codex: int, claude: int) -> None:
    play = Playbook(head()).sent().then(moves.UpstreamFailed, problem, "at http://127.0.0.1:1")
    assert play.answer.status == codex
    assert "'echo'" in play.error()["message"]
    failed = play.facts[-1]
    assert (failed.TYPE, failed.phase, failed.status, failed.provider) == ("request.failed", "connect", codex, "echo")
    assert (failed.attempts, failed.sent_model) == (1, "gpt")
    assert ("x-request-id", "r-1") in play.answer.own
    assert [outcome.kind for outcome in play.observed] == ["failed"]
    other = Playbook(head("/v1/messages")).sent().then(moves.UpstreamFailed, problem)
    assert other.answer.status == claude


def test_a_redirect_is_not_followed() -> None:
    play = Playbook(head()).sent().then(moves.HeadCame, 307)
    assert (play.answer.status, play.error()["reason"]) == (400, "upstream_redirect")


@pytest.mark.parametrize("problem", ["cut", "idle_timeout"])
def test_a_cut_stream_ends_with_the_dialect_s_failure(problem: Any) -> None:
    play = Playbook(head()).streaming().then(moves.UpstreamFailed, problem, "", 50, Reading(response="resp_1"))
    (last,) = play.outputs
    assert isinstance(last, moves.Break)
    assert last.ended
    name, data = last.last.strip().split(b"\n")
    assert name == b"event: response.failed"
    assert orjson.loads(data.removeprefix(b"data: "))["response"]["id"] == "resp_1"
    assert (play.facts[-1].phase, play.facts[-1].status, play.facts[-1].bytes_out) == ("stream", 200, 50)


def test_claude_reads_error_events() -> None:
    play = Playbook(head("/v1/messages")).streaming().then(moves.UpstreamFailed, "cut")
    (last,) = play.outputs
    assert isinstance(last, moves.Break)
    assert b"event: error\n" in last.last
    assert last.ended


def test_a_caller_that_leaves_with_the_whole_answer_has_completed() -> None:
    play = Playbook(head()).streaming().then(moves.CallerLeft, 50, Reading(response="resp_1", ending="completed"))
    assert play.outputs == []
    assert (play.facts[-1].TYPE, play.facts[-1].response) == ("request.completed", "resp_1")


def test_a_caller_that_leaves_with_a_failure_has_failed() -> None:
    play = Playbook(head()).streaming().then(moves.CallerLeft, 50, Reading(ending="failed", error="server_error"))
    assert (play.facts[-1].TYPE, play.facts[-1].code) == ("request.failed", "response_failed")


def test_a_cut_document_is_just_cut() -> None:
    play = Playbook(head()).sent().then(moves.HeadCame, 200, "application/json").then(moves.FirstByte)
    assert play.then(moves.UpstreamFailed, "cut").outputs == [moves.Break(b"")]


def test_a_stream_that_ends_without_its_last_event_is_truncated() -> None:
    play = Playbook(head()).streaming().then(moves.Ended, 5, Reading())
    (last,) = play.outputs
    assert isinstance(last, moves.Break)
    assert b"response.failed" in last.last
    assert play.facts[-1].code == "stream_truncated"


def test_a_chat_stream_may_just_end() -> None:
    play = Playbook(head("/v1/chat/completions")).streaming().then(moves.Ended, 5, Reading())
    assert play.told[-1] == "request.completed"


def test_an_error_inside_a_stream_passes_and_is_a_failure() -> None:
    play = Playbook(head()).streaming().then(moves.Ended, 5, Reading(ending="failed", error="server_is_overloaded"))
    assert play.outputs == [moves.Finish()]
    assert (play.facts[-1].code, play.facts[-1].status) == ("response_failed", 200)
    assert "server_is_overloaded" in play.facts[-1].message


def test_a_refusal_that_is_the_caller_s_own_passes_and_is_a_failure() -> None:
    play = Playbook(head()).sent().refused_with(400, b'{"error":{"message":"no such tool","code":"invalid_tool"}}')
    assert isinstance(play.outputs[0], moves.Relay)
    play.then(moves.FirstByte).then(moves.Ended, 5, Reading())
    assert play.outputs == [moves.Finish()]
    assert (play.facts[-1].code, play.facts[-1].status, play.facts[-1].upstream_status) == ("upstream_status", 400, 400)
    assert "invalid_tool" in play.facts[-1].message
    assert [outcome.kind for outcome in play.observed] == ["neutral"]


def test_a_session_that_asks_too_often_is_refused_and_told_nowhere() -> None:
    play = Playbook(head())
    play.then(moves.Identified, attribute(CODEX, NO_LAUNCH, play.state.claims), NO_LAUNCH, "too many")
    assert (play.answer.status, play.error()["message"]) == (400, "too many")
    assert play.told == []
    assert play.state.over


@pytest.mark.parametrize("steps", range(6))
def test_a_caller_who_leaves_at_any_point_is_cancelled_once(steps: int) -> None:
    play = Playbook(head())
    happened: list[tuple[Any, ...]] = [
        (moves.Identified, attribute(CODEX, NO_LAUNCH, play.state.claims), NO_LAUNCH),
        (moves.BodyRead, 10, GPT, USABLE),
        (moves.HeadCame, 200, "text/event-stream"),
        (moves.FirstByte,),
        (moves.Ended, 1, Reading(ending="completed")),
    ]
    for one in happened[:steps]:
        play.then(*one)
    play.then(moves.CallerLeft, 7, Reading(response="resp_1"))
    assert play.outputs == []
    phases = ["attribution", "routing", "connect", "response_head", "stream"]
    if steps < 5:
        assert (play.facts[-1].TYPE, play.facts[-1].phase) == ("request.cancelled", phases[steps])
        assert play.facts[-1].response == "resp_1"
    else:
        assert play.told[-1] == "request.completed"
    assert len(play.observed) == (1 if steps > 1 else 0)
    assert play.told.count("request.received") == 1


@pytest.mark.parametrize(("problem", "status"), [("too_large", 413), ("too_slow", 408), ("malformed", 400), ("busy", 503)])
def test_a_body_that_cannot_be_had(problem: Any, status: int) -> None:
    play = Playbook(head()).identified().then(moves.BodyFailed, problem)
    assert (play.answer.status, play.answer.close) == (status, True)
    assert play.facts[-1].phase == "routing"


def test_what_breaks_here_is_500_before_the_head_and_a_cut_after_it() -> None:
    assert Playbook(head()).sent().then(moves.Broke).answer.status == 500
    assert Playbook(head()).streaming().then(moves.Broke).outputs == [moves.Break()]


def test_an_unattributed_request_goes_on_and_says_why() -> None:
    play = Playbook(head(given=CODEX_FIELDS)).identified(unknown_caller("the search took too long"))
    attributed = play.facts[-1]
    assert (attributed.session, attributed.agent, play.subjects[-1]) == (None, "other", "request/r-1")
    assert "the search took too long" in attributed.evidence[0].rejected
    assert play.outputs == [moves.ReadBody()]
    assert isinstance(play.state, Exchange)
