"""What a gateway learns of its providers, on real sockets: told as facts, used for the next request, kept over a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.gateway_scene import COMPLETED, SSE, Line, Play, Scene, chunk, scene

pytestmark = pytest.mark.e2e


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    """Give a gateway with two providers of one group, both of which are the test's own."""
    with scene(tmp_path) as stage:
        two = f'[providers.two]\nbase_url = "http://127.0.0.1:{stage.provider.port}/two"\nauth = "none"\ngroup = "g"\n'
        stage.configure(f"{two}[breaker]\nfailures = 2\n", group="g")
        yield stage


def refuses(status: str, error: dict[str, object], *fields: str) -> Play:
    body = json.dumps({"error": error}).encode()
    head = "".join(f"{field}\r\n" for field in ("content-type: application/json", *fields))

    def part(line: Line) -> None:
        line.request()
        line.send(f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    return part


def answers(*fields: str) -> Play:
    def part(line: Line) -> None:
        line.request()
        line.send(SSE.replace(b"\r\n\r\n", "".join(f"\r\n{field}" for field in fields).encode() + b"\r\n\r\n"))
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    return part


def asked(stage: Scene) -> str:
    """Send a request and return which provider answered it."""
    status, fields, _ = stage.post().answer()
    assert status == 200
    return fields["x-tabwire-provider"]


def test_an_open_circuit_is_told_and_holds_over_a_restart(stage: Scene) -> None:
    gateway = stage.start()
    for _ in range(2):
        stage.provider.plays(refuses("503 Service Unavailable", {"message": "no"}))
        stage.provider.plays(answers())
        assert asked(stage) == "two"
    told = stage.fact("provider.state_changed")
    assert (told.provider, told.state, told.model, told.failures) == ("own", "open", "asked", 2)
    gateway.end_stdin()
    assert gateway.exit_code() == 0

    stage.start(bus=False)
    stage.provider.plays(answers())
    assert asked(stage) == "two"
    routed = [one.data for one in stage.facts("request.routed", 5) if one.type == "request.routed"][-1]
    (skipped,) = [one.skipped for one in routed.candidates if one.provider == "own"]
    assert skipped.startswith("it failed 2 times in a row (status 503) and is passed over until ")


def test_a_provider_whose_quota_is_used_up_is_passed_over_until_its_reset(stage: Scene) -> None:
    stage.start()
    spent = {"type": "usage_limit_reached", "message": "no more", "resets_in_seconds": 7200}
    stage.provider.plays(refuses("429 Too Many Requests", spent))
    stage.provider.plays(answers())
    stage.provider.plays(answers())
    assert [asked(stage), asked(stage)] == ["two", "two"]
    quota = stage.fact("provider.quota_observed")
    assert (quota.provider, quota.window, quota.source, quota.exhausted) == ("own", "usage_limit_reached", "refusal", True)
    assert quota.resets_at


def test_a_pause_that_was_asked_for_is_kept(stage: Scene) -> None:
    stage.start()
    stage.provider.plays(refuses("429 Too Many Requests", {"message": "slow down"}, "retry-after: 60"))
    stage.provider.plays(answers())
    stage.provider.plays(answers())
    assert [asked(stage), asked(stage)] == ["two", "two"]
    routed = [one.data for one in stage.facts("request.routed", 3) if one.type == "request.routed"][-1]
    assert routed.candidates[0].skipped.startswith("it asked for a pause until ")


def test_quota_windows_of_an_answer_are_told_when_they_change(stage: Scene) -> None:
    stage.start()
    for used in ("41", "41", "41.5", "43"):
        window = (f"x-codex-primary-used-percent: {used}", "x-codex-primary-window-minutes: 300")
        stage.provider.plays(answers(*window, "x-codex-primary-reset-at: 1900000000"))
        assert asked(stage) == "own"
    told = [one.data for one in stage.facts("request.completed", 4) if one.type == "provider.quota_observed"]
    assert [(one.window, one.used_percent, one.minutes, one.resets_at) for one in told] == [
        ("primary", 41.0, 300, "2030-03-17T17:46:40Z"),
        ("primary", 43.0, 300, "2030-03-17T17:46:40Z"),
    ]
    assert told[0].session is not None
