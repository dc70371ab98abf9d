"""How a turn of Claude Code's ended, by its ``result``: whose it was, in words of ours, and what only it says. Pure."""

from __future__ import annotations

from typing import Final

from actors.bridge import adapter as seam
from actors.bridge.claude import lines
from actors.bridge.claude import turn as turns
from actors.bridge.claude.state import Turn
from schemas.content import FailureTold
from schemas.events.bridges import TurnOutcome

_UNKNOWN: Final = "No conversation found"


def answers(turn: Turn, result: lines.Result) -> bool:
    """Tell whether a result is that of the running turn's message, and not of something that Claude Code did of itself."""
    if result.messages:
        return turn.message in result.messages
    return turn.begun and result.origin is None


def outcome(turn: Turn, result: lines.Result) -> tuple[TurnOutcome, str]:
    """Say how a turn ended, in words of ours."""
    stopped = (result.terminal_reason or "").startswith("aborted")
    if stopped:
        return "interrupted", "" if turn.interrupted else "Claude Code stopped it"
    if not result.is_error and result.subtype in (None, "success"):
        return "completed", ""
    if result.api_error_status is not None:
        return "failed", f"the model's request failed with {result.api_error_status}"
    known = result.subtype if result.subtype in ("error_max_turns", "error_max_budget_usd") else "error"
    return "failed", f"Claude Code ended it with an error ({known})"


def words(turn: Turn, result: lines.Result) -> tuple[Turn, tuple[seam.Output, ...]]:
    """Tell the words that only the result has: those of a failure, and what a command answered."""
    text = result.result or "; ".join(result.errors or ())
    how, reason = outcome(turn, result)
    if how == "failed":
        return turn, (seam.Say(FailureTold(code="agent_error", message=text or reason, turn=turn.id)),)
    if how == "completed" and not turn.spoken:
        return turns.notice(turn, text)
    return turn, ()


def refused(result: lines.Result) -> seam.Output:
    """Say why it does not start: what it prints in place of an answer to the greeting."""
    text = "; ".join(result.errors or ()) or result.result or "it gave no reason"
    if text.startswith(_UNKNOWN):
        message = f"Claude Code has no such conversation in its folder of transcripts: {text}"
        return seam.Fail(code="conversation_unknown", message=message, resumable=False)
    return seam.Fail(code="agent_refused", message=f"Claude Code does not start: {text}", resumable=False)
