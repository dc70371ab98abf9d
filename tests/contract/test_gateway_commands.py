"""The gateway's answers over a real bus: in force when they are given, and refused with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from actors.runtime.config_file import load_config
from actors.runtime.contract import Ready
from bus.client import connect
from bus.connection import read_connection
from bus.errors import BusError, RefusedError
from schemas.commands import ExplainRoute, ListPins, ListProviders, PrunePins, RemovePin, SetPin, SetProvider
from tests.contract.gateway_scene import COMPLETED, DEADLINE, SSE, Line, Provider, Scene, chunk, scene

FOLDER = str(Path.cwd())
COMMENT = "# kept as it is\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as subject:
        yield subject


@pytest.fixture
def other(stage: Scene) -> Iterator[Provider]:
    provider = Provider()
    second = f'[providers.other]\nbase_url = "http://127.0.0.1:{provider.port}/api"\nauth = "none"\n'
    stage.configure(COMMENT + second)
    yield provider
    provider.close()


def ask(stage: Scene, command: Any) -> Any:
    """Ask the gateway once it answers on the bus."""

    async def exchange() -> Any:
        with anyio.fail_after(DEADLINE):
            while True:
                try:
                    async with connect(read_connection(stage.place.paths.connection_file)) as client:
                        return await client.request("gateway", command, deadline=10)
                except BusError as error:
                    if isinstance(error, RefusedError) and error.code != "no_such_actor":
                        raise
                await anyio.lowlevel.checkpoint()

    return anyio.run(exchange)


def stream(line: Line) -> None:
    line.request()
    line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")


def test_a_pin_is_in_force_when_it_is_answered(stage: Scene, other: Provider) -> None:
    stage.start()
    table = ask(stage, SetPin(kind="project", target=FOLDER, provider="other", model="big", on_failure="fail"))
    assert table.live
    assert [(row.kind, row.target, row.provider, row.model, row.on_failure, row.problem) for row in table.pins] == [
        ("project", FOLDER, "other", "big", "fail", "")
    ]
    sent: list[bytes] = []

    def part(line: Line) -> None:
        sent.append(line.request()[2])
        line.send(SSE + chunk(COMPLETED) + b"0\r\n\r\n")

    other.plays(part)
    assert stage.post().answer()[0] == 200
    assert sent == [b'{"model":"big"}']
    routed = stage.fact("request.routed")
    assert (routed.provider, routed.pin, routed.sent_model) == ("other", f"project:{FOLDER}", "big")
    ask(stage, RemovePin(kind="project", target=FOLDER))
    stage.provider.plays(stream)
    assert stage.post().answer()[0] == 200
    assert COMMENT in stage.place.paths.config_file.read_text()
    assert load_config(stage.place.paths).pins == ()


@pytest.mark.usefixtures("other")
def test_what_is_wrong_with_a_command_is_said_and_nothing_is_written(stage: Scene) -> None:
    stage.start()
    before = stage.place.paths.config_file.read_bytes()
    for command, code, said in (
        (SetPin(kind="session", target="codex-1", provider="nobody"), "not_found", "known here: echo, own, other"),
        (SetPin(kind="project", target="no/path", provider="other"), "invalid", "not an absolute path"),
        (SetPin(kind="session", target="codex-1", provider="other", expires="soon"), "invalid", "not a time"),
        (RemovePin(kind="session", target="codex-1"), "not_found", "is not pinned"),
        (SetProvider(provider="echo", enabled=False), "built_in", "built in"),
        (SetProvider(provider="nobody", enabled=True), "not_found", "no provider 'nobody'"),
    ):
        with pytest.raises(RefusedError, match=said) as caught:
            ask(stage, command)
        assert caught.value.code == code
    assert stage.place.paths.config_file.read_bytes() == before


@pytest.mark.usefixtures("other")
def test_a_broken_file_is_not_edited(stage: Scene) -> None:
    stage.start()
    stage.place.configure("broken = [")
    with pytest.raises(RefusedError, match="mend the file first") as caught:
        ask(stage, SetPin(kind="session", target="codex-1", provider="other"))
    assert caught.value.code == "bad_config"
    assert stage.place.paths.config_file.read_text() == "broken = ["


@pytest.mark.usefixtures("other")
def test_a_disabled_provider_is_passed_over_and_a_pin_to_it_says_so(stage: Scene) -> None:
    stage.start()
    ask(stage, SetPin(kind="terminal", target="wt:1", provider="other"))
    table = ask(stage, SetProvider(provider="other", enabled=False))
    rows = {row.provider: row for row in table.providers}
    assert next(iter(rows)) == "own"
    assert rows["own"].default
    assert (rows["other"].enabled, "disabled" in rows["other"].problem) == (False, True)
    assert "requests go to own, the default" in ask(stage, ListPins()).pins[0].problem
    plan = ask(stage, ExplainRoute(terminal="wt:1", model="m"))
    assert (plan.provider, plan.pin) == ("own", "terminal:wt:1")
    assert [(one.provider, bool(one.skipped)) for one in plan.candidates] == [("other", True), ("own", False)]
    assert ask(stage, SetProvider(provider="other", enabled=True)).providers[1].problem == ""
    assert ask(stage, ExplainRoute(terminal="wt:1")).provider == "other"


@pytest.mark.usefixtures("other")
def test_pruning_removes_what_can_do_nothing_any_more(stage: Scene) -> None:
    old = '[[pins]]\nsession = "codex-1"\nprovider = "other"\nexpires = 2020-01-01T00:00:00Z\n'
    lost = '[[pins]]\nsession = "codex-2"\nprovider = "gone"\n'
    good = '[[pins]]\nsession = "codex-3"\nprovider = "other"\n'
    stage.place.configure(stage.place.paths.config_file.read_text() + old + COMMENT + lost + good)
    stage.start()
    problems = [row.problem for row in ask(stage, ListPins()).pins]
    assert ["expired" in problems[0], "not configured" in problems[1], problems[2]] == [True, True, ""]
    assert [row.target for row in ask(stage, PrunePins()).pins] == ["codex-3"]
    assert stage.place.paths.config_file.read_text().count(COMMENT) == 2
    assert [one.data.reason for one in stage.facts("pin.removed") if one.type == "pin.removed"] == ["pruned"]


def test_the_gateway_answers_again_after_its_broker_has_come_back(stage: Scene, other: Provider) -> None:
    stage.start()
    assert len(ask(stage, ListProviders()).providers) == 3
    assert stage.broker is not None
    stage.broker.close()
    other.plays(stream)
    stage.place.start("broker").until(Ready)
    assert len(ask(stage, ListProviders()).providers) == 3
    ask(stage, SetPin(kind="project", target="/", provider="other"))
    assert stage.post().answer()[0] == 200
