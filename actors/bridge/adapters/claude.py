"""Claude Code, driven through stream-json: one process, many turns.

Theory of operation
-------------------
``claude -p --input-format stream-json --output-format stream-json --permission-prompt-tool stdio``: messages of the user and
requests of ours (``control_request``: initialize, interrupt, set_model, set_permission_mode) go in; the model's stream,
complete messages, requests of Claude Code's (``can_use_tool``) and one ``result`` a turn come out. Facts, tried with 2.1.329:

* **Which result is whose.** Each message has a ``uuid`` (``message_uuid`` of the turn's name); the ``result`` names the
  messages that it answers. So a turn ends with its own result, whatever else runs.
* **Claude Code wakes by itself**: a sub-agent or a command that it left running in the background is done, a time is come
  (cron, wake-up). Without a turn of ours that is a ``Woke``; when a message is on its way at that moment, what Claude Code does
  before it is told in that message's turn. What runs in the background may ask too, at any time; a turn does not end before
  everything that is asked is answered.
* **A turn in the transcript.** The ``uuid`` of a message is that of its line in the transcript (``{"type": "user", "uuid":
  …, "promptId": …}``); ``parentUuid``s lead from every line of the turn to it, and tool results have its ``promptId``. So the
  running turn is exactly the user line ``message_uuid(turn)`` and all that follows it: history ends in front of it
  (``actors.transcripts.claude_messages``). Any string is taken, not only uuids, but only uuids are used here. A message that is
  given twice with one uuid in one process is taken once; a process that resumed has forgotten that. A turn that began by a time
  that came has its line's uuid as its name; one that a background task began has a name of ours, its line ``origin.kind =
  "task-notification"``. Behind ``/clear`` all is in a new file, which is there when its first message is given. Lines are
  written about 0.1 s late: of a Claude Code that is killed before, the last message is in no transcript.
* **The conversation's id** comes with the first message, not with the greeting; a resumed one keeps its id. ``/clear``
  changes it within the process: the ``new_conversation_id`` that is told is another, ``session_id`` of what follows is right.
* **An interrupt** that comes before its message is taken up may be lost, so it is sent again then. What Claude Code waits to be
  allowed it takes back itself (``control_cancel_request``).
* **Commands** (``/compact``, ``/context``) in a message are carried out, ``/clear`` too; what it does not know (``/usr/bin``)
  goes to the model. ``!command`` and ``#memory`` mean nothing here. Whitespace alone is not sent.
* **Modes**: ``bypassPermissions`` only from the start, and not as root; it says so itself.

How it is started: ``claude.start``. Its lines: ``claude.lines``. What it says in a turn: ``claude.turn``. What it asks:
``claude.asks``. How it ended: ``claude.ends``. Greeting, model, mode and the conversation's name: ``claude.agreed``.

Pure. Must not know what is shared by all agents (``actors.bridge.conversation``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from actors.bridge import adapter as seam
from actors.bridge.claude import agreed, asks, ends, lines
from actors.bridge.claude import turn as turns
from actors.bridge.claude.start import FACTS, plan
from actors.bridge.claude.state import Ask, State, Told, Turn
from actors.transcripts.claude_messages import message_uuid
from schemas.content import TurnEnded

__all__ = ["FACTS", "begin", "plan", "step"]

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SKIPPED_REQUEST: Final = re.compile(rb'"type":\s*"control_request",\s*"request_id":\s*"([A-Za-z0-9_-]{1,100})"')
_LONGEST_ID: Final = 160
_MAX_STRANGE: Final = 64
_PASSED_OVER: Final = frozenset(
    """keep_alive rate_limit_event tool_progress auth_status prompt_suggestion system/background_tasks_changed
    system/task_started system/task_progress system/task_updated system/task_notification system/hook_started
    system/hook_progress system/hook_response system/session_state_changed system/thinking_tokens""".split()  # noqa: SIM905 - a list to read
)


def begin(beginning: seam.Beginning) -> State:
    """Return the state before Claude Code runs."""
    resume = "" if beginning.fork else beginning.resume
    return State(launch=beginning.launch, resume=resume, model=beginning.model, mode=beginning.mode)


def step(state: State, input_: seam.Input) -> Told:  # noqa: PLR0911 - the table of its inputs
    """Take one input."""
    match input_:
        case seam.LineCame(line=line):
            return _line(state, line)
        case seam.LineSkipped(length=length, head=head):
            return _skipped(state, length, head)
        case seam.Spawned():
            return state, (seam.Write(lines.request(agreed.GREETING, "initialize")),)
        case seam.Prompt(turn=turn, text=text):
            uuid = message_uuid(turn)
            return replace(state, turn=Turn(id=turn, message=uuid)), (seam.Write(lines.message(text, uuid)),)
        case seam.Interrupt():
            return _interrupt(state)
        case seam.Decide(approval=approval, option=option):
            return _decide(state, approval, option)
        case seam.Change(model=model, mode=mode):
            return agreed.change(state, model, mode)
        case seam.Clear():
            uuid = message_uuid(f"clear {state.launch} {state.session} {state.requests}")
            state = replace(state, clearing=uuid, requests=state.requests + 1)
            return state, (seam.Write(lines.message("/clear", uuid)),)
        case seam.Passed():
            return state, ()


# ----------------------------------------------------------------------------------------------------------- what is asked


def _interrupt(state: State) -> Told:
    if state.turn is None:
        return state, ()
    name = f"interrupt-{state.requests}"
    turn = replace(state.turn, interrupted=True)
    return replace(state, turn=turn, requests=state.requests + 1), (seam.Write(lines.request(name, "interrupt")),)


def _decide(state: State, approval: str, option: str | None) -> Told:
    ask = next((one for one in state.asks if one.approval == approval), None)
    if ask is None:
        return state, ()
    following, output = asks.decided(ask, option)
    if following is not None:
        return replace(state, asks=tuple(following if one is ask else one for one in state.asks)), (output,)
    state, ended = _settled(_without(state, ask))
    return state, (output, *ended)


# ----------------------------------------------------------------------------------------------------------- what comes


def _line(state: State, raw: bytes) -> Told:
    head = lines.read(lines.Head, raw)
    if head is None:
        return state, (seam.Note(f"a line of {len(raw)} bytes that is none of Claude Code's was passed over"),)
    told = _known(state, head, raw)
    if told is None:
        return state, (seam.Note(f"a line of Claude Code's ({_name(head)}) could not be read and was passed over"),)
    return told


def _known(state: State, head: lines.Head, raw: bytes) -> Told | None:  # noqa: C901, PLR0911, PLR0912 - the table of its lines
    match head.type, head.subtype:
        case "stream_event", _:
            return _streamed(state, event) if (event := lines.read(lines.Streamed, raw)) else None
        case "assistant" | "user", _:
            return _said(state, head.type, said) if (said := lines.read(lines.Said, raw)) else None
        case "result", _:
            return _result(state, result) if (result := lines.read(lines.Result, raw)) else None
        case "control_request", _:
            return _asked(state, raw)
        case "control_response", _:
            return agreed.answered(state, answer.response) if (answer := lines.read(lines.Answered, raw)) else None
        case "control_cancel_request", _:
            return _cancelled(state, cancelled.request_id) if (cancelled := lines.read(lines.AskedId, raw)) else None
        case "command_lifecycle", _:
            return _lifecycle(state, lifecycle) if (lifecycle := lines.read(lines.Lifecycle, raw)) else None
        case "conversation_reset", _:
            return replace(state, reset=True, plan=MappingProxyType({})), ()
        case "system", "init":
            return _init(state, init) if (init := lines.read(lines.Init, raw)) else None
        case "system", "status":
            return _status(state, status) if (status := lines.read(lines.Status, raw)) else None
        case "system", "api_retry":
            return _notice(state, _retried(retry)) if (retry := lines.read(lines.Retry, raw)) else None
        case "system", "compact_boundary":
            return _notice(state, _compacted(boundary)) if (boundary := lines.read(lines.Compacted, raw)) else None
        case "system", "informational":
            return _notice(state, informed.content) if (informed := lines.read(lines.Informed, raw)) else None
        case _:
            return _strange(state, head)


def _strange(state: State, head: lines.Head) -> Told:
    """Pass over what is of no use here, and say once of each unknown kind that it was."""
    name = _name(head)
    if name in _PASSED_OVER or name in state.strange or len(state.strange) >= _MAX_STRANGE:
        return state, ()
    return replace(state, strange=state.strange | {name}), (seam.Note(f"Claude Code said {name!r}, which is passed over"),)


def _name(head: lines.Head) -> str:
    name = head.type if head.subtype is None else f"{head.type}/{head.subtype}"
    return name[:_MAX_STRANGE].encode("ascii", "replace").decode()


def _skipped(state: State, length: int, head: bytes) -> Told:
    found = _SKIPPED_REQUEST.search(head)
    outputs: tuple[seam.Output, ...] = (seam.Note(f"a line of {length} bytes was too long and passed over"),)
    if found is not None:
        outputs = (*outputs, seam.Write(lines.refuse(found[1].decode(), f"{length} bytes are too many to be asked about")))
    state, told = _notice(state, f"Claude Code said {length} bytes at once, which are too many to be shown.")
    return state, (*outputs, *told)


def _streamed(state: State, told: lines.Streamed) -> Told:
    woke: tuple[seam.Output, ...] = ()
    if told.parent_tool_use_id is None and told.event.type == "message_start":
        state, woke = _woken(state, told.uuid)
    if state.turn is None:
        return state, woke
    turn, outputs = turns.streamed(state.turn, told)
    return replace(state, turn=turn), (*woke, *outputs)


def _said(state: State, kind: str, said: lines.Said) -> Told:
    woke: tuple[seam.Output, ...] = ()
    if kind == "assistant" and said.parent_tool_use_id is None and said.message.model != turns.SYNTHETIC:
        state, woke = _woken(state, said.uuid)
    if state.turn is None:
        return state, woke
    if kind == "assistant":
        turn, outputs = turns.assistant(state.turn, said)
    else:
        state, turn, outputs = turns.results(state, state.turn, said)
    return replace(state, turn=turn), (*woke, *outputs)


def _init(state: State, init: lines.Init) -> Told:
    state, identified = agreed.identified(state, init.session_id)
    state, settings = agreed.settings(state, init.model, init.mode)
    return state, (*identified, *settings)


def _status(state: State, status: lines.Status) -> Told:
    woke: tuple[seam.Output, ...] = ()
    if status.status == "requesting":
        state, woke = _woken(state, status.uuid)
    state, settings = agreed.settings(state, "", status.mode or "")
    return state, (*woke, *settings)


def _lifecycle(state: State, lifecycle: lines.Lifecycle) -> Told:
    """Follow a message that was given: taken up, or done with without having been taken up."""
    state, identified = agreed.identified(state, lifecycle.session_id if not state.session else "")
    turn = state.turn
    if turn is None:
        waker = lifecycle.command_uuid if lifecycle.state == "started" and _UUID.fullmatch(lifecycle.command_uuid) else ""
        return replace(state, waker=waker if lifecycle.state == "started" else state.waker), identified
    if lifecycle.command_uuid != turn.message or turn.begun:
        return state, identified
    if lifecycle.state == "started":
        state = replace(state, turn=replace(turn, begun=True))
        if not turn.interrupted:
            return state, identified
        state, again = _interrupt(state)
        return state, (*identified, *again)
    if lifecycle.state in ("completed", "cancelled", "failed"):
        reason = "Claude Code did not take the message up: it was given with this id before"
        ended = TurnEnded(turn=turn.id, outcome="interrupted" if turn.interrupted else "failed", reason=reason)
        state, outputs = _settled(replace(state, turn=replace(turn, done=ended)))
        return state, (*identified, *outputs)
    return state, identified


def _asked(state: State, raw: bytes) -> Told | None:
    wanted = lines.read(lines.Asked, raw)
    if wanted is None:
        known = lines.read(lines.AskedId, raw)
        if known is None:
            return None
        return state, (seam.Write(lines.refuse(known.request_id, "this cannot be read")),)
    name = wanted.request_id
    if wanted.request.subtype != "can_use_tool":
        refused = seam.Write(lines.refuse(name, f"{wanted.request.subtype[:_MAX_STRANGE]} is not done here"))
        return state, (refused, seam.Note("Claude Code asked its host for something that is not done here"))
    if not 0 < len(name) <= _LONGEST_ID or any(one.request == name for one in state.asks):
        return state, (seam.Write(lines.deny(name, "It cannot be asked about.")),)
    ask, shown = asks.asked(name, wanted.request)
    return replace(state, asks=(*state.asks, ask)), (shown,)


def _cancelled(state: State, name: str) -> Told:
    ask = next((one for one in state.asks if one.request == name), None)
    if ask is None:
        return state, ()
    withdrawn = seam.Withdrawn(approval=ask.approval, reason="Claude Code does not wait for it any more")
    state, ended = _settled(_without(state, ask))
    return state, (withdrawn, *ended)


def _result(state: State, result: lines.Result) -> Told:
    if not state.greeted:
        return state, (ends.refused(result),)
    state, identified = agreed.identified(state, result.session_id)
    if state.clearing and (result.local_command == "clear" or state.clearing in result.messages):
        refused = (result.result or "; ".join(result.errors or ()) or "refused") if result.is_error else ""
        return replace(state, clearing=""), (*identified, seam.Changed(refused=refused))
    turn = state.turn
    if turn is None or turn.done is not None:
        return state, identified
    turn, texts = turns.closed(turn)
    if turn.message and not ends.answers(turn, result):
        return replace(state, turn=turn), (*identified, *texts)
    turn, usage = turns.spent(turn, result.usage)
    turn, words = ends.words(turn, result)
    outcome, reason = ends.outcome(turn, result)
    turn = replace(turn, done=TurnEnded(turn=turn.id, outcome=outcome, reason=reason))
    state, ended = _settled(replace(state, turn=turn))
    return state, (*identified, *texts, *usage, *words, *ended)


# ----------------------------------------------------------------------------------------------------------- small change


def _woken(state: State, uuid: str | None) -> Told:
    """Begin a turn of Claude Code's own where none runs."""
    if state.turn is not None or not state.greeted or state.clearing:
        return state, ()
    own = f"own-{uuid}" if uuid and _UUID.fullmatch(uuid) else f"own-{state.session}-{state.wakes}"
    turn = Turn(id=state.waker or own, begun=True)
    return replace(state, turn=turn, waker="", wakes=state.wakes + 1), (seam.Woke(turn=turn.id),)


def _settled(state: State) -> Told:
    """End the turn when its result is there and nothing is asked any more."""
    turn = state.turn
    if turn is None or turn.done is None or state.asks:
        return state, ()
    return replace(state, turn=None), (seam.Say(turn.done),)


def _without(state: State, ask: Ask) -> State:
    return replace(state, asks=tuple(one for one in state.asks if one is not ask))


def _notice(state: State, text: str) -> Told:
    if state.turn is None:
        return state, ()
    turn, outputs = turns.notice(state.turn, text)
    return replace(state, turn=turn), outputs


def _retried(retry: lines.Retry) -> str:
    status = f" ({retry.error_status})" if retry.error_status is not None else ""
    wait = max(0.0, retry.retry_delay_ms) / 1000
    return (
        f"The model's request failed{status}; it is sent again in {wait:.1f} s, {retry.attempt} of {retry.max_retries} times."
    )


def _compacted(boundary: lines.Compacted) -> str:
    tokens = boundary.metadata
    if tokens is None:
        return "The conversation was compacted."
    return f"The conversation was compacted from {tokens.pre_tokens} to {tokens.post_tokens} tokens."
