"""One piece of a driven session's content after another, as lines of a terminal. Pure.

Every character of an agent passes through ``visible``. Telling a piece twice shows it once, save texts, whose pieces add up.
Must not know where pieces come from, nor what a terminal is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import Any, Final

from actors.cli.chat_text import Span, Style, feeds, first_lines, unbroken, visible
from actors.cli.text import moment
from schemas import content
from schemas.events import Status, Usage

_OUTPUT_LINES: Final = 5
_ASKED_LINES: Final = 200
_WIDTH: Final = 200
_STYLES: Final[Mapping[content.Channel, Style]] = {
    "prompt": "prompt",
    "reply": "reply",
    "thought": "thought",
    "notice": "notice",
}
_LEADS: Final[Mapping[str, str]] = {"prompt": "> ", "notice": "· "}
_HANGING: Final[Mapping[str, str]] = {"prompt": "  ", "notice": "  "}
_MARKS: Final[Mapping[str, str]] = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]"}
_LETTERS: Final[Mapping[content.OptionKind, str]] = {
    "allow_once": "y",
    "allow_always": "a",
    "deny_once": "n",
    "deny_always": "d",
}
_TOLD_STATUS: Final = frozenset[Status](("error", "gone"))

Written = tuple["View", tuple[Span, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was shown so far, as far as it matters for what comes. ``turn`` is the running one, ``shown`` characters by item.

    ``line`` is the item whose line is not ended yet (empty: the next character begins a line), ``kept`` the line ends behind
    its last character, which are written once more comes. ``begun`` tells whether anything was written at all, ``turns`` counts
    those that were begun, ``verbatim`` leaves replies as they are, for programs.
    """

    agent: str = "the agent"
    zone: tzinfo | None = UTC
    turn: str = ""
    turns: int = 0
    shown: Mapping[str, int] = field(default_factory=dict)
    known: frozenset[tuple[str, str]] = frozenset()
    plan: tuple[content.PlanStep, ...] = ()
    approvals: tuple[content.ApprovalRequested, ...] = ()
    usage: Usage | None = None
    status: Status = "starting"
    reason: str = ""
    provider: str = ""
    model: str = ""
    mode: str = ""
    session: str = ""
    ended: bool = False
    verbatim: bool = False
    line: str = ""
    kept: str = ""
    begun: bool = False


def tell(view: View, piece: content.Piece) -> Written:
    """Show one piece that is new."""
    return _TELL[type(piece)](view, piece)


def choices(approval: content.ApprovalRequested) -> tuple[tuple[str, content.Option], ...]:
    """Return an approval's options with what is typed for each: a letter for the first of its kind, otherwise a number."""
    used: set[str] = set()
    found = []
    for place, option in enumerate(approval.options, 1):
        letter = _LETTERS[option.kind]
        found.append((str(place) if letter in used else letter, option))
        used.add(letter)
    return tuple(found)


def answer_of(approval: content.ApprovalRequested, text: str) -> content.Option | None:
    """Find the option that a person means: by the key that is shown for it, its number or its id, and by nothing else."""
    wanted = {"yes": "y", "no": "n"}.get(text.strip().lower(), text.strip())
    shown = choices(approval)
    named = (
        *((key, option) for key, option in shown if wanted.lower() == key),
        *((str(place), option) for place, (_, option) in enumerate(shown, 1)),
        *((option.id, option) for _, option in shown),
    )
    return next((option for name, option in named if name in (wanted, wanted.lower())), None)


# ---------------------------------------------------------------------------------------------------- piece by piece


def turn_started(view: View, piece: content.TurnStarted) -> Written:
    """Begin a turn; a blank line parts it from what was before."""
    if view.turn == piece.turn:
        return view, ()
    lost: tuple[Span, ...] = ()
    if view.turn:
        view, lost = leave_turn(view)
    view, spans = end_line(view)
    blank = (Span("plain", "\n"),) if view.begun else ()
    fresh = replace(view, turn=piece.turn, shown={}, known=frozenset(), plan=(), usage=None, kept="")
    return replace(fresh, turns=view.turns + 1), (*lost, *spans, *blank)


