"""Playbooks of a request's attempts: what goes elsewhere, what does not, and what is told of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from actors.gateway import moves
from actors.gateway.peek import Seen
from actors.gateway.route_terms import SEVERAL, Listing, Table
from actors.gateway.usage import Reading
from actors.runtime.http.fields import Fields
from schemas.config import Failover, Pin
from schemas.identity import TerminalKey
from tests.gateway.exchange_play import CODEX_FIELDS, CONVERSATION, DIALECTS, Playbook, head

ONE = Listing(dialects=DIALECTS, group="g", account="one")
TWO = Listing(dialects=DIALECTS, group="g", account="two")
STREAM = "text/event-stream"
STRIPPED = "2 reasoning items left out that only another account can read"


def pool(rules: Failover = Failover(), *pins: Pin, **more: Listing) -> Table:  # noqa: B008 - frozen
    return Table({"one": ONE, "two": TWO, **more}, pins, "one", rules)


def begun(table: Table | None = None, seen: Seen = Seen("gpt"), owner: str = "", **fields: str) -> Playbook:  # noqa: B008
    first = fields.pop("path", "/v1/responses")
    play = Playbook(head(first, given=fields)).identified()
    return play.then(moves.BodyRead, 10, seen, table or pool(), owner=owner, wall=1_800_000_000.0)


def refused(play: Playbook, status: int, error: dict[str, Any] | None = None, **fields: str) -> Playbook:
    play.then(moves.HeadCame, status, "application/json")
    assert play.outputs == [moves.Collect()]
    given = Fields.of({name.replace("_", "-"): value for name, value in fields.items()})
    return play.then(moves.Collected, given, orjson.dumps({"error": error or {}}))


# ------------------------------------------------------------------------------------------------ what goes elsewhere


@pytest.mark.parametrize("problem", ["refused", "unreachable", "tls", "connect_timeout", "cut", "malformed", "redirect"])
def test_a_provider_that_cannot_be_asked_sends_the_request_elsewhere(problem: Any) -> None:
    play = begun().then(moves.UpstreamFailed, problem)
    assert play.outputs == [moves.Send("two", "gpt")]
    retried, routed = play.facts[-2:]
    assert (retried.TYPE, retried.provider, retried.code, retried.attempt) == (
        "request.retried",
        "one",
        f"upstream_{problem}",
        1,
    )
    assert (routed.TYPE, routed.provider, routed.attempt) == ("request.routed", "two", 2)
    assert routed.reason.startswith("after provider 'one'")
    assert {one.provider: bool(one.skipped) for one in routed.candidates} == {"one": True, "two": False}
    assert [(outcome.provider, outcome.kind) for outcome in play.observed] == [("one", "failed")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_a_refusal_that_another_may_not_share_sends_it_elsewhere(status: int) -> None:
    play = refused(begun(), status)
    assert play.outputs == [moves.Send("two", "gpt")]
    assert (play.facts[-2].code, play.facts[-2].upstream_status) == ("upstream_status", status)
    play.then(moves.HeadCame, 200, STREAM).then(moves.FirstByte).then(moves.Ended, 9, Reading(ending="completed"))
    completed = play.facts[-1]
    assert (completed.TYPE, completed.provider, completed.attempts) == ("request.completed", "two", 2)
    assert [(one.provider, one.kind) for one in play.observed][1:] == [("two", "ok")]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_the_caller_did_wrong_is_the_caller_s(status: int) -> None:
    play = refused(begun(path="/v1/chat/completions"), status)
    assert isinstance(play.outputs[-1], moves.Relay)
    play.then(moves.FirstByte).then(moves.Ended, 9, Reading())
    assert (play.told[-1], play.facts[-1].attempts, play.facts[-1].status) == ("request.failed", 1, status)


def test_a_refused_key_of_ours_goes_elsewhere_and_a_refused_login_does_not() -> None:
    assert refused(begun(), 401).outputs == [moves.Send("two", "gpt")]
    login = Listing(dialects=DIALECTS, group="g", account="one", passthrough=True)
    assert isinstance(refused(begun(pool(one=login)), 401).outputs[-1], moves.Relay)


def test_a_silence_goes_elsewhere_only_where_it_is_allowed() -> None:
    assert isinstance(begun().then(moves.UpstreamFailed, "first_byte_timeout").outputs[-1], moves.Answer)
    allowed = begun(pool(Failover(retry_timeouts=True))).then(moves.UpstreamFailed, "first_byte_timeout")
    assert allowed.outputs == [moves.Send("two", "gpt")]


def test_the_last_one_s_answer_is_the_caller_s() -> None:
    play = refused(begun(path="/v1/chat/completions").then(moves.UpstreamFailed, "refused"), 429, retry_after="7")
    assert isinstance(play.outputs[-1], moves.Relay)
    assert ("x-tabwire-attempts", "2") in play.outputs[-1].own


def test_attempts_are_bounded() -> None:
    more = {name: Listing(dialects=DIALECTS, group="g") for name in "cdef"}
    play = begun(pool(Failover(attempts=3), **more))
    for _ in range(2):
        play.then(moves.UpstreamFailed, "refused")
        assert isinstance(play.outputs[-1], moves.Send)
    play.then(moves.UpstreamFailed, "refused")
    assert isinstance(play.outputs[-1], moves.Answer)
    assert (play.facts[-1].TYPE, play.facts[-1].attempts) == ("request.failed", 3)


def test_no_attempt_begins_after_the_seconds_are_over() -> None:
    play = begun(pool(Failover(seconds=5)))
    play.at += 5
    assert isinstance(play.then(moves.UpstreamFailed, "refused").outputs[-1], moves.Answer)


def test_nothing_goes_elsewhere_after_the_answer_has_begun() -> None:
    play = begun().then(moves.HeadCame, 200, STREAM).then(moves.Released).then(moves.UpstreamFailed, "cut")
    assert isinstance(play.outputs[-1], moves.Break)
    assert play.told[-1] == "request.failed"


# ------------------------------------------------------------------------------------------------ held back


def test_a_beginning_is_held_back_only_while_there_is_an_alternative() -> None:
    assert begun().then(moves.HeadCame, 200, STREAM).outputs == [moves.HoldBack()]
    lone = begun(Table({"one": ONE}, default="one")).then(moves.HeadCame, 200, STREAM)
    assert isinstance(lone.outputs[-1], moves.Relay)
    last = begun().then(moves.UpstreamFailed, "refused").then(moves.HeadCame, 200, STREAM)
    assert isinstance(last.outputs[-1], moves.Relay)
    file = begun().then(moves.HeadCame, 200, "audio/mpeg")
    assert isinstance(file.outputs[-1], moves.Relay)


def test_an_error_before_any_output_goes_elsewhere() -> None:
    play = begun().then(moves.HeadCame, 200, STREAM)
    error = b'data: {"type":"response.failed","response":{"error":{"code":"server_is_overloaded"}}}\n\n'
    play.then(moves.Collected, Fields.of({}), error, whole=False, error=True)
    assert play.outputs == [moves.Send("two", "gpt")]
    assert play.facts[-2].upstream_status == 200


def test_an_error_that_is_the_caller_s_passes_as_it_came() -> None:
    play = begun().then(moves.HeadCame, 200, STREAM)
    error = b'data: {"type":"response.failed","response":{"error":{"code":"context_length_exceeded"}}}\n\n'
    play.then(moves.Collected, Fields.of({}), error, whole=True, error=True)
    assert isinstance(play.outputs[-1], moves.Relay)


def test_a_stream_that_ends_without_output_goes_elsewhere_and_else_is_cut() -> None:
    play = begun().then(moves.HeadCame, 200, STREAM).then(moves.Collected, Fields.of({}), b"")
    assert play.outputs == [moves.Send("two", "gpt")]
    play.then(moves.HeadCame, 200, STREAM).then(moves.Ended, 0, Reading())
    assert isinstance(play.outputs[0], moves.Break)


@pytest.mark.parametrize(("status", "kind"), [(200, STREAM), (503, "application/json")])
def test_a_caller_who_leaves_while_an_answer_is_kept(status: int, kind: str) -> None:
    play = begun().then(moves.HeadCame, status, kind).then(moves.CallerLeft, 0, Reading(response="resp_1"))
    cancelled = play.facts[-1]
    assert (cancelled.TYPE, cancelled.phase, cancelled.response) == ("request.cancelled", "response_head", "resp_1")
    assert [outcome.kind for outcome in play.observed] == ["neutral"]


def test_a_refusal_that_breaks_off_is_answered_whole() -> None:
    play = begun(Table({"one": ONE}, default="one"), path="/v1/chat/completions").then(moves.HeadCame, 400, "")
    play.then(moves.Collected, Fields.of({}), b'{"er', whole=False, cut=True)
    assert play.answer.status == 400
    assert play.error()["message"].endswith("and broke off")


# ------------------------------------------------------------------------------------------------ what is changed


def pinned(on_failure: Any = "fallback") -> Pin:
    return Pin(provider="two", terminal=TerminalKey("wt:1"), model="deep", on_failure=on_failure)


def test_another_model_is_written_before_it_is_sent() -> None:
    play = begun(pool(Failover(), pinned()))
    assert play.outputs == [moves.Rewrite("deep", strip=False)]
    assert "request.routed" not in play.told
    play.then(moves.Rewritten, ("model deep",))
    assert play.outputs == [moves.Send("two", "deep")]
    routed = play.facts[-1]
    assert (routed.pin, routed.sent_model, routed.requested_model, routed.changes) == (
        "terminal:wt:1",
        "deep",
        "gpt",
        ("model deep",),
    )
    play.then(moves.UpstreamFailed, "refused")
    assert play.outputs == [moves.Send("one", "gpt")], "the alternative is sent the caller's own bytes"
    assert play.facts[-1].changes == ()


def test_what_cannot_be_rewritten_goes_to_the_next_or_is_refused() -> None:
    play = begun(pool(Failover(), pinned())).then(moves.Rewritten, problem="not JSON")
    assert play.outputs == [moves.Send("one", "gpt")]
    assert (play.facts[-1].attempt, play.facts[-1].reason) == (1, "two is passed over: not JSON")
    strict = begun(pool(Failover(), pinned("fail"))).then(moves.Rewritten, problem="not JSON")
    assert (strict.answer.status, strict.error()["reason"]) == (400, "cannot_rewrite")
    assert (strict.facts[-2].provider, strict.facts[-1].attempts) == ("none", 0)


REASONED = Seen("gpt", encrypted=2)
UNREADABLE = {"code": "invalid_encrypted_content", "message": "cannot be read"}


def test_reasoning_that_cannot_be_read_is_left_out_once() -> None:
    play = refused(begun(pool(Failover(attempts=1)), REASONED, **CODEX_FIELDS), 400, UNREADABLE)
    assert play.outputs == [moves.Rewrite(None, strip=True)]
    assert play.facts[-1].code == "encrypted_content"
    play.then(moves.Rewritten, (STRIPPED,))
    assert play.outputs == [moves.Send("one", "gpt")]
    assert (play.facts[-1].attempt, play.facts[-1].changes) == (2, (STRIPPED,))
    again = refused(play, 400, UNREADABLE)
    assert isinstance(again.outputs[-1], moves.Relay)


def test_it_is_left_alone_where_that_is_the_rule() -> None:
    play = refused(begun(pool(Failover(encrypted_content="refuse")), REASONED), 400, UNREADABLE)
    assert isinstance(play.outputs[-1], moves.Relay)


@pytest.mark.parametrize(("owner", "account"), [("", "one"), ("one", None), ("two", SEVERAL), (SEVERAL, None)], ids=str)
def test_who_answered_last_is_noted(owner: str, account: str | None) -> None:
    play = begun(pool(), REASONED, owner, **CODEX_FIELDS)
    if isinstance(play.outputs[-1], moves.Rewrite):
        play.then(moves.Rewritten, (STRIPPED,))
    play.then(moves.HeadCame, 200, STREAM).then(moves.Released).then(moves.FirstByte)
    play.then(moves.Ended, 9, Reading(ending="completed"))
    assert play.told[-1] == "request.completed"
    assert play.owned == ([] if account is None else [moves.Own(CONVERSATION, account)])


# ------------------------------------------------------------------------------------------------ pins that are strict


def test_a_pin_that_fails_is_a_refusal_and_one_that_asks_says_so_too() -> None:
    gone = Listing("is disabled", DIALECTS, group="g")
    play = begun(pool(Failover(), pinned("fail"), two=gone))
    assert (play.answer.status, play.error()["reason"]) == (400, "pin_failed")
    play = begun(pool(Failover(), pinned("ask"), two=gone))
    assert (play.answer.status, play.error()["reason"]) == (400, "pin_undecided")
    assert play.told[-3:] == ["request.routed", "pin.decision_needed", "request.failed"]
    assert play.subjects[-2] == "pin/terminal"
    assert play.facts[-2].alternatives == ("one",)


def test_a_strict_pin_s_own_failure_is_the_caller_s() -> None:
    play = begun(pool(Failover(), pinned("fail"))).then(moves.Rewritten, ()).then(moves.UpstreamFailed, "refused")
    assert isinstance(play.outputs[-1], moves.Answer)
