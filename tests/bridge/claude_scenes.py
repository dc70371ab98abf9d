"""What is recorded of the real Claude Code, and how: ``TABWIRE_CLAUDE=… python -m tests.bridge.claude_scenes [NAME …]``.

Each scene drives the adapter alone, against the echo server, in a home of its own. What nobody reads of a line (lists of
tools and commands) is left out of the tape, and the folder's name is the same in all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from actors.bridge import adapter as seam
from actors.bridge.adapters import claude
from actors.launch.plan import Door
from schemas.content import TextAdded, TextEnded, TurnEnded
from tests.bridge.driven import Driven, save

PLACE = "/home/dev/tabwire"
HAIKU = "claude-haiku-4-5"
_LEFT_OUT = frozenset(
    """tools mcp_servers slash_commands terminal_slash_commands agents skills plugins commands output_styles account
    available_output_styles user_output_styles_dir modelUsage subagent_stats model_usage_since_last_result
    feedback_mode""".split()  # noqa: SIM905 - a list to read
)
Scene = Callable[["Stage"], None]


def _call(tool: str, **arguments: Any) -> str:
    return f"[echo call={tool} arguments={json.dumps(json.dumps(arguments))}]"


class Stage(Driven):
    """Claude Code on a stage of its own."""

    def __enter__(self) -> Self:
        super().__enter__()
        self.turns = 0
        return self

    def ready(self) -> None:
        self.output(seam.Greeted)

    def prompt(self, text: str) -> str:
        self.turns += 1
        turn = f"turn-{self.turns}"
        self.give(seam.Prompt(turn=turn, text=text))
        return turn

    def turn(self, text: str, option: str | None = "allow") -> TurnEnded:
        """Give a message, answer whatever is asked, and wait for the end."""
        turn = self.prompt(text)

        def ended(output: seam.Output) -> TurnEnded | None:
            if isinstance(output, seam.Ask):
                self.give(seam.Decide(approval=output.approval, option=option))
            found = output.piece if isinstance(output, seam.Say) else None
            return found if isinstance(found, TurnEnded) and found.turn == turn else None

        return self.until(ended)

    def change(self, **wanted: str) -> None:
        self.give(seam.Change(**wanted))
        self.output(seam.Changed)

    def clear(self) -> None:
        self.give(seam.Clear())
        self.output(seam.Changed)


def two_turns(stage: Stage) -> None:
    stage.ready()
    stage.turn("my name is Bob")
    stage.turn("[echo words=3]")


def allowed_and_denied(stage: Stage) -> None:
    stage.ready()
    stage.turn('[echo tool="touch allowed"] [echo say=done]')
    stage.turn('[echo tool="touch denied"]', "deny")
    stage.turn('[echo tool="touch unanswered"]', None)
    stage.turn('[echo tool="touch granted"] [echo say=done]', "allow:0")
    stage.turn('[echo tool="touch granted -c"] [echo say=done]')


def interrupted(stage: Stage) -> None:
    stage.ready()
    stage.prompt("[echo words=400 pace=50ms]")
    stage.piece(TextAdded, channel="reply")
    stage.give(seam.Interrupt())
    stage.piece(TurnEnded)
    stage.prompt('[echo tool="touch never"]')
    asked = stage.output(seam.Ask)
    stage.give(seam.Interrupt())
    stage.give(seam.Decide(approval=asked.approval, option=None))
    stage.piece(TurnEnded)
    stage.prompt("[echo words=400 pace=50ms]")
    stage.give(seam.Interrupt())
    stage.piece(TurnEnded)


def changed_and_cleared(stage: Stage) -> None:
    stage.ready()
    stage.turn("one")
    stage.change(model=HAIKU, mode="acceptEdits")
    stage.change(mode="bypassPermissions")
    stage.clear()
    stage.turn("two")
    stage.turn("/clear")


def questions(stage: Stage) -> None:
    stage.ready()
    asked = [
        {"question": "Which?", "header": "H", "multiSelect": False, "options": [_option("A"), _option("B")]},
        {"question": "And?", "header": "I", "multiSelect": True, "options": [_option("C"), _option("D")]},
    ]
    stage.turn(_call("AskUserQuestion", questions=asked) + " [echo say=ok]", "answer:1")
    stage.turn(_call("AskUserQuestion", questions=asked) + " [echo say=ok]", "deny")
    stage.change(mode="plan")
    stage.turn(_call("ExitPlanMode", plan="# do it") + " [echo say=ok]")


def _option(label: str) -> dict[str, str]:
    return {"label": label, "description": f"the {label}"}


def plans(stage: Stage) -> None:
    stage.ready()
    made = _call("TaskCreate", subject="read", description="d") + _call("TaskCreate", subject="write", description="d")
    moved = _call("TaskUpdate", taskId="1", status="completed") + _call("TaskUpdate", taskId="2", status="in_progress")
    stage.turn(f"{made} {moved} [echo say=ok]")


def woken(stage: Stage) -> None:
    stage.ready()
    stage.turn(_call("Bash", command="sleep 1; echo done", run_in_background=True, description="wait") + " [echo say=started]")
    woke = stage.output(seam.Woke)
    stage.piece(TurnEnded, turn=woke.turn)
    stage.turn(
        _call("Task", description="sub", prompt='[echo tool="touch sub"]', subagent_type="general-purpose") + " [echo say=ok]"
    )
    woke = stage.output(seam.Woke)
    stage.piece(TurnEnded, turn=woke.turn)


def failed(stage: Stage) -> None:
    stage.ready()
    stage.turn('[echo status=403 message="not on this plan"]')
    stage.turn("/clear")
    stage.turn("[echo words=12 error=overloaded_error]")


def commands(stage: Stage) -> None:
    stage.ready()
    stage.turn("hello")
    stage.turn("/compact")
    stage.turn("/status")
    stage.turn(" ")
    stage.prompt("[echo say=hi] said twice")
    stage.piece(TurnEnded)
    stage.turns -= 1
    stage.prompt("[echo say=hi] said twice")
    stage.piece(TurnEnded)


def broken_off(stage: Stage) -> None:
    stage.ready()
    stage.prompt("[echo words=40 cut=12]")
    stage.piece(TextEnded, channel="notice")
    stage.give(seam.Interrupt())
    stage.piece(TurnEnded)


def unknown_conversation(stage: Stage) -> None:
    stage.output(seam.Fail)


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        two_turns,
        allowed_and_denied,
        interrupted,
        changed_and_cleared,
        questions,
        plans,
        woken,
        failed,
        commands,
        broken_off,
        unknown_conversation,
    )
}
MORE: dict[str, dict[str, Any]] = {
    "plans": {"model": HAIKU},
    "unknown_conversation": {"resume": "11111111-2222-4333-8444-555555555555"},
}


def beginning(name: str, **more: Any) -> seam.Beginning:
    """Return what a scene's session is to be."""
    given = {"cwd": Path(PLACE), "door": Door("http://127.0.0.1:1", "token"), "program": "claude", **more}
    return seam.Beginning(launch="launch-0123456789ab", **MORE.get(name, {}), **given)


