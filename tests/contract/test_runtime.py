"""The runtime's own side of the contract, with small mains that do what no actor should."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.runtime.contract import Beat, Ready, Status, Stopping, encode_bootstrap
from actors.runtime.priority import BACKGROUND
from tests.contract.actor_process import DEADLINE, Place, place

pytestmark = pytest.mark.e2e


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as subject:
        yield subject


def last_note(actor_lines: list[object]) -> str:
    last = actor_lines[-1]
    assert isinstance(last, Status)
    assert last.state == "failed"
    return last.note


def test_an_unexpected_exception_is_70_with_a_traceback_and_without_secrets(scene: Place) -> None:
    actor = scene.start_script("async def main(actor):\n    raise RuntimeError(f'boom {actor.bootstrap.secret_key}')")
    assert actor.exit_code() == 70
    assert last_note([*actor.lines()]) == "RuntimeError: boom …"
    crash = actor.log()[-1]
    assert crash["event"] == "crashed"
    assert "RuntimeError: boom …" in crash["exception"]
    assert scene.keys["probe"][1] not in actor.log_text()


def test_an_exception_in_a_thread_is_70_too(scene: Place) -> None:
    actor = scene.start_script(
        "def bad():\n    1 / 0\n"
        "async def main(actor):\n    threading.Thread(target=bad).start()\n    await actor.stopping.wait()"
    )
    assert actor.exit_code() == 70
    assert actor.log()[-1]["event"] == "crashed in a thread"


def test_a_main_that_returns_unasked_is_70(scene: Place) -> None:
    actor = scene.start_script("async def main(actor):\n    actor.ready()")
    assert actor.exit_code() == 70
    assert "although nobody had asked" in last_note([*actor.lines()])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("BusUnavailableError('gone')", 75),
        ("ConfigError('f', 3, 'k', 'bad')", 78),
        ("ExceptionGroup('', [ExceptionGroup('', [BusUnavailableError('gone')])])", 75),
        ("ExceptionGroup('', [BusUnavailableError('gone'), ConfigError('f', 3, 'k', 'bad')])", 78),
        ("ExceptionGroup('', [BusUnavailableError('gone'), ValueError('bug')])", 70),
        ("SystemExit(3)", 70),
    ],
)
def test_the_exception_decides_the_code_also_inside_groups(scene: Place, error: str, code: int) -> None:
    actor = scene.start_script(
        "from bus.errors import BusUnavailableError\nfrom schemas.config import ConfigError\n"
        f"async def main(actor):\n    raise {error}"
    )
    assert actor.exit_code() == code


def test_a_main_that_does_not_end_is_cancelled_and_one_that_ignores_that_is_ended_hard(scene: Place) -> None:
    slow = scene.start_script("async def main(actor):\n    actor.ready()\n    await anyio.sleep_forever()")
    stuck = scene.start_script(
        "import time\nasync def main(actor):\n    actor.ready()\n    await actor.stopping.wait()\n    time.sleep(3600)"
    )
    for actor in (slow, stuck):
        actor.until(Ready)
        actor.end_stdin()
    assert slow.exit_code() == 0
    assert any(entry["event"] == "not done in time, so cancelled" for entry in slow.log())
    assert stuck.exit_code() == 70
    assert stuck.log()[-1]["event"] == "did not stop, so ended hard"


def test_a_stuck_loop_does_not_beat(scene: Place) -> None:
    actor = scene.start_script("import time\nasync def main(actor):\n    actor.ready()\n    time.sleep(1)\n    os._exit(0)")
    assert actor.exit_code() == 0
    assert len([line for line in actor.lines() if isinstance(line, Beat)]) <= 1


def test_what_others_print_becomes_log_lines_and_never_contract_lines(scene: Place) -> None:
    actor = scene.start_script(
        "import logging, warnings\n"
        "async def main(actor):\n"
        "    print('READY {}')\n"
        "    print('to stderr', file=sys.stderr)\n"
        "    logging.getLogger('some.library').warning('from a library with Bearer abcdefghijklmnop')\n"
        "    warnings.warn('careful')\n"
        "    actor.ready()\n"
        "    await actor.stopping.wait()\n"
    )
    actor.until(Ready)
    actor.end_stdin()
    assert actor.exit_code() == 0
    assert len([line for line in actor.lines() if isinstance(line, Ready)]) == 1
    texts = [entry.get("text", entry["event"]) for entry in actor.log()]
    assert texts[:3] == ["READY {}", "to stderr", "from a library with Bearer …"]
    assert "careful" in texts[3]


def test_nobody_reading_does_not_stop_an_actor(scene: Place) -> None:
    text = (
        "from actors.runtime.actor import run_actor\n"
        "async def main(actor):\n"
        "    for number in range(20000):\n"
        "        actor.log.info('x' * 200, number=number)\n"
        "        actor.status('ready', 'x' * 200)\n"
        "    raise RuntimeError('reached the end')\n"
        "run_actor('probe', main)"
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdin, process.stdout, process.stderr:
        process.stdin.write(encode_bootstrap(scene.bootstrap("probe")))
        process.stdin.flush()
        assert process.wait(DEADLINE) == 70


def test_the_bootstrap_must_be_this_actor_s(scene: Place) -> None:
    actor = scene.start_script("async def main(actor):\n    pass", bootstrap=False)
    actor.tell(b'{"actor":"other","incarnation":"1","config_file":"/c","state":"/s","public_key":"","secret_key":""}\n')
    assert actor.exit_code() == 78
    assert last_note([*actor.lines()]) == "the bootstrap is for 'other', this is 'probe'"


def test_a_stop_is_said_once_however_often_it_is_asked_for(scene: Place) -> None:
    actor = scene.start_script("async def main(actor):\n    actor.ready()\n    await actor.stopping.wait()")
    actor.until(Ready)
    actor.process.terminate()
    actor.process.terminate()
    actor.end_stdin()
    assert actor.exit_code() == 0
    assert len([line for line in actor.lines() if isinstance(line, Stopping)]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the priorities of threads are read from /proc")
def test_an_actor_that_is_ready_gives_way_to_those_that_people_wait_for(scene: Place) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    actor = scene.start_script(
        "def niceness():\n    return sorted({os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir('/proc/self/task')})\n"
        "async def main(actor):\n    before = niceness()\n    actor.ready(before=before)\n"
        "    actor.status('ready', str(niceness()))\n    await actor.stopping.wait()"
    )
    assert actor.until(Ready).facts["before"] == [ours]
    assert actor.until(Status).note == f"[{max(ours, BACKGROUND)}]"
