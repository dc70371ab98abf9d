"""What an agent's hook reports: the few fields of its JSON that are metadata, and the fact that becomes of them.

Agents put prompts, tool input and answers beside the metadata. None of that is read: every field but those named here is
skipped by the parser, and what stands in a named one must look like what it should be, or counts as not said.

Pure. Must not know sockets, nor how the process behind a hook is found (``identity``).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from actors.gateway.admission import Refusal
from actors.gateway.attribution import Attribution, Caller, Standing, attribute, launch_id
from actors.gateway.claims import Claims
from actors.gateway.head import Head
from schemas.envelope import subject
from schemas.events import HookReceived
from schemas.identity import IdentityError, conversation_key, process_id

AGENTS: Final = ("codex", "claude")
_HOOK: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:~-]{0,127}")
_PATH: Final = re.compile(r"[^\x00-\x1f\x7f]{1,4096}")
_NOTHING: Final = Raw(b"")
_NOTE: Final = "by a hook of this very process, as the kernel's account of the caller proves"


class Report(Struct, frozen=True):
    """A hook's metadata. ``detail`` is its own word for what happened: source, reason, status, or what is asked for."""

    agent: str
    hook: str
    claims: Claims
    turn: str | None = None
    cwd: str | None = None
    transcript: str | None = None
    detail: str = ""


class _Body(Struct, frozen=True):
    hook_event_name: str
    session_id: str
    turn_id: Raw = _NOTHING
    cwd: Raw = _NOTHING
    transcript_path: Raw = _NOTHING
    notification_type: Raw = _NOTHING
    permission_type: Raw = _NOTHING
    source: Raw = _NOTHING
    reason: Raw = _NOTHING
    status: Raw = _NOTHING


_BODY: Final = msgspec.json.Decoder(_Body)


def check_hook(head: Head) -> Refusal | None:
    """Refuse what is no hook's report, from its head alone; who may call at all is decided before (``admission``)."""
    if head.target.rest not in AGENTS:
        known = ", ".join(f"/hooks/{agent}" for agent in AGENTS)
        return Refusal(404, "not_found", f"hooks are reported to one of {known}, not to {head.target.shown[:100]}")
    if head.method != "POST":
        return Refusal(405, "method_refused", "a hook's report is a POST", close=True)
    if head.fields.get("content-encoding", "identity") != "identity":
        return Refusal(415, "encoding_refused", "send a hook's report without content-encoding", close=True)
    kind = head.fields.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        return Refusal(415, "not_json", f"a hook's report is application/json, not {kind[:60]!r}", close=True)
    return None


def read_report(agent: str, body: bytes) -> Report | Refusal:
    """Read a hook's JSON, or say what is wrong with it; the text never quotes the body's values."""
    try:
        said = _BODY.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        return Refusal(400, "not_a_hook", f"not the JSON of a hook: {error}"[:300])
    if not _HOOK.fullmatch(said.hook_event_name):
        return Refusal(400, "not_a_hook", "hook_event_name is not a word of letters, digits and _")
    try:
        conversation = conversation_key(agent, said.session_id)
    except IdentityError as error:
        return Refusal(400, "not_a_hook", f"session_id: {error}"[:300])
    words = (said.notification_type, said.permission_type, said.source, said.reason, said.status)
    return Report(
        agent=agent,
        hook=said.hook_event_name,
        claims=Claims(agent, conversation, header="session_id", said_by="hook", note=_NOTE),
        turn=_text(said.turn_id, _ID),
        cwd=_text(said.cwd, _PATH),
        transcript=_text(said.transcript_path, _PATH),
        detail=next((word for raw in words if (word := _text(raw, _WORD))), ""),
    )


def fact(report: Report, caller: Caller, standing: Standing) -> tuple[str, HookReceived]:
    """Return what is told of a report, and about what.

    ``caller`` is the agent that ran the hook when one was found, otherwise whoever reported. The conversation is the
    report's own claim and believed of such an agent only; without one nothing is told of any session.
    """
    who = attribute(caller, standing, report.claims)
    believed = who.conversation is not None
    return _about(who, caller), HookReceived(
        agent=report.agent,
        hook=report.hook,
        session=who.session if believed else None,
        conversation=who.conversation,
        process=who.process,
        process_kind=who.process_kind,
        terminal=who.terminal if believed and who.process_kind != "daemon" else None,
        launch=launch_id(who),
        turn=report.turn,
        cwd=report.cwd,
        transcript=report.transcript,
        detail=report.detail,
        evidence=who.evidence,
    )


def _about(who: Attribution, caller: Caller) -> str:
    if who.conversation is not None and who.session is not None:
        return subject("session", who.session)
    if caller.process is None:
        raise ValueError("a hook of nobody: its caller is to be refused before")
    return subject("process", process_id(caller.process))


def _text(raw: Raw, form: re.Pattern[str]) -> str | None:
    """Return a JSON string of this form, and nothing for anything else."""
    held = bytes(raw)
    if not held.startswith(b'"') or len(held) > 6 * 4096:
        return None
    try:
        text = msgspec.json.decode(held, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return text if form.fullmatch(text) else None
