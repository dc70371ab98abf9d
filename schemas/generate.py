"""Write the JSON Schemas and the AsyncAPI document that others build on: ``python -m schemas.generate [--check]``.

The types are the source; the files under ``schemas/generated`` are for readers in other languages. ``--check`` exits 1
when a file differs from what the types say, and names it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import orjson

from schemas.commands import COMMANDS
from schemas.envelope import ROOTS, SPECVERSION
from schemas.events import EVENTS

FOLDER = Path(__file__).parent / "generated"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS


def events_schema() -> dict[str, Any]:
    """Return one JSON Schema for every envelope, its ``data`` chosen by ``type``."""
    (_, parts) = _components(EVENTS.values())
    envelope = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": {
            "specversion": {"const": SPECVERSION},
            "id": {"type": "string"},
            "source": {"type": "string", "pattern": "^/"},
            "type": {"type": "string"},
            "subject": {"type": "string", "pattern": f"^({'|'.join(ROOTS)})(/|$)"},
            "time": {"type": "string", "format": "date-time"},
            "correlationid": {"type": "string"},
            "causationid": {"type": "string"},
            "data": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"type": {"const": type_}}},
                "then": {"properties": {"data": {"$ref": f"#/$defs/{cls.__name__}"}}},
            }
            for type_, cls in sorted(EVENTS.items())
        ],
    }
    return {"$schema": _DRAFT, "title": "Tabwire event", **envelope, "$defs": parts}


def commands_schema() -> dict[str, Any]:
    """Return the JSON Schemas of every command and its answer."""
    answers = [command.ANSWER for command in COMMANDS.values()]
    (_, parts) = _components([*COMMANDS.values(), *answers])
    pairs = {
        type_: {
            "command": {"$ref": f"#/$defs/{command.__name__}"},
            "answer": {"$ref": f"#/$defs/{command.ANSWER.__name__}"},
        }
        for type_, command in sorted(COMMANDS.items())
    }
    return {"$schema": _DRAFT, "title": "Tabwire commands", "$defs": parts, "commands": pairs}


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the feed; ZeroMQ has no binding there, so its frames stand in ``x-zmq``."""
    channels = {
        type_: {
            "address": f"{{subject}}.{type_}.",
            "description": (cls.__doc__ or "").strip(),
            "parameters": {"subject": {"description": "the event's subject with dots for slashes"}},
            "messages": {cls.__name__: {"$ref": f"#/components/messages/{cls.__name__}"}},
        }
        for type_, cls in sorted(EVENTS.items())
    }
    messages = {
        cls.__name__: {
            "name": type_,
            "contentType": "application/cloudevents+json",
            "payload": {"$ref": f"events.schema.json#/$defs/{cls.__name__}"},
        }
        for type_, cls in sorted(EVENTS.items())
    }
    feed = {
        "host": "127.0.0.1",
        "protocol": "zmq",
        "description": "SUB socket with CURVE; endpoint and keys stand in the connection file. Specification: bus/protocol.py",
        "x-zmq": {"socket": "SUB", "frames": ["topic", "stamp", "envelope"]},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tabwire feed", "version": "1"},
        "servers": {"feed": feed},
        "channels": channels,
        "components": {"messages": messages},
    }


def documents() -> dict[str, bytes]:
    """Return every generated file by name."""
    return {
        "events.schema.json": orjson.dumps(events_schema(), option=_OPTIONS),
        "commands.schema.json": orjson.dumps(commands_schema(), option=_OPTIONS),
        "asyncapi.json": orjson.dumps(asyncapi(), option=_OPTIONS),
    }


def _components(types: Iterable[type[Any]]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(types, ref_template="#/$defs/{name}")


def main() -> int:
    """Write the files, or compare them."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--check", action="store_true", help="compare instead of writing; exit 1 on a difference")
    check = arguments.parse_args().check
    stale = []
    for name, content in documents().items():
        file = FOLDER / name
        if check:
            if not file.exists() or file.read_bytes() != content:
                stale.append(name)
        else:
            FOLDER.mkdir(exist_ok=True)
            file.write_bytes(content)
    for name in stale:
        print(f"schemas/generated/{name} is not what the types say; run: python -m schemas.generate", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
