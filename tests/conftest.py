"""Fixtures that every kind of test may use, and the search after all of them for keys that got out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import settings

from tests import canary

# The same examples in every run, so that a red run is red again; `deploy/test --hypothesis-profile=explore` looks further.
settings.register_profile("explore")
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

# Tests that start what is or looks like an agent, or that look at all processes; and those beside them that do neither.
OF_THE_WHOLE_COMPUTER: Final = (
    *("e2e", "faults/test_discovery", "faults/test_system"),
    *(f"contract/test_{name}" for name in ("discovery", "gateway_hooks", "gateway_identity", "probe")),
)
BY_THEMSELVES: Final = ("e2e/test_remote", "e2e/test_up_again")


@pytest.fixture
def anyio_backend() -> str:
    """Run ``@pytest.mark.anyio`` tests on asyncio, the loop that the product runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _no_key_got_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the last test, search everything that was left for made-up keys (``tests.canary``)."""
    yield
    found = [str(path) for path in canary.hits(tmp_path_factory.getbasetemp())]
    assert not found, f"these hold a key that a test made up for a provider: {found}"


def pytest_sessionstart() -> None:
    """Undo what a shell does to what it starts in the background: Ctrl-C is for our children to hear."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep on one worker what would see its like on another; other files go where there is room."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - only where it is asked for

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            place = nodeid.partition("::")[0].removeprefix("tests/")
            alone = place.startswith(OF_THE_WHOLE_COMPUTER) and not place.startswith(BY_THEMSELVES)
            return "the whole computer" if alone else place

    return Scheduling(config, log)
