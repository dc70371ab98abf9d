"""One request through the gateway's exchange as its playbooks tell it: what happens to it, and what came of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from actors.gateway import moves
from actors.gateway.admission import Door, Kernel
from actors.gateway.attribution import NO_LAUNCH, Caller, Standing, attribute, caller_of
from actors.gateway.exchange import begin, step
from actors.gateway.head import Head, read_head
from actors.gateway.health import Outcome
from actors.gateway.peek import Seen
from actors.gateway.route_terms import Listing, Table
from actors.runtime.http.fields import Fields
from schemas.identity import ProcessKey, RequestId, TerminalKey

DOOR = Door(8129)
OURS = Kernel(same_user=True)
PROCESS = ProcessKey("host", "boot", 41, 1000, 7)
CODEX = caller_of(PROCESS, "codex", "exec", terminal=TerminalKey("wt:1"), cwd="/src")
DIALECTS = ("openai.responses", "openai.chat", "anthropic.messages")
WELL = Listing(dialects=DIALECTS)
USABLE = Table({"echo": WELL, "deep": WELL})
GPT = Seen("gpt")
CONVERSATION = "01a1fb07-5b0e-7cf3-a2b2-400eaf1e2b60"
CODEX_FIELDS = {"session-id": CONVERSATION, "thread-id": CONVERSATION}


def head(
    raw: str = "/v1/responses",
    method: str = "POST",
    given: Mapping[str, str] | None = None,
    *,
    upgrade: bool = False,
    length: int = 10,
    **fields: str,
) -> Head:
    named = {name.replace("_", "-"): value for name, value in {**(given or {}), **fields}.items()}
    given = {"host": "127.0.0.1:8129", **named}
    return read_head(method, raw, Fields.of(given), upgrade=upgrade, length=length)


class Playbook:
    """One request; ``facts`` are what was told, ``asked`` what was asked of the shell last."""

    def __init__(self, first: Head, kernel: Kernel = OURS) -> None:
        self.facts: list[Any] = []
        self.subjects: list[str] = []
        self.outputs: list[moves.Output] = []
        self.observed: list[Outcome] = []
        self.owned: list[moves.Own] = []
        self.at = 100.0
        self.state, outputs = begin(RequestId("r-1"), self.at, DOOR, first, kernel, peer="127.0.0.1:5000")
        self._take(outputs)

    def then(self, make: Any, *args: Any, **more: Any) -> Playbook:
        self.at += 0.010
        self.state, outputs = step(self.state, make(self.at, *args, **more))
        self._take(outputs)
        return self

    def identified(self, caller: Caller = CODEX, standing: Standing = NO_LAUNCH) -> Playbook:
        return self.then(moves.Identified, attribute(caller, standing, self.state.claims), standing)

    def sent(self) -> Playbook:
        return self.identified().then(moves.BodyRead, 10, GPT, USABLE)

    def refused_with(self, status: int, body: bytes = b"") -> Playbook:
        """Let the provider answer a refusal that is passed on as it came."""
        play = self.then(moves.HeadCame, status, "application/json")
        assert play.outputs == [moves.Collect()]
        return play.then(moves.Collected, Fields.of({}), body)

    def streaming(self) -> Playbook:
        return self.sent().then(moves.HeadCame, 200, "text/event-stream").then(moves.FirstByte)

    def _take(self, outputs: tuple[moves.Output, ...]) -> None:
        self.outputs = [output for output in outputs if not isinstance(output, moves.Publish | moves.Observe | moves.Own)]
        self.observed += [output.outcome for output in outputs if isinstance(output, moves.Observe)]
        self.owned += [output for output in outputs if isinstance(output, moves.Own)]
        for output in outputs:
            if isinstance(output, moves.Publish):
                self.facts.append(output.event)
                self.subjects.append(output.subject)

    @property
    def let_in(self) -> bool:
        return isinstance(self.outputs[0], moves.Identify)

    @property
    def told(self) -> list[str]:
        return [fact.TYPE for fact in self.facts]

    @property
    def answer(self) -> moves.Answer:
        (output,) = self.outputs
        assert isinstance(output, moves.Answer)
        return output

    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.answer.body)["error"]
        return found
