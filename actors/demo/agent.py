"""A small sample agent: a terminal program that sends a prompt, shows the answer as it streams, and goes on to the next.

Run by ``tabwire up --demo`` and by hand: ``python -m actors.demo.agent --base-url http://127.0.0.1:8129/v1 --turns 2``.
It ends by itself: after its turns, at the end of its lifetime, when its terminal goes away, or when the gateway has been
away for some seconds. Exit codes: 0 done, 1 a turn failed or no gateway, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from uuid import uuid4

import anyio
import anyio.to_thread
import httpx

from actors.demo.cast import BASE_URL_VARIABLE, GO_SECONDS, LIFETIME, MODULE
from actors.demo.dialogue import Answer, body, headers, hear, refusal

MAX_LIFETIME = 3600.0
GATEWAY_AWAY_SECONDS = 5.0
GATEWAY_CHECK_SECONDS = 1.0
TERMINAL_CHECK_SECONDS = 1.0
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_PROMPTS = ("Hello, is anybody there?", "What did I say before?", "Thank you.")
_HISTORY = 8


class GatewayAwayError(Exception):
    """There is no gateway to work with; the message says since when."""


class TerminalGoneError(Exception):
    """There is nobody left to work for."""


class Agent:
    """One agent at work: its options, what was said, and how it went."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._prompts: Sequence[str] = options.prompt or _PROMPTS
        self._cache_key = options.conversation or str(uuid4())
        self._history: tuple[tuple[str, str], ...] = ()
        self._failures = 0

    async def work(self) -> int:
        """Work until done and return the exit code."""
        options = self._options
        say(f"demo agent {options.name} · conversation {options.conversation or 'unnamed'} · tab {_tab()}")
        if options.await_go and not await _told_to_go():
            say(f"  nobody said go within {GO_SECONDS:g} s")
            return 1
        if options.turns == 0:
            say("  ready; waiting for a first prompt")
            await self._outlast_gateway()
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            for turn in count() if options.turns is None else range(options.turns):
                if turn:
                    await anyio.sleep(options.pace)
                await self._turn(client, self._prompts[turn % len(self._prompts)])
        return 1 if self._failures else 0

    async def _outlast_gateway(self) -> None:
        """Stay until the gateway has been away for too long, without a request that would make this session known.

        Raises:
            GatewayAwayError: it stayed away.

        """
        place = httpx.URL(self._options.base_url)
        last_seen = time.monotonic()
        while time.monotonic() - last_seen <= GATEWAY_AWAY_SECONDS:
            with suppress(OSError), anyio.move_on_after(GATEWAY_CHECK_SECONDS):
                async with await anyio.connect_tcp(place.host, place.port or 80):
                    last_seen = time.monotonic()
            await anyio.sleep(GATEWAY_CHECK_SECONDS)
        raise GatewayAwayError(f"the gateway has been away for {GATEWAY_AWAY_SECONDS:g} s")

    async def _turn(self, client: httpx.AsyncClient, prompt: str) -> None:
        say(f"> {prompt}")
        begun = time.monotonic()
        try:
            answer = await self._ask(client, prompt)
        except httpx.TransportError as error:
            answer = Answer(problem=f"the stream broke off: {error or type(error).__name__}")
        if answer.end == "completed":
            self._history = (*self._history, ("user", prompt), ("assistant", answer.text))[-_HISTORY:]
        else:
            self._failures += 1
            say(f"  ✗ {answer.problem or 'the stream ended without an end'}")
        say(
            f"  {answer.events} events · {answer.input_tokens} tokens in ({answer.cached_tokens} cached),"
            f" {answer.output_tokens} out · {time.monotonic() - begun:.1f} s"
        )

    async def _ask(self, client: httpx.AsyncClient, prompt: str) -> Answer:
        """Send one prompt, as often as it takes for the gateway to be there, and show the answer.

        Raises:
            GatewayAwayError: it stayed away.
            httpx.TransportError: the answer broke off.

        """
        content = body(self._history, prompt, self._cache_key)
        url = self._options.base_url.rstrip("/") + "/responses"
        away_since = time.monotonic()
        for delay in (min(0.2 * 2**attempt, 5.0) for attempt in count()):
            try:
                async with client.stream("POST", url, content=content, headers=headers(self._options.conversation)) as response:
                    return await _show(response)
            except httpx.ConnectError as error:
                if time.monotonic() - away_since > GATEWAY_AWAY_SECONDS:
                    raise GatewayAwayError(f"the gateway has been away for {GATEWAY_AWAY_SECONDS:g} s") from error
                say("  … waiting for the gateway")
                await anyio.sleep(delay)
        raise AssertionError("count() never ends")


