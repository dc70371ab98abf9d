"""The real Codex while its provider fails: its turn is answered by another one, and Codex notices nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.gateway_scene import SSE, Line, Play, Provider, chunk, event
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.providers import echo_server
from tests.e2e.system import running

pytestmark = [pytest.mark.e2e, pytest.mark.codex, needs_codex]
CREATED = event(type="response.created", response={"id": "resp_1", "model": "served"})
FAILED = event(type="response.failed", response={"id": "resp_1", "error": {"code": "server_is_overloaded", "message": "no"}})


def says_503(line: Line) -> None:
    line.request()
    line.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")


def fails_in_its_stream(line: Line) -> None:
    line.request()
    line.send(SSE + chunk(CREATED) + chunk(FAILED) + b"0\r\n\r\n")


def hangs_up(line: Line) -> None:
    line.request()


@pytest.fixture
def first() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


@pytest.mark.parametrize("part", [says_503, fails_in_its_stream, hangs_up])
def test_a_turn_is_answered_by_another_provider(tmp_path: Path, first: Provider, part: Play) -> None:
    with echo_server() as second:
        config = (
            'default_provider = "first"\n'
            f'[providers.first]\nbase_url = "http://127.0.0.1:{first.port}/v1"\nauth = "none"\ngroup = "pool"\n'
            f'[providers.second]\nbase_url = "{second}"\nauth = "none"\ngroup = "pool"\n'
        )
        with running(tmp_path / "home", config) as system:
            codex = Codex(tmp_path, system)
            first.plays(part)
            done = codex.exec("say alpha")
            assert "alpha" in done.stdout
            (retried,) = system.until_count("request.retried")
            (completed,) = system.until_count("request.completed")
            assert (retried.envelope.data.provider, completed.envelope.data.provider) == ("first", "second")
            assert completed.envelope.data.attempts == 2
