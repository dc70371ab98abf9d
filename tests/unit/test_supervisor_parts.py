"""The supervisor's parts: the child table, logs, the lock, the status."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import filelock
import pytest

from actors.runtime.contract import Ready
from actors.supervisor import table
from actors.supervisor.lock import AlreadyRunningError, only_one
from actors.supervisor.log_file import LogFile
from actors.supervisor.owner import owner_mark
from actors.supervisor.process import lines
from actors.supervisor.status import system_status
from actors.supervisor.supervision import begin, step
from actors.supervisor.terms import ChildSpec, Input, Said, Spawned, Tick, What
from schemas.config import Config, Provider


def test_echo_is_started_when_it_is_the_default_or_for_the_demo() -> None:
    own = Config(default_provider="mine", providers={"mine": Provider(base_url="https://x.test/v1", auth="none")})
    assert [spec.actor for spec in table.children(Config())] == [
        "broker",
        "registry",
        "rollout",
        "discovery",
        "gateway",
        "bridges",
        "echo",
    ]
    assert [spec.actor for spec in table.children(own)] == [
        "broker",
        "registry",
        "rollout",
        "discovery",
        "gateway",
        "bridges",
    ]
    assert [spec.actor for spec in table.children(own, demo=True)] == [
        "broker",
        "registry",
        "rollout",
        "discovery",
        "gateway",
        "bridges",
        "echo",
    ]


def test_a_variable_that_holds_a_provider_s_key_is_for_the_gateway_alone() -> None:
    config = Config(providers={"mine": Provider(base_url="https://x.test/v1", key="env:MINE")})
    inherited = {"MINE": "secret", "PATH": "/bin"}
    mark = owner_mark("run", "gateway", "1")
    assert table.environment("gateway", config, inherited, mark) == {**inherited, "TABWIRE_OWNER": "run.gateway.1"}
    assert table.environment("echo", config, inherited, mark) == {"PATH": "/bin", "TABWIRE_OWNER": "run.gateway.1"}
    assert mark.startswith(owner_mark("run"))


def test_a_log_is_bounded_private_and_continues(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", limit=100)
    for number in range(25):
        assert log.write(f"line {number:03}\n".encode())
    log.close()
    assert log.write(b"after closing\n")
    kept = (tmp_path / "a.log.1").read_text() + (tmp_path / "a.log").read_text()
    assert kept.endswith("line 023\nline 024\nafter closing\n")
    assert len(list(tmp_path.iterdir())) == 2
    assert all(file.stat().st_size <= 100 and file.stat().st_mode & 0o077 == 0 for file in tmp_path.iterdir())
    log.close()


def test_a_disk_that_refuses_costs_lines_and_they_are_counted(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "missing" / "a.log")
    assert not log.write(b"lost\n")
    assert log.dropped == 1
    (tmp_path / "missing").mkdir()
    assert log.write(b"kept\n")
    log.close()


def test_the_lock_is_held_by_one_that_is_named_and_free_again_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with only_one(file):
        before = file.read_bytes()
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()} holds"), only_one(file):
            pass
        assert file.read_bytes() == before
    with only_one(file):
        pass


def test_somebody_who_only_looks_whether_the_lock_is_held_keeps_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    looking = filelock.FileLock(file, thread_local=False)
    looking.acquire()
    threading.Timer(0.05, looking.release, kwargs={"force": True}).start()
    with only_one(file):
        assert file.read_text().strip() == str(os.getpid())


def test_lines_that_are_too_long_are_cut_and_the_next_is_whole() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"short\n" + b"x" * 30 + b"\nnext\nlast without newline")
    os.close(writing)
    assert list(lines(os.fdopen(reading, "rb", 0), 20)) == [
        b"short",
        b"x" * 20 + " … (cut)".encode(),
        b"next",
        b"last without newlin" + b"e",
    ]


def test_the_status_names_addresses_and_who_waits_for_whom() -> None:
    state = begin((ChildSpec(actor="broker"), ChildSpec(actor="gateway"), ChildSpec(actor="echo")), 0.0)

    def give(what: What) -> None:
        nonlocal state
        state, _ = step(state, Input(1.0, 0.5, what))

    give(Tick())
    give(Spawned("broker", 1, 11, "x"))
    status = system_status(state, 7, "then", lambda at: f"at {at}")
    assert [(row.actor, row.state, row.pid, row.note) for row in status.actors] == [
        ("broker", "starting", 11, ""),
        ("gateway", "starting", None, "waits for broker"),
        ("echo", "starting", None, "waits for gateway"),
    ]
    give(Said("broker", 1, Ready({"epoch": "e"})))
    give(Said("gateway", 1, Ready({"url": "http://127.0.0.1:1/v1", "capabilities": ["peer", 7]})))
    give(Said("echo", 1, Ready({"port": 2})))
    status = system_status(state, 7, "then", lambda at: f"at {at}")
    assert status.endpoints == {"gateway": "http://127.0.0.1:1/v1", "echo": "http://127.0.0.1:2"}
    assert [row.capabilities for row in status.actors] == [(), ("peer",), ()]
    assert status.actors[0].since == "at 1.0"
