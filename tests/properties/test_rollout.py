"""Whatever happens to files, each line that could be seen is told once, and each file's place is told as it is.

The core runs against file systems made of dicts: real framing, reading, tracking and ids; only the bytes come from memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.rollout.announcing import Announcement, recalled
from actors.rollout.looking import Absent, Glance, look
from actors.rollout.tracking import Followed, Input, Listing, Look, Tracker, step
from actors.transcripts.files import named
from actors.transcripts.lines import MAX_LINE, START, Discarded, Line, frame, span
from actors.transcripts.tree import Found, Mark, roots
from schemas.events import TranscriptMoved, TranscriptSeen, TranscriptUsageRecorded
from tests.transcripts.made import meta, name, usage, uuid

ROOTS = roots("codex", "/home")
FOLDERS = ("/home/sessions/2026/11/20", "/home/archived_sessions")


@dataclass
class Disk:
    """Files by path: their inode and content. Inodes of deleted files are given to new ones at once, as ext4 does."""

    files: dict[str, tuple[int, bytearray]] = field(default_factory=dict)
    free: list[int] = field(default_factory=list)
    clock: int = 1

    def write(self, path: str, content: bytes) -> None:
        self.remove(path)
        inode = self.free.pop() if self.free else len(self.files) + 100 + self.clock
        self.files[path] = (inode, bytearray(content))

    def remove(self, path: str) -> None:
        if path in self.files:
            self.free.append(self.files.pop(path)[0])

    def found(self, path: str) -> Found:
        root = next(one for one in ROOTS if path.startswith(one.folder + "/"))
        known = named(root, path)
        assert known is not None
        inode, content = self.files[path]
        return Found(root, path, known, Mark(1, inode, len(content), self.stamps.get(path, 0)))

    stamps: dict[str, int] = field(default_factory=dict)


class Watcher:
    """The core between a disk and a journal that keeps each id once."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.journal: dict[str, Announcement] = {}
        self.tracker = Tracker()
        self.saved: bytes | None = None

    def hear(self, heard: Input) -> None:
        """Take an observation and everything that follows from it."""
        pending: list[Input] = [heard]
        for _ in range(10_000):
            if not pending:
                return
            for output in step(self.tracker, pending.pop(0), recent=0):
                if isinstance(output, Look):
                    pending.append(self.glance(output.path))
                else:
                    self.journal.setdefault(output.id, output)
        raise AssertionError("it never comes to rest")

    def glance(self, path: str) -> Glance:
        if path not in self.disk.files:
            return Absent(path)
        found = self.disk.found(path)
        content = self.disk.files[path][1]
        return look(self.tracker.job(found), found.mark, lambda first, end: bytes(content[first:end]))

    def list_all(self) -> None:
        self.hear(Listing(tuple(self.disk.found(path) for path in self.disk.files)))

    def save(self) -> None:
        self.saved = msgspec.json.encode(list(self.tracker.files.values()))

    def restart(self, *, with_file: bool) -> None:
        """Die at once; begin again from what was saved, or from the journal alone."""
        files = (
            {}
            if self.saved is None or not with_file
            else {one.file: one for one in msgspec.json.decode(self.saved, type=list[Followed])}
        )
        for id_, one in self.journal.items():
            if isinstance(one.data, TranscriptSeen | TranscriptMoved):
                known = files.get(one.data.file) or Followed(file=one.data.file, path=one.data.path)
                told = recalled(known.told, one.data, id_)
                files[one.data.file] = msgspec.structs.replace(known, told=told, path=told.path)
        self.tracker = Tracker(files.values())

    def responses(self) -> list[str]:
        return [one.data.response for one in self.journal.values() if isinstance(one.data, TranscriptUsageRecorded)]

    def place(self, thread: str) -> str | None:
        """Return the last place that the journal tells of a thread's file."""
        files = {
            one.data.file for one in self.journal.values() if isinstance(one.data, TranscriptSeen) and one.data.thread == thread
        }
        places = [
            one.data.path
            for one in self.journal.values()
            if isinstance(one.data, TranscriptSeen | TranscriptMoved) and one.data.file in files
        ]
        return places[-1] if places else None


