"""What Codex tells while a thread is open, as content. Pure.

Theory of operation
-------------------
Every notification names its thread, most their turn. Ours is one thread and one turn at a time; what sub-agents tell is of
threads of their own and stays there (their end must not end our turn). What comes for a turn that has ended, such as the end of
a command that ran on behind an interrupt, is left out.

A turn that nobody asked for is begun when Codex says so. ``turn/completed`` ends a turn, always, once. A warning is told once a
session, since Codex repeats it in each turn. Whatever is not known here is noted by its name and left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from actors.bridge.adapter import Fail, Note, Output, Say, Withdrawn, Woke
from actors.bridge.codex.items import (
    TEXTS,
    plan_updated,
    prompt_of,
    text_completed,
    tool_ended,
    tool_started,
)
from actors.bridge.codex.state import Errand, Session, Step, Turn, asking, without
from actors.bridge.codex.wire import count, table, text
from schemas.content import Channel, FailureTold, SettingsTold, TextAdded, TextEnded, TurnEnded, UsageTold
from schemas.events import Usage
from schemas.events.bridges import TurnOutcome

Params = Mapping[str, Any]
MAX_KEPT: Final = 16
_MAX_SAID: Final = 256
UNWANTED: Final = (
    "account/rateLimits/updated",
    "account/updated",
    "app/list/updated",
    "hook/completed",
    "hook/started",
    "item/autoApprovalReview/completed",
    "item/autoApprovalReview/started",
    "item/commandExecution/outputDelta",
    "item/commandExecution/terminalInteraction",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "item/mcpToolCall/progress",
    "item/plan/delta",
    "mcpServer/startupStatus/updated",
    "model/safetyBuffering/updated",
    "model/verification",
    "project/changed",
    "remoteControl/status/changed",
    "skills/changed",
    "thread/compacted",
    "thread/environment/connected",
    "thread/goal/cleared",
    "thread/goal/updated",
    "thread/name/updated",
    "thread/prediction/updated",
    "thread/queue/changed",
    "thread/readState/changed",
    "thread/started",
    "thread/status/changed",
    "turn/diff/updated",
    "turn/moderationMetadata",
)
"""What Codex is told to keep to itself, as far as it heeds that."""
_CODES: Final = {
    "contextWindowExceeded": "context_full",
    "sessionBudgetExceeded": "limit_reached",
    "usageLimitExceeded": "limit_reached",
    "rateLimitExceeded": "provider_busy",
    "serverOverloaded": "provider_busy",
    "flexUnavailable": "provider_busy",
    "policyCapacityUnavailable": "provider_busy",
    "modelNotFound": "model_not_found",
    "unauthorized": "not_logged_in",
    "badRequest": "request_refused",
    "cyberPolicy": "policy",
    "misalignmentPolicyViolation": "policy",
    "inferenceHookDenied": "policy",
    "tooManyDenials": "policy",
    "sandboxError": "sandbox_failed",
    "internalServerError": "provider_failed",
    "httpConnectionFailed": "provider_unreachable",
    "responseStreamConnectionFailed": "provider_unreachable",
    "responseStreamDisconnected": "provider_unreachable",
    "responseTooManyFailedAttempts": "provider_unreachable",
}
_OUTCOMES: Final[Mapping[str, TurnOutcome]] = {"completed": "completed", "interrupted": "interrupted", "failed": "failed"}


def told(state: Session, method: str, params: Params) -> Step:
    """Take one notification."""
    if (common := _OF_ANY.get(method)) is not None:
        return common(state, params)
    own = _OF_THREAD.get(method)
    if own is None and method not in _OF_TURN:
        return state, () if method in UNWANTED else (Note(f"Codex tells {method[:100]!r}, which is not known here"),)
    if not state.thread or text(params, "threadId") != state.thread:
        return state, ()
    if own is not None:
        return own(state, params)
    turn = state.turn
    if turn is None or not turn.id or text(params, "turnId") != turn.id:
        return state, ()
    turn, outputs = _OF_TURN[method](turn, params)
    return replace(state, turn=turn), outputs


def turn_ended(state: Session, outcome: TurnOutcome, reason: str = "", *failures: Output) -> Step:
    """End the running turn, for a reason of ours; of one that did not run to its end, ask what commands it left running."""
    turn = state.turn
    if turn is None:
        return state, ()
    ended = Say(TurnEnded(turn=turn.name, outcome=outcome, reason=reason))
    state = replace(state, turn=None)
    own = state.beginning.attach is None  # of the user's own Codex the commands that run are the user's
    if outcome == "completed" or not own or not any(text(item, "type") == "commandExecution" for item in turn.items.values()):
        return state, (*failures, ended)
    left = Errand(purpose="left", turn=" ".join(turn.items))
    state, write = asking(state, left, "thread/backgroundTerminals/list", {"threadId": state.thread})
    return state, (*failures, ended, write)


def notice(state: Session, words: str) -> Step:
    """Tell people something in the running turn, or keep it for the next one."""
    turn = state.turn
    if turn is None:
        return replace(state, kept=(*state.kept, words)[-MAX_KEPT:]), ()
    item = f"notice-{turn.notices + 1}"
    outputs = (
        Say(TextAdded(turn=turn.name, item=item, channel="notice", text=words)),
        Say(TextEnded(turn=turn.name, item=item, channel="notice", length=len(words))),
    )
    return replace(state, turn=replace(turn, notices=turn.notices + 1)), outputs if words else ()


def kept_notices(state: Session) -> Step:
    """Tell what was kept for this turn."""
    kept = state.kept
    outputs: tuple[Output, ...] = ()
    state = replace(state, kept=())
    for words in kept:
        state, more = notice(state, words)
        outputs = (*outputs, *more)
    return state, outputs


def plain(message: str) -> str:
    """Return the sentence in an error's text, which may be the JSON that a provider answered with."""
    if message.startswith("{"):
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return message
        if isinstance(document, dict):
            error = document.get("error")
            found = text(error, "message") if isinstance(error, dict) else text(document, "message")
            return found or message
    return message


