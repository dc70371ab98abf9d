"""Every error becomes one line and a documented exit code; the unexpected one leaves its story in the log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.cli.failures import CommandFailedError, explain_failure, not_running
from actors.launch.plan import LaunchRefusedError
from actors.probe import ProbeError
from bus.connection import ConnectionFileError
from bus.errors import BusUnavailableError, RefusedError
from bus.journal import JournalError
from schemas.codec import InvalidMessageError
from schemas.config import ConfigError

KNOWN = [
    (CommandFailedError("no", 127), "no", 127),
    (not_running(), "tabwire up", 3),
    (
        ConfigError("c.toml", 3, "gateway.prot", "unknown key", "did you mean 'port'?"),
        "c.toml:3: gateway.prot: unknown key",
        78,
    ),
    (ConnectionFileError("no such file"), "the bus is not to be found", 3),
    (BusUnavailableError("silent"), "tabwire status", 3),
    (RefusedError("no_such_actor", "registry"), "tabwire status", 3),
    (RefusedError("ambiguous", "'co' names 2 sessions: a, b"), "names 2 sessions", 2),
    (RefusedError("not_found", "no session"), "no session", 1),
    (RefusedError("timeout", "2 s"), "no answer in time", 1),
    (RefusedError("odd", "why"), "refused: why (odd)", 1),
    (InvalidMessageError("data.x", "missing"), "same version", 1),
    (LaunchRefusedError("cannot", "do that"), "not started: cannot; do that", 1),
    (JournalError("j: no such file"), "j: no such file", 1),
    (ProbeError("hidden"), "hidden", 1),
    (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", 1),
    (KeyboardInterrupt(), "interrupted", 130),
    (BrokenPipeError(), "", 141),
    (ExceptionGroup("several", [ExceptionGroup("deep", [BusUnavailableError("silent")])]), "tabwire status", 3),
]


@pytest.mark.parametrize(("error", "said", "code"), KNOWN, ids=lambda value: type(value).__name__)
def test_known_errors(error: BaseException, said: str, code: int) -> None:
    message, exit_code = explain_failure(error)
    assert said in message
    assert "\n" not in message
    assert exit_code == code


def test_an_unexpected_error_is_one_line_and_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TABWIRE_HOME", str(tmp_path))
    error = ZeroDivisionError("secret sauce")
    message, code = explain_failure(error)
    log = tmp_path / "state/logs/cli.log"
    assert code == 1
    assert str(log) in message
    assert "ZeroDivisionError: secret sauce" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_unexpected_error_without_a_place_for_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").write_text("in the way")
    monkeypatch.setenv("TABWIRE_HOME", str(tmp_path))
    message, code = explain_failure(ZeroDivisionError("x"))
    assert code == 1
    assert "ZeroDivisionError: x (and the log cannot be written" in message


def command(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    plain = {"PATH": "/usr/bin:/bin", "TABWIRE_HOME": str(home), "HOME": str(home), **environ}
    return subprocess.run(
        [sys.executable, "-m", "actors.cli", *arguments],
        env=plain,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, "tabwire "),
        (("--help",), 0, "Exit codes: 0 ok, 1 failure, 2 usage or ambiguous, 3 not running, 78 bad config"),
        ((), 2, "Usage: tabwire"),
        (("nonsense",), 2, "No such command"),
        (("sessions", "--frob"), 2, "tabwire sessions --help"),
        (("status",), 3, "tabwire up"),
        (("status", "--json"), 3, "tabwire up"),
        (("sessions",), 3, "tabwire up"),
        (("sessions", "--watch"), 3, "tabwire up"),
        (("tail",), 3, "tabwire up"),
        (("tail", "--since", "soon"), 2, "--since: 'soon' is no point"),
        (("explain", "x"), 3, "tabwire up"),
        (("down",), 0, "not running"),
        (("replay",), 1, "nothing was recorded here yet"),
        (("replay", "--until", "soon"), 2, "--until"),
        (("replay", "--at", "soon"), 2, "--at"),
        (("events", "export"), 1, "nothing was recorded here yet"),
        (("config", "path"), 0, "config.toml"),
        (("config", "validate"), 0, "default"),
        (("run",), 2, "Missing argument"),
        (("run", "--frob", "x"), 2, "No such option"),
        (("run", "--", "no-such-agent"), 127, "no such program"),
        (("run", "--", "codex"), 127, "npm install -g @openai/codex"),
        (("run", "--require", "--", "true"), 3, "tabwire up"),
        (("run", "--provider", "nope", "--", "true"), 2, "there are: echo"),
        (("run", "--name", "Bad Name", "--", "true"), 1, "not started"),
        (("run", "--model", "m", "--", "true"), 1, "--model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_with_nothing_running(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = command(tmp_path, *arguments)
    words = " ".join((done.stdout + done.stderr).split())
    assert said in words
    assert "Traceback" not in words
    assert done.returncode == code
    assert code == 0 or done.stdout == ""
    assert not (tmp_path / "state/logs/cli.log").exists()


@pytest.mark.parametrize("arguments", [("up",), ("config", "validate"), ("run", "--", "true")], ids=" ".join)
def test_a_bad_configuration_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "config.toml").write_text("[gateway]\nprot = 1\n")
    (tmp_path / "config.toml").chmod(0o600)
    done = command(tmp_path, *arguments)
    assert done.returncode == 78
    assert f"{tmp_path}/config.toml:2: gateway.prot: unknown key" in done.stderr
    assert "'port'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_relative_home_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "status", TABWIRE_HOME="relative")
    assert (done.returncode, "absolute" in done.stderr) == (78, True)


def test_the_command_takes_over_with_its_signals_and_exit_code(tmp_path: Path) -> None:
    shell = 'grep SigIgn /proc/$$/status; echo "$@"; exit 7'
    started_directly = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False).stdout
    done = command(tmp_path, "run", "--", "sh", "-c", shell, "sh", "a b", "--", "-c", "")
    assert done.returncode == 7
    assert started_directly.splitlines()[0] in done.stdout
    assert "a b -- -c" in done.stdout
    assert "will wait for it" in done.stderr
    (record,) = (tmp_path / "state/launches").iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
