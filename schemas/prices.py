"""What tokens cost by a provider's price table: pure.

A price is found by the model's exact name, or by that name without the date of its snapshot (``gpt-5.2-2026-09-01`` is priced
as ``gpt-5.2``, ``claude-opus-4-5-20251101`` as ``claude-opus-4-5``); nothing else is guessed. Must not know where tables are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from schemas.config import Price

_MILLION: Final = 1_000_000
_SNAPSHOT: Final = re.compile(r"[-@](?:\d{4}-\d{2}-\d{2}|\d{8})")


def price_of(prices: Mapping[str, Price], model: str) -> Price | None:
    """Return what a model costs; None: the table does not say."""
    found = prices.get(model)
    if found is None and (date := _SNAPSHOT.search(model, max(0, len(model) - 11))) and date.end() == len(model):
        return prices.get(model[: date.start()])
    return found


def cost(price: Price, input_: int, cached: int, output: int) -> float:
    """Return what tokens cost in US dollars; ``cached`` are those of the input that were read from the provider's cache."""
    read = price.input if price.cached_input is None else price.cached_input
    return ((input_ - cached) * price.input + cached * read + output * price.output) / _MILLION