# ------------------------------------------------------------------------------------------------ of any thread


def _warned(state: Session, params: Params) -> Step:
    thread = params.get("threadId")
    words = text(params, "message") or text(params, "summary")
    if not words or words in state.said or len(state.said) >= _MAX_SAID or (thread and thread != state.thread):
        return state, ()
    return notice(replace(state, said=state.said | {words}), words)


def _resolved(state: Session, params: Params) -> Step:
    name = params.get("requestId")
    for approval, (request, _) in state.questions.items():
        if request == name:
            state = replace(state, questions=without(state.questions, approval))
            return state, (Withdrawn(approval=approval, reason="Codex does not wait for it any more"),)
    return state, ()


# ------------------------------------------------------------------------------------------------ of our thread


def _turn_started(state: Session, params: Params) -> Step:
    name = text(table(params, "turn"), "id")
    turn = state.turn
    if not name:
        return state, ()
    if turn is None:
        state = replace(state, turn=Turn(name=name, id=name, before=state.total))
        state, outputs = kept_notices(state)
        return state, (Woke(turn=name), *outputs)
    return (state if turn.id else replace(state, turn=replace(turn, id=name))), ()


def _turn_completed(state: Session, params: Params) -> Step:
    ended = table(params, "turn")
    turn, name = state.turn, text(ended, "id")
    if turn is None or (name and turn.id and name != turn.id):
        return state, ()
    outcome = _OUTCOMES.get(text(ended, "status"), "completed")
    if outcome != "failed":
        return turn_ended(state, outcome)
    error = table(ended, "error")
    message = plain(text(error, "message")) or "Codex gave no reason"
    kind = error.get("codexErrorInfo")
    name = next(iter(kind), "") if isinstance(kind, dict) else kind if isinstance(kind, str) else ""
    code = _CODES.get(name, "turn_failed")
    failure = FailureTold(code=code, message=message, turn=turn.name)
    return turn_ended(state, "failed", code.replace("_", " "), Say(failure))


def _closed(state: Session, _: Params) -> Step:
    failure = Fail(code="conversation_closed", message="Codex closed the conversation: another program archived or deleted it")
    return state, (failure,)


def _settings(state: Session, params: Params) -> Step:
    model = text(table(params, "threadSettings"), "model")
    if not model or model == state.model:
        return state, ()
    return replace(state, model=model), (Say(SettingsTold(model=model, mode=state.mode)),)


def _failed(state: Session, params: Params) -> Step:
    """Tell a failure that Codex goes on after; the one that ends a turn comes again with its end."""
    error = table(params, "error")
    if params.get("willRetry") is not True or state.turn is None:
        return state, ()
    return notice(state, plain(text(error, "message")))


def _rerouted(state: Session, params: Params) -> Step:
    return notice(state, f"Codex uses {text(params, 'toModel')} in place of {text(params, 'fromModel')} for this turn")


