"""Runs the tests of the Windows code in a Windows Python under Wine, in what ``tests/windows/setup`` made.

``TABWIRE_WINE`` names that folder; without it these tests are skipped by name, so that nobody takes them for passed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WINE = os.environ.get("TABWIRE_WINE", "")
DEADLINE = 600

pytestmark = [
    pytest.mark.skipif(
        not WINE, reason="the Windows code is not tested: run tests/windows/setup, then set TABWIRE_WINE=.cache/wine"
    ),
    pytest.mark.timeout(DEADLINE + 30),
]


def inside(*tests: str) -> None:
    """Run some of the tests inside, and fail with what they said."""
    command = [str(HERE / "inside"), WINE, "/w/python/python.exe", "-m", "pytest", "-q", "-c", r"Z:\src\pyproject.toml"]
    paths = ["Z:\\src\\" + test.replace("/", "\\") for test in tests]
    done = subprocess.run(
        [*command, "--rootdir", r"Z:\src", *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said
    assert " passed" in said, said
    print(said.splitlines()[-1])


def test_the_probe_and_the_protections_on_windows() -> None:
    inside("tests/windows/on_windows/test_probe.py", "tests/windows/on_windows/test_protections.py")


def test_the_whole_system_with_the_real_codex_on_windows() -> None:
    inside("tests/windows/on_windows/test_system.py")


def test_the_bus_on_the_event_loop_of_windows() -> None:
    inside(*(f"tests/contract/test_bus{part}.py" for part in ("", "_commands", "_admission")))


def test_what_is_pure_on_windows_too() -> None:
    inside("tests/unit/test_probe_windows.py", "tests/unit/test_probe_wsl.py", "tests/properties/test_probe_windows.py")
