"""What refusals mean, in the words of each API, and what each agent is sent for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import orjson
import pytest

from actors.gateway.failure_table import ROWS, markdown
from actors.gateway.faults import Fault, adapt, outcome_of, outcome_of_problem, read_fault, told
from actors.gateway.moves import Problem
from actors.runtime.http.fields import Fields
from schemas.events import Dialect

NOON = 1_795_000_000.0
README = Path(__file__).resolve().parents[2] / "README.md"


def openai(message: str = "words", code: str | None = None, type_: str = "invalid_request_error", **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": type_, "param": None, "code": code, **more}})


def anthropic(type_: str, message: str = "words") -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": type_, "message": message}})


def gemini(code: int, status: str, *details: dict[str, Any], message: str = "words") -> bytes:
    return orjson.dumps({"error": {"code": code, "message": message, "status": status, "details": list(details)}})


def read(status: int, body: bytes = b"", dialect: Dialect = "openai.responses", **fields: str) -> Fault:
    return read_fault(dialect, status, Fields([(name.replace("_", "-"), each) for name, each in fields.items()]), body, NOON)


def in_a_stream(code: str, message: str = "words") -> bytes:
    created = {"type": "response.created", "response": {"id": "resp_1", "error": None}}
    failed = {"type": "response.failed", "response": {"id": "resp_1", "error": {"code": code, "message": message}}}
    return b"".join(b"event: x\ndata: " + orjson.dumps(each) + b"\n\n" for each in (created, failed))


PER_DAY = {"@type": "x/QuotaFailure", "violations": [{"quotaId": "RequestsPerDayPerModel", "quotaDimensions": {"model": "g"}}]}
PER_MINUTE = {
    "@type": "x/QuotaFailure",
    "violations": [{"quotaId": "RequestsPerMinute", "quotaDimensions": {"location": "global"}}],
}
DELAY = {"@type": "x/RetryInfo", "retryDelay": "34.5s"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (read(400, openai()), "bad_request"),
        (read(400, openai(code="context_length_exceeded")), "bad_request"),
        (read(400, openai(code="invalid_encrypted_content")), "encrypted_content"),
        (read(401, openai(code="invalid_api_key")), "auth"),
        (read(403), "auth"),
        (read(402, openai("Insufficient Balance")), "quota"),
        (read(404, openai(code="model_not_found")), "unknown_model"),
        (read(404, openai("model 'x' not found, try pulling it first")), "unknown_model"),
        (read(404, b"<html>nothing here</html>"), "other"),
        (read(404, anthropic("not_found_error", "model: nope"), "anthropic.messages"), "unknown_model"),
        (read(404, gemini(404, "NOT_FOUND", message="models/x is not found"), "gemini.generate"), "unknown_model"),
        (read(413), "too_large"),
        (read(422, openai()), "bad_request"),
        (read(429, openai(code="rate_limit_exceeded")), "rate"),
        (read(429, anthropic("rate_limit_error"), "anthropic.messages"), "rate"),
        (read(429, anthropic("rate_limit_error"), "anthropic.messages", retry_after="7999"), "quota"),
        (read(429, anthropic("rate_limit_error"), anthropic_ratelimit_unified_status="rejected"), "quota"),
        (read(429, gemini(429, "RESOURCE_EXHAUSTED", PER_MINUTE, DELAY), "gemini.generate"), "rate"),
        (read(429, gemini(429, "RESOURCE_EXHAUSTED", PER_DAY, DELAY), "gemini.generate"), "quota"),
        (read(429, orjson.dumps([orjson.loads(gemini(429, "RESOURCE_EXHAUSTED", PER_DAY))])), "quota"),
        (read(429, openai(code="insufficient_quota")), "quota"),
        (read(429, openai(type_="usage_limit_reached")), "quota"),
        (
            read(400, anthropic("invalid_request_error", "Your credit balance is too low to access"), "anthropic.messages"),
            "quota",
        ),
        (read(500, openai(type_="server_error")), "server"),
        (read(502, b"<html>Bad Gateway</html>"), "server"),
        (read(503, openai(code="server_is_overloaded")), "overloaded"),
        (read(503, gemini(503, "UNAVAILABLE", message="The model is overloaded."), "gemini.generate"), "overloaded"),
        (read(503), "server"),
        (read(529, anthropic("overloaded_error"), "anthropic.messages"), "overloaded"),
        (read(409), "other"),
        (read(200, in_a_stream("rate_limit_exceeded")), "rate"),
        (read(200, in_a_stream("insufficient_quota")), "quota"),
        (read(200, in_a_stream("server_is_overloaded")), "overloaded"),
        (read(200, in_a_stream("context_length_exceeded")), "bad_request"),
        (read(200, in_a_stream("something_new")), "server"),
        (read(200, b"event: error\ndata: " + anthropic("overloaded_error") + b"\n\n", "anthropic.messages"), "overloaded"),
        (read(200, b'data: {"error":"words alone"}\n\n', "openai.chat"), "server"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.status}-{value.code}",
)
def test_a_refusal_is_read_for_what_it_means(fault: Fault, kind: str) -> None:
    assert fault.kind == kind


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"[[]]", b'"text"', b'{"error":7}', b'{"error":{"code":{}}}', b"\xff\xfe"]
)
@pytest.mark.parametrize("status", [200, 400, 404, 429, 500])
def test_a_body_of_any_kind_is_read(body: bytes, status: int) -> None:
    assert read(status, body).code == ""


@pytest.mark.parametrize(
    ("fault", "pause", "resets"),
    [
        (read(429, retry_after="2"), 2, None),
        (read(429, retry_after_ms="1500", retry_after="2"), 1.5, None),
        (read(429, retry_after="Sat, 21 Nov 2026 08:01:00 GMT", date="Sat, 21 Nov 2026 08:00:00 GMT"), 60, None),
        (read(429, retry_after="Sat, 21 Nov 2026 08:01:00 GMT"), None, None),
        (read(429, retry_after="soon"), None, None),
        (read(429, retry_after="-3"), None, None),
        (read(429, openai("Please try again in 1m2.5s. Visit …")), 62.5, None),
        (read(429, openai("Please retry in 250ms")), 0.25, None),
        (read(429, gemini(429, "RESOURCE_EXHAUSTED", DELAY)), 34.5, None),
        (read(429, x_ratelimit_remaining_tokens="0", x_ratelimit_reset_tokens="6m0s"), 360, NOON + 360),
        (read(429, x_ratelimit_remaining_tokens="5", x_ratelimit_reset_tokens="6m0s"), None, None),
        (read(429, openai(type_="usage_limit_reached", resets_at=1795300000)), None, 1795300000),
        (read(429, openai(type_="usage_limit_reached", resets_in_seconds=7200)), 7200, NOON + 7200),
        (read(429, retry_after="7999", anthropic_ratelimit_unified_reset="1795007000"), 7999, 1795007000),
        (read(429, retry_after="1e400"), None, None),
    ],
)
def test_when_a_provider_wants_to_be_asked_again_is_read(fault: Fault, pause: float | None, resets: float | None) -> None:
    assert (fault.retry_after, fault.resets_at) == (pause, resets)


def sent(dialect: Dialect, status: int, body: bytes = b"", *, passthrough: bool = False, **fields: str) -> Any:
    """Return what a caller is sent: status, message, code and the fields that matter; None as it came."""
    fault = read(status, body, dialect, **fields)
    adapted = adapt(dialect, fault, status, provider="acme", passthrough=passthrough, body=body)
    if adapted is None:
        return None
    error = orjson.loads(adapted.body or b"{}").get("error", {})
    return adapted.status, error.get("message"), dict(adapted.fields)


CODEX: Dialect = "openai.responses"
CLAUDE: Dialect = "anthropic.messages"


def test_codex_is_shown_at_once_what_no_repetition_can_help() -> None:
    assert sent(CODEX, 422, openai("no")) == (400, "provider 'acme' answered 422: no", {})
    assert sent(CODEX, 413, openai("too big")) == (400, "provider 'acme' answered 413: too big", {})
    said = "provider 'acme' answered 402: Insufficient Balance; choose another provider with `tabwire pin`"
    assert sent(CODEX, 402, openai("Insufficient Balance")) == (400, said, {})
    said = "provider 'acme' answered 404; check its base_url in config.toml"
    assert sent(CODEX, 404, b"<html>") == (400, said, {})
    status, message, _ = sent(CODEX, 429, openai("come back"), retry_after="7200")
    assert (status, "it resets at 2026-11-18T13:06:40Z" in message) == (400, True)


def test_a_refused_key_of_ours_is_nobodys_login_and_its_words_are_left_out() -> None:
    body = openai("Incorrect API key provided: sk-live-1234567890", "invalid_api_key")
    said = "provider 'acme' answered 401 (invalid_api_key); check its key in config.toml"
    assert sent(CODEX, 401, body) == (400, said, {})
    assert sent(CLAUDE, 401, body) == (403, said, {})
    assert sent("gemini.generate", 401, body) == (400, said, {})
    assert sent(CLAUDE, 403, anthropic("permission_error", "not on this plan"))[:2] == (
        403,
        "provider 'acme' answered 403: not on this plan; check its key in config.toml",
    )
    for dialect in (CODEX, CLAUDE):
        assert sent(dialect, 401, body, passthrough=True) is None


def test_codex_learns_when_to_ask_again_when_nobody_says_it() -> None:
    assert sent(CODEX, 429, openai("slow down")) == (429, "slow down", {"retry-after": "5"})
    assert sent(CODEX, 429, openai("try again in 2.5s")) == (429, "try again in 2.5s", {"retry-after": "3"})
    assert sent(CODEX, 429, openai("slow down"), retry_after="7") is None
    assert sent(CLAUDE, 429, anthropic("rate_limit_error")) is None


def test_quotas_that_codex_knows_stay_as_they_came() -> None:
    assert sent(CODEX, 429, openai(type_="usage_limit_reached", resets_in_seconds=7200)) is None
    assert sent(CODEX, 429, openai(code="insufficient_quota")) is None
    status, message, fields = sent(
        CLAUDE, 429, anthropic("rate_limit_error", "no more"), retry_after="7999", x_should_retry="true"
    )
    assert (status, fields) == (429, {"retry-after": "7999", "x-should-retry": "false"})
    assert message.startswith("provider 'acme' answered 429: no more; it resets at ")
    assert sent(CLAUDE, 429, anthropic("rate_limit_error", "no more"), passthrough=True, retry_after="7999") is None


def test_an_unknown_model_is_shown_to_codex_and_does_not_make_gemini_loop() -> None:
    body = openai("model 'x' not found, try pulling it first")
    fault = read(404, body)
    adapted = adapt(CODEX, fault, 404, provider="acme", passthrough=False, body=body)
    assert adapted is not None
    assert (adapted.status, orjson.loads(adapted.body)["error"]["code"]) == (404, "model_not_found")
    assert sent(CLAUDE, 404, anthropic("not_found_error", "model: nope")) is None
    assert sent("gemini.generate", 404, gemini(404, "NOT_FOUND", message="models/x is not found"))[0] == 400


def test_failures_of_a_provider_are_told_with_its_name() -> None:
    assert sent(CODEX, 500, openai("boom"))[:2] == (502, "provider 'acme' answered 500: boom")
    assert sent(CLAUDE, 500, anthropic("api_error", "boom"))[:2] == (500, "provider 'acme' answered 500: boom")
    assert sent(CODEX, 503, b"<html>")[:2] == (503, "provider 'acme' answered 503")
    assert sent(CODEX, 503, openai(code="server_is_overloaded")) is None
    assert sent(CODEX, 529, anthropic("overloaded_error", "Overloaded"))[0] == 503
    assert sent(CLAUDE, 529, anthropic("overloaded_error", "Overloaded")) is None


def test_a_long_pause_does_not_make_codex_wait_for_thirty_of_them() -> None:
    assert sent(CODEX, 503, openai("busy"), retry_after="5")[::2] == (503, {"retry-after": "5"})
    said = "provider 'acme' answered 503: busy; it asks for a pause of 9 s"
    assert sent(CODEX, 503, openai("busy"), retry_after="9") == (429, said, {"retry-after": "9"})
    assert sent(CLAUDE, 503, anthropic("api_error", "busy"), retry_after="9") == (503, said, {"retry-after": "9"})
    said = (
        "provider 'acme' answered 503: no; it asks for a pause of 3600 s; choose another provider with `tabwire pin`, or wait"
    )
    assert sent(CODEX, 503, openai("no.", "server_is_overloaded"), retry_after="3600")[:2] == (400, said)
    assert sent(CLAUDE, 529, anthropic("overloaded_error"), retry_after="3600")[2]["x-should-retry"] == "false"


def test_who_gave_up_waiting_may_have_paid_so_nothing_is_repeated() -> None:
    assert sent(CODEX, 504, b"")[0] == 400
    status, message, fields = sent(CLAUDE, 524, b"")
    assert (status, fields) == (504, {"x-should-retry": "false"})
    assert "it may have cost already" in message
    assert (told(CODEX, "first_byte_timeout").status, told(CLAUDE, "first_byte_timeout").fields) == (
        400,
        (("x-should-retry", "false"),),
    )


@pytest.mark.parametrize("status", [400, 408, 409, 410, 418, 499])
def test_what_has_no_better_answer_keeps_its_status(status: int) -> None:
    for dialect in (CODEX, CLAUDE, "openai.chat", "gemini.generate", "auggie"):
        assert (sent(dialect, status, openai()) or (status,))[0] == status


@pytest.mark.parametrize("problem", get_args(Problem))
def test_every_failure_of_our_own_finding_has_a_status_for_every_dialect(problem: Problem) -> None:
    for dialect in (CODEX, CLAUDE, "openai.chat", "gemini.generate", "auggie", "openai.other"):
        assert 400 <= told(dialect, problem).status < 600
    outcome = outcome_of_problem(problem, "acme", "m")
    assert (outcome.kind, outcome.model) == (
        "failed",
        "" if problem in ("refused", "unreachable", "tls", "connect_timeout", "redirect") else "m",
    )


def test_an_error_event_stays_in_its_stream() -> None:
    assert sent(CODEX, 200, in_a_stream("server_error")) is None


@pytest.mark.parametrize(
    ("fault", "kind", "model", "until"),
    [
        (read(500), "failed", "m", None),
        (read(529), "failed", "m", None),
        (read(503, retry_after="9"), "limited", "m", NOON + 9),
        (read(400), "neutral", "m", None),
        (read(404), "neutral", "m", None),
        (read(401), "failed", "", None),
        (read(429), "limited", "m", None),
        (read(429, retry_after="9"), "limited", "m", NOON + 9),
        (read(429, retry_after="7200"), "quota", "", NOON + 7200),
        (read(429, gemini(429, "RESOURCE_EXHAUSTED", PER_DAY), "gemini.generate"), "quota", "m", None),
    ],
)
def test_what_a_refusal_says_about_its_provider(fault: Fault, kind: str, model: str, until: float | None) -> None:
    outcome = outcome_of(fault, "acme", "m", NOON)
    assert (outcome.kind, outcome.model, outcome.until) == (kind, model, until)


def test_a_refused_login_of_the_agents_own_says_nothing_about_its_provider() -> None:
    assert outcome_of(read(401), "acme", "m", NOON, passthrough=True).kind == "neutral"


def test_the_table_names_every_failure_once_and_readme_shows_it_as_it_is() -> None:
    assert len({row.failure for row in ROWS}) == len({row.title for row in ROWS}) == len(ROWS)
    assert markdown().count("\n") == len(ROWS) + 2
    text = README.read_text(encoding="utf-8")
    if "<!-- failures -->" in text:
        assert text.split("<!-- failures -->")[1].strip() == markdown().strip()
