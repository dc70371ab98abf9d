"""The configuration's types. What a ``config.toml`` must keep beyond them stands in ``schemas.config_reader``.

Must not know text or files. Precedence (flag, environment, file, default) is the caller's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.terminals import Terminal

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
ServedDialect = Literal["openai.responses", "openai.chat", "anthropic.messages", "gemini.generate", "auggie"]
PinKind = Literal["session", "terminal", "project"]

ECHO = "echo"


class Price(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model costs, in US dollars for a million tokens; ``cached_input`` is that of input when it is not given."""

    input: Annotated[float, Meta(ge=0)]
    output: Annotated[float, Meta(ge=0)]
    cached_input: Annotated[float, Meta(ge=0)] | None = None


class Provider(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where requests can go.

    ``key`` is a reference (``env:NAME``, ``keyring:SERVICE/USER`` or ``file:/path``), never the key itself. ``base_urls`` is
    for dialects that are served elsewhere than at ``base_url``. ``models`` are all that it has; empty: any. ``aliases`` says
    what is sent instead of a model that is asked for. Providers of one ``group`` stand in for each other; those of one
    ``account`` (its own id by default) can read what another of them encrypted.
    """

    base_url: str
    name: str = ""
    dialects: tuple[ServedDialect, ...] = ("openai.responses",)
    base_urls: dict[ServedDialect, str] = {}
    auth: Literal["key", "passthrough", "none"] = "key"
    key: str = ""
    headers: dict[str, str] = {}
    enabled: bool = True
    models: tuple[str, ...] = ()
    aliases: dict[str, str] = {}
    prices: dict[str, Price] = {}
    group: str = ""
    account: str = ""
    connect_timeout: Seconds = 5.0
    first_byte_timeout: Seconds = 300.0
    idle_timeout: Seconds = 290.0


class Gateway(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where agents connect. The port is never moved silently, since running agents keep the old one.

    ``host`` beyond loopback needs ``tokens`` (``file:/path``, one a line, mode 0600) and `tabwire up --allow-remote`;
    ``hosts`` are the names that it is then called by. A session may make ``session_requests`` requests in ``session_window``
    seconds.
    """

    port: Port = 8129
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    tokens: str = ""
    connections: Annotated[int, Meta(ge=1, le=4096)] = 256
    connections_per_process: Annotated[int, Meta(ge=1, le=4096)] = 32
    session_requests: Annotated[int, Meta(ge=1)] = 300
    session_window: Annotated[int, Meta(ge=1, le=3600)] = 10


class Failover(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens when a provider fails before the caller has a byte.

    ``attempts`` counts the first one too; no further one begins after ``seconds``. ``retry_timeouts``: also when it was silent,
    though it may then answer, and cost, twice. ``encrypted_content`` says what is done with reasoning that only another account
    can read: it is left out, the conversation keeps to that account, or the request is refused.
    """

    attempts: Annotated[int, Meta(ge=1, le=5)] = 3
    seconds: Seconds = 10.0
    retry_timeouts: bool = False
    encrypted_content: Literal["strip", "keep", "refuse"] = "strip"


class Breaker(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """After ``failures`` in a row a provider's model is passed over for ``open_seconds``, longer each time."""

    failures: Annotated[int, Meta(ge=1)] = 5
    open_seconds: Seconds = 30.0
    longest_seconds: Seconds = 300.0


class Pin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A preferred provider and model: of one of a session, a terminal or a project (a folder, whole), until ``expires``."""

    provider: str
    session: str = ""
    terminal: str = ""
    project: str = ""
    model: str = ""
    on_failure: Literal["fallback", "fail", "ask"] = "fallback"
    expires: datetime | None = None

    @property
    def kind(self) -> PinKind:
        """Return what is pinned."""
        return "session" if self.session else "terminal" if self.terminal else "project"

    @property
    def target(self) -> str:
        """Return which one is pinned."""
        return self.session or self.terminal or self.project


class Budget(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bound on what is spent: by each session, each project or each provider (``*``), by one of them, or by all together.

    ``per`` day (of this computer's clock) or in all. At ``warn_at`` of it a fact is told; when it is spent, ``on_reached``.
    """

    name: str
    session: str = ""
    project: str = ""
    provider: str = ""
    per: Literal["day", "total"] = "day"
    usd: Annotated[float, Meta(gt=0)] | None = None
    tokens: Annotated[int, Meta(gt=0)] | None = None
    warn_at: Annotated[float, Meta(gt=0, le=1)] = 0.8
    on_reached: Literal["warn", "switch", "stop"] = "warn"
    switch_to: str = ""


class Echo(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The built-in model server, used when no provider is configured."""

    port: Port = 8131


class Journal(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long facts are kept."""

    max_age_days: Annotated[int, Meta(ge=1)] = 30
    max_size_mib: Annotated[int, Meta(ge=16)] = 512


class Rollout(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which transcripts are followed: those younger than ``recent_hours``, in the user's own homes of agents and in these."""

    recent_hours: Annotated[int, Meta(ge=1, le=24 * 365)] = 24
    codex_homes: tuple[str, ...] = ()
    claude_homes: tuple[str, ...] = ()


class Bridges(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many agents are driven at once, how long one is kept that nobody speaks to, and how long a question of theirs waits.

    Nobody's answer within ``approval_seconds`` is a denial.
    """

    sessions: Annotated[int, Meta(ge=1, le=256)] = 64
    idle_hours: Annotated[float, Meta(gt=0, le=24 * 365)] = 24.0
    approval_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 300


class Config(Struct, frozen=True, kw_only=True):
    """A whole configuration. Without any provider the built-in echo provider is the default."""

    default_provider: str = ECHO
    providers: dict[str, Provider] = {}
    gateway: Gateway = Gateway()
    echo: Echo = Echo()
    journal: Journal = Journal()
    rollout: Rollout = Rollout()
    bridges: Bridges = Bridges()
    terminals: dict[str, Terminal] = {}
    failover: Failover = Failover()
    breaker: Breaker = Breaker()
    pins: tuple[Pin, ...] = ()
    budgets: tuple[Budget, ...] = ()

    def provider(self, name: str) -> Provider | None:
        """Return a provider by id, the built-in ``echo`` included."""
        if name == ECHO:
            origin = f"http://127.0.0.1:{self.echo.port}"
            return Provider(
                base_url=f"{origin}/v1",
                name="Echo (built in)",
                dialects=("openai.responses", "openai.chat", "anthropic.messages", "gemini.generate", "auggie"),
                base_urls={"gemini.generate": f"{origin}/v1beta", "auggie": f"{origin}/auggie"},
                auth="none",
            )
        return self.providers.get(name)


class ConfigError(ValueError):
    """A configuration that cannot be used: where, what, and what to do about it."""

    def __init__(self, file: str, line: int, key: str, problem: str, advice: str = "") -> None:
        place = f"{file}:{line}" if line else file
        text = f"{place}: {key}: {problem}" if key else f"{place}: {problem}"
        super().__init__(f"{text} ({advice})" if advice else text)
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.advice = advice
