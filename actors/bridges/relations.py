"""Sessions that come from others: a fork, a review, and what a review found on its way back.

Must not know what is said to a reviewer (``review``), nor how a session's past is found (``pasts``).
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from actors.bridges import pasts, review
from actors.bridges.beginning import begin
from actors.bridges.joining import attach
from actors.bridges.pasts import Known
from actors.bridges.shell import Hub
from actors.bridges.terms import Sent, Session, Wish
from actors.transcripts.pieces import reply_of
from bus.client import RefusedError
from schemas.commands import ReviewSession
from schemas.events.bridges import TurnId

_GIT_SECONDS: Final = 10.0
_QUIET: Final = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}
# What a repository's own configuration could have git run is switched off: its owner may be anybody.
_GIT: Final = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager")
_MOST: Final = 4 * review.MAX_DIFF
_BY: Final = "review"


async def fork(hub: Hub, one: Session) -> Session:
    """Start a session that begins with the conversation of another.

    Raises:
        RefusedError: there is nothing to fork yet, the agent cannot, or a session cannot begin.

    """
    if "fork" not in one.can:
        raise RefusedError("unsupported", f"{one.wish.agent} cannot fork a conversation")
    if not one.conversation or not one.turns:
        raise RefusedError("too_early", "nothing was said in it yet: start a new session instead")
    wish = replace(one.wish, provider=one.provider, model=one.model, resume=one.conversation, fork=True)
    return await begin(hub, wish, one.session, "forks")


async def start_review(hub: Hub, command: ReviewSession) -> Session:
    """Start a reviewer, and give it what is to be reviewed as soon as that is put together.

    Raises:
        RefusedError: there is no such session, nothing is known of where it worked, or the reviewer cannot begin.

    """
    if command.against and not review.is_revision(command.against):
        raise RefusedError("invalid", f"against: {command.against!r} is no revision")
    parent = await pasts.known(hub, command.session)
    if not parent.cwd:
        raise RefusedError("invalid", f"{parent.session}: the folder that it worked in is not known")
    wish = Wish(agent=command.agent, cwd=parent.cwd, provider=command.provider, model=command.model, environ=command.environ)
    if (
        parent.driven is not None and parent.driven.wish.attach is None
    ):  # what its agent needed to be found and to work here, a reviewer may need too
        own = parent.driven.wish
        environ = {**command.environ, **own.environ}
        wish = replace(wish, environ=environ, program=own.program if own.agent == command.agent else "")
    text = review.prompt(await _work(hub, parent, command))
    child = await begin(hub, wish, parent.session, "reviews")
    given = partial(Sent, message=f"review-{child.launch}", text=text, by=_BY)
    return await hub.ask(child.launch, lambda ask: given(ask=ask))


async def send_back(hub: Hub, child: Session) -> Session:
    """Give the last answer of a review to the session that it reviews.

    Raises:
        RefusedError: it is no review, has not answered yet, or there is no way to its parent.

    """
    if child.relation != "reviews" or child.parent is None:
        raise RefusedError("invalid", f"{child.session} is no review: nothing says where its answer would go")
    if child.running is not None or child.messages:
        raise RefusedError("in_use", f"{child.session} still works; its findings are its last answer")
    turn, text = await _last_answer(hub, child)
    parent = await attach(hub, child.parent)
    message = f"findings-{child.launch}-{turn}"[-128:]
    given = partial(Sent, message=message, text=review.findings(child.wish.agent, child.session, text), by=_BY)
    return await hub.ask(parent.launch, lambda ask: given(ask=ask))


async def _last_answer(hub: Hub, child: Session) -> tuple[TurnId, str]:
    turns = child.past
    if not any(reply_of(turn) for turn in turns):  # the hub may not have seen them: it was started again
        turns = (await pasts.show(await pasts.known(hub, child.launch), limit=review.MAX_TURNS, before="")).turns
    for turn in reversed(turns):
        if text := reply_of(turn):
            return turn.turn, text
    raise RefusedError("too_early", f"{child.session} has not answered yet")


async def _work(hub: Hub, parent: Known, command: ReviewSession) -> review.Work:
    """Put together what a reviewer is told."""
    no_turns = ""
    try:
        told = await pasts.show(parent, limit=review.MAX_TURNS, before="")
        turns, no_turns = told.turns, told.note
    except RefusedError as error:
        turns, no_turns = (), error.message
    diff, no_diff = await _git(
        hub, parent.cwd, "diff", "--no-color", "--no-ext-diff", "--no-textconv", command.against or "HEAD", "--"
    )
    if no_diff and command.against:
        raise RefusedError("invalid", f"against {command.against!r}: {no_diff}")
    untracked, _ = ("", "") if no_diff else await _git(hub, parent.cwd, "ls-files", "--others", "--exclude-standard")
    return review.Work(
        session=parent.session,
        agent=parent.agent,
        cwd=parent.cwd,
        diff=diff,
        no_diff=no_diff,
        untracked=untracked,
        against=command.against,
        turns=turns,
        no_turns=no_turns,
        instructions=command.instructions,
    )


async def _git(hub: Hub, cwd: str, *arguments: str) -> tuple[str, str]:
    """Ask git; return what it says, or why it says nothing."""
    program = shutil.which("git")
    if program is None:
        return "", "git is not installed"
    environ = {**os.environ, **_QUIET}
    try:
        code, told, complained = await hub.children.output(
            (program, *_GIT, *arguments), environ=environ, cwd=Path(cwd), deadline=_GIT_SECONDS, most=_MOST
        )
    except OSError as error:
        return "", f"git cannot be asked: {error.strerror}"
    if code is None:
        return "", f"git did not answer within {_GIT_SECONDS:g} s"
    if code != 0:
        words = complained.decode(errors="replace").strip().splitlines()
        return "", f"git says: {words[0][:200] if words else f'code {code}'}"
    return told.decode(errors="replace"), ""
