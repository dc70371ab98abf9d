"""How the bus waits: descriptors watched by any loop, and events that are recorded where they are or by the writer's thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from bus import recorder as recorder_module
from bus.journal import Journal, JournalFullError
from bus.protocol import Row
from bus.readiness import Readiness, readiness
from bus.recorder import MAX_HERE_EVENTS, Batch, Recorder
from bus.sequencer import Numbered, Submission, admit
from bus.worker import Worker
from tests.bus.values import TIME, raw

DEADLINE = 10.0


# ---------------------------------------------------------------------------------------------------- readiness


class _LoopWithoutReaders(asyncio.SelectorEventLoop):
    """As Windows' proactor: it cannot be told of a descriptor."""

    def add_reader(self, *_: object) -> None:
        raise NotImplementedError


@contextmanager
def watched() -> Iterator[tuple[Readiness, socket.socket, Callable[[], bytes]]]:
    """Make a pair of sockets and watch one end; what it brought is held until it is taken."""
    ours, theirs = socket.socketpair()
    held = bytearray()

    def worth() -> bool:
        try:
            held.extend(ours.recv(100))
        except BlockingIOError:
            return bool(held)
        return True

    def take() -> bytes:
        worth()
        taken = bytes(held)
        held.clear()
        return taken

    with ours, theirs:
        ours.settimeout(0)
        watching = readiness(ours.fileno(), worth)
        try:
            yield watching, theirs, take
        finally:
            watching.close()


@pytest.fixture(params=[asyncio.SelectorEventLoop, _LoopWithoutReaders])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], object]], None]:
    def run_on_it(main: Callable[[], object]) -> None:
        anyio.run(main, backend_options={"loop_factory": request.param})  # type: ignore[arg-type]

    return run_on_it


def test_a_wait_ends_when_something_came_or_its_time_is_over(run: Callable[..., None]) -> None:
    async def main() -> None:
        with watched() as (watching, theirs, take), anyio.fail_after(DEADLINE):
            assert not await watching.wait(anyio.current_time() + 0.01)
            theirs.send(b"1")
            while not await watching.wait(anyio.current_time() + DEADLINE):
                pass
            assert take() == b"1"
            assert not await watching.wait(anyio.current_time() + 0.02), "an earlier, longer deadline must not hold this one up"

    run(main)


def test_attending_takes_all_that_comes_until_it_has_enough(run: Callable[..., None]) -> None:
    async def main() -> None:
        got = bytearray()
        with watched() as (watching, theirs, take), anyio.fail_after(DEADLINE):

            def some() -> bool:
                got.extend(take())
                if len(got) < 3:
                    theirs.send(b"x")
                return len(got) < 3

            theirs.send(b"x")
            await watching.attend(some)
            assert got == b"xxx"

    run(main)


def test_a_deadline_of_an_earlier_wait_ends_no_attending(run: Callable[..., None]) -> None:
    async def main() -> None:
        with watched() as (watching, theirs, take), anyio.fail_after(DEADLINE):
            theirs.send(b"1")
            while not await watching.wait(anyio.current_time() + 0.05):
                pass
            take()
            with anyio.move_on_after(0.2) as limit:
                await watching.attend(lambda: True)
            assert limit.cancelled_caught

    run(main)


def test_what_is_raised_while_attending_is_raised_by_it(run: Callable[..., None]) -> None:
    async def main() -> None:
        def broken() -> bool:
            raise ZeroDivisionError

        with watched() as (watching, theirs, take), anyio.fail_after(DEADLINE):
            theirs.send(b"x")
            with pytest.raises(ZeroDivisionError):
                await watching.attend(broken)
            assert take() == b"x"

    run(main)


# ---------------------------------------------------------------------------------------------------- recorder


