"""Fixtures that every kind of test may use, and the search after all of them for keys that got out."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import canary

# The same examples in every run, so that a red run is red again; `deploy/test --hypothesis-profile=explore` looks further.
settings.register_profile("explore")
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

_FOUND: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture
def anyio_backend() -> str:
    """Run ``@pytest.mark.anyio`` tests on asyncio, the loop that the product runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _canary_stash(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the last test, search everything that was left for made-up keys (``tests.canary``); a hit fails the run."""
    yield
    pytestconfig.stash[_FOUND] = [str(path) for path in canary.hits(tmp_path_factory.getbasetemp())]


def pytest_sessionstart() -> None:
    """Undo what a shell does to what it starts in the background: Ctrl-C is for our children to hear."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that let a key out."""
    if session.config.stash.get(_FOUND, []):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where."""
    for path in config.stash.get(_FOUND, []):
        terminalreporter.write_line(f"KEY FOUND: {path} holds a key that a test made up for a provider", red=True)
