"""Who may say who it is: forged headers, shared sockets, go-betweens, rewritten environments, files with others' names.

The agents here are real processes whose program is called ``codex`` and that do what the test says. Whatever they claim,
nothing is promoted that the kernel does not say, and what belongs to others stays as it was.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from schemas.rows import SessionRow
from tests.e2e.cases import ObedientAgent, codex_headers, rows_when, sessions_of
from tests.e2e.system import System, running

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the obedient agent reads /proc"),
]

MINE, THEIRS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("tabwire") / "home") as system:
        yield system


def agent(place: Path, system: System, tab: str, *arguments: str) -> ObedientAgent:
    """Start an obedient agent in a tab, with a Codex home of its own."""
    home = place / "codex-home"
    home.mkdir(parents=True, exist_ok=True)
    return ObedientAgent(place, system.environ({"WT_SESSION": tab, "CODEX_HOME": str(home), "HOME": str(home)}), *arguments)


def new_thread() -> str:
    """Return an id as Codex makes them: a UUID of version 7."""
    value = uuid.uuid4().hex
    return str(uuid.UUID(f"01a1fb07{value[8:12]}7{value[13:16]}8{value[17:]}"))


def verified(system: System, session: str) -> SessionRow:
    return rows_when(system, lambda rows: session in rows and rows[session].verdict == "verified")[session]


def test_headers_that_name_anothers_conversation_change_nothing_there(system: System, tmp_path: Path) -> None:
    thread = new_thread()
    with agent(tmp_path / "owner", system, MINE) as owner, agent(tmp_path / "forger", system, THEIRS) as forger:
        owner.do("hold", path=str(tmp_path / f"owner/codex-home/thread-writer-locks/{thread}.lock"), lock=True)
        system.until_count("process.conversation_found", session=f"codex-{thread}")
        assert owner.do("request", port=system.gateway_port, headers=codex_headers(thread))["status"] == 200
        before = verified(system, f"codex-{thread}")
        forger.do("request", port=system.gateway_port, headers=codex_headers(thread))
        rows = rows_when(system, lambda rows: any(row.conflicts for row in sessions_of(rows, forger.pid)))
        after = rows[f"codex-{thread}"]
        assert (after.process, after.terminal, after.terminals) == (before.process, before.terminal, before.terminals)
        assert (after.terminal, after.requests, after.conflicts) == (f"wt:{MINE}", 1, 0)
        (own,) = sessions_of(rows, forger.pid)
        assert (own.provisional, own.conversation, own.requests) == (True, None, 1)
        explained = " ".join(line["evidence"]["rejected"] for line in system.json("explain", own.session)["evidence"])
        assert explained.strip()


def test_a_rewritten_environment_moves_nobody_into_anothers_tab(system: System, tmp_path: Path) -> None:
    first, second = new_thread(), new_thread()
    with agent(tmp_path / "owner", system, MINE) as owner, agent(tmp_path / "forger", system, THEIRS) as forger:
        owner.do("request", port=system.gateway_port, headers=codex_headers(first))
        forger.do("request", port=system.gateway_port, headers=codex_headers(second))
        before = verified(system, f"codex-{first}")
        assert verified(system, f"codex-{second}").terminal == f"wt:{THEIRS}"
        forger.do("rewrite", old=THEIRS, new=MINE)
        assert MINE in Path(f"/proc/{forger.pid}/environ").read_text()
        forger.do("request", port=system.gateway_port, headers=codex_headers(second))
        rows = rows_when(system, lambda rows: rows[f"codex-{second}"].requests == 2)
        assert rows[f"codex-{first}"].terminals == before.terminals
        assert rows[f"codex-{first}"].process == before.process
        process = rows[f"codex-{second}"].process
        assert process is not None
        assert process.pid == forger.pid
        # What it declares now is shown as its own declaration, with the first one beside it: never as a fact.
        said = system.json("explain", f"codex-{second}")["evidence"]
        tabs = {line["evidence"]["value"] for line in said if line["evidence"]["proves"] == "terminal"}
        assert f"wt:{THEIRS}" in tabs
        assert all(line["evidence"]["rank"] >= 3 for line in said if line["evidence"]["proves"] == "terminal")


def test_a_quoted_marker_is_only_text(system: System, tmp_path: Path) -> None:
    """A conversation id and a launch id in a command line, in quotes as a prompt would have them, name nobody."""
    thread = new_thread()
    with (
        agent(tmp_path / "owner", system, MINE) as owner,
        agent(tmp_path / "quoter", system, THEIRS, f'please "resume {thread}" and [REF:{thread}]', "resume", thread) as quoter,
    ):
        owner.do("request", port=system.gateway_port, headers=codex_headers(thread))
        verified(system, f"codex-{thread}")
        rows = rows_when(system, lambda rows: sessions_of(rows, quoter.pid))
        assert [row.session for row in sessions_of(rows, owner.pid)] == [f"codex-{thread}"]
        assert f"codex-{thread}" not in {row.session for row in sessions_of(rows, quoter.pid)}
        assert rows[f"codex-{thread}"].terminals == (f"wt:{MINE}",)


def test_a_rollout_with_anothers_id_in_it_proves_nothing(system: System, tmp_path: Path) -> None:
    owned, claimed = new_thread(), new_thread()
    with agent(tmp_path / "owner", system, MINE) as owner, agent(tmp_path / "forger", system, THEIRS) as forger:
        owner.do("request", port=system.gateway_port, headers=codex_headers(owned))
        before = verified(system, f"codex-{owned}")
        home = tmp_path / "forger/codex-home"
        rollout = home / f"sessions/2026/11/21/rollout-2026-11-21T05-00-00-{claimed}.jsonl"
        rollout.parent.mkdir(parents=True)
        meta = {
            "id": owned,
            "session_id": owned,
            "timestamp": "2026-11-21T05:00:00.000Z",
            "cwd": "/",
            "originator": "codex_exec",
        }
        rollout.write_text(json.dumps({"timestamp": meta["timestamp"], "type": "session_meta", "payload": meta}) + "\n")
        forger.do("hold", path=str(rollout))
        forger.do("hold", path=str(home / f"thread-writer-locks/{claimed}.lock"), lock=True)
        forger.do("request", port=system.gateway_port, headers=codex_headers(claimed))
        verified(system, f"codex-{claimed}")
        rows = rows_when(system, lambda rows: rows)
        after = rows[f"codex-{owned}"]
        assert (after.process, after.terminal, after.terminals) == (before.process, before.terminal, before.terminals)
        assert f"codex-{owned}" not in {row.session for row in sessions_of(rows, forger.pid)}


def test_a_socket_that_two_processes_share_is_nobodys(system: System, tmp_path: Path) -> None:
    thread = new_thread()
    with agent(tmp_path / "agent", system, MINE) as sharer:
        sharer.do("connect_shared", port=system.gateway_port)
        answer = sharer.do("send", headers=codex_headers(thread))
        assert answer["status"] == 200
        attributed = system.until(
            lambda so_far: any(
                item.envelope.type == "request.attributed" and "processes hold" in item.envelope.data.terminal_missing
                for item in so_far
            )
        )
        (event,) = (
            item.envelope.data
            for item in attributed
            if item.envelope.type == "request.attributed" and "processes hold" in item.envelope.data.terminal_missing
        )
        assert event.session is None
        assert event.process is None
        candidates = [said for said in event.evidence if str(sharer.pid) in said.value or str(sharer.pid) in said.note]
        assert candidates, event.evidence
        rows = rows_when(system, lambda rows: sessions_of(rows, sharer.pid))
        assert all(row.verdict == "unverified" for row in sessions_of(rows, sharer.pid))
        assert f"codex-{thread}" not in rows or rows[f"codex-{thread}"].verdict == "unverified"


def test_a_go_between_is_the_one_who_called(system: System, tmp_path: Path) -> None:
    """What comes through a proxy comes from the proxy: the conversation in the headers is not the agent's word any more."""
    thread = new_thread()
    with closing(socket.create_server(("127.0.0.1", 0))) as door, agent(tmp_path / "agent", system, MINE) as behind:
        proxy = threading.Thread(target=forward_one, args=(door, system.gateway_port))
        proxy.start()
        answer = behind.do("request", port=door.getsockname()[1], headers=codex_headers(thread))
        proxy.join(timeout=30)
    assert answer["status"] == 200
    told = answer["headers"]["x-tabwire-session"]
    rows = rows_when(system, lambda rows: told in rows)
    process = rows[told].process
    assert process is not None
    assert process.pid == os.getpid()
    assert rows[told].agent == "other"
    assert rows[told].conversation is None
    assert f"codex-{thread}" not in rows


