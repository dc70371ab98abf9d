"""A system that other computers may call: only when it is started for that, and what it says of it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary
from tests.contract.network import ADDRESS, own_network
from tests.e2e.system import DEADLINE, System

pytestmark = pytest.mark.e2e
TOKEN = f"{canary.TOKEN}e2e-0123456789abcdef0123456789"


@pytest.fixture
def apart() -> Iterator[None]:
    with own_network():
        yield


def wide(tmp_path: Path) -> System:
    (tmp_path / "tokens").write_text(TOKEN + "\n")
    (tmp_path / "tokens").chmod(0o600)
    return System(tmp_path / "home", gateway=f'host = "0.0.0.0"\nhosts = ["{ADDRESS}"]\ntokens = "file:{tmp_path / "tokens"}"')


@pytest.mark.usefixtures("apart")
def test_other_computers_are_let_in_by_a_flag_and_a_token(tmp_path: Path) -> None:
    system = wide(tmp_path)
    try:
        refused = system.tabwire("up", code=78)
        assert "--allow-remote" in refused.stderr
        system.tabwire("down")
        said = system.tabwire("up", "--allow-remote").stdout
        assert "ready" in said
        assert system.json("status")["endpoints"]["gateway from elsewhere"].startswith("http://0.0.0.0:")
        url = f"http://{ADDRESS}:{system.gateway_port}"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{url}/health", timeout=DEADLINE)  # noqa: S310 - our own address
        assert caught.value.code == 401
        caught.value.close()
        with urllib.request.urlopen(f"{url}/t/{TOKEN}/health", timeout=DEADLINE) as answer:  # noqa: S310 - as above
            assert answer.status == 200
        assert "already running" in system.tabwire("up", "--allow-remote").stderr
    finally:
        system.tabwire("down")


def test_a_running_system_is_not_widened_by_another_up(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    system.tabwire("up")
    try:
        narrow = (system.home / "config.toml").read_text()
        (system.home / "config.toml").write_text((wide(tmp_path).home / "config.toml").read_text())
        refused = system.tabwire("up", "--allow-remote", code=1)
        assert "started without it" in refused.stderr
        (system.home / "config.toml").write_text(narrow)
    finally:
        system.tabwire("down")
