"""What Claude Code wants to be allowed, as questions with options, and the answers as its lines. Pure.

Theory of operation
-------------------
A ``can_use_tool`` becomes one ``Ask``: allow once; for each rule that Claude Code suggests, allow and take that rule over (one
rule each, since all of them together give away more than anybody meant to: a single "always" would also switch the mode);
deny. The tool gets the very input that was shown.

Its tool ``AskUserQuestion`` asks people something. Each of its questions is an ``Ask`` of its own, one after the other, with
the answers as options; when all are answered, the answers go back with the input. Where several answers may be chosen, one can.

Must not know turns.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from msgspec import Raw, Struct

from actors.bridge import adapter as seam
from actors.bridge.claude import lines
from actors.bridge.claude.state import Ask, Question
from schemas.content import MAX_TEXT, Option

MAX_GRANTS: Final = 8
MAX_QUESTIONS: Final = 8
MAX_ANSWERS: Final = 16
ALLOW: Final = "allow"
DENY: Final = "deny"
_QUESTION: Final = "AskUserQuestion"
_LEAVE_PLAN: Final = "ExitPlanMode"
_DENIED: Final = "The user does not allow this."
_UNANSWERED: Final = "Nobody answered whether this is allowed, so it is not."
_DECLINED: Final = "The user did not want to answer."
_WHERE: Final = {
    "session": "for this session",
    "localSettings": "in this folder, for me",
    "projectSettings": "in this folder, for everybody",
    "userSettings": "everywhere, for me",
}
_TITLES: Final = ("command", "file_path", "notebook_path", "path", "pattern", "url", "query", "skill", "subject", "description")
_LONGEST_TITLE: Final = 200
_LABEL: Final = 160


class _Rule(Struct):
    toolName: str = ""  # noqa: N815 - Claude Code's names
    ruleContent: str | None = None  # noqa: N815


class _Suggestion(Struct):
    type: str = ""
    behavior: str | None = None
    destination: str = ""
    mode: str = ""
    rules: list[_Rule] | None = None
    directories: list[str] | None = None


class _Choice(Struct):
    label: str
    description: str | None = None


class _Question(Struct):
    question: str
    options: list[_Choice]


class _Questions(Struct):
    questions: list[_Question]


def asked(name: str, wanted: lines.Permission) -> tuple[Ask, seam.Ask]:
    """Return what to remember of a ``can_use_tool``, and what to ask."""
    if wanted.tool_name == _QUESTION and (found := _questions(wanted.input)) is not None:
        ask = Ask(approval=name, request=name, tool=wanted.tool_name, input=wanted.input, question=found)
        return ask, _put(ask, found)
    grants = [(raw, label) for raw in _listed(wanted.suggestions) if (label := _grant(raw))][:MAX_GRANTS]
    options = (
        Option(id=ALLOW, label="Allow", kind="allow_once"),
        *(Option(id=f"{ALLOW}:{at}", label=label, kind="allow_always") for at, (_, label) in enumerate(grants)),
        Option(id=DENY, label="Deny", kind="deny_once"),
    )
    shown = seam.Ask(
        approval=name,
        tool=wanted.tool_name,
        title=_title(wanted),
        detail=_detail(wanted),
        options=options,
    )
    kept = tuple(raw for raw, _ in grants)
    return Ask(approval=name, request=name, tool=wanted.tool_name, input=wanted.input, grants=kept), shown


def decided(ask: Ask, option: str | None) -> tuple[Ask | None, seam.Write | seam.Ask]:
    """Take an answer: what is still to be asked (None: nothing), and what to write or ask for that."""
    if option is None or option == DENY:
        why = _UNANSWERED if option is None else _DENIED if ask.question is None else _DECLINED
        return None, seam.Write(lines.deny(ask.request, why))
    if ask.question is None:
        _, _, grant = option.partition(":")
        at = int(grant) if grant.isdecimal() else -1
        permission = ask.grants[at] if 0 <= at < len(ask.grants) else None
        return None, seam.Write(lines.allow(ask.request, ask.input, permission))
    return _answered(ask, ask.question, option)


def title(tool: str, input_: Raw) -> str:
    """Say in a line what a tool is used for."""
    given = lines.value(input_)
    if not isinstance(given, dict):
        return tool
    named = next((given[name] for name in _TITLES if isinstance(given.get(name), str) and given[name]), "")
    return _line(named) or tool


def _title(wanted: lines.Permission) -> str:
    if wanted.tool_name == _LEAVE_PLAN:
        return "Leave plan mode and carry out the plan"
    name = wanted.display_name or wanted.tool_name
    what = title("", wanted.input) or _line(wanted.description or "")
    return f"{name}: {what}" if what else name


def _detail(wanted: lines.Permission) -> str:
    text = bytes(wanted.input).decode(errors="replace")
    shown = text if text not in ("null", "{}") else ""
    if len(shown) > MAX_TEXT:
        shown = f"{shown[: MAX_TEXT - 100]} … ({len(shown)} characters)"
    return "\n".join(part for part in (wanted.decision_reason, shown) if part)


def _line(text: str) -> str:
    first = text.strip().partition("\n")[0]
    return first if len(first) <= _LONGEST_TITLE and first == text.strip() else f"{first[: _LONGEST_TITLE - 2]} …"


def _listed(raw: Raw) -> list[Raw]:
    return lines.read(list[Raw], raw) or []


def _grant(raw: Raw) -> str:
    """Say what a suggestion of Claude Code's would allow from now on; nothing where it is not known."""
    found = lines.read(_Suggestion, raw)
    if found is None:
        return ""
    where = _WHERE.get(found.destination, "")
    if found.type == "addRules" and found.behavior == "allow" and found.rules:
        rules = ", ".join(rule.toolName + (f"({rule.ruleContent})" if rule.ruleContent else "") for rule in found.rules)
        what = f"Allow, and {_short(rules)} from now on {where}"
    elif found.type == "addDirectories" and found.directories:
        what = f"Allow, and work in {_short(', '.join(found.directories))} {where}"
    elif found.type == "setMode" and found.mode:
        what = f"Allow, and change the mode to {_short(found.mode)} {where}"
    else:
        return ""
    return what.strip()


