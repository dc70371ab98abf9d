"""Whatever a body holds: beside the value of its model no byte changes, and without its encrypted reasoning all else stays."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.peek import look
from actors.gateway.rewriting import rewrite

# Half of a surrogate pair is no text that JSON in UTF-8 can hold.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.one_of(st.sampled_from(["model", "input", "encrypted_content", "type", "é"]), texts)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
spaces = st.text(" \t\r\n", max_size=2)
escaped = st.booleans()
reasoning = st.fixed_dictionaries(
    {"type": st.just("reasoning"), "encrypted_content": st.sampled_from(["", "gAA", None, '\\"]}'])}
)


@st.composite
def documents(draw: st.DrawFn, inner: st.SearchStrategy[Any] = values) -> list[tuple[bytes, bytes, bytes, bytes]]:
    """Write members one by one: what precedes a value, the value, what follows it; with the names that were meant."""
    members = draw(st.lists(st.tuples(names, inner), max_size=6))
    pieces = []
    for number, (name, value) in enumerate(members):
        written = json.dumps(name, ensure_ascii=draw(escaped)).encode()
        if draw(escaped):
            written = b'"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in name).encode() + b'"'
        before = (b"{" if not number else b",") + draw(spaces).encode() + written + draw(spaces).encode() + b":"
        said = json.dumps(value, ensure_ascii=draw(escaped), indent=draw(st.sampled_from([None, 1]))).encode()
        pieces.append((name.encode(), before + draw(spaces).encode(), said, draw(spaces).encode()))
    return pieces


@given(documents(), st.booleans(), spaces)
def test_nothing_but_the_value_of_the_model_changes(
    pieces: list[tuple[bytes, bytes, bytes, bytes]],
    bom: bool,  # noqa: FBT001 - hypothesis gives it so
    end: str,
) -> None:
    start, stop = (b"\xef\xbb\xbf" if bom else b""), (b"}" if pieces else b"{}") + end.encode()
    body = start + b"".join(before + value + after for _, before, value, after in pieces) + stop
    new = json.dumps("new-modèl", ensure_ascii=False).encode()
    expected = start + b"".join(before + (new if name == b"model" else value) + after for name, before, value, after in pieces)
    told = rewrite(body, "", "/responses", "openai.responses", model="new-modèl", strip=False)
    assert told.body == expected + stop
    assert bool(told.changes) == any(name == b"model" for name, *_ in pieces)


@given(st.lists(st.one_of(reasoning, values), max_size=8), st.dictionaries(texts, values, max_size=3), st.booleans())
def test_without_its_encrypted_reasoning_everything_else_stays(
    items: list[Any],
    others: dict[str, Any],
    tight: bool,  # noqa: FBT001 - hypothesis gives it so
) -> None:
    document = {**others, "input": items}
    body = json.dumps(document, separators=(",", ":") if tight else (", ", " : ")).encode()
    told = rewrite(body, "", "/responses", "openai.responses", model=None, strip=True)
    secret = [
        each for each in items if isinstance(each, dict) and each.get("type") == "reasoning" and each.get("encrypted_content")
    ]
    assert orjson.loads(told.body) == orjson.loads(
        json.dumps({**document, "input": [one for one in items if one not in secret]})
    )
    assert bool(told.changes) == bool(secret)
    again = rewrite(told.body, "", "/responses", "openai.responses", model=None, strip=True)
    assert again.body == told.body


@given(st.binary(max_size=200), st.sampled_from(["", "zstd", "gzip", "deflate", "br", "identity"]))
def test_looking_at_any_bytes_is_harmless(body: bytes, encoding: str) -> None:
    seen = look(body, encoding, "openai.responses", "/responses")
    assert seen.model is None or not seen.unread
    look(body, encoding, "auggie", "/chat-stream")
