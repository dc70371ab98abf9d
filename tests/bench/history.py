"""How long ``tabwire history`` takes for its first page: ``python -m tests.bench.history [--files 20000]``.

A home with that many rollouts, spread over a year, is written; then the command runs as a user would run it, from the start
of its process to its end, beside a bare walk over the same files (scandir and stat). The page fails (exit 1) when it takes
longer than ``TARGET`` seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.machine import describe
from tests.transcript_files import write_rollout

TARGET = 0.5
FILES = 20_000


def main() -> int:
    """Measure and print; return 1 if the target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(f"history: {describe()}")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _fill(home, arguments.files)
        environ = {
            **os.environ,
            "CODEX_HOME": folder,
            "CLAUDE_CONFIG_DIR": f"{folder}/none",
            "TABWIRE_HOME": f"{folder}/tabwire",
        }
        command = [sys.executable, "-m", "actors.cli", "history", "--json"]
        times = {
            "a walk over the files": _median(lambda: _walk(home / "sessions"), arguments.rounds),
            "tabwire history": _median(lambda: _run(command, environ), arguments.rounds),
            "tabwire --version": _median(lambda: _run([*command[:3], "--version"], environ), arguments.rounds),
        }
    for name, took in times.items():
        print(f"  {name:<22} {took * 1000:6.0f} ms")
    page = times["tabwire history"]
    print(f"  first page over {arguments.files} files: {page:.2f} s   target ≤ {TARGET} s")
    return int(page > TARGET)


def _fill(home: Path, files: int) -> None:
    began = datetime(2025, 11, 21, tzinfo=UTC)
    for number in range(files):
        at = began + timedelta(minutes=number * 26)
        thread = f"{number:08x}-0000-7000-8000-000000000000"
        write_rollout(home, thread, minute=number % 60, folder=f"sessions/{at:%Y/%m/%d}")


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def _walk(folder: Path) -> int:
    return sum(entry.stat().st_size for path, _, _ in os.walk(folder) for entry in os.scandir(path) if entry.is_file())


def _run(command: list[str], environ: dict[str, str]) -> None:
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(main())
