"""What Codex asks of us, as questions with options, and what each option answers. Pure.

A command: Codex names what may be answered (``availableDecisions``). ``decline`` is not always among it and is understood all
the same (0.169.0): the command is not run and the turn goes on, while ``cancel`` ends the turn. What is remembered of a prefix
is written into the user's own rules and holds for every session, so its label says so.

Questions that only a person at a form could answer are declined at once. Must not know when a question may be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from actors.bridge.adapter import Ask
from actors.bridge.codex.items import changes_in_words, diff_of
from actors.bridge.codex.wire import rows, table, text, written
from schemas.content import Option, OptionKind

Result = Mapping[str, Any]
Params = Mapping[str, Any]
Choice = tuple[Option, Result]
_ONCE: Final = Option(id="accept", label="Allow once", kind="allow_once")
_SESSION: Final = Option(id="acceptForSession", label="Allow for the rest of this session", kind="allow_always")
_DECLINE: Final = Option(id="decline", label="Deny, and let Codex go on", kind="deny_once")
_CANCEL: Final = Option(id="cancel", label="Deny, and stop the turn", kind="deny_once")
_NO: Final[Result] = {"decision": "decline"}
_MAX_DECISIONS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, what each option answers, and what a refusal because nobody answers does."""

    ask: Ask
    answers: Mapping[str, Result] = field(repr=False)
    denied: Result = field(repr=False)


def question(approval: str, method: str, params: Params, item: Params) -> Question | Result | None:
    """Return what is to be asked; an answer where nobody needs to be asked; None where Codex asks for what we do not serve.

    ``item`` is what was told of the item that the question is about.
    """
    match method:
        case "item/commandExecution/requestApproval":
            return _command(approval, params)
        case "item/fileChange/requestApproval":
            return _files(approval, params, item)
        case "item/permissions/requestApproval":
            return _permissions(approval, params)
        case "mcpServer/elicitation/request":
            return _elicitation(approval, params)
        case "item/tool/requestUserInput":
            return {"answers": {}}
        case _:
            return None


def _question(about: tuple[str, str, str, str], choices: list[Choice], denied: Result) -> Question:
    approval, tool, title, detail = about
    return Question(
        ask=Ask(approval=approval, tool=tool, title=title, detail=detail, options=tuple(option for option, _ in choices)),
        answers={option.id: result for option, result in choices},
        denied=denied,
    )


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _command(approval: str, params: Params) -> Question:
    offered = rows(params, "availableDecisions")[:_MAX_DECISIONS] or ["accept", "acceptForSession", "cancel"]
    choices = [choice for number, decision in enumerate(offered) if (choice := _decision(number, decision))]
    names = [option.id for option, _ in choices]
    if "decline" not in names:
        choices.insert(names.index("cancel") if "cancel" in names else len(choices), (_DECLINE, _NO))
    wanted = params.get("additionalPermissions")
    host = text(table(params, "networkApprovalContext"), "host")
    detail = _lines(
        text(params, "reason"),
        f"in {text(params, 'cwd')}" if text(params, "cwd") else "",
        f"reach {host}" if host else "",
        f"with {written(wanted)}" if wanted else "",
    )
    title = text(params, "command") or (f"reach {host}" if host else "run a command")
    return _question((approval, "network" if host else "shell", title, detail), choices, _NO)


def _decision(number: int, decision: Any) -> Choice | None:
    """Return the option for what Codex offers; None when it is not known here, and so never chosen."""
    for known in (_ONCE, _SESSION, _DECLINE, _CANCEL):
        if decision == known.id:
            return known, {"decision": decision}
    if not isinstance(decision, dict):
        return None
    words = rows(table(decision, "acceptWithExecpolicyAmendment"), "execpolicy_amendment")
    if words and all(isinstance(word, str) for word in words):
        label = f"Allow what begins with {' '.join(words)!r} from now on, in all sessions"
        return Option(id=f"acceptPrefix{number}", label=label, kind="allow_always"), {"decision": decision}
    network = table(table(decision, "applyNetworkPolicyAmendment"), "network_policy_amendment")
    if (host := text(network, "host")) and (action := text(network, "action")) in ("allow", "deny"):
        allows = action == "allow"
        label = f"{'Allow' if allows else 'Deny'} {host} from now on, in all sessions"
        kind: OptionKind = "allow_always" if allows else "deny_always"
        return Option(id=f"network{number}", label=label, kind=kind), {"decision": decision}
    return None


def _files(approval: str, params: Params, item: Params) -> Question:
    choices: list[Choice] = [(known, {"decision": known.id}) for known in (_ONCE, _SESSION, _DECLINE, _CANCEL)]
    root = text(params, "grantRoot")
    detail = _lines(text(params, "reason"), f"and whatever is below {root}" if root else "", diff_of(item))
    return _question((approval, "apply_patch", changes_in_words(item) or "change files", detail), choices, _NO)


def _permissions(approval: str, params: Params) -> Question:
    wanted = {name: value for name, value in table(params, "permissions").items() if value is not None}
    none: Result = {"permissions": {}, "scope": "turn"}
    choices: list[Choice] = [
        (Option(id="accept", label="Allow for this turn", kind="allow_once"), {"permissions": wanted, "scope": "turn"}),
        (_SESSION, {"permissions": wanted, "scope": "session"}),
        (_DECLINE, none),
    ]
    title = text(params, "reason") or "more permissions"
    return _question((approval, "permissions", title, written(wanted)), choices, none)


def _elicitation(approval: str, params: Params) -> Question | Result:
    declined: Result = {"action": "decline", "content": None, "_meta": None}
    mode = text(params, "mode")
    fields = table(table(params, "requestedSchema"), "properties")
    if mode not in ("form", "openai/form", "openaiForm", "url") or fields:
        return declined
    accepted: Result = {"action": "accept", "content": None if mode == "url" else {}, "_meta": None}
    server = text(params, "serverName")
    detail = _lines(text(params, "url"), f"asked by the MCP server {server}" if server else "")
    choices: list[Choice] = [(_ONCE, accepted), (_DECLINE, declined)]
    return _question((approval, f"mcp.{server}", text(params, "message") or "an MCP server asks", detail), choices, declined)
