"""Strategies for every type of ``schemas``: values that keep the types' own bounds."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from typing import Any

from hypothesis import strategies as st
from msgspec import Meta, Struct

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
LARGEST = 2**53


def values(type_: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of valid values of a type."""
    meta: tuple[Meta, ...] = ()
    while True:
        if typing.get_origin(type_) is typing.Annotated:
            type_, *extra = typing.get_args(type_)
            meta += tuple(one for one in extra if isinstance(one, Meta))
        elif hasattr(type_, "__supertype__"):
            type_ = type_.__supertype__
        else:
            break
    return _unwrapped(type_, meta)


def _unwrapped(type_: Any, meta: tuple[Meta, ...]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each kind of type
    origin, arguments = typing.get_origin(type_), typing.get_args(type_)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values(one) for one in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if isinstance(type_, type) and issubclass(type_, enum.Enum):
        return st.sampled_from(list(type_))
    if isinstance(type_, type) and (dataclasses.is_dataclass(type_) or issubclass(type_, Struct)):
        hints = typing.get_type_hints(type_, include_extras=True)
        fields = {name: values(hints[name]) for name in _fields(type_)}
        return st.builds(type_, **fields)
    return _plain(type_, meta)


def _fields(type_: Any) -> list[str]:
    if issubclass(type_, Struct):
        return list(type_.__struct_fields__)
    return [field.name for field in dataclasses.fields(type_)]


def _plain(type_: Any, meta: tuple[Meta, ...]) -> st.SearchStrategy[Any]:
    low = max((one.ge for one in meta if one.ge is not None), default=-LARGEST)
    high = min((one.le for one in meta if one.le is not None), default=LARGEST)
    if type_ is str:
        return TEXT
    if type_ is bool:
        return st.booleans()
    if type_ is int:
        return st.integers(int(low), int(high))
    if type_ is float:
        return st.floats(float(low), float(high), allow_nan=False, allow_infinity=False)
    if type_ is type(None):
        return st.none()
    raise TypeError(f"no values known for {type_!r}")