def _short(text: str) -> str:
    return text if len(text) <= _LABEL else f"{text[:_LABEL]}…"


def _questions(input_: Raw) -> Question | None:
    """Read the questions; None when they cannot be asked one by one."""
    found = lines.read(_Questions, input_)
    if found is None or not 0 < len(found.questions) <= MAX_QUESTIONS:
        return None
    if any(not 0 < len(one.options) <= MAX_ANSWERS for one in found.questions):
        return None
    return Question(
        asked=tuple(one.question for one in found.questions),
        choices=tuple(tuple(choice.label for choice in one.options) for one in found.questions),
        texts=tuple(_explained(one) for one in found.questions),
    )


def _explained(question: _Question) -> str:
    return "\n".join(f"{choice.label}: {choice.description}" for choice in question.options if choice.description)


def _put(ask: Ask, question: Question) -> seam.Ask:
    at = len(question.answers)
    answers = (Option(id=f"answer:{n}", label=label, kind="allow_once") for n, label in enumerate(question.choices[at]))
    return seam.Ask(
        approval=ask.approval,
        tool=_QUESTION,
        title=question.asked[at],
        detail=question.texts[at],
        options=(*answers, Option(id=DENY, label="Do not answer", kind="deny_once")),
    )


def _answered(ask: Ask, question: Question, option: str) -> tuple[Ask | None, seam.Write | seam.Ask]:
    _, _, number = option.partition(":")
    choices = question.choices[len(question.answers)]
    if not number.isdecimal() or int(number) >= len(choices):
        return None, seam.Write(lines.deny(ask.request, _DECLINED))
    question = replace(question, answers=(*question.answers, choices[int(number)]))
    if len(question.answers) < len(question.asked):
        following = replace(ask, approval=f"{ask.request}/{len(question.answers)}", question=question)
        return following, _put(following, question)
    answers = dict(zip(question.asked, question.answers, strict=True))
    whole: dict[str, Any] = {**(lines.read(dict[str, Raw], ask.input) or {}), "answers": answers}
    return None, seam.Write(lines.allow(ask.request, Raw(_written(whole))))


def _written(whole: dict[str, Any]) -> bytes:
    """Write the input with the answers added; what stood in it stays as it was."""
    parts = (json.dumps(name).encode() + b":" + _part(part) for name, part in whole.items())
    return b"{" + b",".join(parts) + b"}"


def _part(part: Any) -> bytes:
    return bytes(part) if isinstance(part, Raw) else json.dumps(part).encode()
