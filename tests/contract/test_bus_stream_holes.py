"""Numbers of a stream that are spent and never heard: seen by who listens, also when nothing follows."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from bus.client import Mark, RefusedError, connect
from bus.protocol import MAX_TELL
from tests.bus.process import BrokerProcess

pytestmark = pytest.mark.anyio
LAUNCH = "launch-ab12cd34"


async def test_a_frame_that_is_too_large_leaves_a_mark_when_it_was_the_last(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "bridges") as broker:
        async with (
            connect(broker.connection("bridges")) as hub,
            connect(broker.connection()) as client,
            client.stream(LAUNCH) as stream,
        ):
            assert await hub.tell(LAUNCH, "text_added", 1, b"the first")
            with pytest.raises(RefusedError, match="exceed the limit"):
                await hub.tell(LAUNCH, "text_added", 2, bytes(MAX_TELL + 1))
            with anyio.fail_after(20):
                assert [await anext(stream) for _ in range(2)] == [b"the first", Mark(2)]
