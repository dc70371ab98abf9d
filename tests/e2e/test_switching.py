"""Moving a real conversation to another provider while it runs: Codex's TUI and Claude Code, two of each at once.

The agents are told nothing and see nothing: their provider, address and conversation stay the same. What only one account
can read is left out or stays with it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schemas.rows import SessionRow
from tests.e2e import claude as claude_code
from tests.e2e.cases import Rows, Tui, own_codex, rows_when
from tests.e2e.claude import Claude, needs_claude
from tests.e2e.codex import Codex, needs_codex
from tests.e2e.providers import Sealer, echo_server, sealer
from tests.e2e.system import System, running
from tests.e2e.terminal import Tmux

pytestmark = pytest.mark.e2e
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
FREELY = "--dangerously-bypass-approvals-and-sandbox"


@dataclass(frozen=True)
class Stage:
    """A system with three more providers: a second echo server, and two accounts that seal their reasoning."""

    system: System
    ours: Sealer
    theirs: Sealer


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        second = stack.enter_context(echo_server())
        ours, theirs = (stack.enter_context(sealer(name)) for name in ("ours", "theirs"))
        tables = "".join(
            f'[providers.{name}]\nbase_url = "{address}"\nauth = "none"\ndialects = {json.dumps(dialects)}\n'
            for name, address, dialects in (
                ("second", second, ["openai.responses", "anthropic.messages"]),
                ("ours", ours.address, ["openai.responses"]),
                ("theirs", theirs.address, ["openai.responses"]),
            )
        )
        config = f'default_provider = "echo"\n{tables}'
        yield Stage(stack.enter_context(running(tmp_path_factory.mktemp("tabwire") / "home", config)), ours, theirs)


@pytest.fixture
def system(stage: Stage) -> System:
    return stage.system


@pytest.fixture
def codex(tmp_path: Path, system: System) -> Codex:
    return own_codex(tmp_path / "codex", system)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with Tmux(tmp_path / "tmux.sock") as tmux:
        yield tmux


@dataclass
class Turns:
    """A session's finished model requests: which provider answered each."""

    system: System
    session: str

    def until(self, count: int) -> list[str]:
        done = self.system.until_count("request.completed", count, session=self.session)
        return [item.envelope.data.provider for item in done]

    def routed(self, provider: str, count: int = 1) -> list[Any]:
        seen = self.system.until_count("request.routed", count, session=self.session, provider=provider)
        return [one.envelope.data for one in seen]


def opened(tmux: Tmux, codex: Codex) -> tuple[Tui, Turns]:
    tui = Tui.open(tmux, codex, "--no-daemon", FREELY).ready()
    return tui, Turns(codex.system, f"codex-{tui.thread(codex)}")


@pytest.mark.codex
@needs_codex
@needs_tmux
def test_one_of_two_codex_tuis_goes_elsewhere_and_goes_on(codex: Codex, tmux: Tmux) -> None:
    system = codex.system
    (moved, its), (stays, others) = opened(tmux, codex), opened(tmux, codex)
    moved.prompt("the first of one")
    stays.prompt("the first of two")
    assert its.until(1) == others.until(1) == ["echo"]
    pinned = system.json("pin", its.session, "second")
    assert [(pin["kind"], pin["target"], pin["provider"]) for pin in pinned["pins"]] == [("session", its.session, "second")]

    moved.prompt('[echo tool="echo moved > moved.txt; cat moved.txt"]')
    stays.prompt("the second of two")
    assert its.until(3) == ["echo", "second", "second"]
    assert others.until(2) == ["echo", "echo"]
    tmux.wait_for(moved.pane, "The tool said: moved")
    assert (codex.work / "moved.txt").read_text() == "moved\n"
    assert {one.pin for one in its.routed("second", 2)} == {f"session:{its.session}"}
    rollouts = codex.rollouts()
    assert {f"codex-{thread}" for thread in rollouts} == {its.session, others.session}
    assert {rollout.meta["model_provider"] for rollout in rollouts.values()} == {"openai"}
    assert "second" not in (codex.home / "config.toml").read_text()

    system.tabwire("unpin", its.session)
    moved.prompt("back again")
    assert its.until(4)[3:] == ["echo"]
    for tui in (moved, stays):
        tui.prompt("/quit")


@pytest.mark.codex
@needs_codex
@needs_tmux
def test_a_turn_that_streams_is_not_moved(codex: Codex, tmux: Tmux) -> None:
    tui, its = opened(tmux, codex)
    tui.prompt("[echo words=60 pace=50ms]")
    codex.system.until_count("request.first_byte", session=its.session)
    codex.system.tabwire("pin", its.session, "second")
    assert its.until(1) == ["echo"]
    tui.prompt("and now")
    assert its.until(2) == ["echo", "second"]
    tui.prompt("/quit")


