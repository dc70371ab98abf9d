"""The watcher's decisions, played through: which file is which, what is said of it, what is looked at first."""

from __future__ import annotations

import msgspec
import pytest

from actors.rollout.announcing import Announcement, Told, announced, moved, recalled
from actors.rollout.homes import own_homes, resolved_roots
from actors.rollout.looking import Absent, Identified, Progress, Refused, Unnamed
from actors.rollout.memory import Body, Memory, body_of
from actors.rollout.tracking import Followed, Input, Listing, Look, Output, Tracker, Wanted, step
from actors.rollout.waiting import Queue
from actors.transcripts.facts import Thread
from actors.transcripts.lines import Position
from actors.transcripts.tree import Found, Mark, Name, Root
from schemas.config import ConfigError, Rollout
from schemas.config_reader import parse_config
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.events import (
    ProcessConversationFound,
    TranscriptLineRejected,
    TranscriptMoved,
    TranscriptSeen,
    TranscriptUsageRecorded,
    Usage,
)
from schemas.identity import ConversationKey, ProcessKey, SessionId
from tests.transcripts.made import name, uuid

LIVE, ARCHIVE = Root("codex", "/h/sessions"), Root("codex", "/h/archived_sessions", archive=True)
THREAD = uuid(1)
NEW, OLD = 100, 1
EXTRA = ("extra/sessions", "extra/archived_sessions")
SESSION = SessionId(f"codex-{THREAD}")
SEEN = TranscriptSeen(
    session=SESSION,
    conversation=ConversationKey(f"codex:{THREAD}"),
    agent="codex",
    thread=THREAD,
    thread_kind="main",
    path=f"/h/sessions/{name(THREAD)}",
    file="f",
    offset=10,
)


def found(root: Root = LIVE, *, inode: int = 7, size: int = 100, modified: int = NEW, thread: str = THREAD) -> Found:
    return Found(root, f"{root.folder}/{name(thread)}", Name("codex", thread, ""), Mark(1, inode, size, modified))


def play(tracker: Tracker, *heard: Input) -> list[Output]:
    return [output for one in heard for output in step(tracker, one, recent=50)]


def looks(outputs: list[Output]) -> list[str]:
    return [output.path for output in outputs if isinstance(output, Look)]


def said(outputs: list[Output]) -> list[str]:
    return [output.data.TYPE for output in outputs if isinstance(output, Announcement)]


def followed(one: Found) -> Tracker:
    """Return a tracker that follows this file and has told of it."""
    tracker = Tracker()
    play(tracker, Wanted(one.path), Listing((one,)), Identified(one, "f"))
    read = Position(offset=100, tail="t", scanned=100, reached=True)
    play(tracker, Progress(one, "f", read, Thread(session=SESSION, thread=THREAD), (SEEN,)))
    return tracker


# ------------------------------------------------------------------------------------------------ tracking


def test_recent_files_are_looked_at_and_old_ones_are_known() -> None:
    old = found(thread=uuid(2), modified=OLD)
    tracker = Tracker()
    outputs = play(tracker, Listing((found(), old)))
    assert outputs == [Look(found().path, urgent=False, newest=NEW)]
    assert set(tracker.listing) == {found().path, old.path}
    assert play(tracker, Listing((found(), old))) == []


def test_an_old_file_that_changes_or_is_wanted_is_followed() -> None:
    tracker = Tracker()
    play(tracker, Listing((found(modified=OLD),)))
    assert looks(play(tracker, Listing((found(modified=OLD, size=101),)))) == [found().path]
    assert play(tracker, Identified(found(modified=OLD, size=101), "f"))
    assert tracker.files["f"].path == found().path
    tracker = Tracker()
    assert play(tracker, Listing((found(modified=OLD),)), Wanted(found().path)) == [Look(found().path)]
    assert play(tracker, Wanted(found().path)) == []  # said once


def test_old_files_that_appear_are_identified_and_left_alone() -> None:
    tracker = Tracker()
    old = found(modified=OLD)
    assert looks(play(tracker, Listing(()), Listing((old,)))) == [old.path]
    assert play(tracker, Identified(old, "f")) == []
    assert tracker.files == {}


def test_a_file_that_is_read_is_not_looked_at_again() -> None:
    tracker = followed(found())
    assert play(tracker, Listing((found(),))) == []
    again = Tracker(tracker.files.values())
    assert play(again, Listing((found(),))) == []
    assert looks(play(Tracker(tracker.files.values()), Listing((found(size=101),)))) == [found().path]


def test_a_file_that_was_not_read_to_its_end_is_gone_on_with_after_a_restart() -> None:
    tracker = followed(found())
    half = msgspec.structs.replace(tracker.files["f"], position=Position(offset=50, tail="t", scanned=50, reached=True))
    assert looks(play(Tracker([half]), Listing((found(),)))) == [found().path]


