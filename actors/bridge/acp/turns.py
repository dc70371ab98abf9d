"""What happens in a turn of an ACP agent: texts, tools, questions, tokens, and its end: the second half of ``acp``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal

from actors.bridge.acp import reading
from actors.bridge.acp.reading import Tool, table, word
from actors.bridge.acp.state import EMPTY, MAX_NAME, Ground, Question, Text
from actors.bridge.adapter import Ask, Note, Say
from schemas.content import (
    Channel,
    FailureTold,
    PlanUpdated,
    TextAdded,
    TextEnded,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    UsageTold,
)

_MAX_TOOLS: Final = 1_024
_CHUNKS: Final[Mapping[str, Channel]] = {"agent_message_chunk": "reply", "agent_thought_chunk": "thought"}
_QUIET: Final = frozenset(("user_message_chunk", "available_commands_update", "usage_update", "session_info_update"))
_EARLY: Final = {
    "max_tokens": "the model's answer reached its greatest length",
    "max_turn_requests": "the agent reached its greatest number of requests in one turn",
    "refusal": "the agent refused to go on",
}


class Turns(Ground):
    """The running turn."""

    def skipped(self, length: int) -> None:
        """Say that something was lost: nobody knows what."""
        said = f"the agent wrote a line of {length} bytes, more than is read at once; what it said there is lost"
        self.give(Note(said))
        if self.state.turn:
            self.give(Say(FailureTold(code="line_skipped", message=said, turn=self.state.turn)))

    def interrupt(self) -> None:
        """Cancel the turn; its end is the agent's to say."""
        self.set(interrupted=True)
        self.write(method="session/cancel", params=self.own())
        self._cancel_questions()

    def _cancel_questions(self) -> None:
        for question in self.state.questions.values():
            self.write(id=question.request, result={"outcome": {"outcome": "cancelled"}})
        self.set(questions=EMPTY)

    def ended(self, result: Any) -> None:
        """End the turn as the agent says that it ended."""
        used = self.state.dialect.turn_usage(result)
        if used is not None and used.total:
            self.give(Say(UsageTold(turn=self.state.turn, usage=used)))
        reason = word(result, "stopReason")
        if reason == "cancelled":
            said = "" if self.state.interrupted else "the agent stopped by itself"
            self._end_turn("interrupted", said)
        elif reason in _EARLY:
            self._end_turn("failed", _EARLY[reason])
        else:
            self._end_turn("completed")

    def broken(self, error: Mapping[str, Any]) -> None:
        """End the turn with what the agent says went wrong."""
        if self.state.interrupted:
            self._end_turn("interrupted")
            return
        said = self.safe(error)
        self.give(Say(FailureTold(code="agent_error", message=said, turn=self.state.turn)))
        self._end_turn("failed", "the agent could not do it; its words are beside this")

    def _end_turn(self, outcome: Literal["completed", "interrupted", "failed"], reason: str = "") -> None:
        self._end_text()
        self._cancel_questions()
        turn = self.state.turn
        for item, tool in self.state.tools.items():
            if tool.told and not tool.ended:
                self.give(Say(ToolEnded(turn=turn, item=item, ok=False, output=tool.output)))
        self.set(turn="", interrupted=False, tools=EMPTY)
        if turn:
            self.give(Say(TurnEnded(turn=turn, outcome=outcome, reason=reason)))

    def update(self, kind: str, update: Mapping[str, Any]) -> None:
        """Take what the agent says in the running turn."""
        if kind in _CHUNKS:
            self._chunk(_CHUNKS[kind], update)
        elif kind in ("tool_call", "tool_call_update"):
            self._tool(update)
        elif kind == "plan":
            self._end_text()
            self.give(Say(PlanUpdated(turn=self.state.turn, steps=reading.plan_of(update))))
        elif kind not in _QUIET:
            self.give(Note(f"an update that is not known was left out: {kind[:50]!r}"))

    def _chunk(self, channel: Channel, update: Mapping[str, Any]) -> None:
        more = self.state.dialect.step_usage(update)
        if more is not None and more.total:
            self.set(usage=self.state.usage + more)
            self.give(Say(UsageTold(turn=self.state.turn, usage=self.state.usage)))
        said = reading.text_of(update.get("content"))
        if not said:
            return
        if said.startswith(self.state.dialect.notices):
            channel = "notice"
        message = word(update, "messageId")
        text = self.state.text
        if text is None or (text.channel, text.message) != (channel, message):
            self._end_text()
            number = self.state.texts + 1
            text = Text(f"{channel}-{number}", channel, message)
            self.set(texts=number)
        self.set(text=replace(text, length=text.length + len(said)))
        self.give(Say(TextAdded(turn=self.state.turn, item=text.item, channel=channel, text=said)))

    def _end_text(self) -> None:
        text = self.state.text
        if text is not None:
            self.set(text=None)
            self.give(Say(TextEnded(turn=self.state.turn, item=text.item, channel=text.channel, length=text.length)))

    def _tool(self, update: Mapping[str, Any]) -> None:
        name, status = word(update, "toolCallId"), word(update, "status")
        known = self.state.tools.get(name)
        if not name or (known is not None and known.ended):
            return
        if known is None and len(self.state.tools) >= _MAX_TOOLS:
            self.give(Note("one tool too many in a turn was left out"))
            return
        tool = reading.tool_named(update, known or Tool())
        over = status in ("completed", "failed")
        if not tool.told and status != "pending" and (status or tool.arguments):
            tool = self._tell_tool(name, tool)
        if over:
            self._end_text()
            self.give(Say(ToolEnded(turn=self.state.turn, item=name, ok=status == "completed", output=tool.output)))
            tool = replace(tool, output="", ended=True)
        self._keep(name, tool)

    def _keep(self, name: str, tool: Tool) -> None:
        self.set(tools=MappingProxyType({**self.state.tools, name: tool}))

    def _tell_tool(self, name: str, tool: Tool) -> Tool:
        told = ToolStarted(
            turn=self.state.turn, item=name, name=tool.kind or tool.title or "tool", title=tool.title, arguments=tool.arguments
        )
        self._end_text()
        self.give(Say(told))
        return replace(tool, told=True)

    def question(self, request: Any, params: Mapping[str, Any]) -> None:
        """Ask whoever listens what the agent asks."""
        options, told = reading.options_of(params), table(params, "toolCall")
        if not self.state.turn or word(params, "sessionId") != self.state.session or self.state.interrupted or not options:
            self.give(Note("a question that nobody can answer was cancelled"))
            self.write(id=request, result={"outcome": {"outcome": "cancelled"}})
            return
        self._end_text()
        name = word(told, "toolCallId")
        known = self.state.tools.get(name)
        tool = reading.tool_named(told, known or Tool())
        if name and (known is not None or tool.kind or tool.arguments) and len(self.state.tools) < _MAX_TOOLS:
            self._keep(name, tool if tool.told else self._tell_tool(name, tool))
        number = self.state.questioned + 1
        approval = f"{number}-{name}"[:MAX_NAME]
        questions = MappingProxyType({**self.state.questions, approval: Question(request, options)})
        self.set(questioned=number, questions=questions)
        detail = "\n".join(filter(None, (tool.arguments, reading.shown(told))))
        self.give(
            Ask(
                approval=approval,
                tool=tool.kind or tool.title or "tool",
                title=tool.title or tool.kind or "the agent asks",
                detail=detail,
                options=options,
            )
        )

    def decide(self, approval: str, option: str | None) -> None:
        """Answer the agent; nobody's answer is a denial."""
        question = self.state.questions.get(approval)
        if question is None:  # cancelled with its turn
            return
        rest = {name: one for name, one in self.state.questions.items() if name != approval}
        self.set(questions=MappingProxyType(rest))
        chosen = reading.refusal(question.options) if option is None else option
        outcome = {"outcome": "cancelled"} if chosen is None else {"outcome": "selected", "optionId": chosen}
        self.write(id=question.request, result={"outcome": outcome})
