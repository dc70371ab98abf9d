"""Every actor keeps the actor contract: real processes, real sockets, whichever actors there are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.runtime.contract import Beat, Ready, Status, Stopping, encode_bootstrap
from actors.supervisor import table
from schemas.config import Config
from tests.contract.actor_process import DEADLINE, ROOT, ActorProcess, Place, actor_names, ended, place

ACTORS = actor_names()
NEED_THE_BROKER = [name for name in ACTORS if name not in ("broker", "gateway", "echo")]
every_actor = pytest.mark.parametrize("name", ACTORS)

pytestmark = pytest.mark.e2e


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as subject:
        yield subject


def with_broker(scene: Place, name: str) -> ActorProcess | None:
    """Start a broker if the actor needs one to be ready."""
    if name not in NEED_THE_BROKER:
        return None
    broker = scene.start("broker")
    broker.until(Ready)
    return broker


def test_every_child_of_the_supervisor_is_an_actor_here() -> None:
    assert {spec.actor for spec in table.children(Config(), demo=True)} <= set(ACTORS)


@every_actor
def test_ready_beats_and_a_stop_when_stdin_ends(scene: Place, name: str) -> None:
    with_broker(scene, name)
    actor = scene.start(name)
    actor.until(Ready)
    for _ in range(3):
        actor.until(Beat)
    family = [actor.pid, *(child.pid for child in psutil.Process(actor.pid).children(recursive=True))]
    actor.end_stdin()
    assert actor.exit_code() == 0
    assert isinstance(actor.lines()[-1], Stopping)
    assert len([line for line in actor.lines() if isinstance(line, Ready)]) == 1
    assert all(ended(pid, 0) for pid in family)


@every_actor
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_the_same_way(scene: Place, name: str, number: signal.Signals) -> None:
    with_broker(scene, name)
    actor = scene.start(name)
    actor.until(Ready)
    actor.process.send_signal(number)
    assert actor.exit_code() == 0
    assert isinstance(actor.lines()[-1], Stopping)


@every_actor
def test_a_stop_before_it_is_ready_is_obeyed(scene: Place, name: str) -> None:
    actor = scene.start(name)
    actor.end_stdin()
    assert actor.exit_code() in (0, 75)  # 75: it had found no broker before it saw the end


@every_actor
def test_a_hang_up_of_the_terminal_is_no_reason_to_stop(scene: Place, name: str) -> None:
    with_broker(scene, name)
    actor = scene.start(name)
    actor.until(Ready)
    actor.process.send_signal(signal.SIGHUP)
    for _ in range(2):
        actor.until(Beat)


@every_actor
def test_a_bad_configuration_is_78_and_says_where(scene: Place, name: str) -> None:
    with_broker(scene, name)
    scene.configure("[gateway]\nprot = 1\n")
    actor = scene.start(name)
    assert actor.exit_code() == 78
    last = actor.lines()[-1]
    assert isinstance(last, Status)
    assert last.state == "failed"
    assert last.note == f"{scene.paths.config_file}:2: gateway.prot: unknown key (did you mean 'port'?)"
    assert actor.log()[-1]["reason"] == last.note


@every_actor
def test_without_a_bootstrap_it_says_what_it_is(scene: Place, name: str) -> None:
    actor = ActorProcess([sys.executable, "-I", "-m", f"actors.{name}"], None, {})
    scene.started.append(actor)
    actor.tell(b'{"actor": 7}\n')
    assert actor.exit_code() == 78
    last = actor.lines()[-1]
    assert isinstance(last, Status)
    assert "not a bootstrap" in last.note
    assert "tabwire up" in last.note


@pytest.mark.parametrize("name", NEED_THE_BROKER)
def test_without_a_broker_it_is_75(scene: Place, name: str) -> None:
    actor = scene.start(name)
    assert actor.exit_code() == 75
    assert not any(isinstance(line, Ready) for line in actor.lines())


@pytest.mark.parametrize("name", NEED_THE_BROKER)
def test_a_broker_that_is_killed_is_75(scene: Place, name: str) -> None:
    broker = with_broker(scene, name)
    assert broker is not None
    actor = scene.start(name)
    actor.until(Ready)
    broker.process.kill()
    assert actor.exit_code() == 75
    last = actor.lines()[-1]
    assert isinstance(last, Status)
    assert last.state == "failed"
    assert last.note


@pytest.mark.parametrize("name", [name for name in ACTORS if name in ("gateway", "echo")])
def test_the_data_path_lives_on_without_a_broker(scene: Place, name: str) -> None:
    broker = scene.start("broker")
    broker.until(Ready)
    actor = scene.start(name)
    actor.until(Ready)
    broker.process.kill()
    assert broker.exit_code() == -9
    for _ in range(12):
        actor.until(Beat)
    actor.end_stdin()
    assert actor.exit_code() == 0


@every_actor
def test_its_output_is_the_contract_s_and_its_log_is_json_without_secrets(scene: Place, name: str) -> None:
    with_broker(scene, name)
    actor = scene.start(name)
    actor.until(Ready)
    actor.until(Beat)
    actor.end_stdin()
    assert actor.exit_code() == 0
    assert actor.lines()  # each line parsed, or this had raised
    assert all(entry["actor"] == name and entry["level"] and entry["event"] and entry["time"] for entry in actor.log())
    assert [entry for entry in actor.log() if entry["event"] == "stray output"] == []
    everything = actor.log_text() + b"".join(actor.said).decode()
    assert not any(secret in everything for _, secret in scene.keys.values())


@every_actor
def test_it_dies_with_a_parent_that_is_killed_even_if_its_stdin_stays_open(scene: Place, name: str) -> None:
    with_broker(scene, name)
    parent_code = (
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-I', '-m', 'actors.{name}'], stdin=0, stdout=subprocess.PIPE); "
        "print(child.pid, flush=True); "
        "[print('ready', flush=True) for line in child.stdout if line.startswith(b'READY')]; "
        "child.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        parent.stdin.write(encode_bootstrap(scene.bootstrap(name)))
        parent.stdin.flush()
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == b"ready\n"
        parent.kill()
        assert parent.wait(DEADLINE) == -9
        assert ended(pid, 2)


@every_actor
def test_a_kill_leaves_files_that_the_next_start_takes_as_they_are(scene: Place, name: str) -> None:
    with_broker(scene, name)
    for _ in range(2):
        actor = scene.start(name)
        actor.until(Ready)
        os.kill(actor.pid, signal.SIGKILL)
        assert actor.exit_code() == -9
    actor = scene.start(name)
    actor.until(Ready)