@pytest.mark.parametrize("target_first", [True, False])
def test_a_move_is_said_once_whichever_path_is_looked_at_first(target_first: bool) -> None:  # noqa: FBT001 - drawn
    tracker = followed(found())
    away = found(ARCHIVE)
    if target_first:
        assert looks(play(tracker, Identified(away, "f"))) == [found().path]
        outputs = play(tracker, Absent(found().path))
    else:
        assert play(tracker, Absent(found().path)) == []
        assert tracker.lost == {"f"}
        outputs = play(tracker, Identified(away, "f"))
    assert said(outputs) == ["transcript.moved"]
    assert looks(outputs) == [away.path]
    assert tracker.files["f"].position.offset == 100
    assert tracker.lost == set()
    assert play(tracker, Listing((away,))) == []


def test_a_removal_is_said_when_two_listings_later_nothing_else_holds_it() -> None:
    tracker = followed(found())
    assert play(tracker, Absent(found().path), Listing(()), Listing(())) == []
    (gone,) = play(tracker, Listing(()))
    assert isinstance(gone, Announcement)
    assert isinstance(gone.data, TranscriptMoved)
    assert gone.data.path is None
    assert play(tracker, Listing(()), Listing(())) == []
    outputs = play(tracker, Listing((found(),)), Identified(found(), "f"))
    assert said(outputs) == ["transcript.moved"]


def test_what_lies_in_a_folder_that_cannot_be_read_is_not_gone() -> None:
    tracker = followed(found())
    assert play(tracker, *[Listing((), unread=("/h/sessions/",))] * 4) == []


def test_a_moved_file_is_recognised_at_a_start_by_its_inode_or_its_name() -> None:
    for away in (found(ARCHIVE, modified=OLD), found(ARCHIVE, inode=99, modified=OLD)):
        tracker = Tracker(followed(found(modified=OLD)).files.values())
        assert looks(play(tracker, Listing((away, found(thread=uuid(2), inode=3, modified=OLD))))) == [away.path]
        assert said(play(tracker, Identified(away, "f"))) == ["transcript.moved"]


def test_a_copy_is_not_followed_and_takes_over_when_the_original_goes() -> None:
    tracker = followed(found())
    copy = found(ARCHIVE, inode=8)
    assert play(tracker, Identified(copy, "f")) == [Look(found().path)]
    assert play(tracker, Progress(found(), "f", tracker.files["f"].position, Thread())) == []
    outputs = play(tracker, Absent(found().path))
    assert said(outputs) == ["transcript.moved"]
    assert tracker.files["f"].path == copy.path


def test_another_content_at_the_same_path() -> None:
    tracker = followed(found())
    other = found(inode=8)
    assert looks(play(tracker, Identified(other, "g"))) == [other.path]
    assert tracker.files["g"].path == other.path
    assert tracker.files["f"].path is None
    assert tracker.lost == {"f"}


def test_a_rewritten_file_is_read_from_its_start_and_is_not_seen_twice() -> None:
    tracker = followed(found())
    assert looks(play(tracker, Identified(found(size=50), "f", rewritten=True))) == [found().path]
    assert tracker.files["f"].position.offset == 0
    assert said(play(tracker, Progress(found(size=50), "f", Position(offset=50), Thread(), (SEEN,)))) == []


def test_a_truncated_file_waits_for_its_first_line() -> None:
    tracker = followed(found())
    assert play(tracker, Unnamed(found(size=0))) == []
    assert tracker.files["f"].position.offset == 0
    assert tracker.job(found(size=0)).file == ""


def test_a_file_that_cannot_be_read_is_tried_again_at_each_listing() -> None:
    tracker = followed(found())
    assert play(tracker, Refused(found().path, "no")) == []
    assert tracker.troubled == {found().path: "no"}
    assert play(tracker, Refused("/h/sessions/unknown", "no")) == []
    play(tracker, Progress(found(), "f", tracker.files["f"].position, Thread()))
    assert tracker.troubled == {}


def test_a_look_that_was_overtaken_is_repeated() -> None:
    tracker = followed(found())
    play(tracker, Absent(found().path))
    assert play(tracker, Progress(found(), "f", Position(offset=200), Thread(), (SEEN,))) == [Look(found().path)]


# ------------------------------------------------------------------------------------------------ announcing


def used(offset: int, response: str = "r", path: str = "") -> TranscriptUsageRecorded:
    del path
    return TranscriptUsageRecorded(session=SESSION, file="f", offset=offset, thread=THREAD, response=response, usage=Usage())


