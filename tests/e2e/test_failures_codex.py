"""The failure table with the real Codex: what its user sees, how often it tries, and what is recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.codex import Codex, needs_codex
from tests.e2e.failures import Row, Run, account, failing
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex, pytest.mark.timeout(240)]

ONCE = "request_max_retries = 0\nstream_max_retries = 0\n"
TWICE = "request_max_retries = 0\nstream_max_retries = 1\n"

ROWS = (
    Row("400", 'status=400 message="no such tool"', 400, "no such tool", 1),
    Row("400-context", "status=400 code=context_length_exceeded", 400, "ran out of room in the model's context", 1),
    Row("422", 'status=422 message="not so"', 400, "ERROR: provider 'model' answered 422: not so", 1),
    Row(
        "401",
        "status=401 message=secret code=invalid_api_key",
        400,
        "provider 'model' answered 401 (invalid_api_key); check",
        1,
    ),
    Row("403", 'status=403 message="not on this plan"', 400, "ERROR: provider 'model' answered 403: not on this plan", 1),
    Row(
        "login",
        'status=401 message="log in again"',
        401,
        "unexpected status 401 Unauthorized: log in again",
        6,
        provider="login",
    ),
    Row(
        "402",
        'status=402 message="no money"',
        400,
        "ERROR: provider 'model' answered 402: no money; choose another provider",
        1,
    ),
    Row("429-quota", 'status=429 message="come back" retry-after=7200', 400, "answered 429: come back; it resets at 20", 1),
    Row("429-usage", "status=429 type=usage_limit_reached", 429, "hit your usage limit", 1),
    Row("429-billing", "status=429 code=insufficient_quota", 429, "Quota exceeded. Check your plan", 1),
    Row("429-rate", "status=429", 429, "last status: 429 Too Many Requests", 2, tries=TWICE),
    Row("429-rate-told", "status=429 retry-after=1", 429, "last status: 429 Too Many Requests", 6),
    Row(
        "404-model",
        "status=404 message=\"model 'm' not found, pull it\"",
        404,
        "ERROR: provider 'model' answered 404: model",
        1,
    ),
    Row("404-path", 'status=404 message="nothing here"', 400, "404: nothing here; check its base_url in config.toml", 1),
    Row("413", 'status=413 message="too big"', 400, "ERROR: provider 'model' answered 413: too big", 1),
    Row("500", 'status=500 message="it broke"', 502, "502 Bad Gateway: provider 'model' answered 500: it broke", 30),
    Row("502-html", 'status=502 body="<html>"', 502, "502 Bad Gateway: provider 'model' answered 502", 1, tries=ONCE),
    Row("503", 'status=503 message="not now"', 503, "provider 'model' answered 503: not now", 1, tries=ONCE),
    Row("503-capacity", "status=503 code=server_is_overloaded", 503, "Selected model is at capacity", 5),
    Row("503-pause", "status=503 retry-after=6", 429, "last status: 429 Too Many Requests", 2, tries=TWICE),
    Row("503-long-pause", "status=503 retry-after=600", 400, "it asks for a pause of 600 s; choose another provider", 1),
    Row("504", "status=504", 400, "it may have cost already; send it again if you want", 1),
    Row("529", "status=529 message=Overloaded", 503, "provider 'model' answered 529: Overloaded", 1, tries=ONCE),
    Row("other", 'status=409 message="at odds"', 409, "provider 'model' answered 409: at odds", 2, tries=TWICE),
    Row("refused", "", 502, "provider 'nobody' refused the connection", -1, 1, "nobody", "upstream_refused", ONCE),
    Row("connect", "", 424, "provider 'full' did not take the connection", -1, 2, "full", "upstream_connect_timeout", TWICE),
    Row("cut-head", "cut=head", 424, "424 Failed Dependency: provider 'model' broke the connection", 6, code="upstream_cut"),
    Row("reset-head", "reset=head", 424, "provider 'model' broke the connection", 2, code="upstream_cut", tries=TWICE),
    Row("garbage", "garbage=head", 424, "did not answer in valid HTTP", 2, code="upstream_malformed", tries=TWICE),
    Row("redirect", 'status=302 header="location: http://x/"', 400, "redirects elsewhere", 1, code="upstream_redirect"),
    Row("silence-head", "silence=head", 400, "provider 'model' sent nothing in time", 1, code="upstream_first_byte_timeout"),
    Row("cut-early", "cut=1", 200, "provider 'model' broke the connection before the end", 6, code="upstream_cut"),
    Row("cut-late", "cut=6 words=40", 200, "provider 'model' broke the connection", 2, code="upstream_cut", tries=TWICE),
    Row("end-early", "end=6 words=40", 200, "provider 'model' ended the stream", 2, code="stream_truncated", tries=TWICE),
    Row("silence", "silence=6 words=40", 200, "fell silent", 2, code="upstream_idle_timeout", tries=TWICE),
    Row("context", "failed=context_length_exceeded", 200, "ran out of room in the model's context", 1, code="response_failed"),
    Row("failed", 'failed=odd message="odd words"', 200, "odd words", 2, code="response_failed", tries=TWICE),
)


def run(home: Path, system: System, row: Row) -> Run:
    provider = f'model_provider = "mine"\n[model_providers.mine]\nname = "mine"\nbase_url = "{system.base_url}"\n{row.tries}'
    folder = home / row.name
    folder.mkdir()
    codex = Codex(folder, system, provider)
    begun = time.monotonic()
    done = codex.exec(f"[echo {row.echo}]" if row.echo else "anyone there?", code=None)
    (thread,) = codex.rollouts()
    return Run(done.stdout + done.stderr, done.returncode, f"codex-{thread}", time.monotonic() - begun)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    home = tmp_path_factory.mktemp("failures") / "home"
    with failing(home, ROWS) as system:
        longest_first = sorted(ROWS, key=lambda row: -row.sent)
        with ThreadPoolExecutor(6) as together:
            outcomes = together.map(lambda row: run(home, system, row), longest_first)
            runs = {row.name: outcome for row, outcome in zip(longest_first, outcomes, strict=True)}
        account(system, ROWS, runs)
        yield runs


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_codex_does_the_right_thing(runs: dict[str, Run], row: Row) -> None:
    run = runs[row.name]
    assert row.shown in run.printed
    assert run.exit_code == 1
    assert "secret" not in run.printed.replace(row.echo, "")
    assert [(each["status"], each["code"]) for each in run.failed] == [(row.status, row.code)] * row.sent
    assert row.seen <= run.upstream <= row.seen_at_most
