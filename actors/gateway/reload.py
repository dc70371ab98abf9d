"""Takes over a changed configuration while requests go on.

Theory of operation
-------------------
The file is looked at a few times a second in a worker thread, together with the files that keys are read from; a change counts
once it is seen twice alike, so that a file is not read while an editor writes it. Who changed it himself and waits for it
(``refresh``) is not kept waiting for that. Reading, checking and asking for keys happen in a worker thread too; only then
is the new state put in the place of the old one, in one step between requests: what a request has begun with it keeps.

What cannot be used changes nothing: it is told once (``config.refused``) and stands in ``refused`` until it is mended, which is
looked for every few seconds, since what was missing may be a key that stands elsewhere. Neither
does a file that is gone: only a start takes that for an empty one. What changed is told by names, never values
(``config.changed``), a pin by ``pin.placed`` and ``pin.removed``. Every start tells the pins and the default provider anew,
since the journal forgets; which pins were told is kept in a file, so that one which went meanwhile is told to be gone.

Must not know how a request is routed, nor who edits the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2s
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import msgspec
import orjson
from msgspec import Struct

from actors.gateway.differences import after_restart, changed
from actors.gateway.providers import Providers, build_providers
from actors.runtime.atomic import write_atomic
from actors.runtime.config_edit import is_expired
from actors.runtime.config_file import read_config_text
from actors.runtime.config_rows import rfc3339
from actors.runtime.logging import register_secret
from actors.runtime.paths import Paths
from schemas.config import Config, ConfigError, Pin, PinKind
from schemas.config_reader import parse_config
from schemas.envelope import subject
from schemas.events import ConfigChanged, ConfigRefused, PinPlaced, PinRemoved

LOOK: Final = 0.2
RETRY: Final = 25  # looks at a refused file until it is read again: a key may be there now
_FILE: Final = "gateway_pins.json"
_SUBJECT: Final = subject("config", "file")
_LARGEST: Final = 4 << 20

Key = tuple[PinKind, str]
Tell = Callable[[str, Any, str | None], None]
_Signs = tuple[tuple[int, ...], ...]


class Loaded(Struct, frozen=True):
    """A configuration that can be used, with everything that was made from it; ``signs`` are of the files that it is from."""

    config: Config
    providers: Providers
    digest: str
    signs: _Signs = ()
    echo: bool = True


def load(paths: Paths, environ: Mapping[str, str], *, must_exist: bool, echo: bool = True) -> Loaded:
    """Read the file, check it and get every key. Takes time. ``echo`` is whether the built-in provider was started.

    Raises:
        ConfigError: it cannot be used, or is gone though it must exist.

    """
    file = paths.config_file
    own = _signs(file)  # before it is read: what changes from here on is seen as a change
    text, facts = read_config_text(file)
    if facts is None and must_exist:
        raise ConfigError(str(file), 0, "", "is gone", "put it back, or restart Tabwire to begin without it")
    config = Config() if facts is None else parse_config(text, str(file))
    signs = (own, *_key_signs(config))
    providers = build_providers(config, environ, file, echo=echo)
    for upstream in providers.upstreams.values():
        if upstream.key is not None:
            register_secret(upstream.key.reveal())
    return Loaded(config, providers, blake2s(text.encode(), digest_size=16).hexdigest(), signs, echo)


class Reload:
    """The configuration in force. ``swap`` puts what is new where it is used; ``refused`` says what is wrong with the file.

    ``pending`` names what holds only after a restart.
    """

    def __init__(
        self,
        paths: Paths,
        loaded: Loaded,
        *,
        environ: Mapping[str, str],
        swap: Callable[[Loaded], None],
        tell: Tell,
        now: Callable[[], int],
        log: Any,
    ) -> None:
        self.loaded = loaded
        self.refused = ""
        self.pending: tuple[str, ...] = ()
        self._at_start = loaded.config
        self._paths = paths
        self._environ = environ
        self._swap = swap
        self._tell = tell
        self._now = now
        self._log = log
        self._one_at_a_time = anyio.Lock()
        self._existed = bool(loaded.signs[0])
        self._signs = loaded.signs
        self._looks = 0  # at a file that was refused
        self._told: dict[Key, Pin] = {}

    @property
    def time(self) -> datetime:
        """Return the time that pins expire by."""
        return datetime.fromtimestamp(self._now() / 1e9, UTC)

    async def run(self) -> None:
        """Tell what is in force, then watch, for ever."""
        loaded = self.loaded
        self._tell(_SUBJECT, ConfigChanged(digest=loaded.digest, default_provider=loaded.config.default_provider), None)
        for kind, target in await anyio.to_thread.run_sync(self._told_before):
            self._told[kind, target] = Pin(provider="")
        await self._tell_pins("unpinned", again=True)
        seen = self._signs
        while True:
            await anyio.sleep(LOOK)
            signs = await anyio.to_thread.run_sync(self._look)
            self._looks = self._looks + 1 if self.refused else 0
            if (signs != self._signs and signs == seen) or self._looks >= RETRY:
                self._looks = 0
                await self.refresh()
            elif any(is_expired(pin, self.time) for pin in self._told.values()):
                await self._tell_pins("expired")
            seen = signs

    async def refresh(self, reason: str = "unpinned") -> str:
        """Take over the file as it is now; return what is wrong with it, or nothing. ``reason`` is why pins are gone."""
        async with self._one_at_a_time:
            self._signs = await anyio.to_thread.run_sync(self._look)
            try:
                loaded = await anyio.to_thread.run_sync(self._load)
            except ConfigError as error:
                self._refuse(error)
                return self.refused
            self._existed = self._existed or bool(loaded.signs[0])
            self._signs = loaded.signs
            self._take_over(loaded)
            await self._tell_pins(reason)
        return ""

    # ------------------------------------------------------------------------------------------------ taking over

    def _load(self) -> Loaded:
        return load(self._paths, self._environ, must_exist=self._existed, echo=self.loaded.echo)

    def _take_over(self, loaded: Loaded) -> None:
        before, self.loaded = self.loaded, loaded
        self.refused = ""
        keys = tuple(_other_keys(before.providers, loaded.providers))
        if before.digest == loaded.digest and not keys:
            return
        self._swap(loaded)
        names = changed(before.config, loaded.config, keys)
        self.pending = restart = after_restart(self._at_start, loaded.config)
        self._log.info("the configuration has changed", changed=names, restart=restart)
        fact = ConfigChanged(
            digest=loaded.digest, changed=names, restart=restart, default_provider=loaded.config.default_provider
        )
        self._tell(_SUBJECT, fact, None)

    def _refuse(self, error: ConfigError) -> None:
        said = f"{error}; the configuration before it stays in force"
        if said == self.refused:
            return
        self.refused = said
        self._log.warning("a changed configuration cannot be used", reason=str(error))
        fact = ConfigRefused(
            file=error.file, line=error.line, key=error.key[:300], problem=error.problem[:300], advice=error.advice[:300]
        )
        self._tell(_SUBJECT, fact, None)

    # ------------------------------------------------------------------------------------------------ pins

    async def _tell_pins(self, reason: str, *, again: bool = False) -> None:
        """Tell what is pinned now and was not, and the other way round; ``again``: tell what is pinned in any case."""
        now, pins = self.time, {(pin.kind, pin.target): pin for pin in self.loaded.config.pins}
        living = {key: pin for key, pin in pins.items() if not is_expired(pin, now)}
        before, self._told = self._told, living
        for kind, target in before.keys() - living.keys():
            why = "expired" if (kind, target) in pins else reason
            if (kind, target) not in pins and is_expired(before[kind, target], now):
                why = "expired"
            self._tell(_pin_subject(kind, target), PinRemoved(kind=kind, target=target, reason=why), None)
        for key, pin in living.items():
            if again or before.get(key) != pin:
                self._tell(_pin_subject(*key), _placed(pin), None)
        if before.keys() != living.keys():
            await anyio.to_thread.run_sync(self._remember, sorted(living))

    def _told_before(self) -> list[Key]:
        try:
            raw = self._remembered.read_bytes()
            return [] if len(raw) > _LARGEST else msgspec.json.decode(raw, type=list[Key])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.MsgspecError) as error:
            self._log.warning("which pins were told is not known any more", reason=str(error))
            return []

    def _remember(self, told: list[Key]) -> None:
        try:
            write_atomic(self._remembered, orjson.dumps(told))
        except OSError as error:
            self._log.warning("which pins were told cannot be kept", reason=str(error))

    @property
    def _remembered(self) -> Path:
        return self._paths.checkpoints / _FILE

    # ------------------------------------------------------------------------------------------------ looking

    def _look(self) -> _Signs:
        """Return what changes when the file does, or one that a key is read from."""
        return (_signs(self._paths.config_file), *_key_signs(self.loaded.config))


def _key_signs(config: Config) -> _Signs:
    files = {one.key[5:] for one in config.providers.values() if one.key.startswith("file:")}
    return tuple(_signs(Path(file)) for file in sorted(files))


def _signs(file: Path) -> tuple[int, ...]:
    try:
        facts = os.stat(file)  # noqa: PTH116 - through symlinks, and nothing else
    except OSError:
        return ()
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_mode)


def _other_keys(before: Providers, after: Providers) -> list[str]:
    return [
        name
        for name, upstream in after.upstreams.items()
        if (old := before.upstreams.get(name)) is not None
        and (None if old.key is None else old.key.reveal()) != (None if upstream.key is None else upstream.key.reveal())
    ]


def _placed(pin: Pin) -> PinPlaced:
    return PinPlaced(
        kind=pin.kind,
        target=pin.target,
        provider=pin.provider,
        model=pin.model,
        on_failure=pin.on_failure,
        expires="" if pin.expires is None else rfc3339(pin.expires),
    )


def _pin_subject(kind: PinKind, target: str) -> str:
    return subject("session", target) if kind == "session" else subject("pin", kind)
