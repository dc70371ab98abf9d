"""Which thread ``codex resume`` and ``fork`` mean: whole ids from beginnings, and refusals that say why and what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.cli.failures import CommandFailedError
from actors.cli.threads import Target, settle_thread
from actors.launch.plan import LaunchRefusedError
from actors.probe import choose_probe
from tests.transcript_files import thread_id, write_rollout

A, B, TWIN, PACKED, PUT_AWAY = thread_id(1), thread_id(2), thread_id(2, 7), thread_id(3), thread_id(4)
FORMER = "launch-aabbccddeeff"


@pytest.fixture
def codex_home(tmp_path: Path) -> Path:
    write_rollout(tmp_path, A, model_provider="stub")
    write_rollout(tmp_path, B)
    write_rollout(tmp_path, TWIN)
    write_rollout(tmp_path, PACKED, compressed=True, model_provider="packed")
    write_rollout(tmp_path, PUT_AWAY, folder="archived_sessions")
    earlier = f'{{"id":"{B}","thread_name":"mine"}}'
    (tmp_path / "session_index.jsonl").write_text(f'{earlier}\nnot json\n{{"id":"{A}","thread_name":"mine"}}\n')
    return tmp_path


def settle(codex_home: Path, *arguments: str) -> Target:
    known = {FORMER: A, "launch-001122334455": thread_id(99)}
    environ = {"CODEX_HOME": str(codex_home)}
    return settle_thread(("codex", *arguments), environ, known.get, choose_probe)


@pytest.mark.parametrize(
    ("arguments", "settled", "provider"),
    [
        (("exec", "resume", A), ("exec", "resume", A), "stub"),
        (("exec", "resume", A.upper(), "go on"), ("exec", "resume", A, "go on"), "stub"),
        (("exec", "resume", A[:9]), ("exec", "resume", A), "stub"),
        (("resume", "-m", "gpt", A[:12], "--search"), ("resume", "-m", "gpt", A, "--search"), "stub"),
        (("resume", "--", A[:12]), ("resume", "--", A), "stub"),
        (("resume", f"codex-{A[:12]}"), ("resume", A), "stub"),
        (("resume", "mine"), ("resume", A), "stub"),
        (("resume", FORMER), ("resume", A), "stub"),
        (("resume", PACKED[:10]), ("resume", PACKED), "packed"),
        (("fork", A[:9]), ("fork", A), None),
        (("exec", "fork", PUT_AWAY[:9], "hi"), ("exec", "fork", PUT_AWAY, "hi"), None),
        (("exec", "resume", "--last", A[:9]), ("exec", "resume", "--last", A[:9]), None),
        (("exec", A[:9]), ("exec", A[:9]), None),
        (("resume",), ("resume",), None),
        (("resume", "--help", "x"), ("resume", "--help", "x"), None),
    ],
)
def test_a_thread_is_made_whole(
    codex_home: Path, arguments: tuple[str, ...], settled: tuple[str, ...], provider: str | None
) -> None:
    assert settle(codex_home, *arguments) == Target(("codex", *settled), provider)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("ffff", 1, "no Codex session's id begins with it, and none is called so"),
        ("../../../etc/passwd", 1, "tabwire history"),
        (thread_id(98), 1, "no Codex session"),
        (B[:12], 2, "names 2 sessions"),
    ],
)
def test_what_is_not_one_session_is_said(codex_home: Path, name: str, code: int, said: str) -> None:
    with pytest.raises(CommandFailedError, match=said) as refused:
        settle(codex_home, "resume", name)
    assert refused.value.code == code


def test_ambiguity_names_every_candidate(codex_home: Path) -> None:
    with pytest.raises(CommandFailedError) as refused:
        settle(codex_home, "exec", "fork", B[:12])
    assert B in str(refused.value)
    assert TWIN in str(refused.value)


def test_an_archived_session_is_resumed_by_nobody(codex_home: Path) -> None:
    with pytest.raises(LaunchRefusedError, match=f"codex unarchive {PUT_AWAY}"):
        settle(codex_home, "resume", PUT_AWAY)


def test_a_session_without_a_rollout_says_so(codex_home: Path) -> None:
    with pytest.raises(LaunchRefusedError, match="has no rollout below"):
        settle(codex_home, "resume", "launch-001122334455")


@pytest.fixture
def owner(codex_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Run a process that is called codex and holds A's lock."""
    program = tmp_path_factory.mktemp("bin") / "codex"
    shutil.copy(Path(sys.executable).resolve(), program)
    lock = codex_home / "thread-writer-locks" / f"{A}.lock"
    lock.parent.mkdir()
    lock.touch()
    code = f"held = open({str(lock)!r}); print('held', flush=True); input()"
    with subprocess.Popen(
        [str(program), "-c", code],
        env={"PYTHONHOME": sys.base_prefix, "WT_SESSION": "11111111-2222-3333-4444-555555555555"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_a_session_that_a_living_process_writes_is_refused_with_its_name(
    codex_home: Path, owner: subprocess.Popen[str]
) -> None:
    with pytest.raises(LaunchRefusedError, match=rf"still open in process {owner.pid} .*wt:11111111") as refused:
        settle(codex_home, "resume", A)
    assert "close it there first" in str(refused.value)
    assert settle(codex_home, "fork", A).argv == ("codex", "fork", A)
    assert settle(codex_home, "resume", PACKED).provider == "packed"
    owner.communicate("end\n")
    assert settle(codex_home, "resume", A).provider == "stub"  # the lock file is left over and means nothing
