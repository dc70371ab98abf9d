"""What ``wsl.exe`` says, and that whatever it does costs one sentence and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actors.probe.windows.wsl import (
    LinuxProcess,
    NoWslError,
    WslError,
    linux_processes,
    parse_distributions,
    parse_processes,
    parse_text,
    run_wsl,
    sentence,
)

UBUNTU = LinuxProcess("Ubuntu-24.04", 231, 12, "codex")


@pytest.mark.parametrize(
    "raw", ["Ubuntu\r\nDebian\r\n".encode("utf-16-le"), "\ufeffUbuntu\r\nDebian".encode("utf-16"), b"Ubuntu\nDebian\n"]
)
def test_names_are_read_in_whichever_encoding_they_come(raw: bytes) -> None:
    assert parse_distributions(raw) == ("Ubuntu", "Debian")


def test_a_sentence_is_no_name() -> None:
    assert parse_distributions("There are no running distributions.\r\n".encode("utf-16-le")) == ()
    assert parse_distributions("--exec\r\n..\r\n".encode("utf-16-le")) == ()
    assert parse_distributions(b"") == ()


def test_processes_are_read_and_a_strange_line_costs_itself() -> None:
    raw = b"    1     0 systemd\n  231    12 codex\nnonsense\n  -1 0 x\n  400   231 node (deleted) \n"
    assert parse_processes("Ubuntu-24.04", raw) == (
        LinuxProcess("Ubuntu-24.04", 1, 0, "systemd"),
        UBUNTU,
        LinuxProcess("Ubuntu-24.04", 400, 231, "node (deleted)"),
    )


def test_every_distribution_that_runs_is_looked_into_and_no_other() -> None:
    asked: list[tuple[str, ...]] = []

    def run(arguments: Sequence[str]) -> bytes:
        asked.append(tuple(arguments))
        return "Ubuntu-24.04\r\n".encode("utf-16-le") if "--list" in arguments else b"231 12 codex\n"

    assert linux_processes(run) == (UBUNTU,)
    assert asked[0] == ("--list", "--running", "--quiet")
    assert asked[1][:3] == ("--distribution", "Ubuntu-24.04", "--exec")


def test_what_is_inside_is_said_with_what_to_do_about_it() -> None:
    assert sentence(lambda: (UBUNTU,)) == (
        "WSL (Ubuntu-24.04): agents inside it (codex 231) are not attributed from Windows; run a Tabwire of their own in there"
    )
    assert sentence(lambda: ()) == ""


def test_no_wsl_is_nothing_to_speak_of_and_a_silent_one_is() -> None:
    def none() -> tuple[LinuxProcess, ...]:
        raise NoWslError("WSL is not installed")

    def silent() -> tuple[LinuxProcess, ...]:
        raise WslError("wsl.exe did not answer within 2 s")

    assert sentence(none) == ""
    assert sentence(silent) == "WSL: processes inside it cannot be listed because wsl.exe did not answer within 2 s"
    with pytest.raises(NoWslError):
        run_wsl(("--list",))


def test_text_without_a_mark_is_told_by_its_zeros() -> None:
    assert parse_text("é".encode()) == "é"
    assert parse_text("Ubuntu".encode("utf-16-le")) == "Ubuntu"
