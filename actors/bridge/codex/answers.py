"""What comes of the requests that we make of Codex: its greeting, the thread, settings, turns. Pure.

Must not know what people want; that is what ``codex`` asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from actors.bridge.adapter import Changed, Fail, Greeted, Note, Output, Say, Wait, Write
from actors.bridge.codex import joined, wire
from actors.bridge.codex.state import (
    AGENT,
    CONFIGURED,
    MODE_NAMES,
    MODES,
    TESTED,
    Errand,
    Purpose,
    Session,
    Step,
    asking,
    without,
)
from actors.bridge.codex.told import plain, turn_ended
from actors.bridge.codex.wire import rows, table, text
from schemas.content import FailureTold, Identified
from schemas.identity import IdentityError, conversation_key, session_of

Result = Mapping[str, Any]
_VERSION: Final = re.compile(r"/(\d+\.\d+[0-9A-Za-z.+-]*)")
_MODELS_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 0.5
_TRIES: Final = 20
_MAX_MODELS: Final = 100


def answered(state: Session, message: wire.Answered | wire.Refused) -> Step:
    """Take the answer to a request of ours."""
    errand = state.errands.get(message.id)
    if errand is None:
        return state, (Note("Codex answered what nobody asked"),)
    state = replace(state, errands=without(state.errands, message.id))
    if isinstance(message, wire.Refused):
        refused = _REFUSED.get(errand.purpose)
        if refused is not None:
            return refused(state, errand, plain(message.message))
        return state, (Note(f"Codex refused a request ({errand.purpose})"),)
    done = _DONE.get(errand.purpose)
    return (state, ()) if done is None else done(state, errand, message.result)


def ask(state: Session, errand: Errand, method: str, params: Mapping[str, Any]) -> Step:
    """Ask Codex for something, and for nothing else."""
    state, write = asking(state, errand, method, params)
    return state, (write,)


def thread_params(state: Session, model: str) -> dict[str, Any]:
    """Return what every thread begins with."""
    return {"cwd": str(state.beginning.cwd), "threadSource": "tabwire", **({"model": model} if model else {})}


def open_thread(state: Session) -> Step:
    """Begin, resume or fork the thread, or join it where it is."""
    beginning = state.beginning
    if beginning.attach is not None:
        return joined.ask_for_loaded(state)
    params = thread_params(state, beginning.model)
    errand = Errand(purpose="open")
    if not beginning.resume:
        return ask(state, errand, "thread/start", params)
    params |= {"threadId": beginning.resume.removeprefix(f"{AGENT}:"), "excludeTurns": True}
    if beginning.fork:
        return ask(state, errand, "thread/fork", params)
    del params["threadSource"]
    return ask(state, errand, "thread/resume", params)


def settings_params(state: Session, model: str | None, mode: str | None) -> dict[str, Any]:
    """Return what changes a thread from its next turn on."""
    params: dict[str, Any] = {"threadId": state.thread}
    if model is not None:
        params["model"] = model
    if mode is not None:
        params |= MODES.get(mode, state.configured)
    return params


def greeted_once(state: Session) -> Step:
    """Take messages once the thread is open and the models are known, or took too long."""
    if state.greeted or not state.opened or state.models is None:
        return state, ()
    said = Greeted(
        version=state.version,
        modes=MODE_NAMES,
        models=state.models,
        mode=state.mode,
        model=state.model,
        transcript=state.transcript,
        can=None if state.beginning.attach is None else joined.CAN,
    )
    return replace(state, greeted=True), (Wait(name="models", seconds=None), said)


# ------------------------------------------------------------------------------------------------ answers


def _initialized(state: Session, _: Errand, result: Result) -> Step:
    version = _VERSION.search(text(result, "userAgent"))
    state = replace(state, version=version[1] if version else "")
    state, models = asking(state, Errand(purpose="models"), "model/list", {"limit": _MAX_MODELS})
    state, thread = open_thread(state)
    return state, (Write(wire.notification("initialized")), models, *thread)


def _tried(state: Session) -> str:
    return f"(this is Codex {state.version or 'of an unknown version'}; Tabwire was tried with {TESTED})"


def _modelled(state: Session, _: Errand, result: Result) -> Step:
    names = [text(row, "model") for row in rows(result, "data") if isinstance(row, dict)]
    return greeted_once(replace(state, models=tuple(name for name in names if name)))


def _opened(state: Session, errand: Errand, result: Result) -> Step:
    """Take the thread that was begun, resumed or forked."""
    thread = table(result, "thread")
    name, old = text(thread, "id"), state.thread
    try:
        session = session_of(conversation_key(AGENT, name))
    except IdentityError:
        return state, (Fail(code="protocol", message=f"Codex named no conversation {_tried(state)}", resumable=False),)
    profile = text(table(result, "activePermissionProfile"), "id")
    sandbox = {"permissions": profile} if profile else {"sandboxPolicy": table(result, "sandbox")}
    state = replace(
        state,
        thread=name,
        transcript=text(thread, "path"),
        model=text(result, "model"),
        configured={"approvalPolicy": result.get("approvalPolicy"), **sandbox},
        total=None,
    )
    outputs: tuple[Output, ...] = (Say(Identified(session=session, conversation=name, cleared=errand.clear)),)
    if old and old != name:
        state, leave = asking(state, Errand(purpose="aside"), "thread/unsubscribe", {"threadId": old})
        outputs = (*outputs, leave)
    if state.beginning.attach is not None:
        if not joined.is_active(thread):
            return _settle_done(state, Errand(purpose="settle"))
        return joined.look_under_way(state)
    mode = state.mode if errand.clear else state.beginning.mode or CONFIGURED
    settle = Errand(purpose="settle", mode=mode, clear=errand.clear)
    if mode == CONFIGURED:
        state, more = _settle_done(state, settle)
    else:
        state, more = ask(state, settle, "thread/settings/update", settings_params(state, None, mode))
    return state, (*outputs, *more)


def _under_way(state: Session, _: Errand, result: Result) -> Step:
    state, outputs = joined.under_way(state, result)
    state, more = _settle_done(state, Errand(purpose="settle"))
    return state, (*more, *outputs)


def _settled(state: Session, errand: Errand, _: Result) -> Step:
    return _settle_done(replace(state, mode=errand.mode or state.mode), errand)


def _settle_done(state: Session, errand: Errand) -> Step:
    if errand.clear:
        return state, (Changed(),)
    state, outputs = greeted_once(replace(state, opened=True))
    return state, outputs if state.greeted else (Wait(name="models", seconds=_MODELS_SECONDS),)


def _changed(state: Session, errand: Errand, _: Result) -> Step:
    return replace(state, model=errand.model or state.model, mode=errand.mode or state.mode), (Changed(),)


def _turn_accepted(state: Session, errand: Errand, result: Result) -> Step:
    name = text(table(result, "turn"), "id")
    if name and state.turn is not None and state.turn.name == errand.turn:
        state = replace(state, turn=replace(state.turn, id=name))
    return state, ()


def _end_commands(state: Session, errand: Errand, result: Result) -> Step:
    """End the commands that an interrupted turn left running."""
    items = errand.turn.split(" ")
    outputs: tuple[Output, ...] = ()
    for row in rows(result, "data"):
        if isinstance(row, dict) and text(row, "itemId") in items:
            params = {"threadId": state.thread, "processId": text(row, "processId")}
            state, write = asking(state, Errand(purpose="aside"), "thread/backgroundTerminals/terminate", params)
            outputs = (*outputs, write)
    return state, outputs


# ------------------------------------------------------------------------------------------------ refusals


def _not_greeted(state: Session, _: Errand, message: str) -> Step:
    return state, (
        Fail(code="greeting_refused", message=f"Codex refused our greeting: {message} {_tried(state)}", resumable=False),
    )


def _not_looked(state: Session, _: Errand, __: str) -> Step:
    """Go on without what the running turn has shown."""
    return _settle_done(state, Errand(purpose="settle"))


def _no_models(state: Session, _: Errand, __: str) -> Step:
    return greeted_once(replace(state, models=()))


def _not_opened(state: Session, errand: Errand, message: str) -> Step:
    if errand.clear:
        return state, (Changed(refused=f"Codex did not begin a new conversation: {message}"),)
    name = state.beginning.resume
    if name and "active writer" in message:
        if state.tries < _TRIES:
            return replace(state, tries=state.tries + 1), (Wait(name="writer", seconds=_AGAIN_SECONDS),)
        failure = f"another Codex has the conversation {name} open: end it there, or fork the conversation"
        return state, (Fail(code="conversation_in_use", message=failure, resumable=False),)
    if name and "no rollout found" in message:
        failure = f"Codex has no conversation {name} in its home folder: `codex resume` lists those that it has"
        return state, (Fail(code="conversation_not_found", message=failure, resumable=False),)
    return state, (
        Fail(code="thread_refused", message=f"Codex did not open a conversation: {message} {_tried(state)}", resumable=False),
    )


def _not_settled(state: Session, errand: Errand, message: str) -> Step:
    if errand.clear:
        state = replace(state, mode=CONFIGURED)
        return state, (Changed(refused=f"the new conversation does not take the mode {errand.mode!r}: {message}"),)
    failure = f"Codex does not take the mode {errand.mode!r}: {message}; start it with another one"
    return state, (Fail(code="mode_refused", message=failure, resumable=False),)


def _not_changed(state: Session, _: Errand, message: str) -> Step:
    return state, (Changed(refused=f"Codex refused the change: {message}"),)


def _turn_refused(state: Session, errand: Errand, message: str) -> Step:
    if state.turn is None or state.turn.name != errand.turn:
        return state, ()
    failure = f"Codex did not take the message: {message}"
    said = Say(FailureTold(code="message_refused", message=failure, turn=errand.turn))
    return turn_ended(state, "failed", "Codex did not take the message", said)


def _not_interrupted(state: Session, errand: Errand, _: str) -> Step:
    """Take the turn for ended: Codex says that it does not run, and tells the end of each before it answers so."""
    if state.turn is None or state.turn.name != errand.turn:
        return state, ()
    return turn_ended(state, "interrupted")


_DONE: Final[Mapping[Purpose, Callable[[Session, Errand, Result], Step]]] = {
    "greet": _initialized,
    "models": _modelled,
    "open": _opened,
    "loaded": lambda state, _, result: joined.join(state, result),
    "under_way": _under_way,
    "settle": _settled,
    "change": _changed,
    "turn": _turn_accepted,
    "left": _end_commands,
}
_REFUSED: Final[Mapping[Purpose, Callable[[Session, Errand, str], Step]]] = {
    "greet": _not_greeted,
    "models": _no_models,
    "open": _not_opened,
    "loaded": _not_opened,
    "under_way": _not_looked,
    "settle": _not_settled,
    "change": _not_changed,
    "turn": _turn_refused,
    "interrupt": _not_interrupted,
}
