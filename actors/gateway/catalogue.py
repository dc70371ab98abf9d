"""Answers which models there are: asks the providers that serve the caller's API, remembers for a while, puts lists together.

Theory of operation
-------------------
A request for models is performed here, beside the exchange: through the same door, without attribution, and no fact is told.
What the configuration names (``models``, ``aliases``) is told as it stands; a provider that names no models is asked with its
own key, through the gateway's own connections, within a deadline, and its list is remembered. Providers are asked at once, and
a question that is under way is shared by those who come meanwhile. One that does not answer is left out, visibly: the answer
says so in a header, and the log does.

A provider that wants the caller's own login has the login's own list: when it is the default, the whole request is passed on to
it instead (``passes_on``); otherwise it is asked for nothing, since the caller's login is for no other request than its own.

A shell. Must not know how a list is written.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, Literal

import anyio

from actors.gateway import dialect, limits
from actors.gateway.admission import Door, Refusal, check_head, check_method
from actors.gateway.answers import Answer
from actors.gateway.head import Head
from actors.gateway.identity import Identity
from actors.gateway.models import ASKED, SPOKEN, Entry, NotAListError, Shape, Wanted, answer, entry_of, put_together, read_list
from actors.gateway.moves import Problem
from actors.gateway.own_answer import OwnAnswer
from actors.gateway.providers import DISABLED, Providers, Upstream
from actors.gateway.route_terms import Listing
from actors.gateway.server import CallerConnection
from actors.gateway.upstream import UpstreamError, UpstreamPool, request_head
from actors.runtime.http.intake import Request
from schemas.config import ECHO, ServedDialect

_MISSING: Final = "x-tabwire-models-missing"
_HEADER: Final = 1000
_OK: Final = 200
_GONE: Final = ("unknown", "ended")


class NoListError(Exception):
    """A provider's list that is not to be had; the message says why, in words of ours."""


class _Asking:
    """One question on a connection to a provider."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._body: list[bytes] = []
        self._size = 0

    def answered(self, answer: Answer) -> None:
        """Take the head."""
        self._status = answer.status

    def came(self, body: bytes, *, ended: bool) -> None:
        """Take what came of the list, up to a bound."""
        self._size += len(body)
        self._body.append(body)
        if self.done.done():
            return
        if self._size > limits.JSON_ANSWER:
            self.done.set_exception(NoListError(f"its list is larger than {limits.JSON_ANSWER} bytes"))
        elif ended:
            self.done.set_result((self._status, b"".join(self._body)))

    def failed(self, problem: Problem | Literal["stale"]) -> None:
        """Learn that there is none."""
        if not self.done.done():
            self.done.set_exception(NoListError(f"the connection was {problem}"))


class _Kept:
    """What a provider said, or why it did not, and until when that counts; a task while it is being asked."""

    __slots__ = ("entries", "problem", "task", "until", "upstream")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.task: asyncio.Task[None] | None = None
        self.entries: tuple[Entry, ...] = ()
        self.problem = ""
        self.until = 0.0


class Catalogue:
    """The lists of all providers."""

    def __init__(self, pool: UpstreamPool, log: Any) -> None:
        self._pool = pool
        self._log = log
        self._kept: dict[tuple[str, Shape], _Kept] = {}

    async def find(self, providers: Providers, asked: Wanted) -> tuple[tuple[Entry, ...], dict[str, str]]:
        """Return the models for a caller, the default provider's first, and which providers are missing, and why."""
        shape = asked.shape
        if shape == "codex":
            return (), {}
        missing: dict[str, str] = {}
        told: dict[str, _Kept | None] = {}
        for name, listing in _serving(providers, shape):
            if listing.problem:
                missing[name] = listing.problem
            elif listing.models:
                told[name] = None
            elif listing.passthrough:
                missing[name] = "it takes the caller's own login, and no models are configured for it"
            else:
                told[name] = self._ask(providers.upstreams[name], listing, shape)
        tasks = [kept.task for kept in told.values() if kept is not None and kept.task is not None]
        if tasks:
            await asyncio.wait(tasks)
        lists = []
        for name, kept in told.items():
            if kept is not None and kept.problem:
                missing[name] = kept.problem
            listing = providers.table.listings[name]
            configured = tuple(entry_of(shape, model, name) for model in (*listing.models, *listing.aliases))
            lists.append((*(() if kept is None else kept.entries), *configured))
        return put_together(shape, lists), missing

    def _ask(self, upstream: Upstream, listing: Listing, shape: Shape) -> _Kept:
        """Return what is remembered of a provider, or begin to ask it."""
        kept = self._kept.get((upstream.name, shape))
        if kept is None or kept.upstream != upstream or (kept.task is None and kept.until <= time.monotonic()):
            kept = self._kept[upstream.name, shape] = _Kept(upstream)
            spoken = next(name for name in SPOKEN[shape] if name in listing.dialects)
            kept.task = asyncio.get_running_loop().create_task(self._fill(kept, spoken, shape))
        return kept

    async def _fill(self, kept: _Kept, spoken: ServedDialect, shape: Shape) -> None:
        name = kept.upstream.name
        try:
            with anyio.fail_after(limits.MODELS_DEADLINE):
                kept.entries = read_list(shape, await self._fetch(kept.upstream, spoken, shape))
        except TimeoutError:
            kept.problem = f"it did not answer within {limits.MODELS_DEADLINE:g} s"
        except UpstreamError as error:
            kept.problem = f"it did not answer: {error}"
        except (NoListError, NotAListError) as error:
            kept.problem = str(error)
        except Exception as error:  # noqa: BLE001 - one provider's list breaks, not the others'; the log says why
            kept.problem = "the gateway failed over its list; see its log"
            self._log.error("a list of models broke the gateway", provider=name, exc_info=error)
        if kept.problem:
            self._log.warning("a provider's models are not listed", provider=name, reason=kept.problem)
        kept.until = time.monotonic() + (limits.MODELS_FAILED_KEPT if kept.problem else limits.MODELS_KEPT)
        kept.task = None

    async def _fetch(self, upstream: Upstream, spoken: ServedDialect, shape: Shape) -> bytes:
        """Ask a provider for its list.

        Raises:
            NoListError, UpstreamError: it is not to be had.

        """
        path, own = ASKED[shape]
        origin = self._pool.origin(upstream.base_for(spoken))
        fields = [("accept", dialect.JSON), ("accept-encoding", "identity"), *own]
        fields += [*upstream.credentials(spoken), *upstream.fields]
        head = request_head(origin, "GET", path, fields, b"")
        connection = await self._pool.dial(upstream, origin)  # a kept one may be stale
        asking = _Asking()
        connection.send(asking, head, b"", bodiless=False)
        try:
            status, body = await asking.done
        except BaseException:
            connection.close()
            raise
        if status != _OK:
            raise NoListError(f"it answered {status} to GET {path}")
        return body


