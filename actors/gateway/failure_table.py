"""The failure table as data: what each agent is sent for every failure of a provider, and what it does then.

Theory of operation
-------------------
An agent decides by status, code and a few fields whether it tries again, and what it shows. So a failure is first named
(``Row.failure``), and then answered in the way that makes this agent do what is right: tell its user the truth (who failed,
what was said, what to do), try again where that can help, not where it cannot, never wait without end, and never have paid
twice what was paid once. ``ROWS`` holds all of it, with what was observed with Codex 0.169 and Claude Code 2.1.329:

- Codex shows a 400 at once, the whole body; tries 5xx thirty times in 25 s (hiding the words of a 500), any other 4xx six times
  in 7 s; a 429 without Retry-After is the end, one with it is tried six times at that distance.
- Claude Code takes 402, 403 (which it calls a failed login), 410, 424 and the like for an answer and shows their words; sends a
  400 and 422 six times at once; tries 401, 408, 429 and 5xx up to ten times, unless ``x-should-retry: false`` forbids it; takes
  every 404 for an unknown model.

A row is one failure; the comment above it says why it is answered so. ``markdown`` writes the table for README.

Pure. Must not know how a failure is found out.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.gateway.dialect import SHOWN_PLAINLY
from actors.runtime.http.fields import Pair
from schemas.events import Dialect

Words = Literal["theirs", "named", "ours"]

_NO_RETRY: Final = (("x-should-retry", "false"),)
PAUSE: Final = 5  # seconds between Codex's tries when its provider named none


class Way(Struct, frozen=True):
    """How one agent is told, and what it ``does`` then.

    ``status`` None: as it came. ``words``: the body as it came, its message under the provider's name, or words of our own.
    ``sent`` is for people, where a status does not say it.
    """

    does: str
    status: int | None = None
    words: Words = "theirs"
    fields: tuple[Pair, ...] = ()
    code: str = ""
    sent: str = ""


class Row(Struct, frozen=True):
    """One failure, as people call it, and the ways of telling it."""

    failure: str
    title: str
    codex: Way
    claude: Way
    chat: Way
    gemini: Way
    todo: str = ""

    def way(self, dialect: Dialect) -> Way:
        """Return the way for a caller's dialect."""
        if dialect == "openai.responses":
            return self.codex
        if dialect == "anthropic.messages":
            return self.claude
        return self.gemini if dialect == "gemini.generate" else self.chat


_AS_IT_CAME: Final = Way("by its own rules")
_ONCE: Final = Way("shows it at once", 400, "named", code=SHOWN_PLAINLY)

