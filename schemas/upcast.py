"""Upcasters: how an event of an older type reads as a newer one.

A breaking change to an event is a new type. Its upcaster is entered here and every reader (live, replay, export) goes
through it, so that no fold knows two shapes of one fact. Must not know anything but event types and plain mappings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Upcaster = Callable[[Mapping[str, Any]], tuple[str, Mapping[str, Any]]]

UPCASTERS: dict[str, Upcaster] = {}


def upcast(type_: str, data: Any, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> tuple[str, Any]:
    """Follow upcasters until the type is current.

    Raises:
        ValueError: upcasters form a circle.

    """
    seen = {type_}
    while (step := upcasters.get(type_)) is not None:
        type_, data = step(data)
        if type_ in seen:
            raise ValueError(f"upcasters form a circle at {type_!r}")
        seen.add(type_)
    return type_, data