def _tokens(state: Session, params: Params) -> Step:
    """Tell the turn's own tokens: what the thread has in all, less what it had before the turn."""
    turn, usage = state.turn, table(params, "tokenUsage")
    total, last = _usage(table(usage, "total")), _usage(table(usage, "last"))
    known = state.total
    state = replace(state, total=total)
    if turn is None or text(params, "turnId") != turn.id or known == total:
        return state, ()
    before = turn.before or _less(total, last)
    return replace(state, turn=replace(turn, before=before)), (Say(UsageTold(turn=turn.name, usage=_less(total, before))),)


def _usage(tokens: Params) -> Usage:
    return Usage(
        input=count(tokens, "inputTokens"),
        cached_input=count(tokens, "cachedInputTokens"),
        output=count(tokens, "outputTokens"),
        reasoning=count(tokens, "reasoningOutputTokens"),
        total=count(tokens, "totalTokens"),
    )


def _less(more: Usage, less: Usage) -> Usage:
    return Usage(
        input=max(0, more.input - less.input),
        cached_input=max(0, more.cached_input - less.cached_input),
        output=max(0, more.output - less.output),
        reasoning=max(0, more.reasoning - less.reasoning),
        total=max(0, more.total - less.total),
    )


# ------------------------------------------------------------------------------------------------ of our turn

Taken = tuple[Turn, tuple[Output, ...]]


def _added(turn: Turn, item: str, channel: Channel, words: str) -> Taken:
    if not item or not words or (turn.joined and item not in turn.texts):
        return turn, ()
    turn = replace(turn, texts={**turn.texts, item: turn.texts.get(item, 0) + len(words)})
    return turn, (Say(TextAdded(turn=turn.name, item=item, channel=channel, text=words)),)


def _reply_added(turn: Turn, params: Params) -> Taken:
    return _added(turn, text(params, "itemId"), "reply", text(params, "delta"))


def _thought_added(turn: Turn, params: Params) -> Taken:
    return _added(turn, text(params, "itemId"), "thought", text(params, "delta"))


def _thought_parted(turn: Turn, params: Params) -> Taken:
    item = text(params, "itemId")
    return _added(turn, item, "thought", "\n\n") if turn.texts.get(item) else (turn, ())


def _item_started(turn: Turn, params: Params) -> Taken:
    item = table(params, "item")
    piece = tool_started(turn.name, item)
    if piece is None and turn.joined and text(item, "type") in TEXTS:
        return replace(turn, texts={**turn.texts, text(item, "id"): 0}), ()
    if piece is None:
        return turn, ()
    return replace(turn, items={**turn.items, piece.item: item}), (Say(piece),)


def _item_completed(turn: Turn, params: Params) -> Taken:
    item = table(params, "item")
    name = text(item, "id")
    if turn.joined:
        if name in turn.done:
            return turn, ()
        turn = replace(turn, done=turn.done | {name})
    if text(item, "type") == "userMessage":
        return turn, tuple(Say(piece) for piece in prompt_of(turn.name, item))
    if text(item, "type") in TEXTS:
        pieces = tuple(text_completed(turn.name, item, turn.texts.get(name, 0)))
        return replace(turn, texts=without(turn.texts, name)), tuple(Say(piece) for piece in pieces)
    ended = tool_ended(turn.name, item)
    if ended is None:
        return turn, ()
    begun = tool_started(turn.name, item) if name not in turn.items else None
    outputs = (Say(begun), Say(ended)) if begun is not None else (Say(ended),)
    return replace(turn, items=without(turn.items, name)), outputs


def _planned(turn: Turn, params: Params) -> Taken:
    return turn, (Say(plan_updated(turn.name, params)),)


_OF_ANY: Final[Mapping[str, Callable[[Session, Params], Step]]] = {
    "warning": _warned,
    "configWarning": _warned,
    "guardianWarning": _warned,
    "deprecationNotice": _warned,
    "serverRequest/resolved": _resolved,
}
_OF_THREAD: Final[Mapping[str, Callable[[Session, Params], Step]]] = {
    "turn/started": _turn_started,
    "turn/completed": _turn_completed,
    "thread/closed": _closed,
    "thread/settings/updated": _settings,
    "thread/tokenUsage/updated": _tokens,
    "error": _failed,
    "model/rerouted": _rerouted,
}
_OF_TURN: Final[Mapping[str, Callable[[Turn, Params], Taken]]] = {
    "item/agentMessage/delta": _reply_added,
    "item/reasoning/textDelta": _thought_added,
    "item/reasoning/summaryTextDelta": _thought_added,
    "item/reasoning/summaryPartAdded": _thought_parted,
    "item/started": _item_started,
    "item/completed": _item_completed,
    "turn/plan/updated": _planned,
}