ROWS: Final = (
    # The caller's own mistake, and Claude Code's way of finding out which beta features are not known: nothing to better.
    Row(
        "bad_request",
        "400",
        Way("shows it word for word, at once"),
        Way("sends it again five times at once, without beta features, then shows it"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Codex tries a 422 six times; nothing but another request can help.
    Row("unprocessable", "422", _ONCE, Way("as with a 400"), _AS_IT_CAME, _AS_IT_CAME),
    # Our key is wrong: no login of the agent can help, so it must not look like one that could be renewed. A 403 is what
    # Claude Code calls a failed authentication, which it is. The provider's words are left out: they may repeat the key.
    Row(
        "auth",
        "401 or 403 on Tabwire's key",
        _ONCE,
        Way("shows it at once as a failed authentication", 403, "named"),
        Way("shows it at once", 400, "named"),
        Way("shows it at once", 400, "named"),
        todo="check its key in config.toml",
    ),
    # The agent's own login: it alone can renew it, does so when it sees the 401, and knows its provider's quotas.
    Row(
        "login",
        "401, 403 or a used-up quota on the agent's own login",
        Way("renews its login, or shows when the quota resets"),
        Way("renews its login, or shows when the quota resets"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Nothing is to be had before a day or a payment. Codex knows two codes and shows fine words for them; it tries a 402 six
    # times, and waits six times as long as a Retry-After says.
    Row(
        "quota",
        "402, or 429 of a used-up quota",
        Way("shows it at once, with the time of the reset", 400, "named", code=SHOWN_PLAINLY),
        Way("shows it at once", 429, "named", _NO_RETRY),
        Way("shows it", 429, "named", _NO_RETRY),
        _AS_IT_CAME,
        todo="choose another provider with `tabwire pin`",
    ),
    Row(
        "quota_known",
        "429 `usage_limit_reached`, `insufficient_quota`",
        Way("shows it at once, in words of its own"),
        Way("shows it at once", 429, "named", _NO_RETRY),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Without Retry-After Codex gives up at the first one; with it, it waits and tries five times more.
    Row(
        "rate",
        "429 of too many requests",
        Way(f"tries five times more, as far apart as Retry-After says ({PAUSE} s when the provider says nothing)"),
        Way("tries up to ten times more; gives up at once when told to wait for minutes"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Codex shows the message of exactly this code at once and takes every other 404 for a passing trouble. Gemini CLI once sent
    # 66,430 requests in 98 s for a 404.
    Row(
        "unknown_model",
        "404 of an unknown model",
        Way("shows it at once", 404, "named", code="model_not_found"),
        Way("asks once more without streaming, then says that the model may not exist"),
        _AS_IT_CAME,
        Way("shows it", 400, "named"),
    ),
    # A wrong address: Claude Code would blame the model for it.
    Row(
        "not_found",
        "404 of anything else",
        _ONCE,
        Way("shows it at once", 424, "named"),
        _AS_IT_CAME,
        Way("shows it", 400, "named"),
        todo="check its base_url in config.toml",
    ),
    # Megabytes six times over for nothing; Claude Code has words of its own for a 413, and makes the conversation smaller.
    Row("too_large", "413", _ONCE, Way("says how to make the conversation smaller"), _AS_IT_CAME, _AS_IT_CAME),
    # The words of a 500 are hidden by Codex ("high demand"), those of a 502 are not; both are tried as often.
    Row(
        "server",
        "500",
        Way("tries thirty times within 25 s, then shows it", 502, "named"),
        Way("tries up to ten times more, then shows it", None, "named"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Often a page of HTML of somebody in between: said in words that name the provider.
    Row(
        "gateway",
        "502, 503",
        Way("tries thirty times within 25 s, then shows it", None, "named"),
        Way("tries up to ten times more, then shows it", None, "named"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Codex does not know a 529; with the code of OpenAI's own overload it would hide who is overloaded.
    Row(
        "overloaded",
        "529, 503 of an overload",
        Way("tries thirty times within 25 s, then shows it", 503, "named"),
        Way("gives up after three requests: at capacity"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    Row(
        "capacity",
        "503 `server_is_overloaded`",
        Way("tries five times within 3 s, then says: at capacity"),
        Way("gives up after three requests: at capacity"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # Codex waits before each of its thirty tries as long as a 503 says: minutes become an hour. A 429 it tries six times.
    Row(
        "pause",
        f"5xx with a Retry-After of more than {PAUSE} s",
        Way("tries five times more, as far apart as it says", 429, "named"),
        Way("waits as long, up to ten times", None, "named"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    Row(
        "long_pause",
        "5xx with a Retry-After of more than three minutes",
        _ONCE,
        Way("shows it at once", None, "named", _NO_RETRY),
        _AS_IT_CAME,
        _AS_IT_CAME,
        todo="choose another provider with `tabwire pin`, or wait",
    ),
    # Whoever gave up waiting does not know whether the model went on, and is paid for it: a person decides about once more.
    Row(
        "gateway_timeout",
        "504, 524",
        _ONCE,
        Way("shows it at once", 504, "named", _NO_RETRY),
        Way("shows it", 400, "named"),
        Way("shows it", 400, "named"),
        todo="it may have cost already; send it again if you want",
    ),
    # Rare, and unlike each other.
    Row(
        "other",
        "any other 4xx",
        Way("tries six times within 7 s, then shows it", None, "named"),
        Way("shows it at once (408 and 409: tries again)", None, "named"),
        _AS_IT_CAME,
        _AS_IT_CAME,
    ),
    # ---- found by the gateway, before it sent any of an answer
    # Nothing was sent, so nothing was paid: to try again is free, and often helps when a local server starts.
    Row(
        "unreachable",
        "refuses the connection, cannot be reached, has no valid certificate",
        Way("tries thirty times within 25 s, then shows it", 502, "ours"),
        Way("tries up to ten times more, then shows it", 502, "ours"),
        Way("by its own rules", 502, "ours"),
        Way("by its own rules", 502, "ours"),
    ),
    # Free as well, but each try lasts as long as connect_timeout: thirty of them are minutes, six are half of one.
    Row(
        "connect_timeout",
        "does not take the connection in time",
        Way("tries six times, then shows it", 424, "ours"),
        Way("tries up to ten times more, then shows it", 504, "ours"),
        Way("by its own rules", 504, "ours"),
        Way("by its own rules", 504, "ours"),
    ),
    # It may have begun to work; six times is what Codex does by itself with a stream that is cut.
    Row(
        "cut",
        "breaks the connection before its answer, or answers in no HTTP",
        Way("tries six times within 7 s, then shows it", 424, "ours"),
        Way("tries up to ten times more, then shows it", 502, "ours"),
        Way("by its own rules", 502, "ours"),
        Way("by its own rules", 502, "ours"),
    ),
    # A mistake in the configuration: no repetition can help.
    Row(
        "redirect",
        "redirects elsewhere",
        Way("shows it at once", 400, "ours"),
        Way("shows it at once", 424, "ours"),
        Way("shows it", 400, "ours"),
        Way("shows it", 400, "ours"),
    ),
    # The model may be at work and be paid for it, and each try lasts as long again.
    Row(
        "first_byte_timeout",
        "is silent until first_byte_timeout",
        Way("shows it at once", 400, "ours"),
        Way("shows it at once", 504, "ours", _NO_RETRY),
        Way("shows it", 400, "ours"),
        Way("shows it", 400, "ours"),
    ),
    # ---- found in an answer that has begun: ended with the dialect's own error event, never as if it were whole. Torn behind
    # that event, Claude Code would not see it, and stream ten times more.
    Row(
        "stream",
        "breaks off or falls silent in the middle of its answer",
        Way("tries five times more, then shows it", words="ours", sent="`response.failed`"),
        Way("asks once more without streaming, then shows it", words="ours", sent="`error` event"),
        Way("by its own rules", words="ours", sent="an error event"),
        Way("by its own rules", words="ours", sent="an error event"),
    ),
    # Its own words, and each agent has rules for them (a context that is too long, a quota, an overload).
    Row("error_event", "tells of an error in a stream that has begun", _AS_IT_CAME, _AS_IT_CAME, _AS_IT_CAME, _AS_IT_CAME),
)


def markdown() -> str:
    """Write the table as README shows it."""
    lines = [
        "| the provider | Codex is sent → and | Claude Code is sent → and | others are sent |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        chat, gemini = _sent(row.chat), _sent(row.gemini)
        others = chat if chat == gemini else f"{chat}; Gemini: {gemini}"
        title = f"answers {row.title}" if row.title[:1].isdigit() or row.title.startswith("any") else row.title
        lines.append(f"| {title} | {_cell(row.codex)} | {_cell(row.claude)} | {others} |")
    return "\n".join(lines) + "\n"


def _sent(way: Way) -> str:
    if way.sent or (way.words == "theirs" and way.status is None):
        return way.sent or "as it came"
    status = "the same status" if way.status is None else str(way.status)
    return f"{status}{f' `{way.code}`' if way.code else ''}{', no retry' if way.fields else ''}"


def _cell(way: Way) -> str:
    return f"{_sent(way)} → {way.does}"