def _record(name: str, program: str, port: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        work = Path(home) / "work"
        work.mkdir()
        environ = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": home,
            "CLAUDE_CONFIG_DIR": f"{home}/config",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "3",
        }
        begun = beginning(name, cwd=work, door=_Echo(f"http://127.0.0.1:{port}", ""), program=program, environ=environ)
        with Stage(claude, begun) as stage:
            SCENES[name](stage)
        slug = str(work).replace("/", "-").replace("_", "-")
        save(f"claude_{name}", (_scrubbed(entry, str(work), slug, home) for entry in stage.tape))


class _Echo(Door):
    """The echo server itself, without a gateway in front."""

    @property
    def root(self) -> str:
        return self.origin


def _scrubbed(entry: dict[str, Any], work: str, slug: str, home: str) -> dict[str, Any]:
    if "read" not in entry:
        return entry
    text = entry["read"].replace(work, PLACE).replace(slug, PLACE.replace("/", "-")).replace(home, "/home/dev")
    return {"read": json.dumps(_lean(json.loads(text)), separators=(",", ":"), ensure_ascii=False)}


def _lean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lean(one) for name, one in value.items() if name not in _LEFT_OUT}
    return [_lean(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Record the scenes that are named, or all."""
    program = os.environ["TABWIRE_CLAUDE"]
    echo = subprocess.Popen([sys.executable, "-m", "actors.echo", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert echo.stdout is not None
    try:
        port = int(echo.stdout.readline().rsplit(":", 1)[1].partition("/")[0])
        for name in sys.argv[1:] or SCENES:
            _record(name, program, port)
    finally:
        echo.terminate()
        echo.wait()
        echo.stdout.close()


if __name__ == "__main__":
    main()
