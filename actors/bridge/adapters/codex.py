"""Codex through its app-server: a process of its own, lines of JSON over its stdin and stdout.

Theory of operation
-------------------
``initialize``, then a thread: begun, resumed or forked; then one turn at a time. Facts, all tried with Codex 0.169.0:

* The gateway's address stands on the command line (``actors.launch.codex``: provider ids and logins stay the user's), for every
  provider that the configuration knows, since a thread of the past may be pinned to any. ``responsesapiClientMetadata`` puts
  the ids of our launch and turn into every model request of a turn.
* A thread is on disk from its first message on; before that nobody can resume it. Settings of a thread outlive its process.
* One process writes a thread. The one that was killed may hold its lock for a moment longer (npm's wrapper is a process of its
  own), so a thread that "already has an active writer" is tried again for ten seconds.
* ``turn/interrupt`` with an empty turn id stops whatever turn runs or is about to. The commands of an interrupted turn run on;
  they are found by ``thread/backgroundTerminals/list`` and ended, as the user meant.
* An interrupted turn tells no end of its items. A question that is open then is answered too, or stays on Codex's books.
* ``untrusted``, which mode ``ask`` is made of, is refused in ``config.toml`` and taken from a client of the app-server.
* A message of more than 1,048,576 characters is refused by Codex; any other text arrives as it is, NUL included.

Pure. Must not know pipes, clocks, who else talks to this session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from actors.bridge.adapter import (
    AgentFacts,
    Beginning,
    Change,
    Changed,
    Clear,
    Command,
    Decide,
    Input,
    Interrupt,
    LineCame,
    LineSkipped,
    Note,
    Output,
    Passed,
    Prompt,
    Spawned,
    Write,
)
from actors.bridge.codex import joined, wire
from actors.bridge.codex.answers import answered, ask, greeted_once, open_thread, settings_params, thread_params
from actors.bridge.codex.asks import Question, question
from actors.bridge.codex.launch import plan as plan_own
from actors.bridge.codex.state import (
    AGENT,
    MODE_NAMES,
    TESTED,
    Errand,
    Session,
    Step,
    Turn,
    asking,
    without,
)
from actors.bridge.codex.told import UNWANTED, kept_notices, notice, told
from actors.bridge.codex.wire import text

__all__ = ["FACTS", "begin", "plan", "step"]

FACTS: Final = AgentFacts(
    agent=AGENT,
    protocol="app-server",
    programs=("codex",),
    tested=TESTED,
    can=frozenset(("interrupt", "approve", "set_model", "set_mode", "clear", "fork", "resume", "review", "history")),
    modes=MODE_NAMES,
    install="npm install -g @openai/codex",
    notes=(
        "mode default: as your config.toml says",
        "mode ask: asks before every command that is not known to be harmless",
        "mode auto: works in its folder unasked, asks for more",
    ),
)
_CLIENT: Final = {"name": "tabwire", "title": "Tabwire", "version": "1"}


def plan(beginning: Beginning) -> Command:
    """Return how the app-server is started, or joined.

    Raises:
        LaunchRefusedError: it cannot be pointed at the gateway, or cannot do what is asked.

    """
    return plan_own(beginning) if beginning.attach is None else joined.plan(beginning)


def begin(beginning: Beginning) -> Session:
    """Return the state before Codex runs."""
    return Session(beginning=beginning)


def step(state: Session, input_: Input) -> Step:
    """Take one input."""
    match input_:
        case LineCame(line=line):
            return _line(state, wire.read_line(line))
        case LineSkipped():
            return _skipped(state, input_)
        case Spawned():
            capabilities = {"experimentalApi": True, "requestAttestation": False, "optOutNotificationMethods": UNWANTED}
            client = _CLIENT if state.beginning.attach is None else joined.CLIENT
            params = {"clientInfo": client, "capabilities": capabilities}
            return ask(state, Errand(purpose="greet"), "initialize", params)
        case Passed(name=name):
            return greeted_once(replace(state, models=state.models or ())) if name == "models" else open_thread(state)
        case _:
            return _wanted(state, input_)


# ------------------------------------------------------------------------------------------------ what we want


def _wanted(state: Session, wish: Prompt | Interrupt | Decide | Change | Clear) -> Step:
    match wish:
        case Prompt():
            return _prompt(state, wish)
        case Interrupt():
            return _interrupt(state)
        case Decide(approval=approval, option=option):
            return _decide(state, approval, option)
        case Change():
            return _change(state, wish)
        case Clear():
            return ask(state, Errand(purpose="open", clear=True), "thread/start", thread_params(state, state.model))
        case _:
            assert_never(wish)


def _interrupt(state: Session) -> Step:
    if state.turn is None:
        return state, ()
    params = {"threadId": state.thread, "turnId": state.turn.id}
    return ask(state, Errand(purpose="interrupt", turn=state.turn.name), "turn/interrupt", params)


def _prompt(state: Session, prompt: Prompt) -> Step:
    state = replace(state, turn=Turn(name=prompt.turn, before=state.total))
    metadata = {"tabwire_turn": prompt.turn}
    if state.beginning.launch and state.beginning.attach is None:
        metadata["tabwire_launch"] = state.beginning.launch
    params = {
        "threadId": state.thread,
        "input": [{"type": "text", "text": prompt.text, "text_elements": []}],
        "clientUserMessageId": prompt.turn,
        "responsesapiClientMetadata": metadata,
        "turnTrigger": "tabwire",
    }
    state, write = asking(state, Errand(purpose="turn", turn=prompt.turn), "turn/start", params)
    state, notices = kept_notices(state)
    return state, (write, *notices)


def _change(state: Session, change: Change) -> Step:
    if change.mode is not None and change.mode not in MODE_NAMES:
        return state, (Changed(refused=f"Codex has no mode {change.mode!r}; modes: {', '.join(MODE_NAMES)}"),)
    if change.model == "":
        return state, (Changed(refused="a model needs a name"),)
    errand = Errand(purpose="change", model=change.model, mode=change.mode)
    return ask(state, errand, "thread/settings/update", settings_params(state, change.model, change.mode))


def _decide(state: Session, approval: str, option: str | None) -> Step:
    found = state.questions.get(approval)
    if found is None:
        return state, (Note("an answer to what Codex does not ask any more was left out"),)
    name, asked = found
    if option is None and state.beginning.attach is not None and not joined.interrupted(state):
        return joined.left_to_the_user(replace(state, questions=without(state.questions, approval)), "a question")
    result = asked.denied if option is None else asked.answers.get(option, asked.denied)
    return replace(state, questions=without(state.questions, approval)), (Write(wire.answer(name, result)),)


# ------------------------------------------------------------------------------------------------ what Codex says


def _line(state: Session, message: wire.Message | None) -> Step:
    match message:
        case None:
            return state, (Note("Codex wrote a line that is not of its protocol"),)
        case wire.Told(method=joined.LEFT, params=params) if state.beginning.attach is not None:
            return joined.left(state, params)
        case wire.Told(method=method, params=params):
            return told(state, method, params)
        case wire.Asked():
            return _asked(state, message)
        case wire.Answered() | wire.Refused():
            return answered(state, message)
        case _:
            assert_never(message)


def _skipped(state: Session, skipped: LineSkipped) -> Step:
    """Make the best of a line that was too long: nobody may wait for what was in it."""
    message = wire.read_head(skipped.head)
    if isinstance(message, wire.Asked) and state.beginning.attach is None:
        refusal = Write(wire.refusal(message.id, wire.REFUSED, f"a request of {skipped.length} bytes is not read"))
        outputs: tuple[Output, ...] = (refusal,)
    else:
        outputs = ()
    state, words = notice(state, f"Codex said something too long to be read ({skipped.length} bytes); it was left out")
    if message is None or isinstance(message, wire.Asked):
        return state, (*outputs, *words)
    state, more = _line(state, message)
    return state, (*words, *more)


def _asked(state: Session, asked: wire.Asked) -> Step:
    """Take a question of Codex. Who is not in a turn has nobody to ask; that is a sub-agent which outlived its turn."""
    if state.beginning.attach is not None:
        return _asked_beside(state, asked)
    approval, answer = _read(state, asked)
    if answer is None:
        refusal = wire.refusal(asked.id, wire.NO_SUCH_METHOD, f"tabwire does not serve {asked.method[:100]}")
        return state, (Write(refusal), Note(f"Codex asked for {asked.method[:100]!r}, which is not served"))
    if not isinstance(answer, Question):
        state, words = notice(state, "Codex asked for something that has to be typed into a form of its own; it was declined")
        return state, (Write(wire.answer(asked.id, answer)), *words)
    if state.turn is None or approval in state.questions:
        return state, (Write(wire.answer(asked.id, answer.denied)), Note("a question outside of any turn was declined"))
    return replace(state, questions={**state.questions, approval: (asked.id, answer)}), (answer.ask,)


def _asked_beside(state: Session, asked: wire.Asked) -> Step:
    """Take a question that the user's own terminal asks as well: what cannot be answered here is left to it."""
    if text(asked.params, "threadId") != state.thread:
        return joined.left_to_the_user(state, f"a question of another thread ({asked.method[:100]!r})")
    state, outputs = joined.wake(state, text(asked.params, "turnId"))
    approval, answer = _read(state, asked)
    if not isinstance(answer, Question):
        state, words = notice(state, "Codex asks for something that can only be answered in its own terminal")
        return state, (*outputs, *words)
    if approval in state.questions:
        return joined.left_to_the_user(state, "a question that is open already")
    return replace(state, questions={**state.questions, approval: (asked.id, answer)}), (*outputs, answer.ask)


def _read(state: Session, asked: wire.Asked) -> tuple[str, Question | Mapping[str, Any] | None]:
    """Name a question, and read what it asks."""
    params = asked.params
    approval = f"{asked.id}-{text(params, 'turnId')[-12:]}"[:200]
    item = state.turn.items.get(text(params, "itemId"), {}) if state.turn else {}
    return approval, question(approval, asked.method, params, item)
