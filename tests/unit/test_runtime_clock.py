"""The clock of a run: what it tells depends on its anchor and on the steady clock alone."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from actors.runtime.clock import Clock, take_anchor
from actors.runtime.contract import Anchor

HOUR = 3_600_000_000_000


def test_it_tells_the_time_of_day_and_goes_on() -> None:
    clock = Clock(take_anchor())
    before, told, after = time.time_ns(), clock(), time.time_ns()
    assert before - HOUR < told < after + HOUR
    assert clock() <= clock() <= clock()


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_wall_clock_that_was_set_since_the_anchor_changes_nothing(jump: int) -> None:
    anchor = take_anchor()
    as_set_before = Clock(Anchor(wall=anchor.wall - jump, steady=anchor.steady))
    told = as_set_before() - (anchor.wall - jump)
    assert 0 <= told < HOUR // 2


def test_every_process_tells_the_same_by_one_anchor() -> None:
    anchor = take_anchor()
    text = (
        "from actors.runtime.clock import Clock\nfrom actors.runtime.contract import Anchor\n"
        f"print(Clock(Anchor(wall={anchor.wall}, steady={anchor.steady}))())"
    )
    before = Clock(anchor)()
    told = int(subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout)
    assert before <= told <= Clock(anchor)()