def text_added(view: View, piece: content.TextAdded, text: str | None = None) -> Written:
    """Write more of a text: all that the piece has, or this end of it."""
    text = piece.text if text is None else text
    before = view.shown.get(piece.item, 0)
    view = replace(view, shown={**view.shown, piece.item: before + len(text)})
    style, hanging = _STYLES[piece.channel], _HANGING.get(piece.channel, "")
    spans: list[Span] = []
    if view.line != piece.item:
        view, spans_ = end_line(view)
        spans += spans_
        view = replace(view, kept="")
    text, kept = feeds(text, view.kept)
    if view.line != piece.item:
        first = ("text", piece.item) not in view.known
        text = text.lstrip("\r\n") if first else text
        if not text:
            return view, tuple(spans)
        view, _ = once(view, "text", piece.item)
        spans.append(Span(style, _LEADS.get(piece.channel, "") if first else hanging))
    if not text:
        return replace(view, kept=kept), tuple(spans)
    shown = text if view.verbatim and style == "reply" else visible(text)
    spans.append(Span(style, shown.replace("\n", f"\n{hanging}")))
    return replace(view, line=piece.item, kept=kept, begun=True), tuple(span for span in spans if span.text)


def _text_ended(view: View, piece: content.TextEnded) -> Written:
    if view.line != piece.item:
        return view, ()
    return end_line(view)


