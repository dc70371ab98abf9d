"""What the answers of a provider that is tried mean, and what a past request's facts add up to."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from actors.cli.provider_steps import Reply, credentials, judge, judge_models, models_in, models_question, smallest_question
from actors.cli.trace import trace_lines, trace_of
from schemas import events as e
from schemas.config import ServedDialect
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.evidence import Evidence, Rank
from schemas.identity import RequestId, TerminalKey

FIRST = RequestId("r1")


def error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


@pytest.mark.parametrize(
    ("reply", "state", "said"),
    [
        (Reply(200, {"id": "r"}), "ok", "answers as m"),
        (Reply(200, None), "problem", "no JSON"),
        (Reply(401, error("bad key")), "problem", "refuses the key (401: bad key)"),
        (Reply(403, None), "problem", "refuses the key (403)"),
        (Reply(404, error("no such path")), "problem", "does not speak this at this address (404: no such path)"),
        (Reply(404, error("The model `m` does not exist")), "problem", "does not know the model m"),
        (Reply(400, {"detail": "unknown Model"}), "problem", "does not know the model m"),
        (Reply(400, error("x")), "problem", "refuses the request (400: x)"),
        (Reply(429, error("slow down")), "problem", "knows the key"),
        (Reply(503, None), "problem", "is out of order (503)"),
        (Reply(302, None, location="http://b"), "problem", "sends elsewhere (302)"),
        (Reply(failure="refuses connections|is it running?"), "problem", "refuses connections"),
        (Reply(400, error("x" * 999)), "problem", "…"),
    ],
)
def test_an_answer_means_something_to_do(reply: Reply, state: str, said: str) -> None:
    check = judge("it", reply, "m")
    assert check.state == state
    assert said in check.finding
    assert bool(check.advice) == (state == "problem")
    assert len(check.finding) < 400


@pytest.mark.parametrize(
    ("reply", "state", "said"),
    [
        (Reply(200, {"data": [{"id": "m"}, {"id": "n"}]}), "ok", "lists 2 models"),
        (Reply(200, {"data": [{"id": "n"}]}), "problem", "does not list the model m"),
        (Reply(200, {}), "ok", "answers"),
        (Reply(404, None), "note", "has no list of models (404)"),
        (Reply(401, None), "problem", "refuses the key"),
    ],
)
def test_a_list_of_models_need_not_be_there(reply: Reply, state: str, said: str) -> None:
    check = judge_models("it", reply, "m")
    assert (check.state, said in check.finding) == (state, True)


def test_lists_of_models_of_every_form_are_read() -> None:
    for body in ({"data": [{"id": "m"}]}, {"models": [{"name": "models/m"}]}, {"models": [{"slug": "m"}]}):
        assert models_in(body) == ["m"]
    others: tuple[object, ...] = (None, [], {"data": None}, {"data": [3, {"id": 4}]})
    for other in others:
        assert models_in(other) == []


def test_each_dialect_is_asked_in_its_own_words() -> None:
    for dialect in get_args(ServedDialect):
        question = smallest_question(dialect, "m")
        if dialect == "auggie":
            assert (question, models_question(dialect)) == (None, None)
            continue
        assert question is not None
        assert question.body is not None
        assert "m" in (question.body.get("model", ""), question.path.partition(":")[0].rpartition("/")[2])
        assert "KEY" in "".join(credentials(dialect, "KEY").values())


# ------------------------------------------------------------------------------------------------ a past request


def recorded(*facts: Any) -> list[Recorded]:
    when = "2026-11-21T08:00:00Z"
    return [
        Recorded(
            Stamp("e", position, when),
            Envelope(id=f"i{position}", source="/actor/gateway/1", type=fact.TYPE, subject="bus/x", time=when, data=fact),
        )
        for position, fact in enumerate(facts, 1)
    ]


def test_a_trace_holds_every_attempt_with_who_was_passed_over_and_what_was_changed() -> None:
    evidence = (
        Evidence(rank=Rank.KERNEL, kind="socket owner", proves="process", value="41-ab"),
        Evidence(
            rank=Rank.REQUEST_DECLARED,
            kind="header",
            proves="conversation",
            value="codex:x",
            rejected="another's",
            conflict=True,
        ),
    )
    candidates = (
        e.Candidate(provider="a"),
        e.Candidate(provider="b", skipped="is disabled"),
        e.Candidate(provider="c", model="n"),
    )
    common: dict[str, Any] = {"request": FIRST, "session": "codex-1"}
    trace = trace_of(
        FIRST,
        recorded(
            e.RequestReceived(request=FIRST, method="POST", path="/v1/responses", dialect="openai.responses", peer="p"),
            e.RequestAttributed(**common, agent="codex", terminal=TerminalKey("wt:1"), cwd="/w", evidence=evidence),
            e.RequestRouted(
                **common, provider="a", reason="pinned", pin="session:codex-1", candidates=candidates, requested_model="m"
            ),
            e.RequestRetried(**common, provider="a", code="upstream_error", message="busy", attempt=1, upstream_status=529),
            e.RequestRouted(**common, provider="c", reason="stands in", attempt=2, sent_model="n", changes=("model m → n",)),
            e.RequestFirstByte(**common, provider="c", status=200, first_byte_ms=3),
            e.RequestCompleted(
                **common, provider="c", status=200, timing=e.Timing(total_ms=40), bytes_in=1, bytes_out=2, served_model="n-1"
            ),
        ),
    )
    assert [(one.attempt, one.provider, one.sent_model) for one in trace.attempts] == [(1, "a", None), (2, "c", "n")]
    assert trace.attempts[0].outcome == "failed: upstream_error (529): busy"
    assert (trace.outcome, trace.status, trace.served_model) == ("completed 200 after 40 ms", 200, "n-1")
    lines = "\n".join(trace_lines(trace))
    for said in (
        "rank 2  process = 41-ab, by socket owner",
        "[CONFLICT: another's]",
        "attempt 1 → a: pinned, pin session:codex-1",
        "passed over b: is disabled",
        "could stand in: c as n",
        "changed: model m → n",
        "model: asked for m, sent n, served n-1",
    ):
        assert said in lines


def test_a_trace_of_a_request_that_was_refused_or_left_says_so() -> None:
    timing = e.Timing(total_ms=1)
    received = e.RequestReceived(request=FIRST, method="POST", path="/", dialect="unknown", peer="p")
    failed = e.RequestFailed(
        request=FIRST, session=None, phase="routing", code="no_provider", message="none", status=400, timing=timing
    )
    trace = trace_of(FIRST, recorded(received, failed))
    assert (trace.outcome, trace.attempts) == ("failed in routing: no_provider (400) after 1 ms: none", ())
    left = e.RequestCancelled(request=FIRST, session=None, phase="stream", timing=timing)
    assert trace_of(FIRST, recorded(received, left)).outcome == "cancelled by the caller in stream after 1 ms"
    assert trace_of(FIRST, recorded(received)).outcome == "in flight"