class Recording:
    """A recorder with a journal of its own; ``told`` has (thread, ids) of each batch, ``acked`` the answered origins."""

    def __init__(self, folder: Path, writer: Worker) -> None:
        self.journal = Journal.open(folder / "journal", "e1")
        self.published: list[tuple[str, list[int]]] = []
        self.acked: list[int] = []
        self.changed = anyio.Event()
        self.recorder: Recorder[int] = Recorder(
            journal=self.journal,
            writer=writer,
            now=lambda: TIME,
            publish=self._publish,
            recorded=self._recorded,
            refused=self._refused,
        )

    def submit(self, *numbers: int) -> None:
        for number in numbers:
            envelope = raw(number, id_=f"id-{number}")
            self.recorder.submit(number, Submission((admit(0, envelope, "gateway"),)), len(envelope))

    async def idle(self) -> None:
        with anyio.fail_after(DEADLINE):
            while not self.recorder.idle:
                self.changed = anyio.Event()
                await self.changed.wait()

    def _publish(self, rows: Sequence[Row]) -> None:
        self.published.append((threading.current_thread().name, [row.position for row in rows]))

    def _recorded(self, batch: Batch[int], _: Numbered) -> None:
        self.acked.extend(batch.origins)
        self.changed.set()

    def _refused(self, batch: Batch[int], error: JournalFullError) -> None:
        raise AssertionError(batch, error)


def record(folder: Path, main: Callable[[Recording, Worker], object]) -> None:
    async def live() -> None:
        with Worker("writer") as writer:
            recording = Recording(folder, writer)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(writer.deliver)
                    recording.submit(0)
                    recording.recorder.start()
                    await recording.idle()
                    await main(recording, writer)  # type: ignore[misc]
                    group.cancel_scope.cancel()
            finally:
                recording.journal.close()

    anyio.run(live)


@pytest.fixture
def any_disk_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "QUICK_SECONDS", 1e9)


@pytest.mark.usefixtures("any_disk_is_quick")
def test_what_is_alone_is_recorded_and_published_at_once(tmp_path: Path) -> None:
    async def main(recording: Recording, _: Worker) -> None:
        recording.submit(1, 2)
        recording.recorder.settle()
        assert recording.acked == [0, 1, 2]
        assert recording.published == [("writer", [1]), (threading.current_thread().name, [2, 3])]
        assert recording.journal.read(0).head == 3

    record(tmp_path, main)


@pytest.mark.usefixtures("any_disk_is_quick")
def test_what_is_large_goes_to_the_writers_thread(tmp_path: Path) -> None:
    async def main(recording: Recording, _: Worker) -> None:
        recording.submit(*range(1, MAX_HERE_EVENTS + 2))
        recording.recorder.settle()
        assert recording.acked == [0]
        await recording.idle()
        assert recording.acked == list(range(MAX_HERE_EVENTS + 2))
        assert {thread for thread, _ in recording.published} == {"writer"}

    record(tmp_path, main)


def test_a_slow_disk_never_holds_the_loop_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "QUICK_SECONDS", 0.0)

    async def main(recording: Recording, _: Worker) -> None:
        for number in (1, 2, 3):
            recording.submit(number)
            recording.recorder.settle()
            await recording.idle()
        assert {thread for thread, _ in recording.published} == {"writer"}

    record(tmp_path, main)


@pytest.mark.usefixtures("any_disk_is_quick")
def test_the_order_is_kept_when_the_writer_is_at_work(tmp_path: Path) -> None:
    async def main(recording: Recording, writer: Worker) -> None:
        release = threading.Event()
        writer.submit(lambda: release.wait(DEADLINE), lambda _: None)
        recording.submit(1)
        recording.recorder.settle()
        recording.submit(2)
        recording.recorder.settle()
        assert recording.acked == [0]
        release.set()
        await recording.idle()
        assert recording.acked == [0, 1, 2]
        assert recording.published[-2:] == [("writer", [2]), ("writer", [3])]

    record(tmp_path, main)


@pytest.mark.usefixtures("any_disk_is_quick")
def test_a_repetition_met_on_the_way_keeps_its_position(tmp_path: Path) -> None:
    async def main(recording: Recording, _: Worker) -> None:
        recording.submit(0, 1)
        recording.recorder.settle()
        await recording.idle()
        assert recording.acked == [0, 0, 1]
        assert [positions for _, positions in recording.published] == [[1], [2]]

    record(tmp_path, main)
