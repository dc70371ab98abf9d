"""The commands about driven sessions, as people type them: ``chat``, ``agents``, ``bridges``, ``review``.

Registered by ``app``; each hands over to a module of its own, imported when it is used. Must not know how anything is done.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from actors.cli import complete
from actors.cli.failures import EXIT_CODES


class _Review(TyperGroup):
    """A group whose first word may also be a session: that starts a review of it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front of a session."""
        known = (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, [_START, *args] if args and args[0] not in known else args)


_START = "start"
bridges = typer.Typer(help="Driven sessions.", invoke_without_command=True, rich_markup_mode=None)
review = typer.Typer(
    cls=_Review,
    help="Have another agent review a session's work: tabwire review SESSION --with AGENT (more: review SESSION --help).",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON in a stable shape.")]
_Driven = Annotated[str, typer.Argument(help="A driven session: any unique prefix of its id.", autocompletion=complete.bridges)]
_Agent = Annotated[str | None, typer.Option(help="Which agent (tabwire agents).", autocompletion=complete.driven_agents)]
_Provider = Annotated[str | None, typer.Option(help="Send its requests to this provider.", autocompletion=complete.providers)]
_Model = Annotated[str | None, typer.Option(help="With this model.")]


def register(app: typer.Typer) -> None:
    """Make these commands some of ``tabwire``'s."""
    app.command(epilog=f"{EXIT_CODES} A prompt through a pipe: 0 completed, 1 failed, 130 interrupted.")(chat)
    app.command(epilog=EXIT_CODES)(agents)
    app.add_typer(bridges, name="bridges", epilog=EXIT_CODES)
    app.add_typer(review, name="review", epilog=EXIT_CODES)


def chat(  # noqa: PLR0917 - one parameter an option
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SESSION] [PROMPT]",
            help="A driven session and a prompt; with any option about a new session, only a prompt.",
            autocompletion=complete.bridges,
        ),
    ] = None,
    agent: _Agent = None,
    provider: _Provider = None,
    model: _Model = None,
    mode: Annotated[str | None, typer.Option(help="How much the agent may do unasked, in its own words.")] = None,
    cwd: Annotated[str | None, typer.Option(help="Its folder; otherwise this one.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with this past conversation of the agent.", autocompletion=complete.history)
    ] = None,
    program: Annotated[str | None, typer.Option(help="The agent's program, where it is not the first one on PATH.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=VALUE: a variable that the agent shall have. Repeatable.")
    ] = None,
    arg: Annotated[list[str] | None, typer.Option(help="A further argument of the agent's own. Repeatable.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave a session that a piped prompt began running.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON Lines.")] = False,
) -> None:
    """Talk with a driven session, an agent that Tabwire runs without its screen; leaving lets it go on.

    Without a session a new one begins, with Codex unless --agent says otherwise. Through a pipe: the prompt on stdin or as an
    argument, the answer on stdout; a session that was begun for it ends with it.
    """
    from actors.cli.chat import Start  # noqa: PLC0415 - every command imports only what it uses
    from actors.cli.chat import chat as talk  # noqa: PLC0415

    start = Start(agent, provider, model, mode, cwd, resume, program, env or (), arg or ())
    raise typer.Exit(talk(words or (), start, json=json, keep=keep))


def agents(json: _Json = False) -> None:
    """List the agents that can be driven: what was found on this computer, and what each can do."""
    from actors.cli.bridges import list_agents  # noqa: PLC0415

    list_agents(json=json)


@bridges.callback()
def bridges_list(context: typer.Context, json: _Json = False) -> None:
    """List driven sessions; they go on without anybody looking, until they are closed or idle for long."""
    if context.invoked_subcommand is None:
        from actors.cli.bridges import list_bridges  # noqa: PLC0415

        list_bridges(json=json)


@bridges.command("close", epilog=EXIT_CODES)
def bridges_close(session: _Driven, json: _Json = False) -> None:
    """End a driven session and all that it started, also in mid-turn."""
    from actors.cli.bridges import close  # noqa: PLC0415

    close(session, json=json)


@bridges.command("reset", epilog=f"{EXIT_CODES} Here 1 also means that one of them works.")
def bridges_reset(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Whose driven sessions.")],
    agent: Annotated[str, typer.Option(help="Only this agent's.", autocompletion=complete.driven_agents)] = "",
    force: Annotated[bool, typer.Option("--force", help="Also those in the middle of a turn.")] = False,
    json: _Json = False,
) -> None:
    """End a folder's driven sessions; refused while one works."""
    from actors.cli.bridges import reset  # noqa: PLC0415

    reset(folder, agent=agent, force=force, json=json)


@review.command(_START, hidden=True, epilog=EXIT_CODES)
def review_start(  # noqa: PLR0917 - one parameter an option
    session: Annotated[
        str, typer.Argument(help="Whose work: any unique prefix of a session's id.", autocompletion=complete.sessions)
    ],
    instructions: Annotated[str, typer.Argument(help="What to look at in particular.")] = "",
    agent: Annotated[str, typer.Option("--with", help="The agent that reviews.", autocompletion=complete.driven_agents)] = "",
    against: Annotated[str, typer.Option(help="Compare with this revision of git; otherwise what is not committed.")] = "",
    provider: _Provider = None,
    model: _Model = None,
    json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON Lines.")] = False,
) -> None:
    """Start a review and show it: the folder's changes, the session's last turns, and your instructions go to the agent."""
    from actors.cli.failures import USAGE, CommandFailedError  # noqa: PLC0415
    from actors.cli.review import start  # noqa: PLC0415
    from actors.cli.variables import own_variables  # noqa: PLC0415
    from schemas.commands.bridges import ReviewSession  # noqa: PLC0415

    if not agent:
        raise CommandFailedError("review: say which agent reviews it: --with claude", USAGE)
    command = ReviewSession(
        session=session,
        agent=agent,
        provider=provider or "",
        model=model or "",
        instructions=instructions,
        against=against,
        environ=own_variables(os.environ),
    )
    raise typer.Exit(start(command, json=json))


@review.command("send-back", epilog=EXIT_CODES)
def review_send_back(review: _Driven, json: _Json = False) -> None:
    """Give a review's findings to the session that it is of."""
    from actors.cli.review import send_back  # noqa: PLC0415

    send_back(review, json=json)


@review.command("delete", epilog=EXIT_CODES)
def review_delete(review: _Driven, json: _Json = False) -> None:
    """End a review."""
    from actors.cli.review import delete  # noqa: PLC0415

    delete(review, json=json)
