"""The configuration's types and the rules that a ``config.toml`` must keep.

Every rule says where (file, line, key), what is wrong and what to do. Must not know files: ``actors.runtime.config_file``
reads the text. Precedence (flag, environment, file, default) is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
import tomlkit
import tomlkit.exceptions
from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
ServedDialect = Literal["openai.responses", "openai.chat", "anthropic.messages", "gemini.generate", "auggie"]
PinKind = Literal["session", "terminal", "project"]

ECHO = "echo"
_PROVIDER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_KEY_REFERENCE = re.compile(r"(env:[A-Za-z_][A-Za-z0-9_]*|keyring:[^/]+/.+|file:.+)")
_S = TypeVar("_S", bound=Struct)


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


class Config(Struct, frozen=True, kw_only=True):
    """A whole configuration. Without any provider the built-in echo provider is the default."""

    default_provider: str = ECHO
    providers: dict[str, Provider] = {}
    gateway: Gateway = Gateway()
    echo: Echo = Echo()
    journal: Journal = Journal()
    rollout: Rollout = Rollout()
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


_SECTIONS: dict[str, type[Struct]] = {
    "gateway": Gateway,
    "echo": Echo,
    "journal": Journal,
    "rollout": Rollout,
    "failover": Failover,
    "breaker": Breaker,
}


def parse_config(text: str, file: str) -> Config:
    """Read a configuration; ``file`` is only for error texts.

    Raises:
        ConfigError: not TOML, an unknown key, a wrong type, or a rule broken; the first problem in the file is named.

    """
    try:
        document = tomlkit.parse(text).unwrap()
    except tomlkit.exceptions.ParseError as error:
        raise ConfigError(file, error.line, "", f"not TOML: {error}") from error
    reader = _Reader(text, file)
    reader.check_names(document, ("default_provider", "providers", *_SECTIONS), ())
    sections = {name: reader.table(document[name], type_, (name,)) for name, type_ in _SECTIONS.items() if name in document}
    reader.check_homes(sections.get("rollout"))
    providers = reader.providers(document.get("providers", {}))
    default = document.get("default_provider", next(iter(providers), ECHO))
    if not isinstance(default, str) or (default != ECHO and default not in providers):
        raise reader.error(
            ("default_provider",), f"names no provider: {default!r}", reader.suggest(str(default), [*providers, ECHO])
        )
    return Config(default_provider=default, providers=providers, **sections)  # type: ignore[arg-type]


class _Reader:
    """Checks one document and knows where in its text a key stands."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.splitlines()
        self._file = file

    def error(self, path: tuple[str, ...], problem: str, advice: str = "") -> ConfigError:
        return ConfigError(self._file, self._line(path), ".".join(path), problem, advice)

    def suggest(self, name: str, known: list[str]) -> str:
        close = get_close_matches(name, known, n=1)
        return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"

    def check_names(self, table: Mapping[str, Any], known: tuple[str, ...], path: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                raise self.error((*path, name), "unknown key", self.suggest(name, list(known)))

    def table(self, value: Any, type_: type[_S], path: tuple[str, ...]) -> _S:
        if not isinstance(value, dict):
            raise self.error(path, f"expected a table, got {type(value).__name__}", f"write [{'.'.join(path)}]")
        self.check_names(value, type_.__struct_fields__, path)
        for name in msgspec.structs.fields(type_):
            if name.required and name.name not in value:
                raise self.error((*path, name.name), "missing", "this key is required")
            if name.name in value:
                try:
                    msgspec.convert(value[name.name], name.type)
                except msgspec.ValidationError as error:
                    raise self.error((*path, name.name), str(error).split(" - at ")[0].lower().replace("`", "")) from error
        return msgspec.convert(value, type_)

    def check_homes(self, section: Struct | None) -> None:
        if isinstance(section, Rollout):
            for key, homes in (("codex_homes", section.codex_homes), ("claude_homes", section.claude_homes)):
                if relative := [home for home in homes if not PurePath(home).is_absolute()]:
                    raise self.error(("rollout", key), f"not an absolute path: {relative[0]!r}", "give the whole path")

    def providers(self, tables: Any) -> dict[str, Provider]:
        if not isinstance(tables, dict):
            raise self.error(("providers",), "expected tables", "write [providers.<id>]")
        return {name: self._provider(name, value) for name, value in tables.items()}

    def _provider(self, name: str, value: Any) -> Provider:
        path = ("providers", name)
        if not _PROVIDER_ID.fullmatch(name):
            raise self.error(path, "not a provider id", "use 1 to 32 of a-z 0-9 _ -")
        if name == ECHO:
            raise self.error(path, "is built in", "choose another id; [echo] sets its port")
        provider = self.table(value, Provider, path)
        origin = urlsplit(provider.base_url)
        if origin.scheme not in ("http", "https") or not origin.hostname or origin.query or origin.fragment:
            raise self.error((*path, "base_url"), "not a base URL", 'such as "https://api.openai.com/v1"')
        if provider.auth == "key" and not provider.key:
            raise self.error((*path, "key"), "missing", 'set key = "env:NAME" or "file:/path", or auth = "none"')
        if provider.key and not _KEY_REFERENCE.fullmatch(provider.key):
            raise self.error((*path, "key"), "not a reference", 'use "env:NAME" or "file:/path", never the key itself')
        if provider.key.startswith("file:") and not PurePath(provider.key[5:]).is_absolute():
            raise self.error((*path, "key"), "not an absolute path", "the gateway has no working directory of yours")
        return provider

    def _line(self, path: tuple[str, ...]) -> int:
        """Find the line of a key: its own line inside its table, else the table's header, else 0."""
        best = 0
        table: tuple[str, ...] = ()
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line):
                table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if table == path[: len(table)] and len(table) > 0:
                    best = number
                if table == path:
                    return number
            elif key := re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line):
                own = (*table, *(part.strip("\"'") for part in key[1].split(".")))
                if own == path[: len(own)]:
                    return number
        return best