def _serving(providers: Providers, shape: Shape) -> list[tuple[str, Listing]]:
    """Return the providers whose models a caller may ask for, the default first; the echo only as the default."""
    listings = providers.table.listings
    order = sorted(listings, key=lambda name: name != providers.default)
    return [
        (name, listings[name])
        for name in order
        if serves(listings[name], shape) and listings[name].problem != DISABLED and (name != ECHO or name == providers.default)
    ]


def serves(listing: Listing, shape: Shape) -> bool:
    """Tell whether a caller of a shape can speak to a provider."""
    return any(name in listing.dialects for name in SPOKEN[shape])


def passes_on(providers: Providers, asked: Wanted) -> bool:
    """Tell whether the default provider is to answer itself, from the caller's own login."""
    listing = providers.table.listings.get(providers.default)
    return listing is not None and listing.passthrough and not listing.problem and serves(listing, asked.shape)


class ListOfModels(OwnAnswer):
    """One request for models."""

    __slots__ = ("_asked", "_catalogue", "_door", "_identity", "_providers")

    def __init__(
        self,
        line: CallerConnection,
        request: Request,
        head: Head,
        asked: Wanted,
        *,
        catalogue: Catalogue,
        providers: Providers,
        door: Door,
        identity: Identity,
    ) -> None:
        super().__init__(line, request, head)
        self._asked = asked
        self._catalogue = catalogue
        self._providers = providers
        self._door = door
        self._identity = identity

    def start(self) -> None:
        """Refuse, or find out."""
        refusal = check_method(self._head) or check_head(self._door, self._head, self._line.acquaintance.kernel)
        if refusal is not None:
            self.refuse(refusal)
        else:
            self.find(self._find())

    async def _find(self) -> None:
        try:
            if self._head.target.token is not None and await self._token_refused():
                text = "this launch token is not known here, or its launch has ended; start the agent again with `tabwire run`"
                status = dialect.policy_status(self._head.dialect)
                self.refuse(Refusal(status, "unknown_launch", text))
                return
            entries, missing = await self._catalogue.find(self._providers, self._asked)
            status, body = answer(self._asked, entries)
        except Exception as error:  # noqa: BLE001 - one request breaks, not the gateway; the log says why
            self._line.log_exception(error)
            self.refuse(Refusal(500, "internal", "the gateway failed; see its log", close=True))
            return
        told = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        plain = told.encode("ascii", "replace").decode()[:_HEADER]
        self.say(status, body, ((_MISSING, plain),) if plain else ())

    async def _token_refused(self) -> bool:
        _, standing = await self._identity.standing(self._line.acquaintance, self._head.target.token)
        return standing.worth in _GONE
