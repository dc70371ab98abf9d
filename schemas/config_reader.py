"""The rules that a ``config.toml`` must keep, and its reading into the types of ``schemas.config``. Pure.

Every rule says where (file, line, key), what is wrong and what to do. Must not know files: ``actors.runtime.config_file``
reads the text. Rules that are about one table alone stand in ``schemas.config_rules``; here is what connects several.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from schemas import config_rules as rules
from schemas import terminal_rules
from schemas.config import (
    ECHO,
    Breaker,
    Bridges,
    Budget,
    Config,
    ConfigError,
    Echo,
    Failover,
    Gateway,
    Journal,
    Pin,
    Price,
    Provider,
    Rollout,
)
from schemas.config_lines import Place, line_of, shown
from schemas.config_rules import Broken
from schemas.terminals import Opening, Question, Terminal

_S = TypeVar("_S", bound=Struct)

_SECTIONS: Final[Mapping[str, type[Struct]]] = {
    "gateway": Gateway,
    "echo": Echo,
    "journal": Journal,
    "rollout": Rollout,
    "bridges": Bridges,
    "failover": Failover,
    "breaker": Breaker,
}
_ARRAYS: Final = ("pins", "budgets")
_LINE: Final = re.compile(r"\(at line (\d+),")


def parse_config(text: str, file: str) -> Config:
    """Read a configuration; ``file`` is only for error texts.

    Raises:
        ConfigError: not TOML, an unknown key, a wrong type, or a rule broken; the first problem is named.

    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, and brackets in brackets
        found = _LINE.search(str(error))
        line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
        raise ConfigError(file, line, "", f"not TOML: {error}", "compare it with the examples in README") from error
    return _Reader(text, file).config(document)


class _Reader:
    """Reads one document, and knows where in its text a key stands."""

    def __init__(self, text: str, file: str) -> None:
        self._lines = text.split("\n")
        self._file = file

    def config(self, document: Mapping[str, Any]) -> Config:
        self._check_names(document, ("default_provider", "providers", "terminals", *_SECTIONS, *_ARRAYS), ())
        sections: dict[str, Any] = {
            name: self._table(document[name], type_, (name,)) for name, type_ in _SECTIONS.items() if name in document
        }
        self._keep((), rules.gateway(sections.get("gateway", Gateway())))
        self._keep((), rules.breaker(sections.get("breaker", Breaker())))
        self._keep((), rules.rollout(sections.get("rollout", Rollout())))
        providers = self._providers(document.get("providers", {}))
        known = [ECHO, *providers]
        default = document.get("default_provider", next(iter(providers), ECHO))
        if not isinstance(default, str) or default not in known:
            raise self._error(("default_provider",), f"names no provider: {default!r}", _suggested(str(default), known))
        return Config(
            default_provider=default,
            providers=providers,
            pins=self._pins(document.get("pins", [])),
            budgets=self._budgets(document.get("budgets", []), known),
            terminals=self._terminals(document.get("terminals", {})),
            **sections,
        )

    # ------------------------------------------------------------------------------------------------ parts

    def _providers(self, tables: Any) -> dict[str, Provider]:
        if not isinstance(tables, dict):
            raise self._error(("providers",), "expected tables", "write [providers.<id>]")
        return {name: self._provider(name, value) for name, value in tables.items()}

    def _provider(self, name: str, value: Any) -> Provider:
        place = ("providers", name)
        self._keep(place, rules.provider_id(name))
        prices = value.get("prices") if isinstance(value, dict) else None
        if isinstance(prices, dict):  # one by one, so that an error names the price
            for model, price in prices.items():
                self._table(price, Price, (*place, "prices", model))
        provider = self._table(value, Provider, place)
        self._keep(place, rules.provider(provider))
        return provider

    def _pins(self, tables: Any) -> tuple[Pin, ...]:
        pins: dict[tuple[str, str], int] = {}
        found = []
        for number, value in enumerate(self._array(tables, "pins"), 1):
            pin = self._table(value, Pin, ("pins", number))
            self._keep(("pins", number), rules.pin(pin))
            first = pins.setdefault((pin.kind, pin.target), number)
            if first != number:
                problem = f"pins the same {pin.kind} as pins[{first}]"
                raise self._error(("pins", number, pin.kind), problem, "keep one of the two")
            found.append(pin)
        return tuple(found)

    def _budgets(self, tables: Any, known: Sequence[str]) -> tuple[Budget, ...]:
        names: dict[str, int] = {}
        found = []
        for number, value in enumerate(self._array(tables, "budgets"), 1):
            place = ("budgets", number)
            budget = self._table(value, Budget, place)
            self._keep(place, rules.budget(budget))
            for key, provider in (("provider", budget.provider), ("switch_to", budget.switch_to)):
                if provider not in ("", "*", *known):
                    raise self._error((*place, key), f"names no provider: {provider!r}", _suggested(provider, known))
            first = names.setdefault(budget.name, number)
            if first != number:
                raise self._error((*place, "name"), f"is the name of budgets[{first}] too", "give each a name of its own")
            found.append(budget)
        return tuple(found)

    def _terminals(self, tables: Any) -> dict[str, Terminal]:
        if not isinstance(tables, dict):
            raise self._error(("terminals",), "expected tables", "write [terminals.<name>]")
        return {name: self._terminal(name, value) for name, value in tables.items()}

    def _terminal(self, name: str, value: Any) -> Terminal:
        place = ("terminals", name)
        self._keep(place, terminal_rules.terminal_name(name))
        for key, type_ in (("questions", Question), ("openings", Opening)):
            inner = value.get(key, []) if isinstance(value, dict) else []
            if isinstance(inner, list):  # one by one, so that an error names it
                for number, one in enumerate(inner, 1):
                    self._table(one, type_, (*place, key, number))
        terminal = self._table(value, Terminal, place)
        self._keep(place, terminal_rules.terminal(terminal))
        return terminal

    # ------------------------------------------------------------------------------------------------ tables

    def _array(self, value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._error((name,), f"expected tables, got {type(value).__name__}", f"write [[{name}]] with both brackets")
        return value

    def _table(self, value: Any, type_: type[_S], place: Place) -> _S:
        if not isinstance(value, dict):
            raise self._error(place, f"expected a table, got {type(value).__name__}", f"write [{shown(place)}]")
        self._check_names(value, type_.__struct_fields__, place)
        for field in msgspec.structs.fields(type_):
            if field.required and field.name not in value:
                raise self._error((*place, field.name), "missing", "this key is required")
            if field.name in value:
                try:
                    msgspec.convert(value[field.name], field.type)
                except msgspec.ValidationError as error:
                    raise self._error((*place, field.name), _plain(error), "see README for what it can be") from error
        return msgspec.convert(value, type_)

    def _check_names(self, table: Mapping[str, Any], known: Sequence[str], place: Place) -> None:
        for name in table:
            if name not in known:
                raise self._error((*place, name), "unknown key", _suggested(name, known))

    def _keep(self, place: Place, broken: Broken | None) -> None:
        if broken is not None:
            raise self._error((*place, *broken.place), broken.problem, broken.advice)

    def _error(self, place: Place, problem: str, advice: str) -> ConfigError:
        return ConfigError(self._file, line_of(self._lines, place), shown(place), problem, advice)


def _plain(error: msgspec.ValidationError) -> str:
    """Say a wrong type or value without the marks that the library puts around it."""
    return str(error).split(" - at ")[0].lower().replace("`", "")


def _suggested(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
