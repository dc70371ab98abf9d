"""What is agreed with Claude Code beside its turns: the greeting, model and mode, the conversation's name. Pure."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from actors.bridge import adapter as seam
from actors.bridge.claude import lines
from actors.bridge.claude.start import FACTS
from actors.bridge.claude.state import Changing, State, Told
from schemas.content import Identified, SettingsTold
from schemas.identity import IdentityError, conversation_key, session_of

GREETING: Final = "greeting"
_MAX_MODELS: Final = 100
_MAX_VERSION: Final = 64


def change(state: State, model: str | None, mode: str | None) -> Told:
    """Ask for another model or mode; it is answered by name."""
    number = state.requests
    wanted = {f"model-{number}": model, f"mode-{number}": mode}
    waiting = {name: value for name, value in wanted.items() if value is not None}
    if not waiting:
        return state, (seam.Changed(),)
    writes = []
    if model is not None:
        writes.append(seam.Write(lines.request(f"model-{number}", "set_model", model=model or "default")))
    if mode is not None:
        writes.append(seam.Write(lines.request(f"mode-{number}", "set_permission_mode", mode=mode)))
    return replace(state, requests=number + 1, changing=Changing(waiting=MappingProxyType(waiting))), tuple(writes)


def answered(state: State, answer: lines.Answer) -> Told:
    """Take the answer to a request of ours: the greeting's, or a change's, which is done with its last one."""
    refused = (answer.error or "refused without a reason") if answer.subtype != "success" else ""
    if answer.request_id == GREETING:
        return _greeted(state, answer, refused)
    changing = state.changing
    if changing is None or answer.request_id not in changing.waiting:
        return state, ()
    wanted = changing.waiting[answer.request_id]
    rest = {name: value for name, value in changing.waiting.items() if name != answer.request_id}
    changing = replace(changing, waiting=MappingProxyType(rest))
    settled = lines.read(lines.Settled, answer.response) or lines.Settled()
    if refused:
        changing = replace(changing, refused=(*changing.refused, refused))
    elif answer.request_id.startswith("model"):
        changing = replace(changing, model=settled.model or wanted)
    else:
        changing = replace(changing, mode=settled.mode or wanted)
    if rest:
        return replace(state, changing=changing), ()
    state = replace(state, changing=None, model=changing.model or state.model, mode=changing.mode or state.mode)
    told = seam.Say(SettingsTold(model=changing.model, mode=changing.mode))
    return state, (seam.Changed(refused="; ".join(changing.refused)), *((told,) if changing.model or changing.mode else ()))


def _greeted(state: State, answer: lines.Answer, refused: str) -> Told:
    if state.greeted:
        return state, ()
    if refused:
        return state, (seam.Fail(code="greeting_refused", message=f"Claude Code does not greet back: {refused}"),)
    said = lines.read(lines.Greeting, answer.response) or lines.Greeting()
    state = replace(state, greeted=True, mode=said.mode or state.mode)
    models = tuple(model.value for model in said.models or () if model.value)[:_MAX_MODELS]
    greeted = seam.Greeted(version=said.version, modes=FACTS.modes, models=models, mode=state.mode, model=state.model)
    notes: tuple[seam.Output, ...] = ()
    if said.version != FACTS.tested:
        version = said.version[:_MAX_VERSION].encode("ascii", "replace").decode() or "unknown"
        notes = (seam.Note(f"Claude Code's version is {version}; what is known of it was tried with {FACTS.tested}"),)
    state, known = identified(state, state.resume)
    return state, (*notes, greeted, *known)


def identified(state: State, session: str) -> Told:
    """Tell the conversation when it is named for the first time, and when another took its place."""
    if not session or session == state.session:
        return state, ()
    try:
        named = session_of(conversation_key(FACTS.agent, session))
    except IdentityError:
        return state, (seam.Note("Claude Code named a conversation by what cannot be an id"),)
    cleared = bool(state.session) and state.reset
    state = replace(state, session=session, reset=False)
    return state, (seam.Say(Identified(session=named, conversation=session, cleared=cleared)),)


def settings(state: State, model: str, mode: str) -> Told:
    """Tell model and mode where they are not what they were."""
    model, mode = model or state.model, mode or state.mode
    if (model, mode) == (state.model, state.mode) or state.changing is not None:
        return state, ()
    return replace(state, model=model, mode=mode), (seam.Say(SettingsTold(model=model, mode=mode)),)