def _tool_started(view: View, piece: content.ToolStarted) -> Written:
    view, new = once(view, "tool", piece.item)
    if not new:
        return view, ()
    words = unbroken(piece.title) or unbroken(piece.arguments)
    name = visible(piece.name.replace("\n", " "))
    text = f"* {name}" if not words or words == name else f"* {name}: {words}"
    return write_line(view, "tool", text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…")


def _tool_ended(view: View, piece: content.ToolEnded) -> Written:
    view, new = once(view, "tool-end", piece.item)
    if not new:
        return view, ()
    lines = first_lines(piece.output, _OUTPUT_LINES, _WIDTH)
    if not piece.ok:
        lines = ("failed", *lines)
    written: list[Span] = []
    for line in lines:
        view, spans = write_line(view, "thought" if piece.ok else "error", f"  | {line}")
        written += spans
    return view, tuple(written)


def _plan_updated(view: View, piece: content.PlanUpdated) -> Written:
    if piece.steps == view.plan:
        return view, ()
    view = replace(view, plan=piece.steps)
    written: list[Span] = []
    for step in piece.steps:
        view, spans = write_line(view, "notice", f"  {_MARKS[step.state]} {unbroken(step.text)}")
        written += spans
    return view, tuple(written)


def _approval_requested(view: View, piece: content.ApprovalRequested) -> Written:
    view, new = once(view, "approval", piece.approval)
    if not new:
        return view, ()
    view = replace(view, approvals=(*view.approvals, piece))
    return question(view, piece)


def question(view: View, piece: content.ApprovalRequested) -> Written:
    """Write what an agent asks, whole, and what can be answered."""
    tool, whole = unbroken(piece.tool), first_lines(piece.title, _ASKED_LINES, content.MAX_TEXT)
    title = f": {whole[0]}" if len(whole) == 1 and whole[0] != tool else ""
    head = f"? {unbroken(view.agent)} asks: {tool}{title}"
    parts = (*(whole if len(whole) > 1 else ()), *first_lines(piece.detail, _ASKED_LINES, content.MAX_TEXT))
    detail = (f"  | {line}" for line in parts)
    options = (f"  [{key}] {unbroken(option.label)}" for key, option in choices(piece))
    written: list[Span] = []
    for line in (head, *detail, *options, f"  denied at {_clock(piece.expires, view.zone)} without an answer"):
        view, spans = write_line(view, "question", line)
        written += spans
    return view, tuple(written)


def _approval_resolved(view: View, piece: content.ApprovalResolved) -> Written:
    view, new = once(view, "resolved", piece.approval)
    view = replace(view, approvals=tuple(one for one in view.approvals if one.approval != piece.approval))
    if not new:
        return view, ()
    why = f": {unbroken(piece.reason)}" if piece.reason else ""
    said = f"  {'allowed' if piece.allowed else 'denied'} by {unbroken(piece.by)}{why}"
    return write_line(view, "notice" if piece.allowed else "error", said)


def _usage_told(view: View, piece: content.UsageTold) -> Written:
    return replace(view, usage=piece.usage), ()


def _status_told(view: View, piece: content.StatusTold) -> Written:
    new = (piece.status, piece.reason) != (view.status, view.reason)
    view = replace(view, status=piece.status, reason=piece.reason)
    if not new or piece.status not in _TOLD_STATUS or not piece.reason:
        return view, ()
    return write_line(view, "error", f"! {unbroken(piece.reason)}")


def _settings_told(view: View, piece: content.SettingsTold) -> Written:
    changed = (piece.provider, piece.model, piece.mode) != (view.provider, view.model, view.mode)
    first = not (view.provider or view.model or view.mode)
    view = replace(view, provider=piece.provider, model=piece.model, mode=piece.mode)
    if not piece.reason and (first or not changed):
        return view, ()
    why = f" ({unbroken(piece.reason)})" if piece.reason else ""
    return write_line(view, "notice", f"· {settings(view)}{why}")


def settings(view: View) -> str:
    """Say provider, model and mode as they are."""
    named = (("provider", view.provider), ("model", view.model), ("mode", view.mode))
    return ", ".join(f"{name} {unbroken(value) or 'not chosen here'}" for name, value in named)


def _identified(view: View, piece: content.Identified) -> Written:
    if piece.session == view.session and not piece.cleared:
        return view, ()
    view = replace(view, session=piece.session, turns=0 if piece.cleared else view.turns)
    said = "a new conversation:" if piece.cleared else "this is"
    return write_line(view, "notice", f"· {said} {unbroken(piece.session)}")


def _failure_told(view: View, piece: content.FailureTold) -> Written:
    view, new = once(view, "failure", f"{piece.code} {piece.message}")
    if not new:
        return view, ()
    written: list[Span] = []
    for place, line in enumerate(first_lines(piece.message, _OUTPUT_LINES, 10 * _WIDTH) or (visible(piece.code),)):
        view, spans = write_line(view, "error", f"! {line}" if not place else f"  {line}")
        written += spans
    return view, tuple(written)


def _turn_ended(view: View, piece: content.TurnEnded) -> Written:
    if piece.turn != view.turn:
        return write_line(view, "notice", f"· a message was not given to {unbroken(view.agent)}: {unbroken(piece.reason)}")
    used = "" if view.usage is None else f"{view.usage.input:,} tokens in, {view.usage.output:,} out"
    why = f": {unbroken(piece.reason)}" if piece.reason not in ("", piece.outcome) else ""
    if piece.outcome == "completed":
        view, spans = write_line(view, "thought", f"· {used}{why}") if used or why else end_line(view)
    else:
        style: Style = "error" if piece.outcome == "failed" else "notice"
        view, spans = write_line(view, style, f"· {piece.outcome}{why}{f' ({used})' if used else ''}")
    ended = replace(view, turn="", shown={}, known=frozenset(), plan=(), usage=None, approvals=())
    return ended, spans


def _ended(view: View, piece: content.Ended) -> Written:
    return write_line(replace(view, ended=True, approvals=()), "notice", f"· the session has ended: {unbroken(piece.reason)}")


_TELL: Final[Mapping[type[Any], Callable[[View, Any], Written]]] = {
    content.TurnStarted: turn_started,
    content.TextAdded: text_added,
    content.TextEnded: _text_ended,
    content.ToolStarted: _tool_started,
    content.ToolEnded: _tool_ended,
    content.PlanUpdated: _plan_updated,
    content.ApprovalRequested: _approval_requested,
    content.ApprovalResolved: _approval_resolved,
    content.UsageTold: _usage_told,
    content.StatusTold: _status_told,
    content.SettingsTold: _settings_told,
    content.Identified: _identified,
    content.FailureTold: _failure_told,
    content.TurnEnded: _turn_ended,
    content.Ended: _ended,
}

# ---------------------------------------------------------------------------------------------------- writing


def write_line(view: View, style: Style, text: str) -> Written:
    """Write a line by itself."""
    view, spans = end_line(view)
    return replace(view, begun=True), (*spans, Span(style, f"{text}\n"))


def end_line(view: View) -> Written:
    """End the line that a text has left open."""
    return (replace(view, line="", kept=""), (Span("plain", "\n"),)) if view.line else (view, ())


def leave_turn(view: View) -> Written:
    """Leave a turn whose end nobody saw."""
    view, spans = write_line(view, "notice", "· the end of this turn was not seen")
    return replace(view, turn="", shown={}, known=frozenset(), plan=(), usage=None, approvals=()), spans


def once(view: View, kind: str, name: str) -> tuple[View, bool]:
    """Remember that something of the turn was shown; tell whether that is new."""
    if (kind, name) in view.known:
        return view, False
    return replace(view, known=view.known | {(kind, name)}), True


def _clock(time: str, zone: tzinfo | None) -> str:
    try:
        return moment(time).astimezone(zone).strftime("%H:%M:%S")
    except (ValueError, OverflowError):
        return visible(time)
