"""``tabwire chat`` with the real Codex and Claude Code: by a person in tmux, by a program through pipes, through losses."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.bridge_rows import Pending
from schemas.codec import decode
from schemas.content import Frame, TurnEnded
from tests.e2e import claude, codex
from tests.e2e.chats import Chats, counted
from tests.e2e.system import DEADLINE
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.e2e
AGENTS = [
    pytest.param("codex", marks=[pytest.mark.codex, codex.needs_codex]),
    pytest.param("claude", marks=[pytest.mark.claude, claude.needs_claude]),
]
WORDS = [f"w{number:03}" for number in range(90)]
COUNTED = f'count [echo say="{" ".join(WORDS)}" deltas=90 pace=40ms]'
ASKING = {"codex": ("--mode", "ask"), "claude": ()}


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    chats = Chats(tmp_path_factory.mktemp("chat"))
    chats.run("up")
    try:
        yield chats
    finally:
        chats.run("down")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path / "tmux") as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left(chats: Chats) -> Iterator[None]:
    """End what a test has left to go on."""
    yield
    for launch in chats.bridges():
        chats.run("bridges", "close", launch)


# ---------------------------------------------------------------------------------------------------- through pipes


@pytest.mark.parametrize("agent", AGENTS)
def test_one_prompt_in_one_answer_out(chats: Chats, agent: str) -> None:
    done = chats.piped("--agent", agent, prompt='say it [echo say="a\ttab, \\"quoted\\",\\nand a line"]\n')
    assert done.stdout.decode() == 'a\ttab, "quoted",\nand a line\n'
    assert chats.bridges() == {}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_session_that_is_kept_is_asked_again_and_knows_what_was_said(chats: Chats, agent: str) -> None:
    chats.piped("--agent", agent, "--keep", "my word is heron [echo say=noted]")
    (launch,) = chats.bridges()
    assert chats.piped(launch, prompt="[echo say=twice]").stdout == b"twice\n"
    row = chats.bridges()[launch]
    assert (row["turns"], row["session"].startswith(f"{agent}-")) == (2, True)


@pytest.mark.codex
@codex.needs_codex
def test_the_outcome_is_the_exit_code(chats: Chats) -> None:
    failed = chats.piped("--agent", "codex", prompt='[echo status=400 message="no such luck"]', code=1)
    assert b"no such luck" in failed.stderr
    assert chats.piped("--agent", "codex", prompt="", code=2).stdout == b""
    assert b"no session's id begins" in chats.piped("launch-nonsense", "hi", code=1).stderr
    assert b"no such folder" in chats.piped("--agent", "codex", "--cwd", "/nonsense", "hi", code=2).stderr
    assert b"nonsense" in chats.piped("--agent", "nonsense", "hi", code=1).stderr
    with subprocess.Popen(
        chats.system.command("chat", "--agent", "codex", COUNTED),
        env=chats.environ,
        cwd=chats.work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b"w000 "
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert b"interrupted" in err
    assert out.endswith(b"\n")
    assert chats.bridges() == {}


@pytest.mark.codex
@codex.needs_codex
def test_json_is_what_is_under_way_then_every_frame(chats: Chats) -> None:
    lines = chats.piped("--agent", "codex", "--json", "[echo say=counted]").stdout.splitlines()
    pending = decode(lines[0], Pending)
    frames = [decode(line, Frame) for line in lines[1:]]
    numbers = [frame.sequence for frame in frames]
    assert numbers == list(range(pending.sequence + 1, pending.sequence + 1 + len(frames)))
    assert isinstance(frames[-1].piece, TurnEnded)
    assert {frame.stream for frame in frames} == {pending.bridge.launch}


@pytest.mark.codex
@codex.needs_codex
def test_a_message_of_a_megabyte_arrives_whole(chats: Chats) -> None:
    text = "é\x1b[31m`$(touch executed)`;" * 40_000
    chats.piped("--agent", "codex", "--keep", prompt=f"[echo say=read]{text}")
    (launch,) = chats.bridges()
    length = next(item.envelope.data.length for item in chats.system.until_count("bridge.turn_started", launch=launch))
    assert length == len(f"[echo say=read]{text}")
    assert not (chats.work / "executed").exists()


# ---------------------------------------------------------------------------------------------------- in a terminal


@pytest.mark.parametrize("agent", AGENTS)
def test_a_person_talks_is_asked_and_answers_in_place(chats: Chats, tmux: Tmux, agent: str) -> None:
    pane = chats.open(tmux, "--agent", agent, *ASKING[agent])
    pane.wait_for(f"{agent}>\n")
    pane.enter('do it [echo tool="touch allowed"][echo say="the tool was run"]')
    pane.wait_for("\ny/")
    pane.enter("well, yes")
    pane.wait_for("the agent waits for an answer")
    pane.enter("y")
    pane.wait_for("allowed by chat on pts/")
    pane.wait_for("the tool was run\n")
    assert (chats.work / "allowed").exists()
    pane.wait_for(f"{agent}>\n")
    pane.enter('do it [echo tool="touch denied"][echo say="as you wish"]')
    pane.wait_for("\ny/")
    pane.enter("n")
    pane.wait_for("  denied by chat on pts/")
    pane.wait_for("as you wish\n")
    assert not (chats.work / "denied").exists()
    pane.press("C-d")
    pane.wait_for("code 0")
    assert len(chats.bridges()) == 1
    (chats.work / "allowed").unlink()


@pytest.mark.parametrize("agent", AGENTS)
def test_ctrl_c_stops_the_turn_then_leaves_and_the_session_goes_on(chats: Chats, tmux: Tmux, agent: str) -> None:
    pane = chats.open(tmux, "--agent", agent, COUNTED)
    pane.wait_for_words(5)
    pane.type("not sent")
    pane.wait_for("> not sent")
    pane.press("C-c")
    pane.wait_for(f"{agent} (working)>\n")
    pane.press("C-c")
    pane.wait_for("· interrupted")
    pane.wait_for(f"{agent}>\n")
    assert len(counted(pane.text)) < len(WORDS)
    pane.enter("go on [echo say=indeed]")
    pane.wait_for("indeed\n")
    pane.press("C-c", "C-c")
    pane.wait_for("code 0")
    assert "the session goes on" in pane.text
    assert [row["agent"] for row in chats.bridges().values()] == [agent]


@pytest.mark.parametrize("agent", AGENTS)
def test_two_see_the_same_and_who_comes_late_sees_it_from_its_start(chats: Chats, tmux: Tmux, agent: str) -> None:
    one = chats.open(tmux, "--agent", agent)
    one.wait_for(f"{agent}>\n")
    one.enter("first [echo say=remembered]")
    one.wait_for("remembered\n")
    one.enter(COUNTED)
    one.wait_for_words(10)
    (launch,) = chats.bridges()
    two = chats.open(tmux, launch)
    two.wait_for_words(20)
    one.press("C-d")
    one.wait_for("code 0")
    two.wait_for_words(90)
    two.wait_for(f"{agent}>\n")
    assert counted(two.text) == WORDS
    assert two.text.count("remembered\n") == 1
    three = chats.open(tmux, launch)
    three.wait_for(f"{agent}>\n")
    assert counted(three.text) == WORDS
    two.enter("last [echo say=together]")
    three.wait_for("together\n")
    two.enter("/close")
    for pane in (two, three):
        pane.wait_for("the session has ended")
        pane.wait_for("code 0")
    assert chats.bridges() == {}


@pytest.mark.codex
@codex.needs_codex
def test_of_two_answers_the_first_counts(chats: Chats, tmux: Tmux) -> None:
    one = chats.open(tmux, "--agent", "codex", "--mode", "ask", 'do it [echo tool="touch once"][echo say=done]')
    one.wait_for("[y]")
    (launch,) = chats.bridges()
    two = chats.open(tmux, launch)
    two.wait_for("[y]")
    two.type("n")
    two.wait_for("> n")
    one.enter("n")
    one.wait_for("  denied by chat on pts/")
    two.wait_for("  denied by chat on pts/")
    two.press("BSpace")
    two.enter("/approve y")
    two.wait_for("the agent asks nothing")
    assert not (chats.work / "once").exists()


@pytest.mark.codex
@codex.needs_codex
@pytest.mark.fault
@pytest.mark.parametrize("actor", ["broker"])
def test_a_turn_goes_on_while_the_bus_is_gone_and_nothing_is_lost_or_doubled(chats: Chats, tmux: Tmux, actor: str) -> None:
    pane = chats.open(tmux, "--agent", "codex", COUNTED)
    pane.wait_for_words(10)
    chats.kill(actor)
    pane.wait_for_words(90)
    pane.wait_for("codex>\n")
    assert counted(pane.text) == WORDS
    pane.enter("and now? [echo say=still]")
    pane.wait_for("still\n")


@pytest.mark.codex
@codex.needs_codex
@pytest.mark.fault
def test_a_session_outlives_its_hub(chats: Chats, tmux: Tmux) -> None:
    pane = chats.open(tmux, "--agent", "codex", "hello [echo say=before]")
    pane.wait_for("before\n")
    pane.wait_for("codex>\n")
    chats.kill("bridges")
    pane.enter("again [echo say=after]")
    pane.wait_for("after\n")
    assert pane.text.count("before\n") == 1


@pytest.mark.codex
@codex.needs_codex
def test_slash_commands_do_what_they_say(chats: Chats, tmux: Tmux) -> None:
    pane = chats.open(tmux, "--agent", "codex", "hello [echo say=there]")
    pane.wait_for("there\n")
    pane.wait_for("codex>\n")
    pane.enter("/nonsense")
    pane.wait_for("/nonsense is no command here")
    pane.enter("/model gpt-6-mini")
    pane.wait_for("model gpt-6-mini")
    pane.enter("/fork")
    pane.wait_for("forked; talk to it with")
    rows = chats.bridges().values()
    assert sorted(row["relation"] or "" for row in rows) == ["", "forks"]
    pane.enter("/clear")
    pane.wait_for("a new conversation: codex-")
    pane.enter("/provider nonsense")
    pane.wait_for("no provider 'nonsense' is configured")
    pane.enter("/history")
    pane.wait_for("no past turns")
    pane.enter("/help")
    pane.wait_for("/interrupt        stop")


@pytest.mark.codex
@codex.needs_codex
def test_no_reply_controls_the_terminal(chats: Chats, tmux: Tmux) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07\x9b31mred"
    done = chats.piped("--agent", "codex", "--keep", f'[echo say="{hostile}"]')
    assert done.stdout.decode() == f"{hostile}\n"  # a program gets what was written
    (launch,) = chats.bridges()
    pane = chats.open(tmux, launch)
    pane.wait_for("\\x1b[2J\\x1b]0;owned\\x07\\x9b31mred\n")


@pytest.mark.codex
@pytest.mark.claude
@codex.needs_codex
@claude.needs_claude
def test_another_agent_reviews_and_its_findings_go_back(chats: Chats, tmux: Tmux) -> None:
    chats.piped("--agent", "codex", "--keep", "write it [echo say=written]")
    (parent,) = chats.bridges()
    done = chats.run("review", parent, "--with", "claude", 'look closely [echo say="line 3 is wrong"]')
    assert done.stdout == "line 3 is wrong\n"
    review = next(launch for launch in chats.bridges() if launch != parent)
    pane = chats.open(tmux, parent)
    chats.run("review", "send-back", review)
    pane.wait_for("line 3 is wrong")
    assert "is no review" in chats.run("review", "delete", parent, code=2).stderr
    assert "has ended" in chats.run("review", "delete", review).stdout
    assert list(chats.bridges()) == [parent]


@pytest.mark.codex
@codex.needs_codex
def test_agents_and_bridges_are_listed_and_a_folder_is_reset(chats: Chats) -> None:
    listed = {row["agent"]: row for row in json.loads(chats.run("agents", "--json").stdout)["agents"]}
    assert listed["codex"]["version"]
    assert "interrupt" in listed["codex"]["can"]
    assert "codex" in chats.run("agents").stdout
    assert "nothing is driven" in chats.run("bridges").stderr
    chats.piped("--agent", "codex", "--keep", "[echo say=kept]")
    (row,) = chats.bridges().values()
    assert row["session"][:14] in chats.run("bridges").stdout
    chats.run("bridges", "reset", str(chats.work))
    assert chats.bridges() == {}
