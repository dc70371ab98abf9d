"""What a driven session looks like in a terminal: pieces of content become lines. Pure.

Theory of operation
-------------------
``tell`` takes one piece of the running turn and returns what to write behind everything written before. ``whole`` takes
what is under way as the hub tells it, also after a loss: of each text only what was not shown yet, of everything else only what
is new. ``past`` writes completed turns. A turn of which the end was lost is in neither; ``missed`` counts such turns, and
whoever calls asks for them and shows them by ``made_good`` before anything else.

Must not know where pieces come from, nor how one looks (``actors.cli.chat_pieces``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from msgspec import structs

from actors.cli.chat_pieces import View, Written, end_line, leave_turn, once, tell, text_added, turn_started, write_line
from actors.cli.chat_text import Span, Style, visible
from schemas import content
from schemas.bridge_rows import Pending, Turn

_PAST: Final = (
    *(content.TextAdded, content.TextEnded, content.ToolStarted, content.ToolEnded),
    *(content.PlanUpdated, content.UsageTold, content.FailureTold, content.TurnEnded),
)


def whole(view: View, pending: Pending) -> Written:
    """Show what of a session's present was not shown yet. Call it only when nothing is ``missed``."""
    spans: tuple[Span, ...] = ()
    if view.turn and view.turn != pending.turn:
        view, spans = leave_turn(view)
    row = pending.bridge
    view = replace(view, agent=row.agent, provider=row.provider, model=row.model, mode=row.mode)
    view, more = _turn(view, Turn(turn=pending.turn, started="", pieces=pending.pieces, cut=pending.cut))
    asked = tuple(one for one in pending.pieces if isinstance(one, content.ApprovalRequested))
    answered = {one.approval for one in pending.pieces if isinstance(one, content.ApprovalResolved)}
    view = replace(
        view,
        turns=row.turns,
        status=row.status,
        reason=row.status_reason,
        session=row.session,
        approvals=tuple(one for one in asked if one.approval not in answered),
    )
    return view, (*spans, *more)


def missed(view: View, pending: Pending) -> int:
    """Count the turns that ended out of sight, of which only the history tells."""
    ended = pending.bridge.turns - (1 if pending.turn else 0)
    seen = view.turns - (1 if view.turn else 0)
    return ended - seen if ended >= seen else max(0, ended)  # fewer than before: another conversation was begun


def past(view: View, turns: Iterable[Turn]) -> Written:
    """Show completed turns, oldest first; they change nothing of what is known of the present."""
    spans: list[Span] = []
    page = View(agent=view.agent, zone=view.zone, verbatim=view.verbatim, line=view.line, begun=view.begun)
    for turn in turns:
        page, more = _turn(replace(page, turn="", shown={}, known=frozenset(), plan=()), _past_only(turn))
        spans += more
        page, more = end_line(page)
        spans += more
    return replace(view, line=page.line, begun=page.begun, kept=""), tuple(spans)


def made_good(view: View, turns: Sequence[Turn]) -> Written:
    """Show turns of which the end, or everything, was missed: the rest of the one that was seen, where it can be told."""
    spans: tuple[Span, ...] = ()
    if view.turn and turns and turns[0].turn == view.turn:
        view, spans = _turn(view, _past_only(turns[0]))
        turns = turns[1:]
    if view.turn:
        view, more = leave_turn(view)
        spans = (*spans, *more)
    view, more = past(view, turns)
    return view, (*spans, *more)


def _past_only(turn: Turn) -> Turn:
    """Leave out what was only of its moment; a transcript's turn may have other names in it than ours."""
    pieces = (piece for piece in turn.pieces if isinstance(piece, _PAST))
    named = (structs.replace(one, turn=turn.turn) if isinstance(one, content.TurnEnded) else one for one in pieces)
    return replace(turn, pieces=tuple(named))


def _turn(view: View, turn: Turn) -> Written:
    """Show what was not shown yet of a turn, of which the texts are told from their beginnings."""
    spans: tuple[Span, ...] = ()
    seen = view.shown if view.turn == turn.turn else {}
    if turn.turn:
        view, spans = turn_started(view, content.TurnStarted(turn=turn.turn))
    written: list[Span] = [*spans]
    if turn.cut and ("cut", "") not in view.known:
        view, _ = once(view, "cut", "")
        view, spans = write_line(view, "notice", "· parts of this turn cannot be told any more")
        written += spans
    places: dict[str, int] = {}
    for piece in turn.pieces:
        if not isinstance(piece, content.TextAdded):
            view, spans = tell(view, piece)
        else:
            start, known = places.get(piece.item, 0), seen.get(piece.item, 0)
            places[piece.item] = start + len(piece.text)
            if places[piece.item] <= known or (turn.cut and known):  # of a cut text nobody knows what was left out
                continue
            view, spans = text_added(view, piece, piece.text[max(0, known - start) :])
        written += spans
    return view, tuple(written)


def note(view: View, text: str, style: Style = "notice") -> Written:
    """Say something of our own on lines of their own."""
    written: list[Span] = []
    for line in text.split("\n"):
        view, spans = write_line(view, style, visible(line))
        written += spans
    return view, tuple(written)
