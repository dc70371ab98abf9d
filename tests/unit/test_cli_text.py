"""What people see: escaped, aged, shortened; events as lines; rows as a table; explanations."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from actors.cli.explain import explanation_lines
from actors.cli.lines import event_line
from actors.cli.points import find_time, read_point
from actors.cli.rows import WIDE_FROM, View, footer, layout_for, sessions_table
from actors.cli.tail import document, matches, rows_of, topics_of
from actors.cli.text import age, printable, short_ids, short_path, short_terminal
from schemas.codec import decode_recorded, encode_envelope, encode_stamp, parse
from schemas.envelope import Envelope, Recorded, Stamp
from schemas.events import RequestCompleted, RequestReceived, Timing, Usage
from schemas.evidence import Evidence, Rank
from schemas.identity import ConversationKey, LaunchId, ProcessKey, RequestId, SessionId, TerminalKey
from schemas.rows import AsOf, Decision, EvidenceLine, Explanation, SessionRow, SessionTable

NOW = "2026-11-21T02:00:00.000000Z"
BANNER = "01a1fbdd-05ba-71d2-b571-3600000000aa"
VERIFIED = SessionRow(
    session=SessionId("codex-01a1fbdd-05ba-71d2-b571-3600000000aa"),
    agent="codex",
    provisional=False,
    verdict="verified",
    activity="active",
    first_seen="2026-11-21T01:00:00Z",
    last_seen="2026-11-21T01:59:48Z",
    conversation=ConversationKey("codex:01a1fbdd-05ba-71d2-b571-3600000000aa"),
    aliases=(SessionId("launch-aabbccddeeff"),),
    terminal=TerminalKey("wt:aaaaaaaa-1111-4111-8111-111111111111"),
    process=ProcessKey("h", "b", 7, 1),
    launch=LaunchId("launch-aabbccddeeff"),
    cwd="/home/ann/project",
    routing_provider="echo",
    preferred_provider="openai",
    preferred_model="gpt-6",
    requests=3,
    usage=Usage(input=10, output=2, total=12),
)
UNPROVEN = replace(
    VERIFIED,
    session=SessionId("launch-112233445566"),
    verdict="unverified",
    missing=("no request yet",),
    provisional=True,
    conversation=None,
    aliases=(),
    terminal=None,
    routing_provider=None,
    preferred_provider=None,
    preferred_model=None,
    process=None,
    launch=None,
    cwd="/tmp/\x1b[31mred",
    last_seen="2026-11-21T01:30:00Z",
    activity="idle",
)
GONE = replace(
    VERIFIED, session=SessionId("codex-0000"), aliases=(), conversation=None, agent="other", activity="gone", conflicts=2
)
TABLE = SessionTable(as_of=AsOf(epoch="e", position=42, time=NOW), sessions=(VERIFIED, UNPROVEN, GONE), unattributed=1)


NEWER = replace(
    VERIFIED,
    session=SessionId("codex-01a1fbdd-05c0-71d2-b571-3600000000bb"),
    conversation=ConversationKey("codex:01a1fbdd-05c0-71d2-b571-3600000000bb"),
    aliases=(),
    parent=VERIFIED.session,
    relation="forks",
    threads=2,
    agent_provider="mine",
    status="waiting_permission",
    status_since="2026-11-21T01:59:50Z",
    status_source="hook",
    status_reason="Bash",
)


def plain(view: View, table: SessionTable = TABLE, width: int = 300) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(sessions_table(table, view))
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def test_a_table_in_full_lists_ids_that_can_be_copied() -> None:
    terminal = "wt:aaaaaaaa-1111-4111-8111-111111111111"
    folder = "/home/ann/project"
    assert [re.split(" {2,}", line) for line in plain(View(everything=True, layout="full"))] == [
        ["session", "agent", "claimed", "provider", "preferred", "terminal", "folder", "state"],
        [BANNER, "codex", "-", "echo", "openai/gpt-6", terminal, folder, "verified, active 12 s"],
        ["launch-112233445566", "codex", "-", "-", "-", "-", "/tmp/\\x1b[31mred", "unverified, idle 30 min, no request yet"],
        ["codex-0000", "other", "-", "echo", "openai/gpt-6", terminal, folder, "verified, gone 12 s, 2 conflicts"],
    ]


def test_a_summary_counts_what_it_does_not_list() -> None:
    lines = plain(View(home="/home/ann"))
    assert lines[2].split()[:3] == ["01a1fbdd-05ba", "codex", "-"]
    assert "~/project" in lines[2]
    assert "wt:aaaaaaaa…" in lines[2]
    assert lines[3:] == [
        "1 unverified session (codex 1): --all shows it",
        "1 gone session (other 1): --all shows it",
    ]
    two = replace(TABLE, sessions=(UNPROVEN, replace(UNPROVEN, session=SessionId("proc-1"), agent="claude")))
    assert plain(View(), two)[-1] == "2 unverified sessions (claude 1, codex 1): --all shows them"
    assert footer(TABLE) == f"as of position 42, {NOW}; 1 request of unknown senders"
    assert footer(replace(TABLE, omitted=3)).endswith("; 3 older sessions left out")


def test_a_row_says_what_its_session_does_since_when_and_where_it_comes_from() -> None:
    table = replace(TABLE, sessions=(VERIFIED, NEWER))
    row = next(line for line in plain(View(layout="full"), table) if "forks" in line)
    assert row.endswith(f"verified, needs permission 10 s, by hook: Bash, forks {BANNER}, 2 threads inside")
    assert re.split(" {2,}", row)[2] == "mine"


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_a_table_fits_its_terminal(width: int) -> None:
    table = replace(TABLE, sessions=(VERIFIED, replace(NEWER, preferred_model=None), UNPROVEN))
    lines = plain(View(everything=True, layout=layout_for(width), home="/home/ann"), table, width)
    assert max(map(len, lines)) <= width
    text = re.sub(r"\s+", " ", " ".join(lines))
    for said in (BANNER[:13], "echo", "mine", "wt:aaaaaaaa…", "~/project"):
        assert said in text
    assert "openai/gpt-6" in text
    if width < WIDE_FROM:
        assert lines[0].split() == ["session", "agent", "provider", "terminal", "state"]
        assert "~/project; says mine; prefers openai; by hook: Bash; forks 01a1fbdd-05ba; 2 threads" in text


def test_layouts_follow_the_width() -> None:
    assert [layout_for(width) for width in (None, 80, WIDE_FROM - 1, WIDE_FROM)] == ["full", "narrow", "narrow", "wide"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [("plain ü €", "plain ü €"), ("\x1b[31m", "\\x1b[31m"), ("a\nb", "a\\nb"), ("\u202ex", "\\u202ex"), ("\ud800", "\\ud800")],
)
def test_control_characters_are_escaped(given: str, shown: str) -> None:
    assert printable(given) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (172800, "2 d")]
)
def test_ages(seconds: float, shown: str) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now.isoformat()) == shown
    assert age("never", now.isoformat()) == "?"


def test_short_ids_are_prefixes_that_name_one() -> None:
    ids = [
        "codex-01a1fbdd-05ba-71d2-aaaa",
        "codex-01a1fbdd-05ba-71d2-bbbb",
        "codex-02",
        "launch-aabbccddeeff",
        "launch-aabbccddeef0",
    ]
    short = short_ids(ids)
    for name, prefix in short.items():
        assert [other for other in ids if other.startswith(prefix)] == [name]
        assert not prefix.endswith("-")


def test_terminals_and_paths_are_shortened_to_what_tells_them_apart() -> None:
    assert short_terminal("wt:aaaaaaaa-1111-4111-8111-111111111111") == "wt:aaaaaaaa…"
    assert short_terminal("tmux:/tmp/tmux-0/default,77:%3") == "tmux:default,77:%3"
    assert short_terminal("kitty:3") == "kitty:3"
    assert short_terminal("-") == "-"
    assert short_path("/home/ann/x", "/home/ann") == "~/x"
    assert short_path("/home/anna/x", "/home/ann") == "/home/anna/x"
    assert short_path("/x", "") == "/x"


def recorded(data: Any, subject: str, type_: str | None = None) -> Recorded:
    envelope = Envelope(
        id="1",
        source="/actor/gateway/x",
        type=type_ or data.TYPE,
        subject=subject,
        time="2026-11-21T01:50:01.123456Z",
        data=data,
    )
    stamp = Stamp(epoch="e", position=42, recordedtime=NOW)
    return decode_recorded(encode_stamp(stamp), encode_envelope(envelope))


COMPLETED = recorded(
    RequestCompleted(
        request=RequestId("r1"),
        session=SessionId("codex-01a1"),
        provider="echo",
        status=200,
        timing=Timing(total_ms=12.4),
        bytes_in=1,
        bytes_out=2,
        usage=Usage(input=5, output=6),
        served_model="a b",
    ),
    "session/codex-01a1",
)


def test_an_event_is_one_line() -> None:
    shown = 'session/codex-01a1  provider=echo status=200 12ms in=5 out=6 served_model="a b"'
    assert event_line(COMPLETED) == f"01:50:01.123      42  request.completed   {shown}"
    evil = recorded(
        RequestReceived(request=RequestId("r"), method="GET", path="/\x1b]", dialect="unknown", peer="p"), "request/r"
    )
    assert event_line(evil).endswith("request/r  method=GET path=/\\x1b] dialect=unknown peer=p")
    assert len(event_line(COMPLETED, width=60)) == 60
    unknown = recorded({"some": 1, "more": [1, 2]}, "session/x", "session.invented")
    assert event_line(unknown).endswith("session.invented    session/x  some=1 more=2")


def test_an_event_as_json_is_an_envelope_with_its_stamp() -> None:
    raw = parse(document(COMPLETED))
    assert (raw["position"], raw["epoch"], raw["recordedtime"]) == (42, "e", NOW)
    assert raw["specversion"] == "1.0"
    assert raw["data"]["usage"]["input"] == 5


@pytest.mark.parametrize(
    ("patterns", "matched"),
    [([], True), (["request.*"], True), (["request"], True), (["*.completed"], True), (["req"], False), (["session.*"], False)],
)
def test_type_patterns(patterns: list[str], matched: bool) -> None:  # noqa: FBT001
    assert matches("request.completed", patterns) is matched


def test_a_session_is_named_by_any_of_its_ids() -> None:
    for prefix in ("codex-01", "launch-aa", "01a1fbdd", VERIFIED.session):
        assert rows_of(prefix, TABLE) == [VERIFIED]
    assert rows_of("codex-0", TABLE) == [VERIFIED, GONE]
    assert topics_of(VERIFIED)[:3] == (
        b"session.codex-01a1fbdd-05ba-71d2-b571-3600000000aa.",
        b"session.launch-aabbccddeeff.",
        b"launch.launch-aabbccddeeff.",
    )


def test_points_of_the_journal() -> None:
    now = datetime(2026, 11, 21, 2, tzinfo=UTC)
    assert read_point("4711", now).position == 4711
    assert read_point("10m", now).time == now - timedelta(minutes=10)
    assert read_point("2026-11-21T01:50:01Z", now).time == datetime(2026, 11, 21, 1, 50, 1, tzinfo=UTC)
    assert read_point("2026-11-21", now).time == datetime(2026, 11, 21, tzinfo=UTC)
    for bad in ("", "-1", "10x", "yesterday"):
        with pytest.raises(ValueError, match="no point of the journal"):
            read_point(bad, now)


def found_by_halving(times: list[datetime], first: int, wanted: datetime) -> int:
    search = find_time(first, first + len(times) - 1, wanted)
    try:
        asked = next(search)
        while True:
            place = max(0, asked + 1 - first)
            asked = search.send(times[place].isoformat() if place < len(times) else None)
    except StopIteration as found:
        return int(found.value)


def test_a_time_is_found_by_halving() -> None:
    start = datetime(2026, 11, 21, tzinfo=UTC)
    times = [start + timedelta(seconds=second) for second in (0, 1, 1, 1, 5, 9)]
    for second in range(-1, 11):
        wanted = start + timedelta(seconds=second)
        assert found_by_halving(times, 10, wanted) == 9 + sum(time < wanted for time in times)


def test_an_explanation_names_what_was_used_and_what_was_not() -> None:
    used = Evidence(rank=Rank.TOLD_BY_US, kind="launch_token", proves="launch", value="launch-aabbccddeeff")
    unused = structs.replace(
        used, rank=Rank.REQUEST_DECLARED, kind="session-id", rejected="another process", conflict=True, note="x\ty"
    )
    lines = list(
        explanation_lines(
            Explanation(
                as_of=AsOf(epoch="e", position=42, time=NOW),
                row=VERIFIED,
                because=("verified: because",),
                evidence=(
                    EvidenceLine(position=3, time=NOW, type="request.attributed", source="/actor/gateway/x", evidence=used),
                    EvidenceLine(
                        position=4, time=NOW, type="request.attributed", source="/actor/gateway/x", evidence=unused, repeated=2
                    ),
                ),
                decisions=(
                    Decision(position=5, time=NOW, request="r", provider="echo", reason="default", skipped=("a: off",)),
                ),
            )
        )
    )
    assert lines[0] == f"{VERIFIED.session}  codex  verified, active 12 s"
    assert "  verified: because" in lines
    told = f"told by gateway at {NOW[:19].replace('T', ' ')}"
    assert f"  1 told by us launch = launch-aabbccddeeff, by launch_token, {told}, position 3" in lines
    last = "position 4 x2 [CONFLICT: another process]"
    assert f"  4 request    launch = launch-aabbccddeeff, by session-id (x\ty), {told}, {last}" in lines
    assert lines[-2:] == ["        5  echo: default; in flight", "           skipped a: off"]