def forward_one(door: socket.socket, port: int) -> None:
    """Pass one request on, and its answer back, with the gateway's name in it."""
    agent_side, _ = door.accept()
    with agent_side, socket.create_connection(("127.0.0.1", port)) as gateway_side:
        request = b""
        while b"\r\n\r\n" not in request or len(request.partition(b"\r\n\r\n")[2]) < 10:
            request += agent_side.recv(65536)
        gateway_side.sendall(request.replace(f":{door.getsockname()[1]}".encode(), f":{port}".encode(), 1))
        while piece := gateway_side.recv(65536):
            agent_side.sendall(piece)


def test_killed_stopped_and_undead_are_told_apart(system: System, tmp_path: Path) -> None:
    threads = [new_thread() for _ in range(3)]
    agents = [agent(tmp_path / str(number), system, MINE) for number in range(3)]
    killed, stopped, undead = agents
    try:
        for one, thread in zip(agents, threads, strict=True):
            one.do("request", port=system.gateway_port, headers=codex_headers(thread))
            verified(system, f"codex-{thread}")
        os.kill(stopped.pid, signal.SIGSTOP)
        os.kill(killed.pid, signal.SIGKILL)
        killed.process.wait(timeout=10)
        os.kill(undead.pid, signal.SIGKILL)  # and nobody waits for it: a zombie
        rows = rows_when(system, lambda rows: all(rows[f"codex-{threads[at]}"].activity == "gone" for at in (0, 2)))
        assert psutil.Process(undead.pid).status() == psutil.STATUS_ZOMBIE
        assert rows[f"codex-{threads[1]}"].activity != "gone"
        assert psutil.Process(stopped.pid).status() == psutil.STATUS_STOPPED
    finally:
        for one in agents:
            one.end()


