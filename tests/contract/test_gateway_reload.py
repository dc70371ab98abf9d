"""A configuration that changes while the gateway works: what it takes over, what it refuses, what it tells, what goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.contract import Ready, Status
from schemas.envelope import Envelope
from tests.contract.gateway_scene import COMPLETED, DEADLINE, SSE, Line, Provider, Scene, chunk, event, scene

DELTA = event(type="response.output_text.delta", delta="a")
KEY, NEWER = "sk-canary-first-0123456789", "sk-canary-second-0123456789"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


@pytest.fixture
def other() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


def stream(line: Line) -> None:
    line.request()
    line.send(SSE + chunk(DELTA) + chunk(COMPLETED) + b"0\r\n\r\n")


def with_other(stage: Scene, other: Provider, default: str, more: str = "") -> None:
    """Write a configuration with both providers."""
    stage.configure(more)
    text = stage.place.paths.config_file.read_text().replace('default_provider = "own"', f'default_provider = "{default}"')
    second = f'[providers.other]\nbase_url = "http://127.0.0.1:{other.port}/api"\nauth = "none"\n'
    stage.place.paths.config_file.write_text(text + second)


def told(stage: Scene, type_: str, count: int = 1) -> list[Envelope]:
    return [one for one in stage.facts(type_, count) if one.type == type_]


def changes(stage: Scene, count: int = 1) -> Any:
    """Return the last of so many changes; the first fact of its kind is the start's own."""
    return told(stage, "config.changed", count + 1)[-1].data


def test_a_stream_under_way_is_not_moved_and_the_next_request_is(stage: Scene, other: Provider) -> None:
    with_other(stage, other, "own")
    stage.start()
    go_on = threading.Event()

    def slowly(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA))
        assert go_on.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(slowly)
    under_way = stage.post()
    under_way.until(b"output_text.delta")
    with_other(stage, other, "other")
    assert changes(stage).changed == ("default_provider",)
    other.plays(stream)
    assert stage.post().answer()[0] == 200
    go_on.set()
    assert b"response.completed" in under_way.until(b"0\r\n\r\n")
    done = {one.data.provider: one.data.status for one in told(stage, "request.completed", 2)}
    assert done == {"own": 200, "other": 200}


def test_a_provider_that_is_gone_finishes_its_stream(stage: Scene, other: Provider) -> None:
    with_other(stage, other, "other")
    stage.start()
    go_on = threading.Event()

    def slowly(line: Line) -> None:
        line.request()
        line.send(SSE + chunk(DELTA))
        assert go_on.wait(DEADLINE)
        line.send(chunk(COMPLETED) + b"0\r\n\r\n")

    other.plays(slowly)
    under_way = stage.post()
    under_way.until(b"output_text.delta")
    stage.configure()
    assert set(changes(stage).changed) == {"default_provider", "providers.other removed"}
    go_on.set()
    assert b"response.completed" in under_way.until(b"0\r\n\r\n")


def test_a_broken_edit_keeps_what_was_and_says_so_until_it_is_mended(stage: Scene) -> None:
    gateway = stage.start()
    good = stage.place.paths.config_file.read_text()
    stage.place.configure(good + "\n[failover]\nattemps = 3\n")
    refused = told(stage, "config.refused")[0].data
    assert (refused.file, refused.key) == (str(stage.place.paths.config_file), "failover.attemps")
    assert refused.line == good.count("\n") + 3
    assert refused.advice == "did you mean 'attempts'?"
    while "stays in force" not in (note := gateway.until(Status).note):
        pass
    assert "failover.attemps: unknown key" in note
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200
    stage.place.configure(good + "\n[failover]\nattempts = 2\n")
    assert changes(stage).changed == ("failover.attempts",)
    while gateway.until(Status).state != "ready":
        pass


def test_a_file_that_is_gone_changes_nothing(stage: Scene) -> None:
    stage.start()
    good = stage.place.paths.config_file.read_text()
    stage.place.paths.config_file.unlink()
    assert told(stage, "config.refused")[0].data.problem == "is gone"
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200
    stage.place.configure(good + "\n[breaker]\nfailures = 7\n")
    assert changes(stage).changed == ("breaker.failures",)


