"""What the gateway is asked and told. Must not know how it does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from schemas.commands.register import command
from schemas.config import PinKind
from schemas.events import Dialect
from schemas.provider_rows import PinTable, ProviderTable, RoutePlan


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListProviders:
    """Answer with the providers as the gateway has them."""

    TYPE: ClassVar[str] = "gateway.list_providers"
    ANSWER: ClassVar[type[Any]] = ProviderTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class SetProvider:
    """Enable or disable a provider; answered with all of them once that is in force."""

    TYPE: ClassVar[str] = "gateway.set_provider"
    ANSWER: ClassVar[type[Any]] = ProviderTable
    provider: str
    enabled: bool


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ListPins:
    """Answer with the pins as the gateway has them."""

    TYPE: ClassVar[str] = "gateway.list_pins"
    ANSWER: ClassVar[type[Any]] = PinTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class SetPin:
    """Pin a session, a terminal or a project, whole keys; answered with all pins once it is in force."""

    TYPE: ClassVar[str] = "gateway.set_pin"
    ANSWER: ClassVar[type[Any]] = PinTable
    kind: PinKind
    target: str
    provider: str
    model: str = ""
    on_failure: Literal["fallback", "fail", "ask"] = "fallback"
    expires: str = ""


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePin:
    """Take a pin back; answered with the others."""

    TYPE: ClassVar[str] = "gateway.remove_pin"
    ANSWER: ClassVar[type[Any]] = PinTable
    kind: PinKind
    target: str


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePins:
    """Remove the pins that have expired or name a provider that is no more; answered with the others."""

    TYPE: ClassVar[str] = "gateway.prune_pins"
    ANSWER: ClassVar[type[Any]] = PinTable


@command
@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainRoute:
    """Answer where a request would go now that came with these keys; empty ones are not known.

    ``aliases`` are the session's older ids; ``launch`` is the launch that it belongs to.
    """

    TYPE: ClassVar[str] = "gateway.explain_route"
    ANSWER: ClassVar[type[Any]] = RoutePlan
    session: str = ""
    terminal: str = ""
    cwd: str = ""
    dialect: Dialect = "openai.responses"
    model: str = ""
    launch: str = ""
    aliases: tuple[str, ...] = ()