@pytest.mark.codex
@needs_codex
@needs_tmux
def test_sealed_reasoning_is_left_out_for_another_account_and_said(stage: Stage, codex: Codex, tmux: Tmux) -> None:
    tui, its = opened(tmux, codex)
    stage.system.tabwire("pin", "--project", str(codex.work), "ours")
    tui.prompt("think about it")
    tmux.wait_for(tui.pane, "ours answers")
    tui.prompt("think again")
    assert its.until(2) == ["ours", "ours"]
    assert "sealed by ours" in json.dumps(stage.ours.turns()[-1])  # Codex does send it back

    stage.system.tabwire("pin", its.session, "theirs")
    tui.prompt("and you?")
    tmux.wait_for(tui.pane, "theirs answers")
    assert its.until(3) == ["ours", "ours", "theirs"]
    (routed,) = its.routed("theirs")
    assert any("reasoning" in change for change in routed.changes), routed.changes
    (moved,) = stage.theirs.turns()
    assert "sealed by" not in json.dumps(moved)
    told = json.dumps(moved["input"])
    assert "think about it" in told
    assert "ours answers" in told
    assert "reasoning" in stage.system.tabwire("route", "explain", routed.request).stdout
    tui.prompt("/quit")


@pytest.mark.codex
@needs_codex
@needs_tmux
def test_a_compacted_conversation_stays_with_its_owner(codex: Codex, tmux: Tmux) -> None:
    tui, its = opened(tmux, codex)
    tui.prompt("something to remember")
    assert its.until(1) == ["echo"]
    tui.prompt("/compact")
    assert its.until(2) == ["echo", "echo"]
    codex.system.tabwire("pin", its.session, "second")
    tui.prompt("do you remember")
    assert its.until(3) == ["echo", "echo", "echo"]
    last = its.routed("echo", 3)[-1]
    skipped = next((one for one in last.candidates if one.provider == "second"), None)
    assert skipped is not None, last
    assert "compact" in f"{skipped.skipped} {last.reason}", last
    tui.prompt("/quit")


@dataclass
class Talk:
    """One ``claude`` that takes many prompts, each behind the last one's answer."""

    claude: Claude
    process: subprocess.Popen[str] = field(init=False)
    session: str = ""

    def __post_init__(self) -> None:
        words = ["-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--allowedTools", "Bash"]
        self.process = subprocess.Popen(
            [self.claude.binary, *words],
            env=self.claude.environ(),
            cwd=self.claude.work,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, prompt: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        said = {"type": "user", "message": {"role": "user", "content": prompt}}
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            told = json.loads(line)
            if told["type"] == "result":
                assert self.session in ("", told["session_id"])
                self.session = told["session_id"]
                answer: str = told["result"]
                return answer
        raise AssertionError(f"claude ended: {self.process.wait(timeout=10)}")

    def end(self) -> None:
        self.process.communicate(timeout=20)


@needs_claude
@pytest.mark.claude
def test_one_of_two_claudes_goes_elsewhere_and_goes_on(system: System, tmp_path: Path) -> None:
    claude = Claude(tmp_path, system)
    moved, stays = Talk(claude), Talk(claude)
    try:
        assert moved.ask("the first of one") == "You said: the first of one"
        assert stays.ask("the first of two") == "You said: the first of two"
        its, others = (Turns(system, f"claude-{talk.session}") for talk in (moved, stays))
        system.tabwire("pin", its.session, "second")
        assert moved.ask('[echo tool="echo moved"]') == "The tool said: moved"
        assert stays.ask("the second of two") == "You said: the second of two"
        assert its.until(3) == ["echo", "second", "second"]
        assert others.until(2) == ["echo", "echo"]
    finally:
        moved.end()
        stays.end()
    lines = claude.transcripts()[moved.session]
    assert "the first of one" in json.dumps(lines)
    assert "The tool said: moved" in json.dumps(lines)


@needs_claude
@needs_tmux
@pytest.mark.claude
def test_one_of_two_claude_tuis_goes_elsewhere_and_goes_on(system: System, tmp_path: Path, tmux: Tmux) -> None:
    claude = Claude(tmp_path, system)
    run = tuple(system.command("run", "--"))
    panes = {word: claude.open(tmux, "--allowedTools", "Bash", prefix=run) for word in ("moved", "stays")}
    turns: dict[str, Turns] = {}
    for word, pane in panes.items():
        claude_code.prompt(tmux, pane, f"the first of {word}")
        tmux.wait_for(pane, f"You said: the first of {word}")
        (row,) = _seated_in(rows_when(system, partial(_seated_in, pane=pane)), pane)
        assert (row.verdict, row.process_kind) == ("verified", "tui")
        assert row.launch is not None
        turns[word] = Turns(system, row.session)
        assert turns[word].until(1) == ["echo"]
    system.tabwire("pin", turns["moved"].session, "second")
    claude_code.prompt(tmux, panes["moved"], '[echo tool="echo made it"]')
    tmux.wait_for(panes["moved"], "The tool said: made it")
    claude_code.prompt(tmux, panes["stays"], "the second of stays")
    tmux.wait_for(panes["stays"], "You said: the second of stays")
    assert turns["moved"].until(3)[:3] == ["echo", "second", "second"]
    assert turns["stays"].until(2)[:2] == ["echo", "echo"]


def _seated_in(rows: Rows, pane: str) -> list[SessionRow]:
    """Return the Claude Code sessions in a pane that asked something."""
    claudes = [row for row in rows.values() if row.agent == "claude" and row.requests > 0]
    return [row for row in claudes if (row.terminal or "").endswith(f":{pane}")]