def test_another_key_is_taken_over_and_neither_is_told(stage: Scene, tmp_path: Path) -> None:
    file = tmp_path / "own.key"
    file.write_text(KEY)
    file.chmod(0o600)
    stage.configure(auth="key", key=f"file:{file}")
    gateway = stage.start()
    seen: list[str] = []

    def part(line: Line) -> None:
        seen.append(line.request()[1]["authorization"])
        line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")

    stage.provider.plays(part)
    assert stage.post().answer()[0] == 200
    fresh = tmp_path / "fresh.key"
    fresh.write_text(NEWER)
    fresh.chmod(0o600)
    fresh.replace(file)
    assert changes(stage).changed == ("providers.own.key",)
    stage.provider.plays(part)
    assert stage.post().answer()[0] == 200
    assert seen == [f"Bearer {KEY}", f"Bearer {NEWER}"]
    facts = repr(stage.facts("request.completed", 2))
    gateway.end_stdin()
    assert gateway.exit_code() == 0
    assert "canary" not in facts + gateway.log_text() + b"".join(gateway.said).decode()


def test_a_default_provider_whose_key_goes_is_refused(stage: Scene, tmp_path: Path) -> None:
    file = tmp_path / "own.key"
    file.write_text(KEY)
    file.chmod(0o600)
    stage.configure(auth="key", key=f"file:{file}")
    stage.start()
    file.unlink()
    refused = told(stage, "config.refused")[0].data
    assert (refused.key, refused.line > 0) == ("providers.own.key", True)
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200


def test_what_needs_a_restart_is_named_and_not_done(stage: Scene) -> None:
    stage.start()
    good = stage.place.paths.config_file.read_text()
    stage.place.configure(good.replace(f"port = {stage.port}", "port = 1") + "\n[rollout]\nrecent_hours = 2\n")
    changed = changes(stage)
    assert set(changed.changed) == set(changed.restart) == {"gateway.port", "rollout.recent_hours"}
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200


def test_a_symlink_s_target_is_watched(stage: Scene, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    stage.place.paths.config_file.rename(real)
    stage.place.paths.config_file.symlink_to(real)
    stage.start()
    real.write_text(real.read_text() + "\n[breaker]\nfailures = 7\n")
    assert changes(stage).changed == ("breaker.failures",)


# ------------------------------------------------------------------------------------------------ pins


def pin(target: str, expires: str = "") -> str:
    until = f"expires = {expires}\n" if expires else ""
    return f'[[pins]]\nterminal = "{target}"\nprovider = "echo"\n{until}'


def test_pins_are_told_when_they_come_and_go(stage: Scene) -> None:
    stage.start()
    stage.configure(pin("wt:one") + pin("wt:two"))
    assert {one.data.target for one in told(stage, "pin.placed", 2)} == {"wt:one", "wt:two"}
    assert {one.subject for one in told(stage, "pin.placed", 2)} == {"pin/terminal"}
    stage.configure(pin("wt:two") + '[[pins]]\nsession = "codex-1"\nprovider = "echo"\n')
    assert told(stage, "pin.placed", 3)[-1].subject == "session/codex-1"
    gone = told(stage, "pin.removed")[0].data
    assert (gone.kind, gone.target, gone.reason) == ("terminal", "wt:one", "unpinned")


def test_a_pin_that_expires_is_told_once(stage: Scene) -> None:
    stage.configure(pin("wt:one"))
    stage.start()
    assert told(stage, "pin.placed")[0].data.expires == ""
    stage.configure(pin("wt:one", (datetime.now(UTC) + timedelta(seconds=1)).isoformat()))
    gone = told(stage, "pin.removed")[0].data  # whether the file was read before that second was over or after
    assert (gone.target, gone.reason) == ("wt:one", "expired")
    stage.configure()
    changes(stage, 2)
    stage.configure(pin("wt:two"))
    assert [one.data.reason for one in stage.facts("config.changed", 4) if one.type == "pin.removed"] == ["expired"]


def test_a_start_tells_the_pins_and_those_that_went_meanwhile(stage: Scene) -> None:
    stage.configure(pin("wt:stays") + pin("wt:goes"))
    gateway = stage.start()
    told(stage, "pin.placed", 2)
    gateway.end_stdin()
    assert gateway.exit_code() == 0
    stage.configure(pin("wt:stays"))
    stage.place.start("gateway").until(Ready)
    assert told(stage, "pin.removed")[0].data.target == "wt:goes"
    assert told(stage, "pin.placed", 3)[-1].data.target == "wt:stays"
