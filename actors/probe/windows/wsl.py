"""Linux distributions inside Windows (WSL), as far as ``wsl.exe`` tells: which run, and what Linux processes run in them.

Owns the form of its answers, and that a missing, silent or strange ``wsl.exe`` costs one sentence and nothing else. A Linux
process is no Windows process: its connections to Windows come from WSL's own relay, so it can be listed here but never
proven; a Tabwire inside the distribution can. Must not start a distribution: only those that run already are looked into.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from actors.probe.agents import worth_a_look

DEADLINE: Final = 2.0
_MAX_ANSWER: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIST: Final = ("--list", "--running", "--quiet")
_PROCESSES: Final = ("ps", "-eo", "pid=,ppid=,comm=")
_PS_FIELDS: Final = 3
_SHOWN: Final = 8

Run = Callable[[Sequence[str]], bytes]


class WslError(Exception):
    """Linux processes cannot be listed; the text says why, for people."""


class NoWslError(WslError):
    """There is no WSL on this computer."""


@dataclass(frozen=True, slots=True)
class LinuxProcess:
    """A process inside a distribution, by the numbers that Linux gave it."""

    distribution: str
    pid: int
    parent: int
    name: str


def parse_text(raw: bytes) -> str:
    """Read what ``wsl.exe`` writes: UTF-16 of its own, UTF-8 of Linux programs, either with or without a mark."""
    if raw.startswith(b"\xff\xfe") or raw[1::2].count(0) * 4 > len(raw):
        return raw.decode("utf-16-le", "replace").lstrip("\ufeff")
    return raw.decode("utf-8-sig", "replace")


def parse_distributions(raw: bytes) -> tuple[str, ...]:
    """Read a quiet list of distributions; what cannot be a name (a sentence that there are none) is passed over."""
    return tuple(name for line in parse_text(raw).splitlines() if _NAME.fullmatch(name := line.strip().strip("\0")))


def parse_processes(distribution: str, raw: bytes) -> tuple[LinuxProcess, ...]:
    """Read the three columns of ``ps``; a line that is none costs itself."""
    found = []
    for line in parse_text(raw).split("\n"):
        fields = line.split(maxsplit=_PS_FIELDS - 1)
        if len(fields) == _PS_FIELDS and fields[0].isdecimal() and fields[1].isdecimal():
            found.append(LinuxProcess(distribution, int(fields[0]), int(fields[1]), fields[2].strip()))
    return tuple(found)


def linux_processes(run: Run | None = None) -> tuple[LinuxProcess, ...]:
    """List the processes of every distribution that runs now. Seconds, if WSL is slow: use a worker thread.

    Raises:
        WslError: there is no WSL, or it does not answer.

    """
    ask = run or run_wsl
    found: list[LinuxProcess] = []
    for name in parse_distributions(ask(_LIST)):
        found += parse_processes(name, ask(("--distribution", name, "--exec", *_PROCESSES)))
    return tuple(found)


def run_wsl(arguments: Sequence[str]) -> bytes:
    """Run ``wsl.exe`` and return what it says.

    Raises:
        WslError: not installed, refused, or silent for ``DEADLINE`` seconds.

    """
    program = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "wsl.exe")  # noqa: PTH118 - Windows' own path
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed program, and names that were checked
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except FileNotFoundError as error:
        raise NoWslError("WSL is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise WslError(f"wsl.exe did not answer within {DEADLINE:.0f} s") from error
    except OSError as error:
        raise WslError(f"wsl.exe cannot be run: {error.strerror}") from error
    if answer.returncode or len(answer.stdout) > _MAX_ANSWER:
        said = parse_text(answer.stdout or answer.stderr).strip().splitlines()
        raise WslError(f"wsl.exe ended with {answer.returncode}: {said[0] if said else 'without a word'}")
    return answer.stdout


def sentence(processes: Callable[[], tuple[LinuxProcess, ...]] = linux_processes) -> str:
    """Say what there is inside WSL, and what to do about it; nothing where there is no WSL or nothing runs in it."""
    try:
        running = processes()
    except NoWslError:
        return ""
    except WslError as error:
        return f"WSL: processes inside it cannot be listed because {error}"
    if not running:
        return ""
    places = ", ".join(sorted({process.distribution for process in running}))
    likely = [f"{process.name} {process.pid}" for process in running if worth_a_look(process.name, process.name)]
    seen = f" ({', '.join(likely[:_SHOWN])})" if likely else ""
    return f"WSL ({places}): agents inside it{seen} are not attributed from Windows; run a Tabwire of their own in there"