async def _show(response: httpx.Response) -> Answer:
    if response.status_code != httpx.codes.OK:
        return Answer(problem=refusal(response.status_code, await response.aread()))
    answer = Answer()
    async for line in response.aiter_lines():
        answer, text = hear(answer, line)
        if text:
            say(text if answer.text != text else f"  {text}", end="")
    say("")
    return answer


def say(text: str, end: str = "\n") -> None:
    """Print for people, at once.

    Raises:
        TerminalGoneError: nobody can read it any more.

    """
    try:
        print(text, end=end, flush=True)  # noqa: T201  # a terminal program
    except OSError as error:
        raise TerminalGoneError("the terminal is gone") from error


def _tab() -> str:
    return os.environ.get("WT_SESSION", "")[:8] or "unknown"


async def _told_to_go() -> bool:
    with anyio.move_on_after(GO_SECONDS):
        return await anyio.to_thread.run_sync(os.read, 0, 64, abandon_on_cancel=True) == b"go\n"
    return False


def _terminal_is_there() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


async def _watch_terminal() -> None:
    """Return never when there is no terminal, otherwise raise when it goes away.

    Raises:
        TerminalGoneError: the controlling terminal was hung up; a process in the background gets no signal for it.

    """
    if not _terminal_is_there():
        return
    while _terminal_is_there():  # noqa: ASYNC110  # the kernel has no event for this that a background process gets
        await anyio.sleep(TERMINAL_CHECK_SECONDS)
    raise TerminalGoneError("the terminal is gone")


async def _live(options: argparse.Namespace) -> int:
    """Work within the lifetime and no longer than the terminal is there."""
    code = 0
    try:
        with anyio.move_on_after(options.lifetime):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch_terminal)
                code = await Agent(options).work()
                tasks.cancel_scope.cancel()
    except* TerminalGoneError:
        code = 0
    except* GatewayAwayError as away:
        print(f"{options.name}: {away.exceptions[0]}", file=sys.stderr)  # noqa: T201  # a terminal program
        code = 1
    return code


def _bounded(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {low:g} to {high:g}, got {text}")
        return value

    return read


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description="A small sample agent.")
    default = os.environ.get(BASE_URL_VARIABLE)
    base_url = parser.add_argument("--base-url", default=default, help=f"where to send requests; default: {BASE_URL_VARIABLE}")
    base_url.required = default is None
    parser.add_argument("--name", default="demo", help="what it calls itself")
    parser.add_argument("--conversation", help="the conversation id that it sends as session-id and thread-id; default: none")
    parser.add_argument("--turns", type=int, help="how many prompts to send; default: until the lifetime ends")
    parser.add_argument("--pace", type=_bounded(0, MAX_LIFETIME), default=2.0, help="seconds between turns")
    parser.add_argument("--prompt", action="append", help="a prompt; may be repeated, they are taken in turn")
    parser.add_argument("--lifetime", type=_bounded(0.1, MAX_LIFETIME), default=LIFETIME, help="seconds after which it ends")
    parser.add_argument("--await-go", action="store_true", help="wait for the line 'go' on stdin before anything is sent")
    options = parser.parse_args(arguments)
    if options.turns is not None and options.turns < 0:
        parser.error("--turns: expected 0 or more")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run one agent and return its exit code."""
    options = _options(arguments)
    try:
        return anyio.run(_live, options)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
