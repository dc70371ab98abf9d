"""Drives an agent that has nothing but a terminal: screens come in, turns go out. ``step`` is an adapter's; pure.

Theory of operation
-------------------
Everything is decided when the screen has been *quiet*: nothing of its substance (rows that no ``leave_out`` names) changed for
``settle_seconds``. Only that the agent works is believed at once.

* At the start openings are passed by their keys, and what it asks is asked; the first quiet prompt is the greeting.
* A message waits for the prompt (``READY_SECONDS``), is typed, and sent by an Enter of its own, ``enter_seconds`` after the
  last change: programs take an Enter that comes with a text for a part of it. What cannot be typed word for word is refused
  (``words``), and its turn has failed; nothing of it was typed then.
* A turn ends when the prompt is there again, quietly, and nothing says that the agent works: by then it must have been seen
  at work, or have left its ``end``, or have had ``start_seconds`` for it where one of these is declared; where none is,
  anything must have changed. What was interrupted ends with the next quiet prompt.
* The reply is told as it firms: lines that two looks in a row showed alike, but for the last. What was told and is then drawn
  anew in another way begins another text; the last word is the screen of the end.
* A question is a screen that matches one, quietly; when it goes without our answer, somebody gave it in the window.
* Work that nobody here asked for is a turn of the agent's own: somebody types in its window.

Must not know processes, terminals, the hub.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from actors.bridge import adapter as seam
from actors.bridge.terminal import patterns, words
from actors.bridge.terminal.page import turned
from actors.bridge.terminal.patterns import Typed
from actors.bridge.terminal.state import Asked, State, Turn
from actors.terminal.contract import (
    Closed,
    Down,
    Drawn,
    Exited,
    Opened,
    Press,
    TerminalContractError,
    decode_up,
    encode_line,
)
from schemas.content import FailureTold, Option, TextAdded, TextEnded, TurnEnded
from schemas.events.bridges import TurnOutcome

READY_SECONDS: Final = 15.0
ENTER_LATEST: Final = 3.0
LOOK_SECONDS: Final = 0.4
MAX_OPENINGS: Final = 32
_WORDS: Final = 6
_NOTICE: Final = "window"

Told = tuple[State, tuple[seam.Output, ...]]


def step(state: State, input_: seam.Input) -> Told:
    """Take one input."""
    return _Step(state).take(input_)


class _Step:
    """One step under way."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.outputs: list[seam.Output] = []

    def take(self, input_: seam.Input) -> Told:
        match input_:
            case seam.Spawned():
                self._write(self.state.open)
            case seam.LineCame(line=line):
                self._line(line)
            case seam.LineSkipped(length=length):
                self._give(seam.Note(f"a screen of {length} bytes was too long and passed over"))
            case seam.Prompt(turn=turn, text=text):
                self._set(turn=Turn(id=turn, text=text), phase="awaiting", asked=None)
                self._wait("prompt", READY_SECONDS)
                self._decide()
            case seam.Clear():
                self._set(turn=Turn(id="", text=self.state.terminal.clear), phase="awaiting", asked=None)
                self._wait("prompt", READY_SECONDS)
                self._decide()
            case seam.Interrupt():
                self._interrupt()
            case seam.Decide(approval=approval, option=option):
                self._answer(approval, option)
            case seam.Change():
                self._give(seam.Changed(refused=f"{self.state.name} cannot change while it runs"))
            case seam.Passed(name=name):
                self._passed(name)
        return self.state, tuple(self.outputs)

    # ------------------------------------------------------------------------------------------------ what comes

    def _line(self, raw: bytes) -> None:
        try:
            line = decode_up(raw)
        except TerminalContractError as error:
            self._give(seam.Note(str(error)[:200]))
            return
        match line:
            case Opened(attach=attach):
                self._set(attach=attach)
                self._wait("quiet", self.state.terminal.settle_seconds)
            case Drawn():
                self._drawn(line)
            case Closed():
                self._over("its window was closed", resumable=False)
            case Exited(code=code):
                how = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
                self._over(how, resumable=self.state.phase != "opening" and code != 0)

    def _drawn(self, drawn: Drawn) -> None:
        state = self.state
        before = patterns.substance(state.patterns, state.page)
        self._set(page=turned(state.page, drawn))
        if before == patterns.substance(state.patterns, self.state.page):
            return
        self._set(quiet=False)
        self._wait("quiet", state.terminal.settle_seconds)
        at_work = patterns.works(state.patterns, self.state.page)
        if state.phase == "typing":
            self._wait("enter", state.terminal.enter_seconds)
        elif state.phase == "idle" and at_work:
            self._woke()
        turn = self.state.turn
        if turn is not None and self.state.phase == "working":
            seen = turn.seen or at_work or patterns.over(state.patterns, self.state.page, turn.typed)
            self._turn(changed=True, seen=seen)

    def _over(self, how: str, *, resumable: bool) -> None:
        """Say what it said last: a terminal has no other place for it. What ended by its own or somebody's wish stays so."""
        last = patterns.shown((*self.state.page.past, *self.state.page.rows))[-_WORDS:]
        said = f"; its last rows: {' / '.join(row.strip() for row in last)}" if last else ""
        if self.state.phase == "working":
            self._look(final=True)
        self._give(seam.Fail(code="agent_exited", message=f"{self.state.name}: {how}{said}", resumable=resumable))

    def _passed(self, name: str) -> None:
        turn, phase = self.state.turn, self.state.phase
        if name == "quiet":
            self._set(quiet=True)
            self._decide()
        elif name in ("enter", "latest") and phase == "typing":
            self._enter()
        elif name == "grace" and turn is not None:
            self._turn(waited=True)
            self._decide()
        elif name == "look" and phase == "working":
            self._look()
            self._wait("look", LOOK_SECONDS)
        elif name == "prompt" and phase == "awaiting":
            self._refuse("not_ready", f"{self.state.name} did not come to its prompt within {READY_SECONDS:g} s")

    # ------------------------------------------------------------------------------------------------ what a quiet screen means

    def _decide(self) -> None:
        if not self.state.quiet:
            return
        state = self.state
        prompt = patterns.prompt_row(state.patterns, state.page)
        ready = prompt is not None and not patterns.works(state.patterns, state.page)
        if prompt is not None and ready and state.phase != "working":
            self._set(prompt=prompt, shown=patterns.sign(state.patterns, state.page, prompt))
        match state.phase:
            case "opening":
                self._open(ready=ready)
            case "awaiting":
                if ready:
                    self._type()
            case "idle" | "working":
                self._consider(ready=ready)

    def _open(self, *, ready: bool) -> None:
        opening = patterns.opens(self.state.patterns, self.state.page)
        if opening is not None and self.state.passed < MAX_OPENINGS:
            self._set(passed=self.state.passed + 1)
            self._press(opening.keys)
        elif self.state.asked is not None or patterns.asks(self.state.patterns, self.state.page) is not None:
            self._consider(ready=False)
        elif ready:
            self._set(phase="idle")
            self._give(seam.Greeted())

    def _consider(self, *, ready: bool) -> None:
        """Look whether it asks, or is done."""
        state = self.state
        found = patterns.asks(state.patterns, state.page)
        if state.asked is not None:
            if found is None or found[0] is not state.asked.question:
                self._set(asked=None)
                self._give(seam.Withdrawn(approval=state.asked.approval, reason="it was answered in its own window"))
                self._wait("quiet", state.terminal.settle_seconds)
        elif found is not None:
            if state.phase == "idle":
                self._woke()
            self._ask(*found)
        elif ready and state.turn is not None and self._may_end(state.turn):
            self._end("interrupted" if state.turn.interrupted else "completed")

    def _may_end(self, turn: Turn) -> bool:
        told = bool(self.state.terminal.busy or self.state.terminal.end)
        return turn.interrupted or turn.seen or turn.waited or (turn.changed and not told)

    # ------------------------------------------------------------------------------------------------ a turn's way

    def _type(self) -> None:
        """Type the message that waits; the prompt is there."""
        state, turn = self.state, self.state.turn
        if turn is None:
            return
        problem = words.refusal(turn.text, state.page, state.terminal)
        if problem:
            self._refuse("cannot_type", problem)
            return
        marker = patterns.marker(state.launch, turn.id) if state.terminal.marker and turn.id else ""
        self._wait("prompt", None)
        self._set(page=state.page.forgotten(), phase="typing")
        self._turn(typed=Typed(text=turn.text, prompt=state.shown, anchor=state.prompt, marker=marker))
        for line in words.typing(f"{turn.text} {marker}" if marker else turn.text, state.page, state.terminal):
            self._write(line)
        self._wait("enter", state.terminal.enter_seconds)
        self._wait("latest", ENTER_LATEST)

    def _enter(self) -> None:
        turn = self.state.turn
        if turn is not None:
            begins = self.state.page.top + self.state.page.cursor + 1
            self._turn(typed=replace(turn.typed, begins=max(begins, turn.typed.anchor + 1)))
        self._set(phase="working")
        self._press("Enter")
        for name in ("enter", "latest"):
            self._wait(name, None)
        self._wait("grace", self.state.terminal.start_seconds)
        self._wait("look", LOOK_SECONDS)

    def _woke(self) -> None:
        number = self.state.wakes + 1
        name = f"own-{self.state.launch}-{number}"
        typed = Typed(prompt=self.state.shown, anchor=self.state.prompt, begins=self.state.prompt + 1)
        self._set(turn=Turn(id=name, typed=typed, seen=True), phase="working", wakes=number)
        self._give(seam.Woke(turn=name))
        self._wait("look", LOOK_SECONDS)

    def _interrupt(self) -> None:
        if self.state.phase == "awaiting":
            self._end("interrupted")
            return
        self._turn(interrupted=True)
        self._set(phase="working")
        for name in ("enter", "latest"):
            self._wait(name, None)
        self._press(self.state.terminal.interrupt)

    def _refuse(self, code: str, reason: str) -> None:
        """End the turn that was not typed."""
        turn = self.state.turn
        if turn is not None and turn.id:
            self._give(seam.Say(FailureTold(code=code, message=reason, turn=turn.id)))
            self._end("failed", f"not typed: {reason}")
        else:
            self._finish()
            self._give(seam.Changed(refused=reason))

    def _end(self, outcome: TurnOutcome, reason: str = "") -> None:
        turn = self.state.turn
        if turn is None:
            return
        if self.state.phase == "working":
            self._look(final=True)
        self._finish()
        self._give(seam.Say(TurnEnded(turn=turn.id, outcome=outcome, reason=reason)) if turn.id else seam.Changed())

    def _finish(self) -> None:
        """Be idle again."""
        self._set(turn=None, asked=None, phase="idle")
        for name in ("grace", "look", "prompt", "enter", "latest"):
            self._wait(name, None)

    # ------------------------------------------------------------------------------------------------ the reply

    def _look(self, *, final: bool = False) -> None:
        """Tell what of the reply is firm; at the end all of it."""
        turn = self.state.turn
        if turn is None or not turn.id:
            return
        self._tell_once(turn)
        now = patterns.reply(self.state.patterns, self.state.page, turn.typed, turn.before, final=final)
        firm = now.lines if final else _common(turn.before.lines, now.lines)[:-1]
        self._turn(before=now)
        if final and self.state.page.lost:
            self._notice(turn, "lost", f"{self.state.page.lost} lines went by too fast to be kept; its terminal has them.")
        elif final and now.cut:
            self._notice(turn, "lost", "A part of the reply was drawn over before it could be read; its terminal may have it.")
        told = turn.told
        if final and firm[: len(told)] != told:
            self._end_text(turn)
            told = _common(told, firm)
            self._turn(item=turn.item + 1)
            self._add("\n".join(firm[len(told) :]))
            self._turn(told=firm)
        elif len(firm) > len(told) and firm[: len(told)] == told:
            self._add(("\n" if told else "") + "\n".join(firm[len(told) :]))
            self._turn(told=firm)
        if final and self.state.turn is not None:
            self._end_text(self.state.turn)

    def _tell_once(self, turn: Turn) -> None:
        """Say, with the first turn, how its window is shown."""
        if self.state.attach:
            self._notice(turn, _NOTICE, f"{self.state.name} runs in a window of tmux: {self.state.attach}")
            self._set(attach="")

    def _notice(self, turn: Turn, item: str, text: str) -> None:
        self._give(seam.Say(TextAdded(turn=turn.id, item=item, channel="notice", text=text)))
        self._give(seam.Say(TextEnded(turn=turn.id, item=item, channel="notice", length=len(text))))

    def _add(self, text: str) -> None:
        turn = self.state.turn
        if turn is not None and text:
            self._give(seam.Say(TextAdded(turn=turn.id, item=f"reply-{turn.item}", channel="reply", text=text)))

    def _end_text(self, turn: Turn) -> None:
        if turn.told:
            self._give(seam.Say(TextEnded(turn=turn.id, item=f"reply-{turn.item}", channel="reply", length=0)))

    # ------------------------------------------------------------------------------------------------ questions

    def _ask(self, question: Any, row: str) -> None:
        number = self.state.questions + 1
        options = [Option(id="yes", label="Yes", kind="allow_once")]
        if question.always:
            options.append(Option(id="always", label="Yes, and from now on", kind="allow_always"))
        options.append(Option(id="no", label="No", kind="deny_once"))
        shown = "\n".join(patterns.shown(self.state.page.rows))
        self._set(asked=Asked(f"question-{number}", question), questions=number)
        self._give(
            seam.Ask(
                approval=f"question-{number}",
                tool=question.tool,
                title=patterns.unmarked(row) or question.tool,
                detail=shown,
                options=tuple(options),
            )
        )

    def _answer(self, approval: str, option: str | None) -> None:
        asked = self.state.asked
        if asked is None or asked.approval != approval:
            return
        keys = {"yes": asked.question.yes, "always": asked.question.always}.get(option or "no", asked.question.no)
        self._set(asked=None)
        self._turn(seen=True)
        self._press(keys)

    # ------------------------------------------------------------------------------------------------ small change

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _turn(self, **changes: Any) -> None:
        if self.state.turn is not None:
            self._set(turn=replace(self.state.turn, **changes))

    def _give(self, output: seam.Output) -> None:
        self.outputs.append(output)

    def _write(self, line: Down) -> None:
        self._give(seam.Write(encode_line(line)))

    def _press(self, keys: str) -> None:
        """Press keys; what the screen shows counts only when it was quiet after them."""
        self._write(Press(keys=keys))
        self._set(quiet=False)
        self._wait("quiet", self.state.terminal.settle_seconds)

    def _wait(self, name: str, seconds: float | None) -> None:
        self._give(seam.Wait(name=name, seconds=seconds))


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines with which both begin."""
    length = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return other[: min(len(one), len(other)) if length is None else length]
