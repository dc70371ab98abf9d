"""How a session with an ACP agent comes to life, begins anew, and is set: the first half of ``acp``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from actors.bridge.acp import reading
from actors.bridge.acp.reading import Setting, Settings, table, word
from actors.bridge.acp.state import MAX_NAME, Ground
from actors.bridge.adapter import Changed, Fail, Greeted, Note, Say, Wait
from schemas.content import FailureTold, Identified, SettingsTold
from schemas.identity import IdentityError, conversation_key, session_of

VERSION: Final = 1
HELD: Final = "held"
QUIET: Final = "quiet"
_QUIET_SECONDS: Final = 0.5
_AUTH_REQUIRED: Final = -32_000


class Opening(Ground):
    """The steps from the greeting to a conversation that is set as it was wanted."""

    def greet(self) -> None:
        """Say who we are, and what we offer: nothing, so that the agent uses its own files and terminals."""
        if self.state.hold:
            self.give(Wait(name=HELD, seconds=self.state.hold))
        offered = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
        client = {"name": "tabwire", "title": "Tabwire", "version": "1"}
        params = {"protocolVersion": VERSION, "clientCapabilities": offered, "clientInfo": client}
        self.ask("initialize", "initialize", params)

    def greeted(self, result: Any) -> None:
        """Take the agent's answer to the greeting."""
        spoken = result.get("protocolVersion") if isinstance(result, dict) else None
        if spoken != VERSION:
            said = f"{self.state.dialect.agent} speaks version {str(spoken)[:20]} of ACP, and Tabwire version {VERSION}"
            self._fail("wrong_version", f"{said}; install the version that `tabwire agents` names")
            return
        self.set(agent=result)
        if self.state.hold:
            self.set(held=True)
        else:
            self._open()

    def not_greeted(self, error: Mapping[str, Any]) -> None:
        """Give up: it does not speak with us."""
        said = f"{self.state.dialect.agent} refused the greeting: {self.safe(error)}"
        self._fail("start_failed", f"{said}; is it a version that speaks ACP?")

    def released(self) -> None:
        """Load the conversation now, or as soon as the agent has answered."""
        held = self.state.held
        self.set(held=False, hold=0.0)
        if held:
            self._open()

    def _open(self) -> None:
        """Begin a conversation, or take up the one that was asked for."""
        resume, agent = self.state.resume, self.state.dialect.agent
        if not resume:
            self.ask("open", "session/new", self.place())
        elif self.state.fork and not self.has("fork"):
            self._fail("cannot_fork", f"{agent} cannot begin a conversation with another's; start a new one")
        elif self.state.fork:
            self.ask("open", "session/fork", self.place(sessionId=resume))
        elif self.has("resume"):
            self.ask("open", "session/resume", self.place(sessionId=resume))
        elif self._loads():
            self.ask("open", "session/load", self.place(sessionId=resume))
        else:
            self._fail("cannot_resume", f"{agent} cannot take up a conversation; start a new one")

    def _loads(self) -> bool:
        return table(self.state.agent, "agentCapabilities").get("loadSession") is True

    def _fail(self, code: str, message: str) -> None:
        self.give(Fail(code=code, message=message, resumable=False))

    def not_opened(self, error: Mapping[str, Any]) -> None:
        """Say why there is no conversation; the one before a clear goes on."""
        agent, said = self.state.dialect.agent, self.safe(error)
        if self.state.doing == "clear":
            self.set(doing="")
            self.give(Changed(refused=f"{agent} began no new conversation: {said}"))
        elif error.get("code") == _AUTH_REQUIRED:
            self._fail("not_logged_in", f"{agent} is not logged in ({said}); run it once by itself and log in")
        elif self.state.resume:
            taken = f"{agent} could not take up the conversation {self.state.resume[:MAX_NAME]} in {self.state.cwd}"
            self._fail("resume_failed", f"{taken}: {said}; start a new one")
        else:
            self._fail("start_failed", f"{agent} began no conversation: {said}")

    def opened(self, result: Any) -> None:
        """Set the conversation that is there now as it was wanted."""
        resumed = "" if self.state.doing == "clear" or self.state.fork else self.state.resume
        session = word(result, "sessionId") or resumed
        if not session:
            self.not_opened({"message": "it named none"})
            return
        before, ours, told = self.state.session, self.state.settings.mode, reading.settings_of(result)
        self.set(session=session, settings=replace(told, mode=ours) if ours in self.state.dialect.modes else told)
        if before and self.has("close"):
            self.ask("close", "session/close", {"sessionId": before})
        if self.state.dialect.late_history and resumed:
            self.listen()
        else:
            self._set_up(self.state.wanted)

    def listen(self) -> None:
        """Let the agent tell what was, until it has nothing more to tell: what it says then is said in a turn."""
        self.set(hearing=True)
        self.give(Wait(name=QUIET, seconds=_QUIET_SECONDS))

    def heard(self) -> None:
        """Go on, now that the agent is quiet."""
        if self.state.hearing:
            self.set(hearing=False)
            self._set_up(self.state.wanted)

    # ------------------------------------------------------------------------------------------------ settings

    def change(self, model: str | None, mode: str | None) -> None:
        """Change what is asked for, one behind the other."""
        agent, now = self.state.dialect.agent, self.state.settings
        self.set(doing="change")
        if mode is not None and mode != now.mode and mode in self.state.dialect.modes:
            self._not_changed(f"{agent} is only started in its mode {mode!r}: begin a new session")
        elif model is not None and self.state.dialect.only_listed and model not in now.models:
            self._not_changed(f"{agent} has no model {model[:MAX_NAME]!r}, only: {', '.join(now.models)}")
        else:
            self._set_up(Settings(mode=mode or "", model=model or ""))

    def _set_up(self, wanted: Settings) -> None:
        both: tuple[tuple[Setting, str], ...] = (("mode", wanted.mode), ("model", wanted.model))
        self.set(steps=tuple((kind, value) for kind, value in both if value))
        self._settle()

    def _settle(self) -> None:
        """Set what is still to be set and is not so; when nothing is, say that it is done."""
        while self.state.steps:
            (kind, value), *rest = self.state.steps
            if value != (self.state.settings.mode if kind == "mode" else self.state.settings.model):
                params = {"modeId": value} if kind == "mode" else {"modelId": value}
                self.ask(kind, f"session/set_{kind}", self.own(**params))
                return
            self.set(steps=tuple(rest), wanted=self.state.wanted.having(kind, value))
        doing = self.state.doing
        self.set(doing="")
        if doing == "start":
            self.give(self._greeting())
            self._identify(cleared=False)
        elif doing == "clear":
            self._identify(cleared=True)
            self.give(Changed())
        elif doing == "change":
            self.give(Changed())

    def confirmed(self, kind: Setting) -> None:
        """Take the agent's word that what was asked for is so."""
        if self.state.steps:
            self.set(settings=self.state.settings.having(kind, self.state.steps[0][1]))
        self._settle()

    def refused(self, kind: Setting, error: Mapping[str, Any]) -> None:
        """Go on with what is, saying why: at a start and behind a clear with the rest, a change ends."""
        (_, value), *rest = self.state.steps or ((kind, ""),)
        said = f"{self.state.dialect.agent} did not take the {kind} {value[:MAX_NAME]!r}: {self.safe(error)}"
        if self.state.doing == "change":
            self._not_changed(said)
            return
        self.give(Say(FailureTold(code=f"{kind}_refused", message=f"{said}; it goes on without")))
        self.set(steps=tuple(rest), wanted=self.state.wanted.having(kind, ""))
        self._settle()

    def _not_changed(self, reason: str) -> None:
        """End a change that the agent, or we, refused; what came before it in the same change stays, and is told."""
        now = self.state.settings
        self.set(doing="", steps=())
        self.give(Say(SettingsTold(mode=now.mode, model=now.model, reason=reason)))
        self.give(Changed(refused=reason))

    def told_settings(self, told: Settings) -> None:
        """Tell of a mode or model that the agent changed by itself."""
        before = self.state.settings
        mode, model = told.mode or before.mode, told.model or before.model
        modes, models = told.modes or before.modes, told.models or before.models
        self.set(settings=Settings(modes=modes, models=models, mode=mode, model=model))
        if not self.state.doing and (mode, model) != (before.mode, before.model):
            self.give(Say(SettingsTold(mode=mode, model=model, reason="the agent changed it")))

    # ------------------------------------------------------------------------------------------------ what is told

    def _greeting(self) -> Greeted:
        state, can = self.state, set(self.state.dialect.can)
        if not state.settings.modes:
            can.discard("set_mode")
        if not state.settings.models:
            can.discard("set_model")
        if not (self.has("resume") or self._loads()):
            can.discard("resume")
        if not self.has("fork"):
            can.discard("fork")
        return Greeted(
            version=word(table(state.agent, "agentInfo"), "version").split(" ")[0],
            can=frozenset(can),
            modes=tuple(dict.fromkeys((*state.settings.modes, *state.dialect.modes))),
            models=state.settings.models,
            mode=state.settings.mode,
            model=state.settings.model,
        )

    def _identify(self, *, cleared: bool) -> None:
        own = self.state.session
        try:
            session = session_of(conversation_key(self.state.dialect.agent, own))
        except IdentityError as error:
            self.give(Note(f"the conversation stays unnamed: {error}"))
            return
        self.give(Say(Identified(session=session, conversation=own, cleared=cleared)))