class Files(RuleBasedStateMachine):
    """Agents and users do to rollouts what they do, in any order, and now and then the watcher dies."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk()
        self.watcher = Watcher(self.disk)
        self.count = 0
        self.threads = 0
        self.owner: dict[str, str] = {}
        self.expected: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.create(0)
        self.watcher.list_all()

    # ------------------------------------------------------------------ what happens to files

    def line(self) -> bytes:
        self.count += 1
        return usage(f"resp_{self.count}", total=self.count + 1)

    def path(self, number: int) -> str | None:
        paths = sorted(self.disk.files)
        return paths[number % len(paths)] if paths else None

    def touch(self, path: str) -> None:
        self.disk.clock += 1
        self.disk.stamps[path] = self.disk.clock

    @rule(lines=st.integers(0, 3))
    def create(self, lines: int) -> None:
        self.threads += 1
        thread = uuid(self.threads)
        path = f"{FOLDERS[0]}/{name(thread)}"
        self.owner[path] = thread
        self.disk.write(path, meta(thread) + b"".join(self.line() for _ in range(lines)))
        self.touch(path)
        self.hint(path)

    @rule(number=st.integers(0, 5), torn=st.booleans(), hinted=st.booleans())
    def append(self, number: int, torn: bool, hinted: bool) -> None:  # noqa: FBT001 - drawn
        if path := self.path(number):
            content = self.disk.files[path][1]
            if content and content[-1:] != b"\n":
                content += b"\n"
            content += self.line()
            if torn:
                del content[-5:]
            self.touch(path)
            if hinted:
                self.hint(path)

    @rule(number=st.integers(0, 5), keep=st.integers(0, 3), lines=st.integers(0, 6), hinted=st.booleans())
    def truncate_and_regrow(self, number: int, keep: int, lines: int, hinted: bool) -> None:  # noqa: FBT001
        if path := self.path(number):
            content = self.disk.files[path][1]
            kept = b"".join(one + b"\n" for one in bytes(content).split(b"\n")[:-1][:keep])
            content[:] = kept + (b"".join(self.line() for _ in range(lines)) if kept else b"")
            self.touch(path)
            if hinted:
                self.hint(path)

    @rule(number=st.integers(0, 5), lines=st.integers(0, 3))
    def replace_by_a_copy_that_goes_on(self, number: int, lines: int) -> None:
        if path := self.path(number):
            kept = bytes(self.disk.files[path][1])
            kept = kept[: kept.rfind(b"\n") + 1]
            self.disk.write(path, kept + (b"".join(self.line() for _ in range(lines)) if kept else b""))
            self.touch(path)
            self.hint(path)

    @rule(number=st.integers(0, 5), first=st.booleans())
    def archive_or_bring_back(self, number: int, first: bool) -> None:  # noqa: FBT001
        if path := self.path(number):
            folder, _, last = path.rpartition("/")
            target = f"{FOLDERS[1] if folder == FOLDERS[0] else FOLDERS[0]}/{last}"
            self.disk.files[target] = self.disk.files.pop(path)
            self.disk.stamps[target] = self.disk.stamps.get(path, 0)
            self.owner[target] = self.owner[path]
            self.hint(*((path, target) if first else (target, path)))

    @rule(number=st.integers(0, 5), hinted=st.booleans())
    def delete(self, number: int, hinted: bool) -> None:  # noqa: FBT001
        if path := self.path(number):
            self.disk.remove(path)
            if hinted:
                self.hint(path)

    # ------------------------------------------------------------------ what the watcher sees

    def hint(self, *paths: str) -> None:
        for path in paths:
            self.watcher.hear(self.watcher.glance(path))

    @rule()
    def reconcile(self) -> None:
        self.watcher.list_all()
        for path, (_, content) in self.disk.files.items():
            if content.startswith(meta(self.owner[path])):
                self.expected |= responses_of(bytes(content))

    @rule()
    def save(self) -> None:
        self.watcher.save()

    @rule(with_file=st.booleans())
    def die(self, with_file: bool) -> None:  # noqa: FBT001
        self.watcher.restart(with_file=with_file)
        self.reconcile()

    @invariant()
    def nothing_is_doubled(self) -> None:
        told = self.watcher.responses()
        assert len(told) == len(set(told))

    def teardown(self) -> None:
        for _ in range(4):
            self.reconcile()
        assert self.expected <= set(self.watcher.responses())
        for thread in set(self.owner.values()):
            here = [path for path in self.disk.files if self.owner[path] == thread]
            own = [path for path in here if self.disk.files[path][1].startswith(meta(thread))]
            blank = [path for path in here if b"\n" not in self.disk.files[path][1]]  # a file without a line is still there
            told = self.watcher.place(thread)
            assert told in own if own else told is None or told in blank


def responses_of(content: bytes) -> set[str]:
    """Return the responses of the whole lines."""
    lines = content.split(b"\n")[1:-1]
    return {msgspec.json.decode(one)["payload"]["response_id"] for one in lines if one.endswith(b"}}")}


Files.TestCase.settings = settings(max_examples=500, stateful_step_count=30, deadline=None)
TestFiles = Files.TestCase


# ------------------------------------------------------------------------------------------------ framing


@given(
    pieces=st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=8),
    torn=st.binary(max_size=20),
    cuts=st.lists(st.integers(0, 400), max_size=8),
    budget=st.integers(1, 64),
)
def test_lines_are_the_same_however_the_file_grew_and_was_read(
    pieces: list[bytes], torn: bytes, cuts: list[int], budget: int
) -> None:
    content = b"".join(piece + b"\n" for piece in pieces) + torn.replace(b"\n", b"")
    position, lines = START, list[bytes]()
    for size in [*sorted(min(cut, len(content)) for cut in cuts), len(content)]:
        while True:
            first, end = span(position, size, budget)
            framed = frame(position, first, content[first:end], ended=end == size)
            assert framed is not None
            assert framed.position.offset <= size
            lines += [one.raw for one in framed.found if isinstance(one, Line)]
            position = framed.position
            if not framed.more:
                break
    assert lines == pieces
    assert position.offset == sum(len(piece) + 1 for piece in pieces)


@given(before=st.binary(min_size=1, max_size=50), after=st.binary(min_size=1, max_size=50))
def test_another_content_before_the_offset_is_noticed(before: bytes, after: bytes) -> None:
    framed = frame(START, 0, before + b"\n", ended=True)
    assert framed is not None
    other = after + b"\n" + b"more\n" * 20
    first, end = span(framed.position, len(other))
    same = other.startswith(before + b"\n")
    assert (frame(framed.position, first, other[first:end], ended=True) is not None) is same


@given(over=st.integers(1, 3), rest=st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")))
@settings(max_examples=5, deadline=None)
def test_a_line_without_bounds_is_one_rejection(over: int, rest: bytes) -> None:
    content = b"a\n" + b"x" * (MAX_LINE + over) + b"\n" + rest + b"\n"
    position, found = START, list[Line | Discarded]()
    while True:
        first, end = span(position, len(content))
        framed = frame(position, first, content[first:end], ended=end == len(content))
        assert framed is not None
        found += framed.found
        position = framed.position
        if not framed.more:
            break
    assert [one.raw for one in found if isinstance(one, Line)] == [b"a", rest]
    (lost,) = [one for one in found if isinstance(one, Discarded)]
    assert (lost.length, lost.end) == (MAX_LINE + over + 1, MAX_LINE + over + 3)