# ---------------------------------------------------------------------------------------------------- recycled pids

_RECYCLE = r"""
import json, os, subprocess, sys
sys.path[:0] = [ROOT]
from pathlib import Path
from tests.e2e.cases import ObedientAgent, codex_headers, rows_when, sessions_of
from tests.e2e.system import running
from tests.e2e.test_cases_identity import new_thread, agent
place = Path(PLACE)
with running(place / "home") as system:
    keys, threads, pid = [], [], None
    for turn in range(TURNS):
        if pid is not None:
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        with agent(place / "agent", system, f"tab-{turn:03d}") as one:
            if pid is not None and one.pid != pid:
                continue
            pid = one.pid
            thread = new_thread()
            assert one.do("request", port=system.gateway_port, headers=codex_headers(thread))["status"] == 200
            threads.append((thread, turn))
    names = {f"codex-{thread}": f"wt:tab-{turn:03d}" for thread, turn in threads}
    rows = rows_when(system, lambda rows: all(name in rows and rows[name].activity == "gone" for name in names))
    of = [rows[name] for name in names]
    print(json.dumps({
        "recycled": len(of),
        "wrong": [row.session for row in of if row.terminals != (names[row.session],) or row.conflicts],
        "keys": len({str(row.process) for row in of}),
        "pids": len({row.process.pid for row in of}),
        "verified": sum(row.verdict == "verified" for row in of),
    }))
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-pf", "--mount-proc", "true"], capture_output=True, check=False).returncode != 0,
    reason="no pid namespace of our own can be made",
)
def test_a_recycled_pid_is_another_process(tmp_path: Path) -> None:
    """In a pid namespace of its own every agent gets the same pid, one after the other; each keeps what is its own."""
    root = str(Path(__file__).resolve().parents[2])
    script = _RECYCLE.replace("ROOT", repr(root)).replace("PLACE", repr(str(tmp_path))).replace("TURNS", "60")
    done = subprocess.run(
        ["unshare", "-pf", "--mount-proc", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["recycled"] >= 20, told
    assert told["pids"] == 1, told
    assert told["wrong"] == [], told
    assert told["keys"] == told["verified"] == told["recycled"], told