def test_ids_are_those_of_what_was_said_where() -> None:
    assert announced(used(1)) == announced(used(1))
    assert len({announced(one).id for one in (used(1), used(2), used(1, "s"))}) == 3
    elsewhere = msgspec.convert({**msgspec.to_builtins(SEEN), "path": "/x", "archived": True}, TranscriptSeen)
    assert announced(SEEN).id == announced(elsewhere).id
    rejected = TranscriptLineRejected(session=None, path="/x", file="f", offset=1, length=1, reason="r")
    assert announced(rejected).subject == "transcript/f"
    assert announced(SEEN).subject == f"session/{SESSION}"


def test_there_and_back_again_are_different_events() -> None:
    told = Told(session=SESSION, path="/a", archived=False, fact="0")
    ids = []
    for path in ("/b", "/a", "/b", "/a"):
        told, announcement = moved("f", told, path, archived=False)
        ids.append(announcement.id)
        assert isinstance(announcement.data, TranscriptMoved)
        assert recalled(None, announcement.data, announcement.id) == told
    assert len(set(ids)) == 4


def recorded(fact: object, source: str = "/actor/rollout/1", position: int = 1) -> Recorded:
    envelope = Envelope(id=f"id{position}", source=source, type="t", subject="s", time="t", data=fact)
    return Recorded(Stamp("e", position, "t"), envelope)


def test_the_memory_is_a_fold_of_our_own_facts_and_of_what_processes_hold() -> None:
    memory = Memory(Body(files=(Followed(file="f", path=None, position=Position(offset=9)),)))
    memory.fold(recorded(SEEN))
    memory.fold(recorded(SEEN, source="/actor/gateway/1"))  # nobody else's
    memory.fold(recorded(TranscriptMoved(session=SESSION, file="f", path="/b", archived=True), position=2))
    path = f"/o/sessions/2026/11/20/{name(THREAD)}"
    held = ProcessConversationFound(
        process=ProcessKey("h", "b", 1, 2), agent="codex", session=SESSION, conversation=SEEN.conversation, transcript=path
    )
    memory.fold(recorded(held))
    memory.fold(recorded(msgspec.convert({**msgspec.to_builtins(held), "transcript": "/etc/passwd"}, ProcessConversationFound)))
    one = memory.files["f"]
    assert (one.path, one.position.offset) == ("/b", 9)
    assert one.told == Told(session=SESSION, path="/b", archived=True, fact="id2")
    assert list(memory.wanted) == [path]
    assert list(memory.homes) == [("codex", "/o")]


def test_a_checkpoint_leaves_out_what_has_lain_still_for_long() -> None:
    tracker = followed(found())
    month = 31 * 24 * 3600 * 10**9
    assert len(body_of(tracker, (), NEW).files) == 1
    assert body_of(tracker, (), NEW + month).files == ()
    raw = msgspec.json.encode(body_of(tracker, (("codex", "/o"),), NEW))
    assert msgspec.json.decode(raw, type=Body).files == tuple(tracker.files.values())


# ------------------------------------------------------------------------------------------------ what is first, and where


def test_what_changed_comes_first_and_what_can_wait_newest_first_but_never_starves() -> None:
    queue = Queue()
    for newest in (1, 3, 2):
        queue.add(Look(f"old{newest}", urgent=False, newest=newest))
    for path in ("a", "b", "c", "a"):
        queue.add(Look(path))
    assert len(queue) == 6
    assert queue.take(2) == ["a", "b", "old3"]
    assert "c" in queue
    assert queue.take(9) == ["c", "old2", "old1"]
    assert queue.take(9) == []


def test_homes_of_the_user_of_the_configuration_and_behind_links(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("homes")
    real = place / "disk"
    real.mkdir()
    home = place / "codex"
    home.mkdir()
    (home / "sessions").symlink_to(real)
    config = Rollout(codex_homes=(str(place / "extra"), str(home)))
    homes = own_homes(config, {"CODEX_HOME": str(home), "CLAUDE_CONFIG_DIR": "relative"})
    assert homes[0] == ("codex", str(home))
    assert homes[1][0] == "claude"
    assert homes[1][1].endswith(".claude")
    folders = [root.folder for root in resolved_roots(homes) if root.agent == "codex"]
    assert folders == [str(real), *(str(place / one) for one in ("codex/archived_sessions", *EXTRA))]


def test_the_configuration_s_section() -> None:
    config = parse_config('[rollout]\nrecent_hours = 48\ncodex_homes = ["/a"]\n', "c")
    assert config.rollout == Rollout(recent_hours=48, codex_homes=("/a",))
    with pytest.raises(ConfigError, match=r"c:2: rollout\.claude_homes: not an absolute path"):
        parse_config('[rollout]\nclaude_homes = ["a"]\n', "c")
    with pytest.raises(ConfigError, match=r"c:2: rollout\.recent_hours"):
        parse_config("[rollout]\nrecent_hours = 0\n", "c")
