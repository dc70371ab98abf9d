"""Edits of the configuration: whatever is edited in whatever order, every other line stays, and it means what was intended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime import config_edit
from actors.runtime.config_edit import EditRefusedError
from actors.runtime.config_file import load_config
from actors.runtime.paths import Paths
from schemas.config import ConfigError, Pin, PinKind, Provider

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
NAMES = ("one", "two", "three")
COMMENT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12)
KINDS: tuple[PinKind, ...] = ("session", "terminal", "project")


class Place(NamedTuple):
    """What can be pinned: one of a few sessions, terminals and projects."""

    kind: PinKind
    number: int

    @property
    def name(self) -> str:
        return {"session": f"codex-{self.number}", "terminal": f"wt:{self.number}", "project": f"/home/ada/{self.number}"}[
            self.kind
        ]


PLACES = st.builds(Place, st.sampled_from(KINDS), st.integers(0, 3))


def pin_of(place: Place, provider: str, expires: datetime | None = None, model: str = "") -> Pin:
    pin = Pin(provider=provider, model=model, expires=expires)
    return msgspec.structs.replace(pin, **{place.kind: place.name})


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Write a configuration by hand: tables in any order, comments and blanks everywhere, line ends of one kind or mixed."""

    def noise() -> list[str]:
        return draw(st.lists(st.one_of(st.just(""), COMMENT.map(lambda text: f"#{text}")), max_size=2))

    def table(header: str, *lines: str) -> list[str]:
        written = [f"{header} #{draw(COMMENT)}"]
        for line in lines:
            written += noise()
            written.append(f"{line}  # {draw(COMMENT)}" if draw(st.booleans()) else line)
        return [*noise(), *written, *noise()]

    providers = draw(st.lists(st.sampled_from(NAMES), unique=True))
    pins = draw(st.lists(PLACES, unique=True, max_size=4))
    tables = [
        table(f"[providers.{name}]", 'base_url = "http://x/v1"', 'auth="none"', 'models = [\n  "m", # which\n  "n",\n]')
        for name in providers
    ]
    tables += [table("[[ pins ]]", f"{place.kind} = '{place.name}'", 'provider = "one"') for place in pins]
    tables += [table("[journal]", "max_age_days = 3"), table("[gateway]", "port=8200")]
    ordered = draw(st.permutations(tables))
    lines = [line for one in ordered for line in one]
    if draw(st.booleans()) and providers:
        lines = [*noise(), f'default_provider = "{providers[0]}"', *lines]
    ends = st.sampled_from(("\n", "\r\n")) if draw(st.booleans()) else st.just("\n")
    whole = "\n".join(lines)
    return "".join(f"{line}{draw(ends)}" for line in whole.split("\n"))


EDITS = st.lists(
    st.one_of(
        st.tuples(
            st.just("pin"), PLACES, st.sampled_from(NAMES), st.sampled_from((None, -1, 1)), st.sampled_from(("", "m", 'a"b'))
        ),
        st.tuples(st.just("unpin"), PLACES),
        st.tuples(st.just("prune")),
        st.tuples(st.just("add"), st.sampled_from(NAMES)),
        st.tuples(st.just("remove"), st.sampled_from(NAMES), st.booleans()),
        st.tuples(st.just("enable"), st.sampled_from(NAMES), st.booleans()),
        st.tuples(st.just("default"), st.sampled_from((*NAMES, "echo"))),
    ),
    max_size=6,
)


def perform(paths: Paths, edit: tuple[object, ...]) -> None:
    match edit:
        case ("pin", Place() as place, str() as provider, hours, str() as model):
            expires = None if not isinstance(hours, int) else NOW + timedelta(hours=hours)
            config_edit.set_pin(paths, pin_of(place, provider, expires, model))
        case ("unpin", Place() as place):
            config_edit.remove_pin(paths, place.kind, place.name)
        case ("prune",):
            config_edit.prune_pins(paths, NOW)
        case ("add", str() as name):
            new = Provider(base_url="https://y/v1", key="env:Y", headers={"x.y": "1"}, models=("m",), aliases={"a b": "m"})
            config_edit.add_provider(paths, name, new, ("as its own words say",))
        case ("remove", str() as name, bool() as force):
            config_edit.remove_provider(paths, name, force=force)
        case ("enable", str() as name, bool() as enabled):
            config_edit.set_enabled(paths, name, enabled=enabled)
        case ("default", str() as name):
            config_edit.set_default(paths, name)


def refusal(paths: Paths, edit: tuple[object, ...]) -> EditRefusedError | None:
    try:
        perform(paths, edit)
    except EditRefusedError as error:
        return error
    return None


@given(text=texts(), edits=EDITS)
@settings(max_examples=150, deadline=None)
def test_comments_and_unrelated_lines_survive_any_edits(text: str, edits: list[tuple[object, ...]]) -> None:
    with TemporaryDirectory() as folder:
        paths = Paths(Path(folder) / "config.toml", Path(folder) / "state")
        paths.config_file.write_bytes(text.encode())
        paths.config_file.chmod(0o600)
        try:
            load_config(paths)
        except ConfigError:
            raise AssertionError(text) from None
        for edit in edits:
            before, meant = paths.config_file.read_bytes(), load_config(paths)
            if refused := refusal(paths, edit):
                assert refused.code in ("not_found", "exists", "in_use"), refused.message
                assert paths.config_file.read_bytes() == before
                assert load_config(paths) == meant
        after = paths.config_file.read_bytes().decode()
        kept = iter(after.split("\n"))
        for line in _unrelated(text):
            assert line in kept, f"{line!r} is gone or moved:\n{text}\n-----\n{after}"


def _unrelated(text: str) -> list[str]:
    """Return the lines that no edit of these may touch: other tables, and what stands between two tables."""
    kept: list[str] = []
    since_key: list[str] = []
    ours = False
    for line in text.split("\n"):
        plain = line.strip()
        if plain.startswith("["):
            kept += since_key
            since_key = []
            ours = plain.startswith(("[providers", "[[ pins"))
            if not ours:
                kept.append(line)
        elif plain.startswith("#"):
            since_key.append(line)
        elif plain and ours:
            since_key = []  # comments above a key go with its table
        elif plain:
            kept += since_key
            since_key = []
            kept += [] if plain.startswith("default_provider") else [line]
    return [*kept, *since_key]
