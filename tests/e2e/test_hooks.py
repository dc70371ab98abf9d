"""Hooks end to end: ``tabwire hook`` as agents run it, with the real Codex and without any agent at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from schemas.identity import process_id
from tests.e2e.claude import Claude, needs_claude
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.system import DEADLINE, System, running

pytestmark = pytest.mark.e2e
TAB = "dddddddd-4444-4444-8444-444444444444"
EVENTS = ("SessionStart", "UserPromptSubmit", "PreModelRequest", "PostModelRequest", "Stop", "SessionEnd")
REPORT = json.dumps({"hook_event_name": "Stop", "session_id": "01a1fb1e-3bad-7000-8000-000000000001", "prompt": "secret"})


def hook(
    system: System, *words: str, said: str = REPORT, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as an agent would."""
    return subprocess.run(
        system.command("hook", *words),
        env=system.environ(environ),
        input=said,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def hooks_file(system: System) -> str:
    """Write Codex's hooks.json with our command for every event."""
    entry = [{"hooks": [{"type": "command", "command": command_of(system, "codex"), "timeout": 10}]}]
    return json.dumps({"hooks": dict.fromkeys(EVENTS, entry)})


def command_of(system: System, agent: str) -> str:
    """Write the command of a hook, to be run from this repository."""
    return f"cd {Path.cwd()} && TABWIRE_HOME={system.home} {sys.executable} -m actors.cli hook {agent}"


@needs_codex
def test_codex_reports_its_session_its_turn_and_its_end(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        codex = Codex(tmp_path, system)
        (codex.home / "hooks.json").write_text(hooks_file(system))
        done = codex.exec("say hooked", "--dangerously-bypass-hook-trust", terminal=TAB)
        assert "hooked" in done.stdout
        (thread,) = codex.rollouts()
        session = f"codex-{thread}"
        said = [one.envelope for one in system.until_count("hook.received", 5, session=session)]
        assert [one.data.hook for one in said][:3] == ["SessionStart", "UserPromptSubmit", "PreModelRequest"]
        assert {one.data.hook for one in said} >= {"PostModelRequest", "Stop"}
        assert {one.subject for one in said} == {f"session/{session}"}
        requests = system.until_count("request.attributed", session=session)
        processes = {one.data.process for one in said}
        assert processes == {requests[0].envelope.data.process}
        assert {(one.data.terminal, one.data.process_kind, one.data.cwd) for one in said} == {
            (f"wt:{TAB}", "exec", str(codex.work))
        }
        assert said[0].data.detail == "startup"
        assert said[0].data.transcript.endswith(f"{thread}.jsonl")
        assert {one.data.turn for one in said[1:]} - {None}
        proof = said[0].data.evidence[0]
        assert (proof.kind, int(proof.rank), proof.value) == ("ancestry", 2, process_id(processes.pop()))
        exported = system.tabwire("events", "export").stdout
        assert "say hooked" not in exported
        ours = [row["session"] for row in system.sessions().values() if row["cwd"] == str(codex.work)]
        assert ours == [session]  # others of this machine are in the table too


@needs_claude
def test_claude_code_reports_by_command_and_by_http(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        claude = Claude(tmp_path, system)
        command = {"type": "command", "command": command_of(system, "claude")}
        http = {"type": "http", "url": f"http://127.0.0.1:{system.gateway_port}/hooks/claude"}
        hooks = {"SessionStart": command, **dict.fromkeys(("UserPromptSubmit", "Stop", "SessionEnd"), http)}
        settings = tmp_path / "settings.json"
        settings.write_text(json.dumps({"hooks": {name: [{"hooks": [hook]}] for name, hook in hooks.items()}}))
        answer = claude.ask("say rutabaga", "--settings", str(settings), terminal=TAB)
        assert "rutabaga" in answer["result"]
        session = f"claude-{answer['session_id']}"
        said = {one.envelope.data.hook: one.envelope.data for one in system.until_count("hook.received", 4, session=session)}
        assert set(said) == set(hooks)
        requests = system.until_count("request.attributed", session=session)
        assert {one.process for one in said.values()} == {requests[0].envelope.data.process}
        assert {(one.terminal, one.cwd) for one in said.values()} == {(f"wt:{TAB}", str(claude.work))}
        assert {name: one.evidence[0].kind for name, one in said.items()} == {
            "SessionStart": "ancestry",
            **dict.fromkeys(("UserPromptSubmit", "Stop", "SessionEnd"), "socket owner"),
        }
        assert (said["SessionStart"].detail, said["SessionEnd"].detail) == ("startup", "other")
        assert "rutabaga" not in system.tabwire("events", "export").stdout


def test_a_hook_of_nobody_never_fails_and_says_nothing_on_stdout(tmp_path: Path) -> None:
    with running(tmp_path / "home") as system:
        for words, said, told in (
            (("codex",), REPORT, ""),
            (("codex",), "{", "not the JSON object"),
            (("codex",), '{"hook_event_name":"Stop"}', "refused the hook (400)"),
            (("gemini",), REPORT, "expected one of codex, claude"),
            ((), REPORT, "expected one of"),
        ):
            done = hook(system, *words, said=said)
            assert (done.returncode, done.stdout) == (0, "")
            assert told in done.stderr
            assert bool(told) == bool(done.stderr)
        assert system.until_count("hook.received")[0].envelope.data.session is None


def test_without_a_running_tabwire_a_hook_ends_at_once(tmp_path: Path) -> None:
    system = System(tmp_path / "home")
    done = hook(system, "claude")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    run = system.home / "state/run"
    run.mkdir(parents=True)
    url = f"http://127.0.0.1:{system.gateway_port}/v1"
    (run / "status.json").write_text(json.dumps({"endpoints": {"gateway": url}}))  # as a killed supervisor leaves it
    done = hook(system, "claude")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_agent_that_keeps_stdin_open_does_not_wait_long(tmp_path: Path) -> None:
    with (
        running(tmp_path / "home") as system,
        subprocess.Popen(
            system.command("hook", "codex"), env=system.environ(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.wait(DEADLINE) == 0
        assert process.stderr is not None
        assert b"within 0.9 s" in process.stderr.read()


def test_its_help_is_a_help(tmp_path: Path) -> None:
    assert "codex or claude" in System(tmp_path / "home").tabwire("hook", "--help").stdout
